"""Every shipped configuration, made small, gone on with in a new process after every epoch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from conftest import WritePictures

from cnntrain.runs.history import read_history

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
SCRIPT = Path(__file__).with_name("interrupted_fit.py")
_EPOCHS, _STEPS, _PICTURES = 3, 3, 12
_SIDE = {"convnet": 96, "pretrained": 48}
_TERMINATED = 143


def _small(config: Path, folder: Path, write_pictures: WritePictures) -> Path:
    """The configuration with three epochs of three steps, smaller pictures and random weights."""
    raw: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    data, train, model = raw["data"], raw["train"], raw["model"]
    known = data.get("classes", 2)
    classes = [str(name) for name in (known if isinstance(known, list) else range(known))]
    side = min(_SIDE[model["kind"]], min(data["image_size"]))
    each = -(-_PICTURES // len(classes))
    for split in ("train", "validation"):
        write_pictures(folder / "data" / split, dict.fromkeys(classes, each), size=(side, side))
    data |= {
        "source": str(folder / "data"),
        "image_size": [side, side],
        "batch_size": -(-each * len(classes) // _STEPS),
    }
    if model["kind"] == "pretrained":
        model["weights"] = "none"
    train["epochs"] = _EPOCHS
    for stage in train.get("stages", []):
        stage["epochs"] = _EPOCHS if len(train["stages"]) == 1 else 2
        if "image_size" in stage:
            stage["image_size"] = [side * 3 // 4, side * 3 // 4]
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def _fit(config: Path, run_dir: Path, last: int) -> int:
    command = [sys.executable, str(SCRIPT), str(config), str(run_dir), str(last)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, _TERMINATED), done.stderr
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_run_that_is_stopped_after_every_epoch_equals_one_that_is_not(
    config: Path, tmp_path: Path, write_pictures: WritePictures
) -> None:
    small = _small(config, tmp_path, write_pictures)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert _fit(small, whole, 0) == 0
    rows = read_history(whole / "history.csv")
    for epoch in range(1, len(rows)):
        assert _fit(small, stopped, epoch) == _TERMINATED
        assert len(read_history(stopped / "history.csv")) == epoch
    assert _fit(small, stopped, 0) == 0
    same = ("stage", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    numbers = [
        [[getattr(row, name) for name in same] for row in read_history(run / "history.csv")] for run in (whole, stopped)
    ]
    assert numbers[0] == numbers[1]
    models = [keras.models.load_model(run / "model.keras") for run in (whole, stopped)]
    for one, two in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
