"""What speaks for a class: Grad-CAM and its like against plain references, and `cnntrain explain gradcam`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.src.applications import imagenet_utils
from PIL import Image

import cnntrain
from cnntrain.api import gradcam, subjects
from cnntrain.cli import group
from cnntrain.config import load_config
from cnntrain.data.decoder import Preprocessing, decode
from cnntrain.errors import DataError, UsageError, WriteError
from cnntrain.interpretation import heat_maps as heat_maps_module
from cnntrain.interpretation.gradcam import grad_cam_plus_plus
from cnntrain.interpretation.heat_maps import coarse_maps, heat_maps, map_gradients
from cnntrain.interpretation.integrated import GREY, integrated_gradients
from cnntrain.interpretation.layers import last_map, logits_of
from cnntrain.interpretation.placement import brought_back, windows
from cnntrain.models import imagenet
from cnntrain.models.backbones import backbones
from cnntrain.models.imagenet import build_imagenet, check_name, class_names, picture_side
from cnntrain.models.network import build_network
from cnntrain.plots.heat_map import ClassHeat, draw_heat_maps, overlaid
from cnntrain.plots.style import to_png
from cnntrain.runs.run import Run
from tests.conftest import WritePictures

Array = npt.NDArray[Any]


def _random(*shape: int, seed: int = 3, low: float = 0.0, high: float = 255.0) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def _fill(model: Any) -> Any:
    """Gives all weights values of their own, statistics of batch normalization too."""
    for number, weight in enumerate(model.weights):
        low, high = (0.5, 1.5) if "variance" in weight.path or "gamma" in weight.path else (-0.5, 0.5)
        weight.assign(_random(*weight.shape, seed=number, low=low, high=high))
    return model


def _plain() -> Any:
    """A convolution, pooling, flattened into three classes."""
    x = pictures = keras.Input((9, 7, 3), name="pictures")
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(x)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(3, name="logits")(x)
    return _fill(keras.Model(pictures, keras.layers.Activation("softmax", name="probabilities")(x)))


def _residual() -> Any:
    """Convolution, then a residual block with batch normalization, then the mean and one logit."""
    x = pictures = keras.Input((6, 6, 2), name="pictures")
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(x)
    x = came_in = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="conv1")(x)
    x = keras.layers.Conv2D(3, 3, padding="same", name="conv2")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Activation("relu", name="relu")(keras.layers.Add(name="add")([x, came_in]))
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(x)
    x = keras.layers.Dense(1, name="logits")(x)
    return _fill(keras.Model(pictures, keras.layers.Activation("sigmoid", name="probabilities")(x)))


def _output(model: Any, layer: str, pictures: Array) -> Array:
    return np.asarray(keras.Model(model.input, model.get_layer(layer).output)(pictures), np.float64)


def _reference_cam(maps: Array, gradients: Array) -> Array:
    """Grad-CAM of one picture (h, w, channels), one number after the other."""
    height, width, channels = maps.shape
    heat = np.zeros((height, width))
    for channel in range(channels):
        weight = sum(gradients[y, x, channel] for y in range(height) for x in range(width)) / (height * width)
        for y in range(height):
            for x in range(width):
                heat[y, x] += weight * maps[y, x, channel]
    return np.maximum(heat, 0.0)


def _reference_cam_plus_plus(maps: Array, gradients: Array) -> Array:
    height, width, channels = maps.shape
    heat = np.zeros((height, width))
    places = [(y, x) for y in range(height) for x in range(width)]
    for channel in range(channels):
        total = sum(maps[y, x, channel] for y, x in places)
        weight = 0.0
        for y, x in places:
            slope = gradients[y, x, channel]
            below = 2 * slope**2 + total * slope**3
            weight += (slope**2 / below if below else 0.0) * max(slope, 0.0)
        for y, x in places:
            heat[y, x] += weight * maps[y, x, channel]
    return np.maximum(heat, 0.0)


def _reference_resize(heat: Array, size: tuple[int, int]) -> Array:
    """Bilinear enlargement with half-pixel centers, pixel by pixel."""
    found = np.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y, x = (
                min(max((place + 0.5) * side / wished - 0.5, 0.0), side - 1.0)
                for place, side, wished in zip((row, column), heat.shape, size, strict=True)
            )
            top, left = int(y), int(x)
            bottom, right = min(top + 1, heat.shape[0] - 1), min(left + 1, heat.shape[1] - 1)
            upper = heat[top, left] * (1 - x + left) + heat[top, right] * (x - left)
            lower = heat[bottom, left] * (1 - x + left) + heat[bottom, right] * (x - left)
            found[row, column] = upper * (1 - y + top) + lower * (y - top)
    return found


REFERENCES = {"gradcam": _reference_cam, "gradcam++": _reference_cam_plus_plus}
methods = pytest.mark.parametrize("method", REFERENCES)


@methods
@pytest.mark.parametrize("target", [0, 1, 2])
def test_it_equals_a_plain_reference_on_a_small_network(method: Any, target: int) -> None:
    model, pictures = _plain(), _random(2, 9, 7, 3)
    maps = _output(model, "conv", pictures)
    kernel = np.asarray(model.get_layer("logits").kernel, np.float64)
    gradients = kernel[:, target].reshape(maps.shape[1:])  # behind the maps everything is linear
    expected = [REFERENCES[method](one, gradients) for one in maps]
    found = coarse_maps(map_gradients(model, "conv"), pictures, np.array([target, target]), method)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert max(heat.max() for heat in expected) > 0.01
    heat = heat_maps(model, pictures, [target, target], method=method)
    for one, shown in zip(expected, heat, strict=True):
        enlarged = _reference_resize(one, (9, 7))
        np.testing.assert_allclose(shown, enlarged / max(enlarged.max(), 1e-30), atol=1e-5)


def _convolved(maps: Array, kernel: Array, bias: Array) -> Array:
    """A convolution with zeros around, as loops."""
    height, width, _ = maps.shape
    padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
    found = np.zeros((height, width, kernel.shape[3]))
    for y in range(height):
        for x in range(width):
            found[y, x] = np.einsum("ijc,ijcd->d", padded[y : y + 3, x : x + 3], kernel) + bias
    return found


def _tail(model: Any, maps: Array) -> float:
    """The logit of `_residual` from the maps of `conv1`, in double precision."""
    weights = {layer.name: [np.asarray(w, np.float64) for w in layer.weights] for layer in model.layers}
    gamma, beta, mean, variance = weights["norm"]
    inner = _convolved(maps, *weights["conv2"])
    inner = (inner - mean) / np.sqrt(variance + model.get_layer("norm").epsilon) * gamma + beta
    kernel, bias = weights["logits"]
    return float(np.maximum(inner + maps, 0.0).mean(axis=(0, 1)) @ kernel[:, 0] + bias[0])


@methods
@pytest.mark.parametrize("target", [0, 1])
def test_it_equals_differences_of_a_network_with_batch_normalization_and_a_shortcut(method: Any, target: int) -> None:
    model, pictures = _residual(), _random(1, 6, 6, 2)
    (maps,) = _output(model, "conv1", pictures)
    gradients, step = np.zeros_like(maps), 1e-6
    for place in np.ndindex(*maps.shape):
        ahead, behind = maps.copy(), maps.copy()
        ahead[place] += step
        behind[place] -= step
        gradients[place] = (_tail(model, ahead) - _tail(model, behind)) / (2 * step)
    expected = REFERENCES[method](maps, gradients * (1 if target else -1))  # of two classes 0 is minus the logit
    (found,) = coarse_maps(map_gradients(model, "conv1"), pictures, np.array([target]), method)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_of_grad_cam_plus_plus_by_hand() -> None:
    """One map of two places: slopes 1 and 2, sum of the map 3: 1 / (2 + 3) · 1 + 4 / (8 + 24) · 2 = 0.45."""
    maps, slopes = (np.array(values, np.float32).reshape(1, 1, 2, 1) for values in ([1, 2], [1, 2]))
    np.testing.assert_allclose(grad_cam_plus_plus(maps, slopes)[0, 0], [0.45, 0.9], rtol=1e-6)


def test_two_classes_are_each_others_opposite() -> None:
    """One map that is 1 on the left and speaks for the second class alone."""
    pictures = keras.Input((2, 4, 1), name="pictures")
    x = keras.layers.Conv2D(1, 1, use_bias=False, name="conv")(pictures)
    x = keras.layers.Dense(1, use_bias=False, name="logits")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(pictures, keras.layers.Activation("sigmoid", name="probabilities")(x))
    for weight in model.weights:
        weight.assign(np.ones(weight.shape))
    picture = np.zeros((2, 2, 4, 1), np.float32)
    picture[:, :, :2] = 1.0
    first, second = heat_maps(model, picture, [0, 1])
    assert not first.any()
    np.testing.assert_allclose(second, [[1, 1, 0, 0], [1, 1, 0, 0]], atol=1e-6)
    with pytest.raises(ValueError, match="targets from 0 to 1"):
        heat_maps(model, picture, [0, 2])


def _dense(activation: str) -> Any:
    x = pictures = keras.Input((4, 5, 1), name="pictures")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x))
    x = keras.layers.Dense(6, activation=activation)(x)
    x = keras.layers.Dense(3, name="logits")(x)
    return _fill(keras.Model(pictures, keras.layers.Activation("softmax", name="probabilities")(x)))


@pytest.mark.parametrize("baseline", [0.0, GREY])
def test_integrated_gradients_add_up_to_what_the_picture_changes(baseline: float) -> None:
    for model in (_dense("tanh"), _dense("relu"), _plain(), _residual()):
        pictures = _random(3, *model.input_shape[1:])
        targets = [0, 1, 1]
        found = integrated_gradients(model, pictures, targets, baseline=baseline, steps=1000)
        ends = [np.asarray(keras.Model(model.input, logits_of(model))(p)) for p in (pictures, 0 * pictures + baseline)]
        change = ends[0] - ends[1]
        score = [change[n, t] if change.shape[1] > 1 else change[n, 0] * (2 * t - 1) for n, t in enumerate(targets)]
        np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), score, rtol=1e-3, atol=2e-3)


def test_integrated_gradients_of_a_linear_network_are_its_weights_times_the_picture() -> None:
    model, pictures = _dense("linear"), _random(1, 4, 5, 1)
    first, second = (np.asarray(layer.kernel) for layer in model.layers if isinstance(layer, keras.layers.Dense))
    expected = pictures[0].ravel() / 255 * (first @ second)[:, 2]
    found = integrated_gradients(model, pictures, [2], steps=3)
    np.testing.assert_allclose(found[0].ravel(), expected, rtol=1e-4, atol=1e-6)


def test_a_dense_network_gets_integrated_gradients_by_itself() -> None:
    model, pictures = _dense("relu"), _random(2, 4, 5, 1)
    assert last_map(model) is None
    heat = heat_maps(model, pictures, [0, 2])
    expected = np.maximum(integrated_gradients(model, pictures, [0, 2]).sum(axis=3), 0)
    assert heat.dtype == np.float32
    assert np.array_equal(heat > 0, expected > 0)
    assert [one.max() for one in heat] == [1.0, 1.0]
    with pytest.raises(UsageError, match="no layer with maps"):
        heat_maps(model, pictures, [0, 0], method="gradcam")


def test_the_last_map_is_that_of_the_last_convolution_with_places() -> None:
    def ending(*layers: Any) -> str | None:
        x = pictures = keras.Input((8, 8, 3), name="pictures")
        for layer in layers:
            x = layer(x)
        return last_map(keras.Model(pictures, x))

    conv, pool = keras.layers.Conv2D, keras.layers.MaxPooling2D
    flatten = keras.layers.Flatten
    assert ending(conv(2, 3, name="a"), pool(2), conv(2, 2, name="b"), pool(2, name="c"), flatten()) == "b"
    assert ending(conv(2, 3, name="a"), keras.layers.Activation("relu", name="r"), pool(6), flatten()) == "r"
    assert ending(conv(2, 8, name="a"), conv(2, 1), flatten()) is None
    assert ending(keras.layers.Rescaling(1.0), flatten(), keras.layers.Dense(2)) is None
    assert last_map(_residual()) == "relu"


def test_a_layer_that_cannot_be_looked_at_is_an_error_with_a_way_out() -> None:
    model, pictures = _plain(), _random(1, 9, 7, 3)
    with pytest.raises(UsageError, match=r"no layer cnv; did you mean conv\?"):
        heat_maps(model, pictures, [0], layer="cnv")
    with pytest.raises(UsageError, match="logits is no map"):
        heat_maps(model, pictures, [0], layer="logits")
    with pytest.raises(UsageError, match="leave the layer out"):
        heat_maps(model, pictures, [0], layer="conv", method="integrated_gradients")
    x = inputs = keras.Input((3, 3, 1))
    x = keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(keras.layers.Conv2D(2, 3, name="one")(x)))
    with pytest.raises(UsageError, match="have one place"):
        heat_maps(keras.Model(inputs, x), _random(1, 3, 3, 1), [0], layer="one")


def test_mixed_precision_is_looked_at_in_single_precision() -> None:
    raw: dict[str, Any] = {
        "data": {"source": "x", "image_size": [16, 16]},
        "model": {"kind": "convnet", "blocks": [{"filters": 4, "separable": True, "batch_norm": True}]},
    }
    networks = [build_network(load_config(raw).config, 3, mixed_precision=mixed).model for mixed in (True, False)]
    _fill(networks[1])
    networks[0].set_weights(networks[1].get_weights())
    pictures = _random(2, 16, 16, 3)
    found, expected = (heat_maps(model, pictures, [1, 2]) for model in networks)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert networks[0].get_layer("block1_conv").compute_dtype == "float16"  # as it was


sides = st.integers(1, 60)


@settings(deadline=None, max_examples=40)
@given(sides, sides, sides, sides)
def test_a_window_is_what_the_decoder_takes(height: int, width: int, wished_height: int, wished_width: int) -> None:
    crop = Preprocessing(wished_height, wished_width, 1, resize="crop")
    pad = Preprocessing(wished_height, wished_width, 1, resize="pad")
    size = (height, width)
    inside = np.zeros((height, width, 1), np.uint8)
    inside[windows(size, crop)[0].slices] = 255
    assert np.all(_decoded(inside, crop) == 255)
    assert np.all(_decoded(255 - inside, crop) == 0)
    filled = np.zeros(pad.shape, np.uint8)
    filled[windows(size, pad)[1].slices] = 255
    np.testing.assert_array_equal(_decoded(np.full((height, width, 1), 255, np.uint8), pad), filled)


def _decoded(picture: Array, preprocessing: Preprocessing) -> Array:
    import tensorflow as tf

    return np.asarray(decode(tf.io.encode_png(picture), 1, preprocessing))


def test_heat_comes_back_to_where_it_was_seen() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[:, 2:] = 1.0
    stretched = brought_back(heat, (6, 16), Preprocessing(4, 4, 3))
    assert stretched.shape == (6, 16)
    assert np.all(stretched[:, :6] == 0)
    assert np.all(stretched[:, 10:] == 1)
    cropped = brought_back(heat, (4, 8), Preprocessing(4, 4, 3, resize="crop"))
    np.testing.assert_array_equal(cropped, np.tile([0, 0, 0, 0, 1, 1, 0, 0], (4, 1)))
    padded = brought_back(heat.T.copy(), (2, 4), Preprocessing(4, 4, 3, resize="pad"))
    np.testing.assert_array_equal(padded, [[0, 0, 0, 0], [1, 1, 1, 1]])


def test_a_picture_is_clear_where_it_is_cold() -> None:
    picture = np.full((2, 3, 3), 100, np.uint8)
    heat = np.array([[0, 0.5, 1], [0, 0, 0]], np.float32)
    shown = overlaid(picture, heat)
    assert shown.dtype == np.uint8
    assert shown.shape == (2, 3, 3)
    assert np.all(shown[1] == 100)
    assert np.all(shown[0, 0] == 100)
    assert shown[0, 2].astype(int).sum() > shown[0, 1].astype(int).sum() != 300


@pytest.mark.parametrize("names", [["cat"], ["고양이" * 20, "a" * 300, "$x"], [f"class {n}" for n in range(9)]])
@pytest.mark.parametrize("size", [(10, 300), (300, 10), (1, 1)])
def test_a_summary_holds_all_its_texts(names: Sequence[str], size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    heats = [ClassHeat(name, 0.5, picture) for name in names]
    figure = draw_heat_maps(picture, heats, name="photo.jpg", method="Grad-CAM, conv")
    to_png(figure)
    assert len(figure.axes) == len(names) + 1
    boxes = [text.get_window_extent() for text in figure.texts]
    assert all(box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height for box in boxes)
    assert not any(one.overlaps(other) for n, one in enumerate(boxes) for other in boxes[:n])


# --- ImageNet --------------------------------------------------------------------------------------------------------


def test_the_picture_sides_are_those_of_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(Exception):  # noqa: N818 - carries an answer
        pass

    def tell(*_: Any, default_size: int, **__: Any) -> None:
        raise Told(default_size)

    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", tell)
    sizes = {}
    for name, (builder, _) in backbones().items():
        if name.startswith("mobilenetv3"):  # takes any; its weights are those for 224
            continue
        with pytest.raises(Told) as told:
            builder(weights=None)
        sizes[name] = told.value.args[0]
    assert len(sizes) > 30
    assert {name: picture_side(name) for name in sizes} == sizes


@pytest.fixture
def class_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageNet's list as it would be after the download, but for the names."""
    names = {str(number): [f"n{number:08d}", f"thing_{number}"] for number in range(1000)}
    names["134"][1] = names["517"][1] = "crane"
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", names)
    class_names.cache_clear()
    yield
    class_names.cache_clear()


