"""Backbones: every network of keras.applications, its features, what trains of it, and its weights files."""

import inspect
import types
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from cnntrain.config import Config, load_config
from cnntrain.errors import ModelFileError
from cnntrain.models.backbones import backbones, build_backbone
from cnntrain.models.checks import check
from cnntrain.models.network import Network, build_network
from cnntrain.models.weights import load_weights

applications = keras.applications

# name: (plain builder, plain preprocessing, side of the pictures in pixels)
FAMILIES = {
    "vgg16": (applications.VGG16, applications.vgg16.preprocess_input, 32),
    "resnet50": (applications.ResNet50, applications.resnet50.preprocess_input, 96),
    "mobilenetv2": (applications.MobileNetV2, applications.mobilenet_v2.preprocess_input, 64),
    "efficientnetv2b0": (applications.EfficientNetV2B0, applications.efficientnet_v2.preprocess_input, 64),
    "convnexttiny": (applications.ConvNeXtTiny, applications.convnext.preprocess_input, 64),
}
family = pytest.mark.parametrize("name", FAMILIES)


def pretrained(backbone: str, side: int, *, weights: str = "none", color: str = "rgb", stages: Any = ()) -> Config:
    """A configuration of a backbone with a small head."""
    return load_config(
        {
            "data": {"source": "x", "image_size": [side, side], "color": color},
            "model": {
                "kind": "pretrained",
                "backbone": backbone,
                "weights": weights,
                "head": {"pooling": "global_average"},
            },
            "train": {"stages": [{"name": f"stage {stage}", "unfreeze": stage} for stage in stages]},
        }
    ).config


def base_weights(network: Network) -> list[Any]:
    return [weight for name in network.base for weight in network.model.get_layer(name).weights]


def stir(weights: list[Any]) -> None:
    """Gives biases, scales and statistics values that are not their initial zeros and ones."""
    numbers = np.random.default_rng(3)
    for weight in weights:
        if len(weight.shape) == 1:
            weight.assign(
                weight.numpy() * numbers.uniform(0.7, 1.3, weight.shape) + numbers.uniform(0, 0.1, weight.shape)
            )


@cache
def built(name: str) -> Network:
    """A network of a family with random weights; its tests leave its base as they found it."""
    network = build_network(pretrained(name, FAMILIES[name][2]), 3)
    stir(base_weights(network))
    return network


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(0, 255, shape).astype("float32")


def pictures(name: str, count: int = 2) -> np.ndarray:
    side = FAMILIES[name][2]
    return noise(count, side, side, 3)


def features(network: Network, images: np.ndarray, *, training: bool = False) -> np.ndarray:
    return np.asarray(network.extractor()(images, training=training))


