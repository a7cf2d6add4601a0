"""How far a training has come, and the best of it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from cnntrain.config.stages import StagePlan
from cnntrain.runs.history import EpochRow
from cnntrain.runs.record import Best, Interpolated
from cnntrain.training.stopping import Patience, is_improvement, patience_of

Weights = list[npt.NDArray[Any]]


@dataclass
class Progress:
    """How far a training has come: all that it needs to know to go on, besides the variables of model and optimizer.

    Args:
        history: A row for each epoch that is over.
        best: The best epoch so far among those of all stages at `data.image_size`.
        best_weights: The weights of the whole network after it, in Keras's order.
        stage: Number of the stage in hand, counted from 1.
        epoch_in_stage: Epochs of it that are over.
        stage_rate: Its learning rate in the configuration.
        stage_best: The best monitored value in it.
        stage_weights: The weights after that epoch: what the next stage begins with, unless it goes on with the last.
        is_frozen: Whether nothing of the backbone trains in the stage in hand.
        head_weights: The best weights of the last such stage so far.
        interpolation: What was tried between them and the best weights, once all stages are over.
        stopping: Counter of its early stopping.
        reduction: Counter of its rate reduction.
        is_stage_over: Whether no more epochs follow in it.
        step: Steps of the next epoch that are done already.
        trained: Training loss and accuracy of that epoch, once all its steps are done.
        epoch_seconds: Seconds that these steps took.
        rate_factor: What the learning rates of the stage are multiplied by, after a loss that was not finite.
        rollbacks: How often the run went back for that.
        timings: Seconds by part of the work.
    """

    history: list[EpochRow] = field(default_factory=list)
    best: Best | None = None
    best_weights: Weights | None = None
    stage: int = 0
    epoch_in_stage: int = 0
    stage_rate: float = 0.0
    stage_best: float | None = None
    stage_weights: Weights | None = None
    is_frozen: bool = False
    head_weights: Weights | None = None
    interpolation: tuple[Interpolated, ...] = ()
    stopping: Patience | None = None
    reduction: Patience | None = None
    is_stage_over: bool = False
    step: int = 0
    trained: dict[str, float] | None = None
    epoch_seconds: float = 0.0
    rate_factor: float = 1.0
    rollbacks: int = 0
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """Number of the epoch in hand, counted from 1 through all stages."""
        return len(self.history) + 1

    @property
    def place(self) -> str:
        """Where the training is, in words."""
        if self.is_stage_over:
            return f"the end of epoch {len(self.history)}, the last"
        return f"epoch {self.epoch}, step {self.step}" if self.step else f"the beginning of epoch {self.epoch}"

    def begin_stage(self, number: int, stage: StagePlan) -> None:
        """Forgets what belongs to the stage before."""
        self.stage, self.epoch_in_stage, self.stage_best, self.is_stage_over = number, 0, None, False
        self.stage_rate = stage.learning_rate
        if not stage.continues:
            self.rate_factor = 1.0
        self.is_frozen = stage.unfreeze == "none"
        self.stopping, self.reduction = patience_of(stage.early_stopping), patience_of(stage.reduce_lr)

    def keep(self, row: EpochRow, monitor: str, weights: Callable[[], Weights], *, is_candidate: bool = True) -> bool:
        """Adds an epoch; takes its weights if they are the best of the stage, and says whether they are of the run.

        An epoch counts only if all its losses and all its weights are finite.

        Args:
            row: What the epoch gave.
            monitor: What is compared.
            weights: Gives the weights as they are now.
            is_candidate: Whether the run's best may come from this epoch: it was measured on pictures of the size that
                the model is used with.
        """
        self.history.append(row)
        self.epoch_in_stage += 1
        self.step, self.trained, self.epoch_seconds = 0, None, 0.0
        value = row.monitored(monitor)
        if not row.is_finite or not is_improvement(value, self.stage_best, monitor):
            return False
        taken = weights()
        if not all(np.all(np.isfinite(array)) for array in taken):
            return False
        self.stage_best, self.stage_weights = value, taken
        if self.is_frozen:
            self.head_weights = taken
        if not is_candidate or not is_improvement(value, self.best.value if self.best else None, monitor):
            return False
        self.best_weights = taken
        self.best = Best(monitor=monitor, value=value, epoch=row.epoch, stage=row.stage)
        return True

    def to_json(self) -> dict[str, Any]:
        """Everything but the weights, of JSON's types."""
        plain = {one.name: getattr(self, one.name) for one in fields(self) if not one.name.endswith("_weights")}
        parts = {"best": self.best, "stopping": self.stopping, "reduction": self.reduction}
        made = {name: None if value is None else asdict(value) for name, value in parts.items()}
        rows = [asdict(row) for row in self.history]
        return {**plain, **made, "history": rows, "interpolation": [asdict(tried) for tried in self.interpolation]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], weights: Mapping[str, Weights]) -> "Progress":
        """What `to_json` gave, with the weights by the names of their fields.

        Raises:
            TypeError: It is not that.
            KeyError: Parts are missing.
        """
        best, stopping, reduction = value["best"], value["stopping"], value["reduction"]
        parts = {
            "best": Best(**best) if best else None,
            "stopping": Patience(**stopping) if stopping else None,
            "reduction": Patience(**reduction) if reduction else None,
            "history": [EpochRow(**row) for row in value["history"]],
            "interpolation": tuple(Interpolated(**tried) for tried in value["interpolation"]),
        }
        return cls(**{**value, **parts, **weights})
