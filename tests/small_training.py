"""Trainings that are over in a moment, on networks with a few filters."""

from pathlib import Path
from typing import Any

import keras
import pytest

from cnntrain.config import Config, load_config
from cnntrain.config.resolving import resolve
from cnntrain.data.data_set import DataSet, find_data_set, inspected
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.pipeline import open_pictures
from cnntrain.models.network import Network, build_network
from cnntrain.runs.state import States
from cnntrain.training.bank.shelf import Shelf
from cnntrain.training.checkpoints import Checkpoints
from cnntrain.training.events import Event, StepDone
from cnntrain.training.inputs import Opened
from cnntrain.training.loop import Trainer
from cnntrain.training.signals import Signals

SMALL: dict[str, Any] = {
    "kind": "convnet",
    "blocks": [{"filters": 4}],
    "head": {"layers": [{"dropout": 0.2}, {"dense": 4}]},
}

GLOBAL: dict[str, Any] = {"kind": "convnet", "blocks": [{"filters": 4}], "head": {"pooling": "global_average"}}


def small_config(
    folder: Path,
    *,
    model: dict[str, Any] | None = None,
    augment: dict[str, Any] | None = None,
    batch_size: int = 5,
    **train: Any,
) -> tuple[Config, DataSet]:
    raw = {
        "data": {"source": str(folder), "image_size": [12, 12], "batch_size": batch_size},
        "augment": augment or {},
        "model": model or SMALL,
        "train": {"epochs": 2, "learning_rate": 0.01, **train},
    }
    config = load_config(raw).config
    data_set, problems = find_data_set(config.data)
    assert data_set is not None, problems
    data_set = inspected(data_set, config.data, allow_leak=True)
    views: Any = config.train.features.views
    if views == "auto":
        views = "fresh" if config.augment.is_active else 1
    known: dict[str, Any] = {"classes": data_set.classes, "cache": "memory", "has_validation": True}
    return resolve(config, source=folder, **known, views=views), data_set


def small_trainer(
    config: Config, data_set: DataSet, *, events: list[Event] | None = None, validation: bool = True
) -> tuple[Trainer, Network]:
    keras.utils.set_random_seed(config.seed)
    network = build_network(config, len(data_set.classes))

    def opened(size: tuple[int, int]) -> Opened:
        preprocessing = preprocessing_of(config.data, size)
        train, held_out = (
            open_pictures(data_set.split(split), data_set.classes, preprocessing, cache="memory")
            for split in ("train", "validation")
        )
        return Opened(train, held_out if validation else None)

    trainer = Trainer(
        config,
        network,
        class_count=len(data_set.classes),
        open_pictures=opened,
        shelf=Shelf(Path(config.data.source).parent / "shelf", 10**9),
        checkpoints=Checkpoints(States(Path(config.data.source).parent / "state"), {}),
        signals=Signals(),
        on_event=(lambda _: None) if events is None else events.append,
    )
    return trainer, network


def pretrained(
    folder: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch, *, augment: bool = False, **train: Any
) -> tuple[Config, DataSet]:
    from cnntrain.models import backbones

    monkeypatch.setattr(backbones, "backbones", lambda: {"tiny": (tiny, lambda x: x / 127.5 - 1.0)})
    model = {"kind": "pretrained", "backbone": "tiny", "weights": "none", "head": {"layers": [{"dense": 4}]}}
    return small_config(folder, model=model, augment={"flip": "horizontal"} if augment else None, **train)


def passes(events: list[Event]) -> list[str]:
    """What frozen layers were run over, in order."""
    return [event.task for event in events if isinstance(event, StepDone) and event.task.startswith("features")]