def test_class_names_are_in_their_order_and_told_apart(class_index: None) -> None:
    names = class_names()
    assert len(set(names)) == 1000
    assert (names[0], names[134], names[517], names[999]) == (
        "thing_0",
        "crane n00000134",
        "crane n00000517",
        "thing_999",
    )


def test_without_the_list_classes_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Exception("URL fetch failure on\nsomewhere")

    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", None)
    monkeypatch.setattr(imagenet_utils.file_utils, "get_file", fail)
    class_names.cache_clear()
    told: list[Any] = []
    assert subjects._imagenet_classes(told.append)[281] == "281"
    assert "URL fetch failure on somewhere; classes are told by their numbers, 0 to 999" in told[0].text


def test_an_unknown_network_is_told_with_those_like_it() -> None:
    assert check_name("VGG16") == "vgg16"
    with pytest.raises(UsageError, match="no pretrained network vgg61; did you mean vgg19 or vgg16"):
        check_name("vgg61")


def test_an_imagenet_model_ends_in_logits_and_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "_SIDES", {"mobilenet": 32})
    model = build_imagenet("mobilenet", "none", include_top=True)
    _fill(model)
    pictures = _random(2, 32, 32, 3)
    logits, probabilities = keras.Model(model.input, [logits_of(model), model.output])(pictures)
    assert logits.shape == (2, 1000)
    np.testing.assert_allclose(keras.ops.softmax(logits), probabilities, atol=1e-6)
    assert np.ptp(np.asarray(logits)) > 1e-3


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Run:
    folder = tmp_path_factory.mktemp("trained")
    for split in ("train", "validation"):
        write_pictures(folder / "pets" / split, {"cat": 4, "dog": 4, "猫 x": 4}, size=(12, 12))
    raw = {
        "data": {"source": str(folder / "pets"), "image_size": [12, 16], "batch_size": 8, "resize": "pad"},
        "model": {"kind": "convnet", "blocks": [{"filters": 4, "batch_norm": True, "residual": True}]},
        "train": {"epochs": 1},
    }
    return cnntrain.fit(raw, run_dir=folder / "run")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three pictures, two of the same name, not of the network's size."""
    paths = [tmp_path / name for name in ("a/one.png", "b/one.png", "b/two.jpg")]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(_random(30, 41, 3, seed=number).astype(np.uint8)).save(path)
    return paths