def assert_equal_features(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(expected).max() > 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


# --- the networks ----------------------------------------------------------------------------------------------------


NETWORKS = """
    ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge DenseNet121 DenseNet169 DenseNet201
    EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6
    EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2L EfficientNetV2M
    EfficientNetV2S InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 MobileNetV3Large MobileNetV3Small NASNetLarge
    NASNetMobile ResNet101 ResNet101V2 ResNet152 ResNet152V2 ResNet50 ResNet50V2 VGG16 VGG19 Xception
"""


def test_every_network_of_keras_applications_is_there_by_its_name_in_small_letters() -> None:
    expected = {name.lower(): getattr(applications, name) for name in NETWORKS.split()}
    assert {name: builder for name, (builder, _) in backbones().items()} == expected


def test_no_network_of_keras_applications_is_missing_from_the_list_above() -> None:
    modules = [value for value in vars(applications).values() if isinstance(value, types.ModuleType)]
    found = {
        name
        for module in (applications, *modules)
        for name, value in vars(module).items()
        if inspect.isfunction(value) and "include_top" in inspect.signature(value).parameters
    }
    assert found == set(NETWORKS.split())


def test_every_network_has_the_preprocessing_of_its_own_module() -> None:
    grey = np.full((1, 1, 1, 3), 127.5, "float32")
    values = {name: tuple(np.ravel(preprocess(grey.copy())).round(3)) for name, (_, preprocess) in backbones().items()}
    caffe = (23.561, 10.721, 3.82)  # blue, green, red less ImageNet's means, of 255
    torch = (0.066, 0.196, 0.418)  # red, green, blue of 1, less the means, in standard deviations
    prefixes = {
        "vgg": caffe,
        "resnet": caffe,
        "densenet": torch,
        "efficientnet": (127.5, 127.5, 127.5),  # within the network
        "convnext": (127.5, 127.5, 127.5),
        "mobilenetv3": (127.5, 127.5, 127.5),
    }
    for name, value in values.items():
        is_v2 = name.startswith("resnet") and name.endswith("v2")
        known = [expected for prefix, expected in prefixes.items() if name.startswith(prefix) and not is_v2]
        assert value == pytest.approx(known[0] if known else (0.0, 0.0, 0.0), abs=2e-3), name


@family
def test_features_equal_the_plain_network_on_preprocessed_pictures(name: str) -> None:
    builder, preprocess, side = FAMILIES[name]
    network = built(name)
    plain = builder(include_top=False, weights=None, input_shape=(side, side, 3))
    plain.set_weights([weight.numpy() for weight in base_weights(network)])
    images = pictures(name)
    assert_equal_features(features(network, images), np.asarray(plain(preprocess(images.copy()))))


@family
def test_the_base_is_the_networks_own_layers_up_to_the_features(name: str) -> None:
    builder, _, side = FAMILIES[name]
    network = built(name)
    plain = builder(include_top=False, weights=None, input_shape=(side, side, 3))
    kinds = [type(network.model.get_layer(layer)) for layer in network.base]
    assert kinds == [type(layer) for layer in plain.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert network.features == network.base[-1]
    assert network.base_parameters == plain.count_params()


def test_the_name_of_a_backbone_may_have_letters_of_any_case() -> None:
    maps, layers = build_backbone(keras.Input((32, 32, 3)), "VGG16", "none")
    assert maps.shape == (None, 1, 1, 512)
    assert (layers[0], layers[-1]) == ("block1_conv1", "block5_pool")


def test_grayscale_is_repeated_to_three_channels() -> None:
    color, gray = (build_network(pretrained("mobilenetv2", 32, color=kind), 3) for kind in ("rgb", "grayscale"))
    gray.model.set_weights(color.model.get_weights())
    assert gray.base == color.base
    assert gray.model.input.shape == (None, 32, 32, 1)
    images = noise(2, 32, 32, 1)
    np.testing.assert_array_equal(features(gray, images), features(color, np.repeat(images, 3, axis=-1)))


def test_layers_are_called_the_same_whatever_was_built_before() -> None:
    config = pretrained("mobilenetv3small", 32, stages=["activation_3"])
    first = build_network(config, 2)
    keras.layers.Activation("relu")
    assert check(config) == []
    second = build_network(config, 2)
    assert first.base == second.base
    second.thaw("activation_3")


def test_layers_made_after_a_backbone_get_names_of_their_own() -> None:
    before = {keras.layers.ReLU().name, *(keras.layers.Rescaling(1.0).name for _ in range(3))}
    _, base = build_backbone(keras.Input((32, 32, 3)), "mobilenetv3small", "none")
    after = {keras.layers.Rescaling(1.0).name, keras.layers.ReLU().name, keras.layers.Activation("relu").name}
    assert len(after) == 3
    assert not after & (before | set(base))


# --- what trains -----------------------------------------------------------------------------------------------------


@family
@pytest.mark.parametrize("unfreeze", ["none", "all"])
def test_the_base_computes_the_same_in_training_as_in_use(name: str, unfreeze: str) -> None:
    network = built(name)
    network.thaw(unfreeze)
    images = pictures(name)
    found = features(network, images, training=True)
    np.testing.assert_array_equal(found, features(network, images, training=False))


@family
def test_a_training_step_moves_weights_but_no_statistics(name: str) -> None:
    network = built(name)
    network.thaw("all")
    weights = network.model.weights
    before = [weight.numpy() for weight in weights]
    network.model.compile(keras.optimizers.Lion(1e-3), "sparse_categorical_crossentropy", run_eagerly=True)
    network.model.train_on_batch(pictures(name), np.array([0, 2]))
    moved = {
        weight.path for weight, old in zip(weights, before, strict=True) if not np.array_equal(weight.numpy(), old)
    }
    network.model.set_weights(before)
    statistics = {
        weight.path
        for layer in network.model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        for weight in layer.weights
    }
    trainable = {weight.path for weight in network.model.trainable_weights}
    assert not moved & statistics
    assert moved <= trainable
    assert len(moved) > 0.9 * len(trainable)


@family
def test_frozen_only_the_head_trains_and_thawed_all_but_statistics(name: str) -> None:
    network = built(name)
    network.thaw("none")
    assert [weight.path for weight in network.model.trainable_weights] == ["logits/kernel", "logits/bias"]
    network.thaw("all")
    frozen = {layer.name for layer in network.model.layers if not layer.trainable}
    kinds = {name: type(network.model.get_layer(name)) for name in network.base}
    assert frozen == {name for name, kind in kinds.items() if kind is keras.layers.BatchNormalization}


def test_thawing_from_a_layer_trains_it_and_all_after_it() -> None:
    network = built("vgg16")
    network.thaw("block5_conv2")
    trained = {weight.path for weight in network.model.trainable_weights}
    assert trained == {
        f"{layer}/{part}" for layer in ("block5_conv2", "block5_conv3", "logits") for part in ("kernel", "bias")
    }
    network.thaw("none")
    assert len(network.model.trainable_weights) == 2


def test_thawing_from_a_layer_leaves_batch_normalization_after_it_frozen() -> None:
    network = built("resnet50")
    network.thaw("conv5_block3_2_conv")
    trained = {weight.path.split("/")[0] for weight in network.model.trainable_weights}
    assert trained == {"conv5_block3_2_conv", "conv5_block3_3_conv", "logits"}


# --- weights files ---------------------------------------------------------------------------------------------------

SMALL = applications.MobileNetV3Small


def small() -> Any:
    return SMALL(include_top=False, weights=None, input_shape=(32, 32, 3))


@pytest.fixture(scope="module")
def base() -> Any:
    """A small network without its top, whose weights a file holds."""
    network = small()
    stir(network.weights)
    return network


@pytest.fixture(scope="module")
def target() -> Any:
    """A network of the same kind, into which files are loaded that do not fit it."""
    return small()


def loaded(path: Path, name: str = "mobilenetv3small") -> Network:
    return build_network(pretrained(name, 32, weights=str(path)), 2)


def refused(target: Any, path: Path) -> str:
    """The message of the error that a weights file ends in."""
    with pytest.raises(ModelFileError) as caught:
        load_weights(target, path, "mobilenetv3small")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def assert_same_weights(network: Network, expected: Any) -> None:
    for found, weight in zip(base_weights(network), expected.weights, strict=True):
        np.testing.assert_array_equal(found.numpy(), weight.numpy())


@pytest.mark.filterwarnings("ignore:.*HDF5 file:UserWarning")
@pytest.mark.parametrize("file", ["base.weights.h5", "base.keras", "base.h5"])
def test_a_weights_file_gives_its_weights(base: Any, tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    (base.save_weights if file.endswith(".weights.h5") else base.save)(path)
    assert_same_weights(loaded(path), base)


def test_the_state_of_an_optimizer_in_a_file_is_passed_over(tmp_path: Path) -> None:
    base = small()
    base.compile("adam", "mse")
    base.optimizer.build(base.trainable_variables)
    base.save(tmp_path / "base.keras")
    assert_same_weights(loaded(tmp_path / "base.keras"), base)


def test_names_of_layers_in_a_file_do_not_matter(base: Any, tmp_path: Path) -> None:
    renamed = keras.models.clone_model(
        base,
        clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "name": f"my_{layer.name}"}),
    )
    renamed.set_weights(base.get_weights())
    renamed.save_weights(tmp_path / "renamed.weights.h5")
    assert_same_weights(loaded(tmp_path / "renamed.weights.h5"), base)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "none.weights.h5"
    with pytest.raises(ModelFileError, match=r"the weights file .*none\.weights\.h5 does not exist"):
        loaded(path)


def test_a_folder_is_no_weights_file(target: Any, tmp_path: Path) -> None:
    assert "does not exist" in refused(target, tmp_path)


def test_a_file_with_another_suffix_is_told(target: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"torch")
    assert ".weights.h5, .h5 or .keras" in refused(target, path)


@pytest.mark.parametrize("file", ["text.weights.h5", "text.h5", "text.keras"])
def test_a_text_file_is_no_weights_file(target: Any, tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("weights", encoding="utf-8")
    assert "does not hold the weights of mobilenetv3small without its top" in refused(target, tmp_path / file)


@pytest.mark.parametrize("file", ["cut.weights.h5", "cut.keras"])
def test_a_truncated_file_is_told(base: Any, target: Any, tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    (base.save_weights if file.endswith(".weights.h5") else base.save)(path)
    path.write_bytes(path.read_bytes()[:-5000])
    assert "does not hold the weights" in refused(target, path)


def test_the_file_of_another_network_is_told(target: Any, tmp_path: Path) -> None:
    path = tmp_path / "vgg16.weights.h5"
    applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(path)
    assert "arrays, the network" in refused(target, path)


def test_a_file_of_the_same_count_and_other_shapes_is_told(target: Any, tmp_path: Path) -> None:
    path = tmp_path / "narrow.weights.h5"
    SMALL(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.75).save_weights(path)
    assert "does not hold the weights" in refused(target, path)


def test_a_file_with_more_layers_is_no_partial_match(target: Any, tmp_path: Path) -> None:
    path = tmp_path / "top.weights.h5"
    whole = SMALL(include_top=True, weights=None, input_shape=(32, 32, 3))
    whole.save_weights(path)
    assert f"it holds {len(whole.weights)} arrays, the network {len(target.weights)}" in refused(target, path)


def test_a_file_with_fewer_layers_is_no_partial_match(base: Any, target: Any, tmp_path: Path) -> None:
    path = tmp_path / "lower.weights.h5"
    keras.Model(base.input, base.layers[-8].output).save_weights(path)
    assert "arrays, the network" in refused(target, path)


def test_a_file_whose_arrays_belong_to_other_layers_is_told(base: Any, target: Any, tmp_path: Path) -> None:
    path = tmp_path / "swapped.weights.h5"
    base.save_weights(path)
    with h5py.File(path, "r+") as file:
        file.move("layers/conv2d_1", "layers/unknown")
    assert "does not hold the weights" in refused(target, path)


def test_a_keras_file_without_weights_is_told(target: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    assert "model.weights.h5" in refused(target, path)


# --- weights of ImageNet ---------------------------------------------------------------------------------------------


def offline(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Lets every download end in an error."""

    def get_file(*args: Any, **options: Any) -> str:
        raise error

    monkeypatch.setattr(file_utils, "get_file", get_file)


NOTOP = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.mark.parametrize(
    "error",
    [
        Exception(f"URL fetch failure on https://example.invalid/{NOTOP}: None -- no route"),
        ValueError(f"Incomplete or corrupted file detected. The md5 file hash of {NOTOP} does not match."),
    ],
)
def test_weights_that_cannot_be_downloaded_are_told_by_file_and_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    offline(monkeypatch, error)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras home"))
    with pytest.raises(ModelFileError) as caught:
        build_network(pretrained("vgg16", 32, weights="imagenet"), 2)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{NOTOP}, which could not be downloaded" in message
    assert f"put it into {tmp_path / 'keras home' / 'models'}," in message


def test_without_keras_home_the_place_is_in_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch, Exception("no route"))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    with pytest.raises(ModelFileError, match="vgg16's weights without top") as caught:
        build_network(pretrained("vgg16", 32, weights="imagenet"), 2)
    assert str(Path("~/.keras/models")) in str(caught.value)


@pytest.mark.parametrize(("name", "side"), [("efficientnetb0", 32), ("mobilenetv2", 40)])
def test_a_downloaded_file_gives_the_same_features_when_its_path_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, side: int
) -> None:
    builder: Callable[..., Any] = backbones()[name][0]
    plain = builder(include_top=False, weights=None, input_shape=(side, side, 3))
    stir(plain.weights)
    for layer in plain.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]) ** 2, np.array(0)])
    path = tmp_path / "downloaded.weights.h5"
    plain.save_weights(path)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(path))
    named, downloaded = (build_network(pretrained(name, side, weights=kind), 2) for kind in (str(path), "imagenet"))
    images = noise(2, side, side, 3)
    assert_equal_features(features(named, images), features(downloaded, images))


def test_the_real_vgg16_weights_arrive_where_they_belong(test_data: Path) -> None:
    path = test_data / "weights" / "vgg16-imagenet-notop.weights.h5"
    network = loaded(path, "vgg16")
    kernel, _ = network.model.get_layer("block1_conv1").get_weights()
    _, bias = network.model.get_layer("block5_conv3").get_weights()
    np.testing.assert_allclose(kernel.ravel()[:3], [0.42947057, 0.11727387, 0.03401296], rtol=1e-6)
    assert bias[0] == pytest.approx(0.18837857, rel=1e-6)


# --- checks ----------------------------------------------------------------------------------------------------------


def test_an_unknown_backbone_is_told_with_the_nearest_name() -> None:
    (problem,) = check(pretrained("vgg_16", 64))
    assert problem.key == ("model", "backbone")
    assert (problem.got, problem.suggestion) == ("vgg_16", "vgg16")
    assert "resnet50" in problem.allowed


def test_pictures_too_small_for_the_backbone_are_told() -> None:
    (problem,) = check(pretrained("vgg16", 16))
    assert problem.key == ("data", "image_size")
    assert problem.got == "[16, 16]"
    assert problem.what == "vgg16 cannot be built for pictures this small"
    assert check(pretrained("vgg16", 32)) == []


def test_every_wrong_layer_is_told_with_the_nearest_name_even_if_the_pictures_are_too_small() -> None:
    stages = ["none", "block5_con1", "block5_conv1", "all", "top"]
    problems = check(pretrained("vgg16", 16, stages=stages))
    assert [(problem.key, problem.got, problem.suggestion) for problem in problems[1:]] == [
        (("train", "stages", 1, "unfreeze"), "block5_con1", "block5_conv1"),
        (("train", "stages", 4, "unfreeze"), "top", ""),
    ]
    assert problems[0].key == ("data", "image_size")
    assert "\x1b" not in "".join(problem.line("config") for problem in problems)


def test_checks_need_no_weights(tmp_path: Path) -> None:
    assert check(pretrained("vgg16", 32, weights="imagenet", color="grayscale", stages=["block5_conv1"])) == []
    path = tmp_path / "empty.weights.h5"
    [missing] = check(pretrained("vgg16", 32, weights=str(path)))
    assert (missing.key, missing.got) == (("model", "weights"), str(path))
    path.touch()
    assert check(pretrained("vgg16", 32, weights=str(path))) == []
