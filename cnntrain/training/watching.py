"""What follows the steps of an epoch: tells them, and ends it when the loss is not finite."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from cnntrain.errors import TrainingError
from cnntrain.training.checkpoints import assign
from cnntrain.training.events import OnEvent, StepDone
from cnntrain.training.progress import Weights


class NotFiniteError(TrainingError):
    """The loss or a weight is not finite any more."""

    def __init__(self, what: str, *, rate: float) -> None:
        super().__init__(
            f"{what}, at learning rate {rate:.3g}; lower train.learning_rate or set train.gradient_clipping"
        )


class EpochWatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Follows the steps of one epoch.

    Args:
        place: The stage and the epoch, in words.
        first_step: Steps that were done before, in another process perhaps.
        steps: Of the whole epoch.
        metrics: Values that the metrics' variables had after these, nothing at the beginning of an epoch.
        on_event: Told every step.
        on_step: Called after every step with the number of those that are done.
    """

    def __init__(
        self,
        place: str,
        *,
        first_step: int,
        steps: int,
        metrics: Weights,
        on_event: OnEvent,
        on_step: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._place = place
        self._first_step = first_step
        self._steps = steps
        self._metrics = metrics
        self._on_event = on_event
        self._on_step = on_step

    @property
    def metrics(self) -> Sequence[Any]:
        """The variables of the metrics."""
        variables: Sequence[Any] = self.model.metrics_variables
        return variables

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Lets the metrics go on; Keras has just set them to zero, and makes some of them in the first step only."""
        if self._metrics:
            any_logits = keras.ops.zeros((1, self.model.output_shape[-1]))
            self.model.compute_metrics(None, any_logits, any_logits)
            assign(self.metrics, self._metrics)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tells the step, or ends the epoch. Raises NotFiniteError."""
        step = self._first_step + batch + 1
        loss, accuracy = float((logs or {})["loss"]), float((logs or {})["accuracy"])
        if not math.isfinite(loss):
            rate = float(self.model.optimizer.learning_rate)
            raise NotFiniteError(f"the loss is not finite in {self._place}, batch {step}", rate=rate)
        self._on_event(StepDone("epoch", step, self._steps, loss, accuracy))
        self._on_step(step)