def _gradcam(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["explain", "gradcam", *map(str, arguments)])


def test_a_heat_map_a_picture_and_class_in_the_pictures_own_size(trained: Run, photos: list[Path]) -> None:
    result = _gradcam(trained.path, *photos, "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    folder = trained.path / "explain" / "gradcam"
    assert (printed["folder"], printed["method"], printed["layer"]) == (str(folder), "gradcam", "block1_add")
    assert [Path(one["summary"]).parent.name for one in printed["pictures"]] == ["one", "one_2", "two"]
    found = cnntrain.predict(trained, photos)
    for row, one, photo in zip(found.probabilities, printed["pictures"], photos, strict=True):
        chances = [entry["probability"] for entry in one["classes"]]
        assert chances == sorted(chances, reverse=True)
        assert chances == pytest.approx(sorted(row.tolist(), reverse=True), abs=1e-5)
        files = {path.name for path in Path(one["summary"]).parent.iterdir()}
        assert files == {"summary.png"} | {Path(entry["path"]).name for entry in one["classes"]}
        for entry in one["classes"]:
            with Image.open(entry["path"]) as shown, Image.open(photo) as given:
                assert shown.size == given.size
    (cat,) = (entry for entry in printed["pictures"][0]["classes"] if entry["class"] == "猫 x")
    assert Path(cat["path"]).stem.endswith("_猫_x")


def test_gradients_are_compiled_once_for_all_pictures(
    trained: Run, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    right = heat_maps_module.at_maps
    monkeypatch.setattr(heat_maps_module, "at_maps", lambda view: compiled.append(view) or right(view))
    monkeypatch.setattr(gradcam, "_AT_ONCE", 1)
    found = cnntrain.explain_gradcam(trained, photos)
    assert len(found.pictures) == 3
    assert len(compiled) == 1


def test_classes_that_are_named_are_drawn_and_nothing_else(trained: Run, photos: list[Path]) -> None:
    result = _gradcam(trained.path, photos[0], "--class", "dog", "--method", "gradcam++", "--layer", "block1_conv")
    assert result.exit_code == 0, result.output
    folder = trained.path / "explain" / "gradcam++" / "one"
    lines = result.stdout.splitlines()
    assert lines[0] == str(folder / "summary.png")
    assert lines[1].startswith(f"{folder / '01_dog.png'}  0.")
    assert lines[1].endswith("  dog")
    assert sorted(path.name for path in folder.iterdir()) == ["01_dog.png", "summary.png"]
    again = _gradcam(trained.path, photos[0], "--top", 2, "--method", "integrated-gradients")
    assert len(again.stdout.splitlines()) == 3


def test_the_heat_is_that_of_the_upright_picture(trained: Run, photos: list[Path], tmp_path: Path) -> None:
    upright = Image.open(photos[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise is needed
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    drawn = cnntrain.explain_gradcam(trained, [photos[0], tmp_path / "turned.png"], classes=["cat"])
    one, other = (Image.open(picture.heat_maps[0].file) for picture in drawn.pictures)
    assert one.size == upright.size
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--class", "dgo"], "the model has no class dgo; did you mean dog?"),
        (["--class", "dog", "--top", "2"], "give --class or --top, not both"),
        (["--layer", "block1_cnv"], "did you mean block1_conv"),
        (["--layer", "logits"], "logits is no map"),
        (["--weights", "none"], "a run has its own weights"),
    ],
)
def test_what_is_wrong_is_one_line(trained: Run, photos: list[Path], options: list[str], message: str) -> None:
    result = _gradcam(trained.path, photos[0], *options)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not result.stdout


def test_nothing_is_written_when_a_picture_is_bad(trained: Run, photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.jpg: .*missing\.png"):
        cnntrain.explain_gradcam(trained, [photos[0], bad, tmp_path / "missing.png"], output=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_of_the_users_own_is_made_but_not_replaced(trained: Run, photos: list[Path], tmp_path: Path) -> None:
    drawn = cnntrain.explain_gradcam(trained, photos, top=1, output=tmp_path / "new")
    assert all(heat.file.is_file() for picture in drawn.pictures for heat in picture.heat_maps)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["one", "one_2", "two"]
    with pytest.raises(WriteError, match="exists already"):
        cnntrain.explain_gradcam(trained, photos, output=tmp_path / "new")


def test_an_imagenet_model_in_place_of_a_run(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, class_index: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imagenet, "_SIDES", {"mobilenet": 32})
    keras.utils.set_random_seed(1)
    result = _gradcam("pretrained:mobilenet", photos[0], "--weights", "none", "--json")
    assert result.exit_code == 0, result.output
    (one,) = json.loads(result.stdout)["pictures"]
    assert one["summary"] == str(Path("explain/pretrained_mobilenet/gradcam/one/summary.png"))
    assert len(one["classes"]) == 3
    assert all(entry["class"].startswith(("thing_", "crane")) for entry in one["classes"])
    assert "random weights" in result.stderr
