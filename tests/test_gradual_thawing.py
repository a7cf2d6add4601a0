"""Thawing a backbone stage by stage, at rates of its own, with the weights in between tried at the end."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import cnntrain
from cnntrain.models import backbones, checks
from cnntrain.models.network import Network
from cnntrain.runs.run import Run

LAYERS = ("tiny_conv1", "tiny_conv2", "tiny_conv3")
STAGES = [
    {"name": "head", "unfreeze": "none", "epochs": 1},
    {"name": "top", "unfreeze": "tiny_conv3", "epochs": 1, "learning_rate": 0.002},
    {"name": "middle", "unfreeze": "tiny_conv2", "epochs": 1, "learning_rate": 0.001},
]


@pytest.fixture
def tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pretrained network of three convolutions."""

    def build(include_top: bool, weights: str | None, input_tensor: Any) -> keras.Model:
        x = input_tensor
        for name in LAYERS:
            x = keras.layers.Conv2D(4, 3, strides=2, activation="elu", name=name)(x)
        return keras.Model(keras.utils.get_source_inputs(input_tensor), x)

    for module in (backbones, checks):
        monkeypatch.setattr(module, "backbones", lambda: {"tiny": (build, lambda x: x / 127.5 - 1.0)})


@pytest.fixture
def at_beginnings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The weights of each layer at the beginning of each stage, filled while a training runs."""
    seen: list[dict[str, Any]] = []
    thaw = Network.thaw

    def noting(self: Network, unfreeze: str) -> None:
        seen.append(_weights(self.model))
        thaw(self, unfreeze)

    monkeypatch.setattr(Network, "thaw", noting)
    return seen


def _weights(model: keras.Model) -> dict[str, Any]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The layers whose weights are not the same, bit for bit."""
    return {name for name in before if not all(map(np.array_equal, before[name], after[name]))}


def _fit(folder: Path, **train: Any) -> Run:
    head = {"pooling": "global_average", "layers": [{"dense": 4}]}
    config = {
        "data": {"source": str(folder), "image_size": [24, 24], "batch_size": 8},
        "model": {"kind": "pretrained", "backbone": "tiny", "weights": "none", "head": head},
        "train": {"optimizer": "adam", "learning_rate": 0.01, "stages": STAGES, **train},
    }
    return cnntrain.fit(config, run_dir=folder / "run")


@pytest.mark.usefixtures("tiny_backbone")
def test_each_stage_moves_the_head_and_what_is_thawed(split_folder: Path, at_beginnings: list[dict[str, Any]]) -> None:
    run = _fit(split_folder, base_learning_rate=1e-3)
    head = {"head_1_dense", "logits"}
    beginnings = [*at_beginnings[-3:], _weights(keras.models.load_model(run.directory.model))]
    moved = [_changed(before, after) for before, after in pairwise(beginnings)]
    assert moved == [head, head | {"tiny_conv3"}, head | {"tiny_conv2", "tiny_conv3"}]
    assert [row.stage for row in run.history] == ["head", "top", "middle"]
    assert run.record.best is not None
    assert (run.record.best.stage, run.record.best.alpha) == ("middle", None)
    assert run.record.best.value == min(row.monitored("val_loss") for row in run.history)


@pytest.mark.usefixtures("tiny_backbone")
def test_the_rate_of_the_backbone_is_its_own(split_folder: Path, at_beginnings: list[dict[str, Any]]) -> None:
    run = _fit(split_folder, stages=[STAGES[0], {**STAGES[1], "base_learning_rate": 1e-30}])
    before, after = at_beginnings[-1], _weights(keras.models.load_model(run.directory.model))
    assert np.abs(after["tiny_conv3"][0] - before["tiny_conv3"][0]).max() == 0.0  # though it is thawed
    assert np.abs(after["logits"][0] - before["logits"][0]).max() > 0.001
    assert [row.learning_rate for row in run.history] == [0.01, 0.002]  # those of the head


@pytest.mark.usefixtures("tiny_backbone")
def test_the_weights_that_won_are_in_the_model(split_folder: Path) -> None:
    run = _fit(split_folder, interpolate=True, features={"views": 1})
    tries, best = run.record.interpolation, run.record.best
    assert best is not None
    assert [tried.alpha for tried in tries] == [tenths / 10 for tenths in range(11)]
    assert len(run.history) == 3
    losses = [row.monitored("val_loss") for row in run.history]
    assert [tries[0].val_loss, tries[-1].val_loss] == pytest.approx([losses[0], min(losses)], rel=1e-3)
    assert best.value == min(tried.val_loss for tried in tries if tried.val_loss is not None)
    assert min(losses) < losses[0]
    assert _validation_loss(run, split_folder / "validation") == pytest.approx(best.value, rel=1e-3)


def _validation_loss(run: Run, folder: Path) -> float:
    """The loss of the saved model on pictures in folders of classes."""
    paths = sorted(folder.glob("*/*.png"))
    pictures = np.stack([np.asarray(Image.open(path), np.float32) for path in paths])
    of_dog = keras.models.load_model(run.directory.model).predict(pictures, verbose=0)[:, 0]
    is_dog = np.array([path.parent.name == "dog" for path in paths])
    return float(-np.log(np.where(is_dog, of_dog, 1.0 - of_dog)).mean())
