"""`cnntrain evaluate --tta`: probabilities are averaged over the mirror images that a run was trained with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cnntrain
from cnntrain.api import Run
from cnntrain.cli import group
from cnntrain.data.decoder import Preprocessing
from cnntrain.data.pipeline import Pictures, image_batches
from cnntrain.errors import UsageError
from cnntrain.evaluation import answering
from cnntrain.evaluation.answering import Flip, mirrored, predict_probabilities
from tests.conftest import WritePictures

SIDE = 8
CORNERS = np.array([[1, 2], [3, 4], [5, 6]], np.uint8)  # 3 rows, 2 columns, all different
MIRRORED = {
    "none": [],
    "horizontal": [[[2, 1], [4, 3], [6, 5]]],
    "vertical": [[[5, 6], [3, 4], [1, 2]]],
    "both": [[[2, 1], [4, 3], [6, 5]], [[5, 6], [3, 4], [1, 2]], [[6, 5], [4, 3], [2, 1]]],
}


def _fitted(source: Path, folder: Path, flip: str) -> Run:
    raw = {
        "data": {"source": str(source), "image_size": [SIDE, SIDE], "batch_size": 8},
        "augment": {"flip": flip},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}]},
        "train": {"epochs": 1},
    }
    return cnntrain.fit(raw, run_dir=folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> dict[str, Run]:
    """A run trained with horizontal flips and one without; their splits have 4 pictures each of `cat` and of `dog`."""
    folder = tmp_path_factory.mktemp("mirrored")
    for split in ("train", "validation", "test"):
        write_pictures(folder / "pets" / split, {"cat": 4, "dog": 4}, size=(SIDE, SIDE))
    return {flip: _fitted(folder / "pets", folder / flip, flip) for flip in ("horizontal", "none")}


class Looker:
    """Stands in for a model: its answer is how bright the first corner of a picture is. It notes the batches' sizes."""

    def __init__(self, class_count: int) -> None:
        self.sizes: list[int] = []
        self._class_count = class_count

    def predict_on_batch(self, batch: Any) -> Any:
        self.sizes.append(len(batch))
        corner = batch[:, 0, 0, :1].astype(np.float32) / 255
        if self._class_count == 2:
            return corner
        return np.concatenate([corner, (1 - corner) / 4, (1 - corner) * 3 / 4], axis=1)


@pytest.fixture
def photos(tmp_path: Path, write_pictures: WritePictures) -> Pictures:
    """Three noisy, hence asymmetric, pictures."""
    paths = write_pictures(tmp_path / "photos", {"any": 3}, size=(SIDE, SIDE))
    ones = np.ones(len(paths), np.uint8)
    return Pictures(tuple(map(str, paths)), np.zeros(len(paths), np.int64), ones, Preprocessing(SIDE, SIDE, 3))


@pytest.mark.parametrize("flip", MIRRORED)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mirror_images_are_worked_out_by_hand(flip: Flip, dtype: type) -> None:
    batch: Any = np.stack([CORNERS, CORNERS + 10])[..., np.newaxis].astype(dtype)
    versions = [np.asarray(version) for version in mirrored(batch, flip)]
    expected = [CORNERS, *(np.array(version) for version in MIRRORED[flip])]
    assert len(versions) == len(expected)
    for version, picture in zip(versions, expected, strict=True):
        assert version.dtype == dtype
        np.testing.assert_array_equal(version[..., 0], [picture, picture + 10])


@pytest.mark.parametrize("class_count", [2, 3])
def test_probabilities_are_averaged_over_all_versions(photos: Pictures, class_count: int) -> None:
    found = predict_probabilities(Looker(class_count), photos, class_count, flip="both")
    (pixels,) = image_batches(photos, 3).as_numpy_iterator()
    corners = pixels[:, [0, 0, -1, -1], [0, -1, 0, -1], 0] / 255  # what lies in the first corner of each version
    first = corners.mean(axis=1)
    expected = [1 - first, first] if class_count == 2 else [first, (1 - first) / 4, (1 - first) * 3 / 4]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-5)
    assert np.ptp(corners, axis=1).min() > 0.01


def test_a_smaller_last_batch_is_not_traced_again(photos: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = predict_probabilities(Looker(2), photos, 2)
    monkeypatch.setattr(answering, "BATCH", 2)
    model = Looker(2)
    told: list[tuple[int, int]] = []
    found = predict_probabilities(model, photos, 2, on_batch=lambda *step: told.append(step))
    assert model.sizes == [2, 2]  # filled up: Keras traces again for every other size
    assert told == [(1, 2), (2, 2)]
    np.testing.assert_array_equal(found, whole)


def _table(folder: Path) -> list[list[float]]:
    rows = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [[float(cell) for cell in row.split(",")[-2:]] for row in rows]


def test_the_command_averages_what_the_model_says_and_leaves_the_plain_result(runs: dict[str, Run]) -> None:
    import keras

    run = runs["horizontal"]
    plain = cnntrain.evaluate(run)
    before = {file.name: file.read_bytes() for file in plain.folder.iterdir()}
    result = CliRunner().invoke(group, ["evaluate", str(run.path), "--tta", "--json"], catch_exceptions=False)
    told = json.loads(result.stdout)
    folder = run.path / "evaluation" / "test_tta"
    assert told["tta"] == "horizontal"
    assert told["name"] == "test"
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == told
    assert {file.name: file.read_bytes() for file in plain.folder.iterdir()} == before
    assert json.loads(before["metrics.json"])["tta"] is None
    pictures = [row.split(",")[0] for row in before["predictions.csv"].decode().splitlines()[1:]]
    pixels = np.stack([keras.utils.img_to_array(keras.utils.load_img(path)) for path in pictures])
    model = keras.models.load_model(run.directory.model)
    second = (model.predict_on_batch(pixels) + model.predict_on_batch(pixels[:, :, ::-1]))[:, 0] / 2
    np.testing.assert_allclose(_table(folder), np.stack([1 - second, second], axis=1), rtol=1e-4)
    assert _table(folder) != _table(plain.folder)


def test_the_printed_table_says_what_was_averaged(runs: dict[str, Run]) -> None:
    command = ["evaluate", str(runs["horizontal"].path), "--split", "validation"]
    averaged = CliRunner().invoke(group, [*command, "--tta"], catch_exceptions=False).stdout.splitlines()
    assert averaged[0] == "8 validation pictures, averaged with their mirror images (horizontal)"
    assert averaged[-1].endswith("validation_tta")
    plain = CliRunner().invoke(group, command, catch_exceptions=False).stdout.splitlines()
    assert plain[0] == "8 validation pictures"


def test_a_run_without_mirror_images_is_refused(runs: dict[str, Run]) -> None:
    run = runs["none"]
    result = CliRunner().invoke(group, ["evaluate", str(run.path), "--tta"])
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2
    message = str(result.exception)
    assert "\n" not in message
    assert "augment.flip: none" in message
    assert not (run.path / "evaluation").exists()


def test_other_pictures_cannot_take_the_name_of_an_averaged_evaluation(runs: dict[str, Run]) -> None:
    with pytest.raises(UsageError, match="names that end in _tta"):
        cnntrain.evaluate(runs["horizontal"], data=runs["none"].config.data.source, name="test_tta")
