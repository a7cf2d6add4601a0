"""The loop over stages and epochs."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import keras

from cnntrain.config.sections import Config
from cnntrain.config.stages import StagePlan, plan_stages
from cnntrain.errors import TrainingError
from cnntrain.models.network import Network
from cnntrain.runs.history import EpochRow
from cnntrain.runs.state import Arrays, State
from cnntrain.training.averaging import WeightAverage
from cnntrain.training.bank.shelf import Shelf
from cnntrain.training.checkpoints import Checkpointed, Checkpoints, Restored, assign, is_finite
from cnntrain.training.compiling import build_optimizer, compile_stage, optimizer_variables
from cnntrain.training.events import EpochDone, Event, Message, OnEvent, StageStarted, StepDone
from cnntrain.training.inputs import Inputs, Measured, Opened, StageInputs
from cnntrain.training.interpolation import interpolate
from cnntrain.training.progress import Progress, Weights
from cnntrain.training.signals import Interrupted, Signals
from cnntrain.training.stopping import reduced_rate
from cnntrain.training.watching import EpochWatch, NotFiniteError

_ROLLBACKS = 3
_SLOWER = 0.5  # what the learning rate is multiplied by when a run goes back


class Trainer:
    """Trains a network through the stages of a configuration.

    Args:
        config: Resolved: `train.monitor` is something that is measured.
        network: Whole, with its initial weights.
        class_count: Number of classes.
        open_pictures: Gives the pictures at a height and width; asked once for each change of size.
        shelf: Where features are stored.
        checkpoints: Where states are saved.
        signals: What is asked of the training from outside.
        on_event: Told what happens.
        on_epoch: Called after every epoch, once `progress` is up to date.
        on_stage: Called after every stage but the last, while the network holds the best weights so far.
    """

    def __init__(
        self,
        config: Config,
        network: Network,
        *,
        class_count: int,
        open_pictures: Callable[[tuple[int, int]], Opened],
        shelf: Shelf,
        checkpoints: Checkpoints,
        signals: Signals,
        on_event: OnEvent,
        on_epoch: Callable[[Progress], None] = lambda _: None,
        on_stage: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._network = network
        self._class_count = class_count
        self._checkpoints = checkpoints
        self._signals = signals
        self._listener = on_event
        self._on_epoch = on_epoch
        self._on_stage = on_stage
        self._optimizer: Any = None
        self._average: WeightAverage | None = None
        self._stages = plan_stages(config)
        self._checkpointed = Checkpointed(network, self._stages, keeps_head=config.train.interpolate)
        self._restored: Restored | None = None
        self._metrics: Weights = []
        self._inputs = Inputs(
            config,
            network,
            self._stages,
            class_count=class_count,
            open_pictures=open_pictures,
            shelf=shelf,
            on_event=self._on_event,
        )
        self.progress = Progress()

    @property
    def _total_epochs(self) -> int:
        return sum(stage.epochs for stage in self._stages)

    @property
    def _at_usual_size(self) -> str:
        """Which epochs count, where not all of them do."""
        sizes = {stage.image_size for stage in self._stages}
        return " at data.image_size" if len(sizes) > 1 else ""

    def frozen(self) -> Arrays:
        """The weights that no stage changes, by the names that states give them."""
        return self._checkpointed.frozen()

    def resume(self, state: State) -> None:
        """Puts the training where it was when a state was saved; `run` then goes on from there.

        Raises:
            RunError: The state is of another network, or of a stage that there is not.
        """
        self._restored = self._checkpointed.put_back(state)
        self.progress = self._restored.progress
        self._optimizer, self._average = None, None

    def run(self) -> Progress:
        """Runs all stages; leaves the network with the best weights of all.

        A stage begins with the best weights of the one before, or goes on with the last ones where it only changes the
        size of the pictures.

        Raises:
            TrainingError: The loss is not finite, or no epoch gave a finite monitored value.
            Interrupted: A signal asked for the end; what was done so far is saved.
            WriteError: A state cannot be saved.
        """
        if not self.progress.stage:
            self._begin_stage(1)
            self._save(is_due=True)
        while not self._has_run_stages():
            pass
        self.restore_best()
        if self.progress.best is None:
            raise TrainingError(
                f"{self._config.train.monitor} was not finite after any epoch{self._at_usual_size}, so there is no "
                "best model; lower train.learning_rate or set train.gradient_clipping"
            )
        if self._config.train.interpolate:
            self._interpolate()
        return self.progress

    def _has_run_stages(self) -> bool:
        """Runs the stages from the one in hand; tells if it had to go back to an earlier state instead."""
        try:
            while not self.progress.is_stage_over:
                self._run_stage(self._stages[self.progress.stage - 1])
        except NotFiniteError as error:
            self._roll_back(error)
            return False
        return True

    def _roll_back(self, error: NotFiniteError) -> None:
        """Goes back to the last state between epochs with half the rate. Raises the error where that is not wished."""
        rollbacks, factor = self.progress.rollbacks + 1, self.progress.rate_factor * _SLOWER
        if self._config.train.on_nan != "rollback":
            raise error
        if rollbacks > _ROLLBACKS:
            raise TrainingError(f"{error}; going back did not help, {_ROLLBACKS} times") from error
        timings = self.progress.timings
        self.resume(self._checkpoints.last_between_epochs(self.frozen))
        self.progress.rollbacks, self.progress.rate_factor, self.progress.timings = rollbacks, factor, timings
        what = f"back to {self.progress.place} with {factor:g} of the learning rate ({rollbacks} of {_ROLLBACKS})"
        self._on_event(Message(f"{str(error).partition(';')[0]}: {what}"))

    def _interpolate(self) -> None:
        """Tries the weights between the head's best and the run's best."""

        @cache
        def measured() -> Measured:
            found = self._inputs.of_all_stages()
            compile_stage(found.model, self._config.train, None, class_count=self._class_count)
            return found

        monitor, validate = self._config.train.monitor, lambda: self._validate(measured())  # opened if there is a need
        interpolate(self._network, self.progress, monitor=monitor, validate=validate, on_event=self._on_event)

    def restore_best(self) -> None:
        """Puts the best weights so far into the network, where there are any."""
        self._restore(self.progress.best_weights)

    def _restore(self, weights: Weights | None) -> None:
        if weights is not None:
            self._network.model.set_weights(weights)

    def _begin_stage(self, number: int) -> None:
        """Makes a stage the one in hand."""
        stage = self._stages[number - 1]
        if not stage.continues:
            self._restore(self.progress.stage_weights)
            self._optimizer, self._average = None, None
        self.progress.begin_stage(number, stage)

    def _run_stage(self, stage: StagePlan) -> None:
        """Runs what is left of a stage; afterwards the next is in hand, or all are over."""
        number = self.progress.stage
        self._network.thaw(stage.unfreeze)
        trainable = sum(math.prod(weight.shape) for weight in self._network.model.trainable_weights)
        count = len(self._stages)
        self._on_event(
            StageStarted(stage.name, number, count, stage.epochs, trainable, self._total_epochs, stage.continues)
        )
        before = self._inputs.seconds
        try:
            inputs = self._inputs.of_stage(number, stage.image_size)
        finally:
            self._spend("features", self._inputs.seconds - before)
        self._compile(stage, inputs)
        while self.progress.stage == number and not self.progress.is_stage_over:
            self._run_epoch(stage, inputs)

    def _compile(self, stage: StagePlan, inputs: StageInputs) -> None:
        """Makes a stage ready to train, from its beginning or from where a state has left it."""
        train, restored = self._config.train, self._restored
        if self._optimizer is None:
            self._optimizer = build_optimizer(
                train,
                stage,
                steps_per_epoch=inputs.steps,
                base=self._network.base_weights,
                rate_factor=self.progress.rate_factor,
            )
            self._average = WeightAverage(self._network, train.ema) if train.ema else None
        compile_stage(inputs.model, train, self._optimizer, class_count=self._class_count)
        self._restored = None
        self._metrics = restored.metrics if restored else []
        if restored and restored.optimizer:
            self._put_back(restored, stage, inputs)

    def _put_back(self, restored: Restored, stage: StagePlan, inputs: StageInputs) -> None:
        """Gives average and optimizer the values that they had.

        The learning rate is another in proportion where the run has gone back, or was forced to take another.
        """
        averages, steps = restored.average
        if self._average and assign(self._average.averages, averages):
            self._average.steps = steps
        self._optimizer.build(inputs.model.trainable_variables)
        ratio = stage.learning_rate * self.progress.rate_factor / restored.rate
        self.progress.stage_rate = stage.learning_rate
        if not assign(optimizer_variables(self._optimizer), restored.optimizer):
            self._on_event(Message("warning: the optimizer begins anew, since the state is of another"))
        elif stage.schedule is None and ratio != 1.0:
            self._optimizer.learning_rate = float(self._optimizer.learning_rate) * ratio

    def _run_epoch(self, stage: StagePlan, inputs: StageInputs) -> None:
        """Trains and validates once, keeps the weights if they are the best so far, and saves a state."""
        if self.progress.trained is None:
            self.progress.trained = self._train(stage, inputs)
        try:
            self._signals.obey()
            with self._averaged():
                row = self._measure(stage, inputs, self.progress.trained)
                self._keep(stage, row)
        except Interrupted:
            self._save(is_due=True)
            raise
        rolls_back = self._config.train.on_nan == "rollback"  # to the same place however long epochs take
        is_over = self._has_ended(stage, row)
        if is_over:
            self._end_stage()
        else:
            self._reduce_rate(stage, row, inputs.model.optimizer)
        is_wished = self._signals.take_wish()
        self._save(is_due=is_over or rolls_back or self._signals.stops, is_wished=is_wished)
        self._on_epoch(self.progress)
        self._signals.obey()

    def _train(self, stage: StagePlan, inputs: StageInputs) -> dict[str, float]:
        """Loss and accuracy of the training steps of an epoch, of which some may have been done before."""
        progress = self.progress
        epoch, start, before = progress.epoch, time.perf_counter(), progress.epoch_seconds

        def after(step: int) -> None:
            progress.step, progress.epoch_seconds = step, before + time.perf_counter() - start
            if step < inputs.steps:
                self._obey_within(watch)

        watch = EpochWatch(
            f"stage {stage.name}, epoch {epoch}",
            first_step=progress.step,
            steps=inputs.steps,
            metrics=self._metrics,
            on_event=self._on_event,
            on_step=after,
        )
        self._metrics = []
        followers = [*([self._average] if self._average else []), watch]
        batches = inputs.training(epoch=epoch, first_step=progress.step)
        logs = inputs.model.fit(batches, verbose=0, shuffle=False, callbacks=followers).history
        return {name: float(logs[name][0]) for name in ("loss", "accuracy")}

    def _obey_within(self, watch: EpochWatch) -> None:
        """Saves and ends within an epoch, if that was asked for."""
        every = self._config.train.save_every
        is_wished, is_due = self._signals.take_wish(), bool(every and self.progress.step % every == 0)
        if is_wished or is_due or self._signals.stops:
            self._save(metrics=watch.metrics, is_due=True, is_wished=is_wished)
        self._signals.obey()

    def _measure(self, stage: StagePlan, inputs: StageInputs, trained: Mapping[str, float]) -> EpochRow:
        """Validates; the row of an epoch whose steps are done."""
        start = time.perf_counter()
        validated = self._validate(inputs.validation) if inputs.validation else {}
        seconds = self.progress.epoch_seconds
        return EpochRow(
            stage=stage.name,
            epoch=self.progress.epoch,
            loss=trained["loss"],
            accuracy=trained["accuracy"],
            val_loss=validated.get("loss"),
            val_accuracy=validated.get("accuracy"),
            learning_rate=float(f"{float(inputs.model.optimizer.learning_rate):.7g}"),  # the digits of float32
            seconds=round(seconds + time.perf_counter() - start, 3),
            images_per_second=round(inputs.count / seconds, 2),
        )

    def _validate(self, measured: Measured) -> dict[str, float]:
        """Loss and accuracy on the validation pictures."""
        told = keras.callbacks.LambdaCallback(
            on_test_batch_end=lambda batch, logs: self._on_event(  # noqa: ARG005
                StepDone("validation", batch + 1, measured.steps)
            )
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
        self._inputs.touch()
        self._on_event(EpochDone(row, self._total_epochs, is_best))

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

    def _end_stage(self) -> None:
        """Lets the best model so far be written, and makes the next stage the one in hand."""
        self.progress.is_stage_over = True
        if self.progress.stage < len(self._stages):
            with self._best_in_place():
                self._on_stage()
            self._begin_stage(self.progress.stage + 1)

    @contextmanager
    def _best_in_place(self) -> Iterator[None]:
        """In this context the network holds the best weights so far."""
        now = self._network.model.get_weights()
        self.restore_best()
        try:
            yield
        finally:
            self._restore(now)

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

    def _save(self, *, is_due: bool = False, is_wished: bool = False, metrics: Sequence[Any] = ()) -> None:
        """Saves a state, if it is due or time allows. Raises NotFiniteError where it would be of no use."""
        is_between = self.progress.step == 0
        take = lambda: self._state(metrics)  # noqa: E731
        self._spend("saving", self._checkpoints.save(take, is_due=is_due or is_wished, is_between_epochs=is_between))
        if is_wished:
            self._on_event(Message(f"saved at {self.progress.place}, as a signal asked"))

    def _spend(self, part: str, seconds: float) -> None:
        timings = self.progress.timings
        timings[part] = round(timings.get(part, 0.0) + seconds, 3)

    def _state(self, metrics: Sequence[Any]) -> State:
        state = self._checkpointed.take(self.progress, self._optimizer, self._average, metrics)
        if not is_finite(state):
            rate = float(self._optimizer.learning_rate) if self._optimizer is not None else math.nan
            raise NotFiniteError(f"the weights are not finite at {self.progress.place}", rate=rate)
        return state

    def _on_event(self, event: Event) -> None:
        """Tells an event; a step of anything but training is a place to end where that was asked for."""
        self._listener(event)
        if isinstance(event, StepDone) and event.task != "epoch":
            self._signals.obey()
