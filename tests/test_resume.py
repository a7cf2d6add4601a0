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
    return lambda folder, tiny, patch: small_config(folder, model=WITH_NOISE, augment=AUGMENT, batch_size=8, **given)


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
    trainer.resume(_states(made).read(trainer.frozen()).state)
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


@pytest.mark.parametrize("case", CASES)
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
