"""What a network sees: activations as arrays, as figures, and `cnntrain explain activations` from files to files."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps
from PIL import Image

import cnntrain
from cnntrain.cli import group
from cnntrain.errors import DataError, ModelFileError, UsageError, WriteError
from cnntrain.interpretation.activations import choose_layers, compute_activations
from cnntrain.plots.activations import GAP, draw_activations, tile_channels
from cnntrain.plots.style import to_png
from cnntrain.runs.run import Run
from tests.conftest import WritePictures

BLACK, WHITE = [0, 0, 0], [255, 255, 255]
DARKEST, LIGHTEST = (colormaps["viridis"](end, bytes=True)[:3] for end in (0.0, 1.0))

PICTURE = np.array([[1, 2, 3, 4], [0, 0, 8, 8], [5, 5, 5, 5], [9, 0, 0, 9]], np.uint8)[..., np.newaxis]
IDENTITY = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
EDGE = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]])  # what stands to the right minus what stands to the left


def _network() -> Any:
    """One convolution with two known kernels, dropout that is off in use, pooling, a head."""
    pictures = keras.Input((4, 4, 1), name="pictures")
    x = keras.layers.Dropout(0.9, name="dropout")(pictures)
    x = keras.layers.Conv2D(2, 3, activation="relu", use_bias=False, name="block1_conv")(x)
    x = keras.layers.MaxPooling2D(2, name="block1_pool")(x)
    x = keras.layers.Flatten(name="head_flatten")(x)
    model = keras.Model(pictures, keras.layers.Dense(1, name="logits")(x))
    model.get_layer("block1_conv").set_weights([np.stack([IDENTITY, EDGE], axis=-1)[:, :, np.newaxis]])
    return model


def test_known_kernels_give_what_is_worked_out_by_hand() -> None:
    found = compute_activations(_network(), PICTURE, ("block1_conv", "block1_pool"))
    assert list(found) == ["block1_conv", "block1_pool"]
    assert all(maps.dtype == np.float32 for maps in found.values())
    assert found["block1_conv"][..., 0].tolist() == [[0, 8], [5, 5]]
    assert found["block1_conv"][..., 1].tolist() == [[8, 8], [0, 0]]  # 8-0, 8-0; 5-5, 5-5
    assert found["block1_pool"].tolist() == [[[8, 8]]]
    (alone,) = compute_activations(_network(), PICTURE, ("block1_pool",)).values()
    np.testing.assert_array_equal(alone, found["block1_pool"])


def test_a_damaged_model_is_told() -> None:
    model = _network()
    model.get_layer("block1_conv").set_weights([np.full((3, 3, 1, 2), np.nan)])
    with pytest.raises(ModelFileError, match="block1_conv"):
        compute_activations(model, PICTURE, ("block1_conv",))


def test_all_convolutions_and_pooling_layers_are_chosen_in_their_order() -> None:
    model = _network()
    assert choose_layers(model) == ("block1_conv", "block1_pool")
    assert choose_layers(model, ["block1_pool", "dropout", "block1_pool"]) == ("dropout", "block1_pool")
    x = inputs = keras.Input((8, 8, 3))
    for layer in (
        keras.layers.SeparableConv2D(2, 3, name="separable"),
        keras.layers.DepthwiseConv2D(3, name="depthwise"),
        keras.layers.Conv2DTranspose(2, 3, name="transposed"),
        keras.layers.AveragePooling2D(2, name="average"),
        keras.layers.GlobalAveragePooling2D(name="global"),  # no map is left
    ):
        x = layer(x)
    assert choose_layers(keras.Model(inputs, x)) == ("separable", "depthwise", "transposed", "average")


def test_a_layer_that_cannot_be_drawn_is_an_error_with_a_way_out() -> None:
    model = _network()
    with pytest.raises(UsageError, match=r"no layer block1_cnv; did you mean block1_conv"):
        choose_layers(model, ["block1_conv", "block1_cnv"])
    with pytest.raises(UsageError, match=r"no layer zzz; choose from block1_conv, block1_pool$"):
        choose_layers(model, ["zzz"])
    with pytest.raises(UsageError, match="logits is no map"):
        choose_layers(model, ["logits"])
    inputs = keras.Input((4, 4, 1))
    with pytest.raises(UsageError, match="no convolution or pooling layer"):
        choose_layers(keras.Model(inputs, keras.layers.Flatten()(inputs)))


def test_each_channel_is_normalised_on_its_own() -> None:
    maps = np.stack([[[-3.0, 5.0]], [[0.25, 0.2]], [[7.0, 7.0]]], axis=-1).astype(np.float32)
    grid = tile_channels(maps)
    side = 100  # each pixel becomes a square of so many
    assert grid.shape == (side, 3 * 2 * side + 2 * GAP, 3)
    assert grid.dtype == np.uint8
    first, second, third = (grid[:, start : start + 2 * side] for start in (0, 2 * side + GAP, 4 * side + 2 * GAP))
    assert np.all(first[:, :side] == DARKEST)
    assert np.all(first[:, side:] == LIGHTEST)
    assert np.all(second[:, :side] == LIGHTEST)
    assert np.all(second[:, side:] == DARKEST)
    assert np.all(third == BLACK)
    assert np.all(grid[:, 2 * side : 2 * side + GAP] == WHITE)


def _black_tiles(channels: int, side: int = 4) -> npt.NDArray[np.uint8]:
    return tile_channels(np.ones((side, side, channels), np.float32))


@pytest.mark.parametrize(
    ("channels", "columns", "rows"),
    [(1, 1, 1), (3, 3, 1), (7, 3, 3), (32, 8, 4), (64, 8, 8), (97, 10, 10), (512, 32, 16)],
)
def test_channels_fill_a_grid_row_by_row(channels: int, columns: int, rows: int) -> None:
    is_black = np.all(_black_tiles(channels) == 0, axis=-1)
    height, width = ((side + GAP) // count for side, count in zip(is_black.shape, (rows, columns), strict=True))
    corners = is_black[::height, ::width]
    assert corners.shape == (rows, columns)
    assert corners.ravel().tolist() == [True] * channels + [False] * (rows * columns - channels)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 700))
def test_a_grid_stays_within_bounds(height: int, width: int, channels: int) -> None:
    maps = np.broadcast_to(
        np.linspace(0, 1, height, dtype=np.float32)[:, np.newaxis, np.newaxis], (height, width, channels)
    )
    grid = tile_channels(maps)
    assert max(grid.shape) <= 2000
    if height > 1:
        assert not np.any(np.all(grid == BLACK, axis=-1))


def test_large_maps_are_shrunk_to_means() -> None:
    maps = np.zeros((3000, 3000, 1), np.float32)
    maps[:, 1::2] = 1.0
    grid = tile_channels(maps)
    assert grid.shape == (1500, 1500, 3)
    middle = np.array(colormaps["viridis"](0.5, bytes=True)[:3], int)
    assert np.abs(grid.astype(int) - middle).max() <= 1


def test_no_values_are_refused() -> None:
    for shape in [(0, 4, 2), (4, 4, 0), (4, 4)]:
        with pytest.raises(ValueError, match="shape"):
            tile_channels(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(1, 1, 1), (12, 12, 4), (9, 9, 512), (300, 500, 33)])
def test_a_figure_holds_the_grid_pixel_by_pixel_under_its_title(shape: tuple[int, int, int]) -> None:
    maps = np.random.default_rng(7).normal(size=shape).astype(np.float32)
    figure = draw_activations("block1_conv", maps)
    assert figure.texts[0].get_text() == "block1_conv"
    with Image.open(io.BytesIO(to_png(figure))) as picture:
        drawn = np.asarray(picture.convert("RGB"))
    grid = tile_channels(maps)
    rows, columns = grid.shape[:2]
    np.testing.assert_array_equal(drawn[76 : 76 + rows, 24 : 24 + columns], grid)
    assert np.any(drawn[:76] != 255)  # the title
    assert np.all(drawn[76 + rows :] == 255)


@pytest.mark.parametrize("name", ["block5_conv3_" * 20, "고양이", "$\\frac"])
def test_a_title_fits_whatever_the_name(name: str) -> None:
    figure = draw_activations(name, np.ones((2, 2, 1), np.float32))
    to_png(figure)
    assert figure.texts[0].get_window_extent().x1 <= figure.bbox.width


def test_drawing_loads_neither_tensorflow_nor_pyplot() -> None:
    code = (
        "import sys, numpy\n"
        "from cnntrain.plots.activations import draw_activations\n"
        "from cnntrain.plots.style import to_png\n"
        "to_png(draw_activations('a', numpy.ones((2, 2, 3), 'float32')))\n"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib.pyplot') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Run:
    folder = tmp_path_factory.mktemp("trained")
    for split in ("train", "validation"):
        write_pictures(folder / "pets" / split, {"cat": 4, "dog": 4}, size=(12, 12))
    raw = {
        "data": {"source": str(folder / "pets"), "image_size": [12, 12], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}, {"filters": 6, "pooling": "none"}]},
        "train": {"epochs": 1},
    }
    return cnntrain.fit(raw, run_dir=folder / "run")


@pytest.fixture
def photo(tmp_path: Path, write_pictures: WritePictures) -> Path:
    return write_pictures(tmp_path / "photos", {"cat": 1}, size=(12, 12))[0].rename(tmp_path / "my cat.png")


def _explain(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["explain", "activations", *map(str, arguments)], catch_exceptions=False)


def test_a_picture_a_layer_is_written_and_printed(trained: Run, photo: Path) -> None:
    result = _explain(trained.path, photo)
    assert result.exit_code == 0
    folder = trained.path / "explain" / "activations" / "my cat"
    names = ["input.png", "01_block1_conv.png", "02_block1_pool.png", "03_block2_conv.png"]
    assert result.stdout.splitlines() == [str(folder / name) for name in names]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    with Image.open(photo) as given, Image.open(folder / "input.png") as decoded:
        np.testing.assert_array_equal(np.asarray(decoded), np.asarray(given))
    model = keras.models.load_model(trained.directory.model)
    first = keras.Model(model.input, model.get_layer("block1_conv").output)
    maps = first.predict(np.asarray(Image.open(photo), np.float32)[np.newaxis], verbose=0)[0]
    with Image.open(folder / names[1]) as drawn:
        shown = np.asarray(drawn.convert("RGB"))[76:, 24:]
    expected = tile_channels(maps)
    assert maps.shape == (10, 10, 4)
    difference = np.abs(shown[: expected.shape[0], : expected.shape[1]].astype(int) - expected)
    assert difference.max() <= 8  # a step or two of the colours: the batch is computed in another way


def test_chosen_layers_replace_what_was_drawn_before(trained: Run, photo: Path) -> None:
    _explain(trained.path, photo)
    printed = json.loads(_explain(trained.path, photo, "--layer", "block2_conv", "--json").stdout)
    folder = trained.path / "explain" / "activations" / "my cat"
    assert printed == {
        "format": 1,
        "folder": str(folder),
        "input": str(folder / "input.png"),
        "layers": [{"layer": "block2_conv", "path": str(folder / "01_block2_conv.png")}],
    }
    assert sorted(path.name for path in folder.iterdir()) == ["01_block2_conv.png", "input.png"]


def test_a_folder_of_the_users_own_is_made_but_not_replaced(trained: Run, photo: Path, tmp_path: Path) -> None:
    drawn = cnntrain.explain_activations(trained, photo, layers=["block1_conv"], output=tmp_path / "new")
    assert drawn.layers == {"block1_conv": tmp_path / "new" / "01_block1_conv.png"}
    assert all(path.is_file() for path in (drawn.picture, *drawn.layers.values()))
    with pytest.raises(WriteError, match="exists already"):
        cnntrain.explain_activations(trained, photo, output=tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["01_block1_conv.png", "input.png"]


def test_nothing_is_written_when_something_is_wrong(trained: Run, photo: Path, tmp_path: Path) -> None:
    output = tmp_path / "new"
    text = tmp_path / "text.png"
    text.write_text("no picture", encoding="utf-8")
    with pytest.raises(UsageError, match="did you mean"):
        cnntrain.explain_activations(trained, photo, layers=["block1_con"], output=output)
    for image in (text, tmp_path / "missing.png", tmp_path):
        with pytest.raises(DataError, match=image.name):
            cnntrain.explain_activations(trained, image, output=output)
    assert not output.exists()


def test_a_picture_is_turned_upright_first(trained: Run, tmp_path: Path, write_pictures: WritePictures) -> None:
    stored = Image.open(write_pictures(tmp_path, {"cat": 1}, size=(24, 36))[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise is needed
    stored.save(tmp_path / "turned.png", exif=exif)
    stored.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
    turned, upright = (
        cnntrain.explain_activations(trained, tmp_path / name, layers=["block1_conv"]).picture
        for name in ("turned.png", "upright.png")
    )
    with Image.open(turned) as one, Image.open(upright) as other:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
