"""Going on with a training: from every place, in a new trainer, to the same numbers as if nothing had happened."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import GLOBAL, pretrained, small_config, small_trainer

from cnntrain.config import Config
from cnntrain.data.data_set import DataSet
from cnntrain.errors import RunError, TrainingError
from cnntrain.runs.state import States
from cnntrain.training.events import EpochDone, Event, Message, StepDone
from cnntrain.training.loop import Trainer
from cnntrain.training.progress import Progress
from cnntrain.training.signals import Interrupted

Made = tuple[Config, DataSet]
Maker = Callable[[Path, Any, pytest.MonkeyPatch], Made]
AUGMENT = {"flip": "horizontal", "rotation": 10, "mixup": 0.2}
BLOCKS = [{"filters": 4, "batch_norm": True}]
WITH_NOISE = {"kind": "convnet", "blocks": BLOCKS, "head": {"layers": [{"dropout": 0.3}, {"dense": 4}]}}
STAGES = [{"name": "head", "epochs": 2}, {"name": "tune", "unfreeze": "tiny_conv2", "epochs": 2, "learning_rate": 1e-3}]
STEPS_OF_AN_EPOCH = 3


def _convnet(**train: Any) -> Maker:
    given = {"epochs": 3, **train}
    return lambda folder, *_: small_config(folder, model=WITH_NOISE, augment=AUGMENT, batch_size=8, **given)


def _backbone(*, augment: bool = False, **train: Any) -> Maker:
    return lambda folder, tiny, patch: pretrained(folder, tiny, patch, augment=augment, batch_size=8, **train)


def _sizes(folder: Path, tiny: Any, patch: pytest.MonkeyPatch) -> Made:
    stages = [{"name": "small", "image_size": [8, 8], "epochs": 2}, {"name": "usual", "epochs": 2}]
    given: dict[str, Any] = {"optimizer": "adam", "schedule": "one_cycle", "ema": 0.8, "stages": stages}
    return small_config(folder, model=GLOBAL, batch_size=8, **given)


PATIENT = {"early_stopping": {"patience": 2}, "reduce_lr": {"patience": 1, "factor": 0.1}, "monitor": "val_accuracy"}
DECAYED = {"class_weights": "balanced", "weight_decay": 0.01, "gradient_clipping": 0.5, "label_smoothing": 0.1}
CASES: dict[str, Maker] = {
    "noise": _convnet(),
    "schedule_and_average": _convnet(optimizer="adam", ema=0.9, schedule={"name": "cosine", "warmup_epochs": 1}),
    "patience": _convnet(epochs=5, **PATIENT),
    "weights_and_decay": _convnet(optimizer="adamw", **DECAYED),
    "mixed_precision": _convnet(mixed_precision=True, optimizer="nadam"),
    "sizes": _sizes,
    "head": _backbone(epochs=3),
    "views": _backbone(augment=True, epochs=3, features={"views": 2, "brightness": 0.2}),
    "end_to_end": _backbone(augment=True, features={"views": "fresh"}, stages=STAGES),
    "two_rates": _backbone(optimizer="lion", base_learning_rate=1e-4, interpolate=True, stages=STAGES),
}


class _Stop:
    """Notes a signal in the trainer after some steps, of training or of anything else."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.trainer: Trainer | None = None

    def append(self, event: Event) -> None:
        if isinstance(event, StepDone) and self.trainer is not None:
            self.left -= 1
            if self.left == 0:
                self.trainer._signals.note(15)


def _made(made: Made, stop: _Stop) -> Trainer:
    config, data_set = made
    trainer, _ = small_trainer(config, data_set, events=stop)  # type: ignore[arg-type]
    stop.trainer = trainer
    return trainer


def _states(made: Made) -> States:
    return States(Path(made[0].data.source).parent / "state")


def _resumed(made: Made, stop: _Stop) -> Trainer:
    trainer = _made(made, stop)
    trainer.resume(trainer._checkpoints._states.read(trainer.frozen).state)
    return trainer


def _rows(progress: Progress) -> list[tuple[Any, ...]]:
    """The history but for what was timed."""
    return [
        (row.stage, row.epoch, row.loss, row.accuracy, row.val_loss, row.val_accuracy, row.learning_rate)
        for row in progress.history
    ]


def _assert_equal(trainer: Trainer, other: Trainer) -> None:
    assert _rows(trainer.progress) == _rows(other.progress)
    assert trainer.progress.best == other.progress.best
    assert trainer.progress.interpolation == other.progress.interpolation
    pairs = zip(trainer._network.model.variables, other._network.model.variables, strict=True)
    assert [one.path for one, two in pairs if not np.array_equal(one.numpy(), two.numpy())] == []


