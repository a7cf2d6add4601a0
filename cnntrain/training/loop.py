"""The loop over stages and epochs."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnntrain.config.sections import Config, Pretrained
from cnntrain.config.stages import StagePlan, plan_stages
from cnntrain.data.batching import steps_of
from cnntrain.data.features import Features, evaluation_features, training_features
from cnntrain.data.pipeline import Pictures, evaluation_batches, training_batches
from cnntrain.errors import TrainingError
from cnntrain.models.cutting import cuts
from cnntrain.models.network import Network
from cnntrain.runs.history import EpochRow
from cnntrain.training.averaging import WeightAverage
from cnntrain.training.bank.opening import FeatureBanks
from cnntrain.training.bank.planning import StageCut, plan_cuts
from cnntrain.training.bank.shelf import Shelf
from cnntrain.training.class_weights import class_weights
from cnntrain.training.compiling import build_optimizer, compile_stage
from cnntrain.training.events import EpochDone, Message, OnEvent, StageStarted, StepDone
from cnntrain.training.interpolation import interpolate
from cnntrain.training.progress import Progress, Weights
from cnntrain.training.stopping import reduced_rate


@dataclass(frozen=True)
class Opened:
    """The pictures of a training at one size.

    Args:
        train: Training pictures.
        validation: Validation pictures, absent where there are none.
    """

    train: Pictures
    validation: Pictures | None


@dataclass(frozen=True)
class _Measured:
    """What is validated and on what.

    Args:
        model: Of logits, compiled.
        batches: Gives the batches of the validation pictures.
        count: Number of these.
    """

    model: keras.Model
    batches: Callable[[], Any]
    count: int


@dataclass(frozen=True)
class _StageInputs:
    """What a stage trains and on what: the whole network on pictures, or what follows a cut on stored features.

    Args:
        model: Of logits.
        labels: int64 (N,), of the training pictures.
        training: Gives the batches of an epoch for its number and the weights of the classes.
        validation: What is validated, absent where there are no validation pictures.
    """

    model: keras.Model
    labels: npt.NDArray[np.int64]
    training: Callable[..., Any]
    validation: _Measured | None

    def __len__(self) -> int:
        return len(self.labels)


class Trainer:
    """Trains a network through the stages of a configuration.

    Args:
        config: Resolved: `train.monitor` is something that is measured.
        network: Whole, with its initial weights.
        class_count: Number of classes.
        open_pictures: Gives the pictures at a height and width; asked once for each change of size.
        shelf: Where features are stored.
        on_event: Told what happens.
        on_epoch: Called after every epoch, once `progress` is up to date.
    """

    def __init__(
        self,
        config: Config,
        network: Network,
        *,
        class_count: int,
        open_pictures: Callable[[tuple[int, int]], Opened],
        shelf: Shelf,
        on_event: OnEvent,
        on_epoch: Callable[[Progress], None],
    ) -> None:
        self._config = config
        self._network = network
        self._class_count = class_count
        self._open_pictures = open_pictures
        self._on_event = on_event
        self._on_epoch = on_epoch
        self._opened: Opened | None = None
        self._optimizer: Any = None
        self._average: WeightAverage | None = None
        self._stages = plan_stages(config)
        self._cuts = _cuts(config, network, self._stages)
        self._banks = FeatureBanks(config, shelf, on_event, views=_views(config))
        self.progress = Progress()

    @property
    def _total_epochs(self) -> int:
        return sum(stage.epochs for stage in self._stages)

    @property
    def _at_usual_size(self) -> str:
        """Which epochs count, where not all of them do."""
        sizes = {stage.image_size for stage in self._stages}
        return " at data.image_size" if len(sizes) > 1 else ""

    def run(self) -> Progress:
        """Runs all stages; leaves the network with the best weights of all.

        A stage begins with the best weights of the one before, or goes on with the last ones where it only changes the
        size of the pictures.

        Raises:
            TrainingError: The loss is not finite, or no epoch gave a finite monitored value.
        """
        for number, stage in enumerate(self._stages, start=1):
            if not stage.continues:
                self._restore(self.progress.stage_weights)
            self.progress.begin_stage(number, stage)
            self._run_stage(number, stage)
        self.restore_best()
        if self.progress.best is None:
            raise TrainingError(
                f"{self._config.train.monitor} was not finite after any epoch{self._at_usual_size}, so there is no "
                "best model; lower train.learning_rate or set train.gradient_clipping"
            )
        if self._config.train.interpolate:
            self._interpolate()
        return self.progress

    def _interpolate(self) -> None:
        """Tries the weights between the head's best and the run's best where the run has validation pictures."""
        monitor = self._config.train.monitor
        if not monitor.startswith("val_"):
            text = f"nothing is interpolated: that needs validation pictures, and {monitor} is monitored"
            self._on_event(Message(text))
            return

        @cache
        def measured() -> _Measured:
            found = self._common_validation()
            compile_stage(found.model, self._config.train, self._optimizer, class_count=self._class_count)
            return found

        validate = lambda: self._validate(measured())  # noqa: E731 - nothing is opened if there is nothing to try
        interpolate(self._network, self.progress, monitor=monitor, validate=validate, on_event=self._on_event)

    def restore_best(self) -> None:
        """Puts the best weights so far into the network, where there are any."""
        self._restore(self.progress.best_weights)

    def _restore(self, weights: Weights | None) -> None:
        if weights is not None:
            self._network.model.set_weights(weights)

    def _run_stage(self, number: int, stage: StagePlan) -> None:
        self._network.thaw(stage.unfreeze)
        trainable = sum(math.prod(weight.shape) for weight in self._network.model.trainable_weights)
        count = len(self._stages)
        self._on_event(
            StageStarted(stage.name, number, count, stage.epochs, trainable, self._total_epochs, stage.continues)
        )
        inputs = self._inputs(stage.image_size, self._cuts[number - 1])
        steps = steps_of(len(inputs), self._config.data.batch_size)
        train = self._config.train
        if not stage.continues:
            self._optimizer = build_optimizer(train, stage, steps_per_epoch=steps, base=self._network.base_weights)
            self._average = WeightAverage(self._network, train.ema) if train.ema else None
        compile_stage(inputs.model, train, self._optimizer, class_count=self._class_count)
        self._run_epochs(stage, inputs, steps)

    def _inputs(self, image_size: tuple[int, int], cut: StageCut) -> _StageInputs:
        """Stored features where frozen layers run once, else pictures."""
        network, opened = self._at_size(image_size)
        config, labels, splits = self._config, opened.train.labels, {"train": opened.train}
        if opened.validation is not None:
            splits["validation"] = opened.validation
        features = self._features(network, cut, splits)
        common = {**self._common, "seed": config.seed}
        if features is None:
            model = network.logits()
            training = partial(training_batches, opened.train, augment=config.augment, **common)
        else:
            model = network.logits(cut.cut)
            brightness = config.train.features.brightness
            training = partial(training_features, features["train"], brightness=brightness, **common)
        validation = None if opened.validation is None else self._measured(model, opened.validation, features)
        return _StageInputs(model, labels, training, validation)

    def _measured(self, model: keras.Model, validation: Pictures, features: Mapping[str, Features] | None) -> _Measured:
        """The validation pictures, or their features."""
        if features is None:
            return _Measured(model, partial(evaluation_batches, validation, **self._common), len(validation))
        stored = features["validation"]
        return _Measured(model, partial(evaluation_features, stored, **self._common), len(validation))

    @property
    def _common(self) -> dict[str, Any]:
        """What all batches are made with."""
        return {"class_count": self._class_count, "batch_size": self._config.data.batch_size}

    def _common_validation(self) -> _Measured:
        """What follows the lowest of all cuts, at `data.image_size`: all that any stage has changed lies there."""
        size = self._config.data.image_size
        network, opened = self._at_size(size)
        if opened.validation is None:
            raise ValueError(f"{self._config.train.monitor} is monitored without validation pictures")
        names = [cut.cut for cut in self._cuts if cut.cut]
        is_everywhere = len(names) == len(self._cuts)
        lowest = min(names, key=cuts(self._network).index) if is_everywhere else None
        cut = StageCut("interpolation", size, cut=lowest, lowest=lowest)
        features = self._features(network, cut, {"validation": opened.validation})
        model = network.logits() if features is None else network.logits(lowest)
        return self._measured(model, opened.validation, features)

    def _features(
        self, network: Network, cut: StageCut, pictures: Mapping[str, Pictures]
    ) -> Mapping[str, Features] | None:
        """The stored features of each split, nothing where there are none."""
        if cut.cut is None:
            return None
        try:
            return self._banks.open(network, cut, pictures)
        finally:
            self.progress.timings["features"] = round(self._banks.seconds, 3)

    def _at_size(self, image_size: tuple[int, int]) -> tuple[Network, Opened]:
        """The network for pictures of a size, sharing its weights, and those pictures."""
        if self._opened is None or self._opened.train.preprocessing.shape[:2] != image_size:
            self._opened = None  # before the next are made, to have room for them
            self._opened = self._open_pictures(image_size)
        return self._network.resized(image_size), self._opened

    def _run_epochs(self, stage: StagePlan, inputs: _StageInputs, steps: int) -> None:
        while self.progress.epoch_in_stage < stage.epochs:
            row = self._run_epoch(stage, inputs, steps)
            if self._has_ended(stage, row):
                return
            self._reduce_rate(stage, row, inputs.model.optimizer)

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

    def _run_epoch(self, stage: StagePlan, inputs: _StageInputs, steps: int) -> EpochRow:
        """Trains and validates once, and keeps the weights if they are the best so far."""
        epoch = len(self.progress.history) + 1
        watch = _EpochWatch(stage.name, epoch, steps, self._on_event)
        start = time.perf_counter()
        trained = self._train(inputs, epoch, watch)
        seconds = time.perf_counter() - start
        with self._averaged():
            validated = self._validate(inputs.validation) if inputs.validation else {}
            row = EpochRow(
                stage=stage.name,
                epoch=epoch,
                loss=trained["loss"],
                accuracy=trained["accuracy"],
                val_loss=validated.get("loss"),
                val_accuracy=validated.get("accuracy"),
                learning_rate=float(f"{float(inputs.model.optimizer.learning_rate):.7g}"),  # the digits of float32
                seconds=round(time.perf_counter() - start, 3),
                images_per_second=round(len(inputs) / seconds, 2),
            )
            self._keep(stage, row)
        return row

    def _train(self, inputs: _StageInputs, epoch: int, watch: keras.callbacks.Callback) -> dict[str, float]:
        """Loss and accuracy of the training steps of an epoch."""
        weights = class_weights(self._config, inputs.labels, self._class_count)
        batches = inputs.training(epoch=epoch, class_weights=weights)
        followers = [watch, *([self._average] if self._average else [])]
        logs = inputs.model.fit(batches, verbose=0, shuffle=False, callbacks=followers).history
        return {name: float(logs[name][0]) for name in ("loss", "accuracy")}

    def _validate(self, measured: _Measured) -> dict[str, float]:
        """Loss and accuracy on the validation pictures."""
        steps = steps_of(measured.count, self._config.data.batch_size)
        told = keras.callbacks.LambdaCallback(
            on_test_batch_end=lambda batch, logs: self._on_event(StepDone("validation", batch + 1, steps))  # noqa: ARG005
        )
        model: Any = measured.model
        found: dict[str, float] = model.evaluate(measured.batches(), verbose=0, return_dict=True, callbacks=[told])
        return found

    def _averaged(self) -> AbstractContextManager[None]:
        """In this context the network holds the average of its weights, where one is made."""
        return self._average.in_place() if self._average else nullcontext()

    def _keep(self, stage: StagePlan, row: EpochRow) -> None:
        """Adds an epoch to the history, and its weights to what is kept if they are the best so far."""
        is_candidate = stage.image_size == self._config.data.image_size
        weights = self._network.model.get_weights
        is_best = self.progress.keep(row, self._config.train.monitor, weights, is_candidate=is_candidate)
        self._banks.touch()
        self._on_event(EpochDone(row, self._total_epochs, is_best))
        self._on_epoch(self.progress)


def _cuts(config: Config, network: Network, stages: Sequence[StagePlan]) -> tuple[StageCut, ...]:
    """Where each stage begins to train; with the picture itself where nothing is to be stored."""
    if config.train.features.views == "fresh":
        return tuple(StageCut(stage.name, stage.image_size) for stage in stages)
    return plan_cuts(network, stages)


def _views(config: Config) -> int:
    """How many versions of each training picture are stored."""
    views = config.train.features.views
    if views == "auto" and isinstance(config.model, Pretrained):
        raise ValueError("the configuration is not resolved")
    return views if isinstance(views, int) else 0


class _EpochWatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Follows the steps of one epoch, and ends it when the loss is not finite."""

    def __init__(self, stage: str, epoch: int, steps: int, on_event: OnEvent) -> None:
        super().__init__()
        self._stage, self._epoch, self._steps, self._on_event = stage, epoch, steps, on_event

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss, accuracy = float((logs or {})["loss"]), float((logs or {})["accuracy"])
        if not math.isfinite(loss):
            rate = float(self.model.optimizer.learning_rate)
            raise TrainingError(
                f"the loss is not finite in stage {self._stage}, epoch {self._epoch}, batch {batch + 1}, at learning "
                f"rate {rate:.3g}; lower train.learning_rate or set train.gradient_clipping"
            )
        self._on_event(StepDone("epoch", batch + 1, self._steps, loss, accuracy))
