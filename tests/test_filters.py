"""What excites filters: gradient ascent against what is worked out by hand, and `cnntrain explain filters`."""

import io
import json
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cnntrain
from cnntrain.cli import group
from cnntrain.errors import UsageError
from cnntrain.interpretation.filters import BATCH, choose_filters, excite
from cnntrain.models.network import build_network
from cnntrain.plots.filters import draw_filters
from cnntrain.plots.style import to_png
from cnntrain.runs.run import Run
from tests.conftest import WritePictures


def _network(filters: int = 3, *, activation: str = "relu") -> Any:
    """Two convolutions on pictures of 12 × 12, then a dense head that takes no other size."""
    keras.utils.set_random_seed(5)
    x = pictures = keras.Input((12, 12, 3), name="pictures")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv1")(keras.layers.Rescaling(1 / 255)(x))
    x = keras.layers.Conv2D(filters, 3, activation=activation, name="conv2")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(pictures, keras.layers.Dense(2, name="logits")(x))


def test_a_filter_of_one_colour_is_followed_step_by_step() -> None:
    """Filter 0 is red and filter 1 less blue: the gradient is the same everywhere, so each step is known."""
    pictures = keras.Input((4, 4, 3), name="pictures")
    model = keras.Model(pictures, keras.layers.Conv2D(2, 1, use_bias=False, name="colour")(pictures))
    model.get_layer("colour").set_weights([np.array([[1.0, 0.0], [0.0, 0.0], [0.0, -1.0]]).reshape(1, 1, 3, 2)])
    before, after = (excite(model, "colour", [0, 1], steps=steps, size=6).pictures for steps in (1, 6))
    step = 2.0 * np.sqrt(3)  # 2 levels, root of the mean of squares, all of them in one of three colours
    moved = after - before
    np.testing.assert_allclose(moved[0], np.broadcast_to([5 * step, 0, 0], (6, 6, 3)), atol=1e-3)
    np.testing.assert_allclose(moved[1], np.broadcast_to([0, 0, -5 * step], (6, 6, 3)), atol=1e-3)
    full = excite(model, "colour", [0], steps=60, size=6).pictures
    assert full[0, ..., 0].min() == 255.0
    assert np.abs(full[0, ..., 1:] - 128).max() <= 10.0  # the noise


def test_the_picture_excites_its_own_filter_more_than_those_of_others() -> None:
    model = _network(6, activation="linear")
    found = excite(model, "conv2", range(6), steps=40, size=24)
    assert found.pictures.shape == (6, 24, 24, 3)
    assert found.pictures.dtype == np.float32
    assert 0 <= found.pictures.min() < found.pictures.max() <= 255
    x = pictures = keras.Input((24, 24, 3))
    for layer in model.layers[1:4]:
        x = layer(x)
    means = np.asarray(keras.Model(pictures, x)(found.pictures)).mean(axis=(1, 2))  # (picture, filter)
    assert means.argmax(axis=0).tolist() == list(range(6))
    assert not found.is_silent.any()


def test_a_filters_picture_does_not_depend_on_the_others() -> None:
    model = _network(BATCH + 6, activation="linear")
    everything = excite(model, "conv2", range(BATCH + 6), steps=3, size=16)
    alone = excite(model, "conv2", [BATCH + 2, 7], steps=3, size=16)
    np.testing.assert_allclose(alone.pictures[0], everything.pictures[BATCH + 2], atol=0.05)
    np.testing.assert_allclose(alone.pictures[1], everything.pictures[7], atol=0.05)
    other = excite(model, "conv2", [7], steps=3, size=16, seed=1)
    assert np.abs(other.pictures[0] - alone.pictures[1]).max() > 1.0