LONG = {"weights_and_decay", "mixed_precision", "sizes"}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] if case in LONG else []) for case in CASES]
)
def test_a_training_that_is_interrupted_again_and_again_gives_the_same_numbers(
    case: str, split_folder: Path, tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = CASES[case](split_folder, tiny_backbone, monkeypatch)
    whole = _made(made, _Stop(0))
    whole.run()
    _states(made).remove()
    trainer, interruptions = _made(made, _Stop(1)), 0
    for after in cycle((4, 1, 5, 2, 6, 40)):
        try:
            trainer.run()
            break
        except Interrupted:
            interruptions += 1
            trainer = _resumed(made, _Stop(after))
    assert interruptions >= 3
    _assert_equal(trainer, whole)


def test_a_state_holds_what_trains_and_frozen_weights_lie_apart(
    split_folder: Path, tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = CASES["head"](split_folder, tiny_backbone, monkeypatch)
    trainer = _made(made, _Stop(0))
    trainer.run()
    state = _states(made).read(trainer.frozen).state
    model = trainer._network.model
    head = sum(weight.shape.num_elements() for weight in model.weights if not weight.path.startswith("tiny"))
    sets = {name.partition("/")[0] for name in state.arrays} - {"optimizer", "average", "metrics", "seeds", "info"}
    assert sum(array.size for name, array in state.arrays.items() if name.startswith("set_0")) == head
    assert len(sets) <= 2  # the weights as they are and the best of the run, which are the best of the stage
    assert sum(array.size for array in state.frozen().values()) == model.count_params() - head


def test_states_are_saved_within_an_epoch_as_often_as_is_asked(split_folder: Path) -> None:
    made = small_config(split_folder, epochs=2, batch_size=6, save_every=1)
    steps: list[tuple[int, int]] = []
    trainer = _made(made, _Stop(0))
    take = trainer._checkpointed.take

    def noting(progress: Progress, *arguments: Any) -> Any:
        steps.append((progress.epoch, progress.step))
        return take(progress, *arguments)

    trainer._checkpointed.take = noting  # type: ignore[method-assign]
    trainer.run()
    within = [(epoch, step) for epoch, step in steps if step]
    assert within == [(epoch, step) for epoch in (1, 2) for step in (1, 2, 3)]


def test_states_are_rare_where_saving_takes_long_and_certain_at_the_end(
    split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_config(split_folder, epochs=6)
    monkeypatch.setattr("cnntrain.training.checkpoints._SHARE", 10**6)
    trainer = _made(made, _Stop(0))
    trainer.run()
    numbers = [path.name[:8] for path in sorted(_states(made).folder.glob("0*"))]
    assert numbers == ["00000001", "00000002"]  # before the first step and after the last
    assert _states(made).read(trainer.frozen).state.info["progress"]["is_stage_over"]


def _break_once(monkeypatch: pytest.MonkeyPatch, *, at: tuple[int, int], rates: list[float], times: int = 1) -> None:
    """Lets the loss of a step be not a number, some times, and notes the rate at the end of every epoch."""
    from cnntrain.training import watching

    real, left = watching.EpochWatch.on_train_batch_end, [times]

    def broken(self: Any, batch: int, logs: dict[str, Any]) -> None:
        epoch = int(self._place.rpartition(" ")[2])
        if (epoch, self._first_step + batch) == at and left[0]:
            left[0] -= 1
            logs = {**logs, "loss": float("nan")}
        rates.append(float(self.model.optimizer.learning_rate))
        real(self, batch, logs)

    monkeypatch.setattr(watching.EpochWatch, "on_train_batch_end", broken)


@pytest.mark.parametrize(("times", "expected"), [(1, 0.005), (3, 0.00125)])
def test_a_run_that_goes_back_goes_on_with_half_the_rate(
    split_folder: Path, monkeypatch: pytest.MonkeyPatch, times: int, expected: float
) -> None:
    made = small_config(split_folder, epochs=3, batch_size=8, on_nan="rollback", learning_rate=0.01)
    rates: list[float] = []
    _break_once(monkeypatch, at=(2, 1), rates=rates, times=times)
    trainer = _made(made, _Stop(0))
    told: list[Event] = []
    trainer._listener = told.append
    progress = trainer.run()
    assert [row.epoch for row in progress.history] == [1, 2, 3]
    assert [row.learning_rate for row in progress.history] == pytest.approx([0.01, expected, expected])
    assert progress.rollbacks == times
    lines = [event.text for event in told if isinstance(event, Message)]
    assert lines[0] == (
        "the loss is not finite in stage train, epoch 2, batch 2, at learning rate 0.01: "
        "back to the beginning of epoch 2 with 0.5 of the learning rate (1 of 3)"
    )
    assert all(np.isfinite(weight).all() for weight in progress.best_weights or [])


def test_a_run_goes_back_to_the_same_place_whether_it_was_interrupted_or_not(
    split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_config(split_folder, model=WITH_NOISE, epochs=3, batch_size=6, on_nan="rollback", save_every=1)
    rates: list[float] = []
    steps = 4
    with pytest.MonkeyPatch.context() as patch:
        _break_once(patch, at=(2, 3), rates=rates)
        whole = _made(made, _Stop(0))
        whole.run()
    _states(made).remove()
    _break_once(monkeypatch, at=(2, 3), rates=rates)
    with pytest.raises(Interrupted):
        _made(made, _Stop(steps + 2 + 1)).run()
    trainer = _resumed(made, _Stop(0))
    assert trainer.progress.step > 0
    trainer.run()
    assert trainer.progress.rollbacks == 1
    _assert_equal(trainer, whole)


def test_a_run_goes_back_three_times_at_most(split_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_config(split_folder, epochs=3, batch_size=8, on_nan="rollback", schedule="cosine")
    rates: list[float] = []
    _break_once(monkeypatch, at=(1, 0), rates=rates, times=99)
    with pytest.raises(TrainingError, match=r"not finite in stage train, epoch 1, batch 1.*going back did not help"):
        _made(made, _Stop(0)).run()
    assert rates == pytest.approx([0.0097, 0.00485, 0.002425, 0.0012125], rel=0.001)


def test_a_loss_that_is_not_finite_leaves_the_last_finite_state(
    split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_config(split_folder, epochs=3, batch_size=8, save_every=1)
    _break_once(monkeypatch, at=(2, 2), rates=[])
    trainer = _made(made, _Stop(0))
    with pytest.raises(TrainingError, match="epoch 2, batch 3"):
        trainer.run()
    found = _states(made).read(trainer.frozen).state
    assert (len(found.info["progress"]["history"]), found.info["progress"]["step"]) == (1, 2)
    assert all(np.isfinite(array).all() for array in found.arrays.values() if array.dtype == np.float32)


def test_weights_that_are_not_finite_never_become_a_state(split_folder: Path) -> None:
    made = small_config(split_folder, epochs=2, batch_size=8, save_every=1)
    trainer = _made(made, _Stop(0))

    class Breaking(list[Event]):
        def append(self, event: Event) -> None:
            if isinstance(event, StepDone) and event.task == "epoch" and event.step == 2:
                trainer._network.model.weights[0].assign(trainer._network.model.weights[0] * np.inf)

    trainer._listener = Breaking().append
    with pytest.raises(TrainingError, match=r"the weights are not finite at epoch 1, step 2, at learning rate 0.01"):
        trainer.run()
    assert _states(made).read(trainer.frozen).state.info["progress"]["step"] == 1


def test_a_state_of_another_network_is_one_line(split_folder: Path) -> None:
    made = small_config(split_folder)
    _made(made, _Stop(0)).run()
    other = small_config(split_folder, model=GLOBAL)
    trainer = _made(other, _Stop(0))
    state = _states(made).read(trainer.frozen).state
    with pytest.raises(RunError, match="of another network or another cnntrain; choose another"):
        trainer.resume(state)


def test_another_optimizer_begins_anew_where_it_is_forced(split_folder: Path) -> None:
    trainer = _made(small_config(split_folder, epochs=3), _Stop(4))
    with pytest.raises(Interrupted):
        trainer.run()
    trainer = _resumed(small_config(split_folder, epochs=3, optimizer="adam", ema=0.9), _Stop(0))
    told: list[Event] = []
    trainer._listener = told.append
    assert [row.epoch for row in trainer.run().history] == [1, 2, 3]
    assert Message("warning: the optimizer begins anew, since the state is of another") in told


def test_the_same_epochs_are_told_by_a_run_that_goes_on(split_folder: Path) -> None:
    made = small_config(split_folder, epochs=4, batch_size=8)
    with pytest.raises(Interrupted):
        _made(made, _Stop(9)).run()
    trainer = _resumed(made, _Stop(0))
    told: list[Event] = []
    trainer._listener = told.append
    trainer.run()
    epochs = [event.row.epoch for event in told if isinstance(event, EpochDone)]
    assert epochs[-1] == 4
    assert [row.epoch for row in trainer.progress.history] == [1, 2, 3, 4]
    assert all(row.seconds > 0 and row.images_per_second > 0 for row in trainer.progress.history)
