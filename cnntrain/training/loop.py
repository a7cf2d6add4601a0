"""The loop over stages and epochs."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnntrain.config.sections import Augment, Config
from cnntrain.config.stages import StagePlan, plan_stages
from cnntrain.data.pipeline import Pictures, evaluation_batches, steps_of, training_batches
from cnntrain.errors import TrainingError
from cnntrain.models.network import Network
from cnntrain.runs.history import EpochRow
from cnntrain.runs.record import Best
from cnntrain.training.compiling import compile_stage
from cnntrain.training.events import EpochDone, Message, OnEvent, StageStarted, StepDone
from cnntrain.training.features import extract
from cnntrain.training.stopping import Patience, is_improvement, patience_of, reduced_rate

Weights = list[npt.NDArray[Any]]


@dataclass
class Progress:
    """How far a training has come: all that it needs to know to go on, besides the variables of model and optimizer.

    Args:
        history: A row for each epoch that is over.
        best: The best epoch so far, of all stages.
        best_weights: The weights of the whole network after it, in Keras's order.
        stage: Number of the stage in hand, counted from 1.
        epoch_in_stage: Epochs of it that are over.
        stage_best: The best monitored value in it.
        stage_weights: The weights after that epoch, or those the stage began with: what the next stage begins with.
        stopping: Counter of its early stopping.
        reduction: Counter of its rate reduction.
        timings: Seconds by part of the work.
    """

    history: list[EpochRow] = field(default_factory=list)
    best: Best | None = None
    best_weights: Weights | None = None
    stage: int = 0
    epoch_in_stage: int = 0
    stage_best: float | None = None
    stage_weights: Weights | None = None
    stopping: Patience | None = None
    reduction: Patience | None = None
    timings: dict[str, float] = field(default_factory=dict)

    def begin_stage(self, number: int, stage: StagePlan) -> None:
        """Forgets what belongs to the stage before."""
        self.stage, self.epoch_in_stage, self.stage_best = number, 0, None
        self.stopping, self.reduction = patience_of(stage.early_stopping), patience_of(stage.reduce_lr)

    def keep(self, row: EpochRow, monitor: str, weights: Callable[[], Weights]) -> bool:
        """Adds an epoch; takes its weights if they are the best of the stage, and says whether they are of the run.

        An epoch counts only if all its losses and all its weights are finite.

        Args:
            row: What the epoch gave.
            monitor: What is compared.
            weights: Gives the weights as they are now.
        """
        self.history.append(row)
        self.epoch_in_stage += 1
        value = row.monitored(monitor)
        if not row.is_finite or not is_improvement(value, self.stage_best, monitor):
            return False
        taken = weights()
        if not all(np.all(np.isfinite(array)) for array in taken):
            return False
        self.stage_best, self.stage_weights = value, taken
        if not is_improvement(value, self.best.value if self.best else None, monitor):
            return False
        self.best_weights = taken
        self.best = Best(monitor=monitor, value=value, epoch=row.epoch, stage=row.stage)
        return True


@dataclass(frozen=True)
class _StageData:
    """What one stage trains and on what: the whole network on pictures, or its head on stored feature maps."""

    model: keras.Model
    train: Pictures
    validation: Pictures | None
    augment: Augment


class Trainer:
    """Trains a network through the stages of a configuration.

    Args:
        config: Resolved: `train.monitor` is something that is measured.
        network: Whole, with its initial weights.
        class_count: Number of classes.
        train: Training pictures.
        validation: Validation pictures, absent where there are none.
        on_event: Told what happens.
        on_epoch: Called after every epoch, once `progress` is up to date.
    """

    def __init__(
        self,
        config: Config,
        network: Network,
        *,
        class_count: int,
        train: Pictures,
        validation: Pictures | None,
        on_event: OnEvent,
        on_epoch: Callable[[Progress], None],
    ) -> None:
        self._config = config
        self._network = network
        self._class_count = class_count
        self._train = train
        self._validation = validation
        self._on_event = on_event
        self._on_epoch = on_epoch
        self._features: tuple[Pictures, Pictures | None] | None = None
        is_balanced = config.train.class_weights == "balanced"
        self._class_weights = _class_weights(train.labels, class_count) if is_balanced else None
        self._stages = plan_stages(config)
        self.progress = Progress()

    @property
    def _total_epochs(self) -> int:
        return sum(stage.epochs for stage in self._stages)

    def run(self) -> Progress:
        """Runs all stages, each from the best weights of the one before; leaves the network with the best of all.

        Raises:
            TrainingError: The loss is not finite, or no epoch gave a finite monitored value.
        """
        for number, stage in enumerate(self._stages, start=1):
            self._restore(self.progress.stage_weights)
            self.progress.begin_stage(number, stage)
            self._run_stage(stage)
        self.restore_best()
        if self.progress.best is None:
            raise TrainingError(
                f"{self._config.train.monitor} was not finite after any epoch, so there is no best model; "
                "lower train.learning_rate or set train.gradient_clipping"
            )
        return self.progress

    def restore_best(self) -> None:
        """Puts the best weights so far into the network, where there are any."""
        self._restore(self.progress.best_weights)

    def _restore(self, weights: Weights | None) -> None:
        if weights is not None:
            self._network.model.set_weights(weights)

    def _run_stage(self, stage: StagePlan) -> None:
        self._network.thaw(stage.unfreeze)
        trainable = sum(math.prod(weight.shape) for weight in self._network.model.trainable_weights)
        number, count = self.progress.stage, len(self._stages)
        self._on_event(StageStarted(stage.name, number, count, stage.epochs, trainable, self._total_epochs))
        data = self._stage_data(stage)
        steps = steps_of(len(data.train), self._config.data.batch_size)
        compile_stage(data.model, self._config.train, stage, steps_per_epoch=steps, class_count=self._class_count)
        self._run_epochs(stage, data, steps)
        if stage.unfreeze != "none":
            self._features = None  # they are those of the base as it was

    def _stage_data(self, stage: StagePlan) -> _StageData:
        """Stored feature maps where the base is frozen and every epoch shows it the same pictures."""
        if not _trains_on_features(self._config, stage):
            model = self._network.logits()
            return _StageData(model, self._train, self._validation, self._config.augment)
        if self._features is None:
            self._features = self._extract()
        train, validation = self._features
        return _StageData(self._network.logits(self._network.features), train, validation, Augment())

    def _extract(self) -> tuple[Pictures, Pictures | None]:
        """Runs the frozen base once over all pictures."""
        extractor = self._network.extractor()
        batch_size = self._config.data.batch_size
        count = len(self._train) + (len(self._validation) if self._validation else 0)
        self._on_event(Message(f"the frozen base runs once over {count} pictures"))
        start = time.perf_counter()
        train = extract(
            extractor, self._train, batch_size=batch_size, task="features of train", on_event=self._on_event
        )
        validation = self._validation and extract(
            extractor, self._validation, batch_size=batch_size, task="features of validation", on_event=self._on_event
        )
        seconds = time.perf_counter() - start
        self.progress.timings["features"] = seconds
        self._on_event(Message(f"their features took {seconds:.1f} s ({count / seconds:.1f} images/s)"))
        return train, validation

    def _run_epochs(self, stage: StagePlan, data: _StageData, steps: int) -> None:
        validation = data.validation and evaluation_batches(
            data.validation, class_count=self._class_count, batch_size=self._config.data.batch_size
        )
        while self.progress.epoch_in_stage < stage.epochs:
            row = self._run_epoch(stage, data, validation, steps)
            self._keep(row)
            if self._has_ended(stage, row):
                return
            self._reduce_rate(stage, row, data.model.optimizer)

    def _has_ended(self, stage: StagePlan, row: EpochRow) -> bool:
        """Whether a stage is over after an epoch, be it for want of improvement."""
        stopping, monitor = self.progress.stopping, self._config.train.monitor
        if self.progress.epoch_in_stage >= stage.epochs:
            return True
        if stopping is None or not stopping.update(row.monitored(monitor), monitor):
            return False
        text = f"stage {stage.name} stops after epoch {row.epoch}: no better {monitor} for {stopping.patience} epochs"
        self._on_event(Message(text))
        return True

    def _reduce_rate(self, stage: StagePlan, row: EpochRow, optimizer: Any) -> None:
        """Lowers the learning rate when there was no improvement for long enough."""
        reduction, monitor = self.progress.reduction, self._config.train.monitor
        if stage.reduce_lr is None or reduction is None or not reduction.update(row.monitored(monitor), monitor):
            return
        reduction.waited = 0
        rate = reduced_rate(stage.reduce_lr, row.learning_rate)
        if rate < row.learning_rate:
            optimizer.learning_rate = rate
            self._on_event(Message(f"no better {monitor}: learning rate {row.learning_rate:.3g} -> {rate:.3g}"))

    def _run_epoch(self, stage: StagePlan, data: _StageData, validation: Any, steps: int) -> EpochRow:
        epoch = len(self.progress.history) + 1
        batches = training_batches(
            data.train,
            class_count=self._class_count,
            batch_size=self._config.data.batch_size,
            seed=self._config.seed,
            epoch=epoch,
            augment=data.augment,
            class_weights=self._class_weights,
        )
        validation_steps = steps_of(len(data.validation or ()), self._config.data.batch_size)
        watch = _EpochWatch(stage.name, epoch, steps, validation_steps, self._on_event)
        start = time.perf_counter()
        logs = data.model.fit(batches, verbose=0, shuffle=False, validation_data=validation, callbacks=[watch]).history
        end = time.perf_counter()
        return EpochRow(
            stage=stage.name,
            epoch=epoch,
            loss=float(logs["loss"][0]),
            accuracy=float(logs["accuracy"][0]),
            val_loss=_first(logs.get("val_loss")),
            val_accuracy=_first(logs.get("val_accuracy")),
            learning_rate=float(f"{float(data.model.optimizer.learning_rate):.7g}"),  # the digits that float32 has
            seconds=round(end - start, 3),
            images_per_second=round(len(data.train) / ((watch.trained_at or end) - start), 2),
        )

    def _keep(self, row: EpochRow) -> None:
        """Adds an epoch to the history, and its weights to what is kept if they are the best so far."""
        is_best = self.progress.keep(row, self._config.train.monitor, self._network.model.get_weights)
        self._on_event(EpochDone(row, self._total_epochs, is_best))
        self._on_epoch(self.progress)


def _trains_on_features(config: Config, stage: StagePlan) -> bool:
    return stage.unfreeze == "none" and not config.augment.is_active


def shows_pictures_once(config: Config) -> bool:
    """Whether a training needs the pictures for one pass of the frozen base only."""
    return all(_trains_on_features(config, stage) for stage in plan_stages(config))


class _EpochWatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Follows the steps of one epoch, and ends it when the loss is not finite."""

    def __init__(self, stage: str, epoch: int, steps: int, validation_steps: int, on_event: OnEvent) -> None:
        super().__init__()
        self._stage, self._epoch, self._on_event = stage, epoch, on_event
        self._steps, self._validation_steps = steps, validation_steps
        self.trained_at: float | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss, accuracy = float((logs or {})["loss"]), float((logs or {})["accuracy"])
        if not math.isfinite(loss):
            rate = float(self.model.optimizer.learning_rate)
            raise TrainingError(
                f"the loss is not finite in stage {self._stage}, epoch {self._epoch}, batch {batch + 1}, at learning "
                f"rate {rate:.3g}; lower train.learning_rate or set train.gradient_clipping"
            )
        self._on_event(StepDone("epoch", batch + 1, self._steps, loss, accuracy))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self.trained_at = time.perf_counter()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self._on_event(StepDone("validation", batch + 1, self._validation_steps))


def _first(values: Sequence[float] | None) -> float | None:
    return float(values[0]) if values else None


def _class_weights(labels: npt.NDArray[np.int64], class_count: int) -> npt.NDArray[np.float32]:
    """Weight of each class: pictures / (classes × pictures of the class), as scikit-learn's `balanced`."""
    counts = np.bincount(labels, minlength=class_count)
    return (len(labels) / (class_count * np.maximum(counts, 1))).astype(np.float32)
