"""One file of every kind through every command that decodes: all of them see the same pixels."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from PIL import Image

import cnntrain
from cnntrain.api import Run
from cnntrain.cli import group
from cnntrain.runs.model_file import save_model
from cnntrain.training import session
from tests.conftest import WritePictures
from tests.golden_pictures import HEIGHT, WIDTH, Golden, golden_pictures

GOLDEN = {picture.name: picture for picture in golden_pictures()}
TRAITS: Mapping[str, set[str]] = {
    "jpeg_cmyk.jpg": {"cmyk"},
    "png_alpha.png": {"alpha"},
    "png_16_bit.png": {"16_bit"},
    "gif_animated.gif": {"animated"},
    "webp_animated.webp": {"animated"},
    "webp_alpha.webp": {"alpha"},
}
SHOWN = {"cmyk", "alpha", "16_bit", "animated"}
# Weights that give every pixel and channel a share of its own in the answer, so that one that is elsewhere shows.
WEIGHTS = np.random.default_rng(0).random((HEIGHT, WIDTH, 3))
WEIGHTS /= WEIGHTS.sum() * 255


def _measuring_model() -> keras.Model:
    """Pictures to one number from 0 to 1: the weighted mean of all values."""
    pictures = keras.Input((HEIGHT, WIDTH, 3))
    same = keras.layers.Conv2D(3, 1, use_bias=False, name="same")
    mean = keras.layers.Dense(1, use_bias=False, name="probabilities")
    model = keras.Model(pictures, mean(keras.layers.Flatten()(same(pictures))))
    same.set_weights([np.eye(3)[None, None]])
    mean.set_weights([WEIGHTS.reshape(-1, 1)])
    return model


def _probability(pixels: npt.NDArray[np.uint8]) -> float:
    return float((pixels * WEIGHTS).sum())


def _allowed(golden: Golden) -> float:
    """How far an answer may be off when every pixel is off by the tolerance."""
    return golden.tolerance / 255 + 1e-5


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Path:
    """Training pictures of no interest, and as validation part the golden ones."""
    folder = tmp_path_factory.mktemp("golden")
    write_pictures(folder / "train", {"even": 4, "odd": 4})
    for position, picture in enumerate(GOLDEN.values()):
        place = folder / "validation" / ("even", "odd")[position % 2] / picture.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture.content)
    return folder


@pytest.fixture(scope="module")
def fitted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, npt.NDArray[np.uint8]]]:
    """A run whose model measures pictures, and the validation pictures that its training saw."""
    seen: dict[str, npt.NDArray[np.uint8]] = {}

    def spying(*given: Any, **named: Any) -> Any:
        pictures = opened(*given, **named)
        seen.update(zip((Path(path).name for path in pictures.paths), pictures.stored, strict=True))
        return pictures

    opened, session.open_pictures = session.open_pictures, spying
    try:
        run = cnntrain.fit(
            {
                "data": {"source": str(data), "image_size": [HEIGHT, WIDTH], "cache": "memory"},
                "model": {"kind": "convnet", "blocks": [{"filters": 1}]},
                "train": {"epochs": 1},
            },
            run_dir=tmp_path_factory.mktemp("run") / "run",
        )
    finally:
        session.open_pictures = opened
    save_model(run.directory.model, _measuring_model(), run.classes)
    return run, seen


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=list(GOLDEN))
def test_fit_sees_the_golden_pixels(golden: Golden, fitted: tuple[Run, dict[str, npt.NDArray[np.uint8]]]) -> None:
    seen = fitted[1][golden.name].astype(int)
    assert seen.shape == golden.expected.shape
    assert np.abs(seen - golden.expected).max() <= golden.tolerance


def test_scan_finds_every_kind_good_and_tells_what_is_special(data: Path) -> None:
    done = CliRunner().invoke(group, ["scan", str(data / "validation"), "--csv"])
    assert done.exit_code == 0, done.output
    rows = {Path(row["path"]).name: row for row in csv.DictReader(done.stdout.splitlines())}
    assert set(rows) == set(GOLDEN)
    for name, row in rows.items():
        assert row["fault"] == "", row
        assert row["kind"] == name.partition("_")[0]
        assert int(row["orientation"]) == GOLDEN[name].orientation
        assert set(row["traits"].split()) & SHOWN >= TRAITS.get(name, set())
        size = (WIDTH, HEIGHT) if GOLDEN[name].orientation > 4 else (HEIGHT, WIDTH)
        assert (int(row["height"]), int(row["width"])) == size


def test_evaluate_sees_the_golden_pixels(fitted: tuple[Run, Any]) -> None:
    run, _ = fitted
    found = cnntrain.evaluate(run, split="validation")
    with (found.folder / "predictions.csv").open(encoding="utf-8") as stream:
        rows = {Path(row["path"]).name: float(row["p_odd"]) for row in csv.DictReader(stream)}
    assert set(rows) == set(GOLDEN)
    for name, probability in rows.items():
        assert probability == pytest.approx(_probability(GOLDEN[name].expected), abs=_allowed(GOLDEN[name]))


def test_predict_sees_the_golden_pixels(fitted: tuple[Run, Any], data: Path) -> None:
    run, _ = fitted
    done = CliRunner().invoke(group, ["predict", str(run.path), str(data / "validation"), "--jsonl"])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(row["path"]).name for row in rows} == set(GOLDEN)
    for row in rows:
        golden = GOLDEN[Path(row["path"]).name]
        expected = _probability(golden.expected)
        assert row["probabilities"]["odd"] == pytest.approx(expected, abs=_allowed(golden))


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=list(GOLDEN))
def test_explain_sees_the_golden_pixels(golden: Golden, fitted: tuple[Run, Any], data: Path, tmp_path: Path) -> None:
    run, _ = fitted
    (path,) = (data / "validation").rglob(golden.name)
    cnntrain.explain_activations(run, path, layers=["same"], output=tmp_path)
    seen = np.asarray(Image.open(tmp_path / "input.png")).astype(int)
    assert np.abs(seen - golden.expected).max() <= golden.tolerance