def test_batches_are_compiled_once() -> None:
    calls = []

    @keras.saving.register_keras_serializable("tests")
    class Counted(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            calls.append(inputs.shape)
            return inputs * 1.0

    x = pictures = keras.Input((8, 8, 1), name="pictures")
    model = keras.Model(pictures, keras.layers.Conv2D(130, 3, name="conv")(Counted()(x)))
    counts = []
    for filters in (64, 130):
        calls.clear()
        steps: list[tuple[int, int]] = []
        excite(model, "conv", range(filters), steps=2, size=8, on_step=lambda *step, to=steps: to.append(step))
        counts.append(len(calls))
        assert steps == [(n + 1, 2 * -(-filters // 64)) for n in range(2 * -(-filters // 64))]
    assert counts[0] == counts[1]


def test_a_filter_that_nothing_excites_is_silent() -> None:
    model = _network(3)
    kernel, _ = model.get_layer("conv2").get_weights()
    model.get_layer("conv2").set_weights([kernel, np.array([5.0, -1e6, 5.0])])
    found = excite(model, "conv2", [0, 1, 2], steps=6, size=16)
    assert found.is_silent.tolist() == [False, True, False]


def test_a_filter_that_only_strong_contrast_excites_is_not_silent() -> None:
    """Neighbours must differ by more than 60 levels; those of the first noise differ by 20 at the most."""
    pictures = keras.Input((8, 8, 1), name="pictures")
    model = keras.Model(pictures, keras.layers.Conv2D(1, (1, 2), activation="relu", name="edge")(pictures))
    model.get_layer("edge").set_weights([np.array([-1.0, 1.0]).reshape(1, 2, 1, 1), np.array([-60.0])])
    assert excite(model, "edge", [0], steps=1, size=8).is_silent.all()
    found = excite(model, "edge", [0], steps=12, size=8)
    assert not found.is_silent.any()
    assert np.diff(found.pictures[0, ..., 0], axis=1).max() > 60


def test_mixed_precision_and_one_channel() -> None:
    raw: dict[str, Any] = {
        "data": {"source": "x", "image_size": [16, 16], "color": "grayscale"},
        "model": {"kind": "convnet", "blocks": [{"filters": 4, "residual": True, "batch_norm": True}]},
    }
    from cnntrain.config import load_config

    networks = [build_network(load_config(raw).config, 3, mixed_precision=mixed).model for mixed in (True, False)]
    networks[0].set_weights(networks[1].get_weights())
    found, expected = (excite(model, "block1_add", range(4), steps=3, size=40).pictures for model in networks)
    assert found.shape == (4, 40, 40, 1)
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_filters_are_chosen_by_count_or_number() -> None:
    model = _network(5)
    assert choose_filters(model, "conv2", None) == (0, 1, 2, 3, 4)
    assert choose_filters(model, "conv2", 2) == (0, 1)
    assert choose_filters(model, "conv2", [4, 1, 4]) == (4, 1)
    for wanted, message in [(6, "the first 6"), ([5], "0 to 4; got: 5"), ([], "got: none")]:
        with pytest.raises(UsageError, match=message):
            choose_filters(model, "conv2", wanted)
    with pytest.raises(UsageError, match="no layer conv3; did you mean conv"):
        choose_filters(model, "conv3", None)
    with pytest.raises(UsageError, match="logits is no map"):
        choose_filters(model, "logits", None)


def test_a_size_that_is_too_small_is_told() -> None:
    with pytest.raises(UsageError, match=r"4 × 4 are too small for the layer conv2; choose a larger size"):
        excite(_network(), "conv2", [0], size=4)


def test_a_grid_shows_every_picture_pixel_by_pixel() -> None:
    """A picture of two levels is stretched to the middle ± a fifth; a silent one is light grey."""
    pictures = np.full((10, 64, 64, 1), 100.0, np.float32)
    pictures[:, :, 32:] = 120.0
    is_silent = [False] * 9 + [True]
    figure = draw_filters("block1_conv", range(10, 20), pictures, is_silent, count=32)
    with Image.open(io.BytesIO(to_png(figure))) as picture:
        drawn = np.asarray(picture.convert("RGB"))
    first = drawn[96 : 96 + 64, 24 : 24 + 64]
    assert np.all(np.abs(first[:, :32] - 0.3 * 255) <= 1)
    assert np.all(np.abs(first[:, 32:] - 0.7 * 255) <= 1)
    last = drawn[96 + 90 : 96 + 90 + 64, 24 + 70 : 24 + 70 + 64]
    assert np.all(last == 224)
    texts = [text.get_text() for text in figure.texts]
    assert texts[:2] == ["10", "11"]
    assert "19 silent" in texts
    assert "10 of 32 filters, 1 silent" in texts


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Run:
    folder = tmp_path_factory.mktemp("trained")
    for split in ("train", "validation"):
        write_pictures(folder / "pets" / split, {"cat": 4, "dog": 4}, size=(12, 12), mode="L")
    raw = {
        "data": {"source": str(folder / "pets"), "image_size": [12, 12], "batch_size": 8, "color": "grayscale"},
        "model": {"kind": "convnet", "blocks": [{"filters": 70, "activation": "linear"}]},
        "train": {"epochs": 1},
    }
    return cnntrain.fit(raw, run_dir=folder / "run")


def _filters(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["explain", "filters", *map(str, arguments)])


def test_a_grid_of_64_a_file(trained: Run) -> None:
    result = _filters(trained.path, "--layer", "block1_conv", "--steps", 2, "--size", 20)
    assert result.exit_code == 0, result.output
    folder = trained.path / "explain" / "filters" / "block1_conv"
    names = ["01_filters.png", "02_filters.png"]
    assert result.stdout.splitlines() == [str(folder / name) for name in names]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_json_and_a_folder_of_the_users_own(trained: Run, tmp_path: Path) -> None:
    options = ("--layer", "block1_conv", "--steps", 1, "--size", 16, "--filters", "3,7-8", "--json")
    result = _filters(trained.path, *options, "--output", tmp_path / "new")
    assert json.loads(result.stdout) == {
        "format": 1,
        "folder": str(tmp_path / "new"),
        "layer": "block1_conv",
        "filters": [3, 7, 8],
        "silent": [],
        "grids": [str(tmp_path / "new" / "01_filters.png")],
    }


@pytest.mark.parametrize("given", ["a", "3-1", "-1", "1,,2", "1.5"])
def test_a_list_that_is_none_is_told(trained: Run, given: str) -> None:
    result = _filters(trained.path, "--layer", "block1_conv", f"--filters={given}")
    assert result.exit_code == 2
    assert isinstance(result.exception, click.UsageError | SystemExit)
    assert "must be a count, or numbers such as 3,17,40-47" in result.output


def test_an_imagenet_model_in_place_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnntrain.models import imagenet

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imagenet, "_SIDES", {"mobilenet": 32})
    drawn = cnntrain.explain_filters("pretrained:mobilenet", "conv1_relu", filters=2, steps=1, size=32, weights="none")
    assert drawn.folder == Path("explain/pretrained_mobilenet/filters/conv1_relu")
    assert all(path.is_file() for path in drawn.grids)
    with pytest.raises(UsageError, match="did you mean mobilenet"):
        cnntrain.explain_filters("pretrained:mobilnet", "conv1", weights="none")
