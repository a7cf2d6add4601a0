"""Networks: golden parameter counts, sizes, blocks, heads and dtypes."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnntrain.config import Block, Config, load_config
from cnntrain.errors import ModelFileError
from cnntrain.models import checks
from cnntrain.models.checks import check
from cnntrain.models.convnet import block_sizes, build_blocks
from cnntrain.models.network import Network, build_network, class_probabilities

CONFIGS = Path(__file__).parents[1] / "configs"


def shipped(name: str) -> Network:
    """The network of a shipped configuration, with random weights."""
    config = load_config(CONFIGS / f"{name}.yaml", overrides=["model.weights=none"] if "vgg16" in name else []).config
    assert isinstance(config.data.classes, tuple)
    return build_network(config, len(config.data.classes))


def convnet(
    *blocks: dict[str, Any],
    head: dict[str, Any] | None = None,
    size: tuple[int, int] = (8, 8),
    color: str = "rgb",
    other_sizes: Sequence[tuple[int, int]] = (),
) -> Config:
    """A configuration of a from-scratch network; a stage for each of the other sizes comes before one of the size."""
    model = {"kind": "convnet", "blocks": list(blocks), "head": head or {}}
    return configuration(model, size=size, color=color, other_sizes=other_sizes)


def configuration(
    model: dict[str, Any],
    *,
    size: tuple[int, int],
    color: str = "rgb",
    other_sizes: Sequence[tuple[int, int]] = (),
) -> Config:
    stages: list[dict[str, Any]] = [
        {"name": f"stage {number}", "image_size": list(other)} for number, other in enumerate(other_sizes)
    ]
    data = {"source": "x", "image_size": list(size), "color": color}
    return load_config(
        {"data": data, "model": model, "train": {"stages": [*stages, {"name": "last"}] if stages else []}}
    ).config


def parameters(network: Network) -> dict[str, int]:
    """The parameters of all layers that have some, by their names."""
    return {layer.name: layer.count_params() for layer in network.model.layers if layer.count_params()}


def layer_names(network: Network) -> list[str]:
    return [layer.name for layer in network.model.layers]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(0, 255, shape).astype("float32")


# --- golden parameter counts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 28 → 26 → 13 → 11 → 5 → 3: 3 × 3 × 64 = 576 features
        (
            "mnist_convnet",
            {
                "block1_conv": 320,
                "block2_conv": 18_496,
                "block3_conv": 36_928,
                "head_1_dense": 576 * 64 + 64,
                "logits": 650,
            },
        ),
        # 28 → 26 → 24 → 22: 22 × 22 × 64 = 30,976 features
        (
            "no_max_pool",
            {
                "block1_conv": 320,
                "block2_conv": 18_496,
                "block3_conv": 36_928,
                "head_1_dense": 30_976 * 64 + 64,
                "logits": 650,
            },
        ),
        (
            "lenet5",
            {
                "block1_conv": 456,
                "block2_conv": 2_416,
                "head_1_dense": 48_120,
                "head_2_dense": 10_164,
                "logits": 850,
            },
        ),
        # 180 → 178 → 89 → 87 → 43 → 41 → 20 → 18 → 9 → 7: 7 × 7 × 256 = 12,544 features
        (
            "dogs_vs_cats_180",
            {
                "block1_conv": 3 * 9 * 32 + 32,
                "block2_conv": 32 * 9 * 64 + 64,
                "block3_conv": 64 * 9 * 128 + 128,
                "block4_conv": 128 * 9 * 256 + 256,
                "block5_conv": 256 * 9 * 256 + 256,
                "logits": 12_544 + 1,
            },
        ),
    ],
)
def test_every_layer_of_a_shipped_convnet_has_its_golden_parameters(name: str, expected: dict[str, int]) -> None:
    assert parameters(shipped(name)) == expected


def test_no_max_pool_has_55744_parameters_before_the_head() -> None:
    assert shipped("no_max_pool").base_parameters == 55_744


@pytest.mark.parametrize("name", ["dogs_vs_cats_scratch", "dogs_vs_cats_augmented"])
def test_dogs_vs_cats_has_3453121_parameters(name: str) -> None:
    assert shipped(name).model.count_params() == 3_453_121


# the head: 4 × 4 × 512 = 8,192 features; 8,192 × 256 + 256 and 256 + 1 parameters
@pytest.mark.parametrize("name", ["vgg16_features", "vgg16_features_augmented", "vgg16_fine_tune"])
def test_vgg16_has_its_base_and_a_head_of_its_own(name: str) -> None:
    network = shipped(name)
    assert network.base_parameters == 14_714_688
    assert network.model.count_params() == 16_812_353


def test_mini_xception_has_its_golden_parameters() -> None:
    """The book gives 721,857. A separable convolution has 9 weights a channel and a 1 × 1 matrix, no bias."""
    expected = {"block1_conv": 5 * 5 * 3 * 32}
    for number, (below, size) in enumerate([(32, 32), (32, 64), (64, 128), (128, 256), (256, 512)], start=2):
        expected |= {
            f"block{number}_batch_norm1": 4 * below,
            f"block{number}_conv1": 9 * below + below * size,
            f"block{number}_batch_norm2": 4 * size,
            f"block{number}_conv2": 9 * size + size * size,
            f"block{number}_projection": below * size,
        }
    expected["logits"] = 512 + 1
    network = shipped("mini_xception")
    assert parameters(network) == expected
    assert network.model.count_params() == sum(expected.values()) == 721_857
    assert network.base_parameters == 721_857 - 513


def plain_mini_xception() -> Any:
    """The mini Xception as one writes it in Keras: pictures to a logit."""
    layers = keras.layers
    inputs = keras.Input((180, 180, 3))
    x = layers.Conv2D(32, 5, use_bias=False)(layers.Rescaling(1 / 255)(inputs))
    for size in (32, 64, 128, 256, 512):
        shortcut = x
        for _ in range(2):
            x = layers.ReLU()(layers.BatchNormalization()(x))
            x = layers.SeparableConv2D(size, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        shortcut = layers.Conv2D(size, 1, strides=2, padding="same", use_bias=False)(shortcut)
        x = layers.add([shortcut, x])
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(1)(x))


def test_mini_xception_answers_as_the_plain_network_does() -> None:
    keras.utils.set_random_seed(3)
    network, plain = shipped("mini_xception"), plain_mini_xception()
    with_weights = {
        kind: [layer for layer in plain.layers if layer.weights and type(layer) is kind]
        for kind in (
            keras.layers.Conv2D,
            keras.layers.BatchNormalization,
            keras.layers.SeparableConv2D,
            keras.layers.Dense,
        )
    }
    numbers = np.random.default_rng(5)
    for layer in network.model.layers:
        if layer.weights:
            other = with_weights[type(layer)].pop(0)
            values = [numbers.uniform(0.5, 1.5, w.shape) if len(w.shape) == 1 else w.numpy() for w in other.weights]
            other.set_weights(values)
            layer.set_weights(values)
    assert not any(with_weights.values())
    pictures = noise(2, 180, 180, 3)
    np.testing.assert_allclose(network.logits()(pictures), plain(pictures), rtol=1e-4, atol=1e-5)
    shapes = [layer.output.shape for layer in plain.layers if isinstance(layer, keras.layers.Add)]
    assert [network.model.get_layer(f"block{number}_add").output.shape for number in range(2, 7)] == shapes


# --- sizes -----------------------------------------------------------------------------------------------------------


def any_block_with(**more: Any) -> st.SearchStrategy[Block]:
    return st.builds(
        Block,
        filters=st.integers(1, 2),
        convolutions=st.integers(1, 3),
        kernel_size=st.integers(1, 5),
        stride=st.integers(1, 3),
        separable=st.booleans(),
        norm_first=st.booleans(),
        pool_size=st.integers(1, 4),
        **more,
    )


windows = st.sampled_from(["valid", "same"])
pooling = st.sampled_from(["max", "average", "none"])
strides: dict[str, Any] = {"pooling": st.sampled_from(["max", "average"]), "pool_stride": st.integers(1, 4)}
any_block = st.one_of(
    any_block_with(padding=windows, pool_padding=windows, pooling=pooling),
    any_block_with(padding=windows, pool_padding=windows, **strides),
    any_block_with(residual=st.just(True), pooling=pooling),
    any_block_with(residual=st.just(True), **strides),
)


def keras_sides(blocks: list[Block], height: int, width: int) -> list[tuple[int, int]]:
    """Shapes after each block by Keras, up to the first one that it cannot build."""
    sides: list[tuple[int, int]] = []
    for count in range(1, len(blocks) + 1):
        try:
            sides.append(build_blocks(keras.Input((height, width, 1)), blocks[:count]).shape[1:3])
        except ValueError:
            break
    return sides


@settings(max_examples=50, deadline=None)
@given(blocks=st.lists(any_block, min_size=1, max_size=2), height=st.integers(1, 20), width=st.integers(1, 20))
def test_sizes_are_those_of_keras_and_check_reports_what_keras_cannot_build(
    blocks: list[Block], height: int, width: int
) -> None:
    real = keras_sides(blocks, height, width)
    computed = list(zip(block_sizes(height, blocks), block_sizes(width, blocks), strict=True))
    assert computed[: len(real)] == real
    problems = check(convnet(*(block.model_dump() for block in blocks), size=(height, width), color="grayscale"))
    assert [problem.key for problem in problems] == (
        [] if len(real) == len(blocks) else [("model", "blocks", len(real))]
    )


def test_sizes_by_hand() -> None:
    blocks = [
        Block(filters=1, kernel_size=5, stride=2),  # 23 → 10 → 5
        Block(filters=1, kernel_size=2, padding="same", pool_size=3),  # 5 → 5 → 1
        Block(filters=1, kernel_size=1, pooling="none"),  # 1
        Block(filters=1),  # too small
    ]
    assert block_sizes(23, blocks)[:3] == (5, 1, 1)
    assert block_sizes(23, blocks)[3] < 1


def test_sizes_of_several_convolutions_and_overlapping_pooling_by_hand() -> None:
    blocks = [
        Block(filters=1, convolutions=3, stride=2, pool_size=3, pool_stride=2),  # 24 → 11 → 9 → 7 → 3
        Block(filters=1, residual=True, pool_size=3, pool_stride=2),  # 3 → 3 → 2
        Block(filters=1, residual=True, pool_size=3, pool_stride=1, stride=2),  # 2 → 1 → 1
    ]
    assert block_sizes(24, blocks) == (3, 2, 1)


def test_a_picture_too_small_for_the_blocks_is_told_with_what_is_left_of_it() -> None:
    (problem,) = check(convnet({"filters": 4}, {"filters": 4}, size=(9, 24)))  # 9 → 7 → 3 → 1 → 0
    assert problem.key == ("model", "blocks", 1)
    assert "3x11" in problem.what


def test_a_stage_with_pictures_too_small_for_the_blocks_is_told() -> None:
    blocks, head = [{"filters": 4}, {"filters": 4}], {"pooling": "global_max"}
    (problem,) = check(convnet(*blocks, head=head, size=(24, 24), other_sizes=[(16, 16), (9, 24)]))
    assert problem.key == ("train", "stages", 1, "image_size")
    assert problem.what == "feature maps of 3x11 pixels are too small for block 2"
    assert problem.got == "[9, 24]"


def test_stages_of_another_size_need_a_head_that_takes_any() -> None:
    (problem,) = check(convnet({"filters": 4}, size=(24, 24), other_sizes=[(16, 16), (12, 12)]))
    assert problem.key == ("model", "head", "pooling")
    assert problem.what == "stages with another image_size need a head that takes any size"
    assert problem.allowed == "global_average or global_max"
    assert check(convnet({"filters": 4}, size=(24, 24), other_sizes=[(24, 24)])) == []


def backbone(name: str) -> dict[str, Any]:
    head = {"pooling": "global_average", "layers": [{"dropout": 0.1}]}
    return {"kind": "pretrained", "backbone": name, "weights": "none", "head": head}


def test_a_stage_with_pictures_too_small_for_the_backbone_is_told() -> None:
    (problem,) = check(configuration(backbone("vgg16"), size=(64, 64), other_sizes=[(32, 48), (64, 31)]))
    assert problem.key == ("train", "stages", 1, "image_size")
    assert problem.what == "the layers of vgg16 do not take pictures of this size"
    assert problem.got == "[64, 31]"


def test_a_backbone_that_takes_one_size_only_is_told() -> None:
    """A ConvNeXt has models inside it, and these are built for one size."""
    (problem,) = check(configuration(backbone("convnexttiny"), size=(64, 64), other_sizes=[(96, 96)]))
    assert problem.key == ("train", "stages", 0, "image_size")


def test_a_backbone_is_not_built_to_check_what_is_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    def built(*given: Any) -> Any:
        raise AssertionError("this takes seconds")

    monkeypatch.setattr(checks, "build_backbone", built)
    assert check(configuration(backbone("resnet50"), size=(75, 100))) == []
    with pytest.raises(AssertionError):
        check(configuration(backbone("resnet50"), size=(74, 100)))


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_a_plain_block_is_convolution_with_bias_then_pooling() -> None:
    network = build_network(convnet({"filters": 4}, {"filters": 2, "pooling": "none"}), 2)
    assert layer_names(network)[:6] == [
        "pictures",
        "rescaling",
        "block1_conv",
        "block1_pool",
        "block2_conv",
        "head_flatten",
    ]
    assert network.model.get_layer("block1_conv").use_bias
    assert (network.base, network.features) == ((), "block2_conv")


def test_batch_normalization_stands_between_a_convolution_without_bias_and_the_activation() -> None:
    block = {"filters": 3, "kernel_size": 1, "batch_norm": True, "activation": "tanh", "pooling": "average"}
    network = build_network(convnet({**block, "dropout": 0.25}), 2)
    names = [f"block1_{part}" for part in ("conv", "batch_norm", "activation", "pool", "dropout")]
    assert layer_names(network)[2:7] == names
    convolution, statistics = (network.model.get_layer(name) for name in names[:2])
    assert len(convolution.weights) == 1
    kernel = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.0], [2.0, 0.0, 1.0]])
    gamma, beta, mean, variance = [1.5, 0.5, -1.0], [0.1, -0.2, 0.3], [0.4, 0.5, 0.6], [2.0, 0.25, 1.0]
    convolution.set_weights([kernel.reshape(1, 1, 3, 3)])
    statistics.set_weights([np.array(values) for values in (gamma, beta, mean, variance)])
    pictures = noise(2, 8, 8, 3)
    sums = pictures / 255.0 @ kernel
    maps = np.tanh((sums - mean) / np.sqrt(np.array(variance) + statistics.epsilon) * gamma + beta)
    expected = maps.reshape(2, 4, 2, 4, 2, 3).mean(axis=(2, 4))  # windows of 2 × 2 pixels
    np.testing.assert_allclose(network.extractor()(pictures), expected, rtol=1e-5, atol=1e-6)


def test_max_pooling_and_relu_by_hand() -> None:
    network = build_network(convnet({"filters": 3, "kernel_size": 1, "pool_size": 4}), 2)
    kernel = np.diag([1.0, -1.0, 2.0]).reshape(1, 1, 3, 3)
    network.model.get_layer("block1_conv").set_weights([kernel, np.array([0.0, 0.5, -1.0])])
    pictures = noise(2, 8, 8, 3)
    maps = np.maximum(pictures / 255.0 * [1.0, -1.0, 2.0] + [0.0, 0.5, -1.0], 0.0)
    expected = maps.reshape(2, 2, 4, 2, 4, 3).max(axis=(2, 4))
    np.testing.assert_allclose(network.extractor()(pictures), expected, rtol=1e-5, atol=1e-6)


def test_dropout_acts_in_training_only_and_by_its_rate() -> None:
    keras.utils.set_random_seed(1)
    network = build_network(convnet({"filters": 64, "kernel_size": 1, "activation": "linear", "dropout": 0.25}), 2)
    extractor, pictures = network.extractor(), noise(4, 8, 8, 3)
    still = keras.ops.convert_to_numpy(extractor(pictures, training=False))
    dropped = keras.ops.convert_to_numpy(extractor(pictures, training=True))
    kept = dropped != 0.0
    assert kept.mean() == pytest.approx(0.75, abs=0.03)
    np.testing.assert_allclose(dropped[kept], still[kept] / 0.75, rtol=1e-5)


def test_several_convolutions_are_numbered_and_only_the_first_has_the_stride() -> None:
    block = {"filters": 4, "convolutions": 2, "stride": 2, "padding": "same", "separable": True}
    network = build_network(convnet({**block, "batch_norm": {"momentum": 0.9, "epsilon": 1e-5}}), 2)
    parts = ("conv1", "batch_norm1", "activation1", "conv2", "batch_norm2", "activation2", "pool")
    assert layer_names(network)[2:9] == [f"block1_{part}" for part in parts]
    layers = [network.model.get_layer(f"block1_{part}") for part in parts]
    assert [layer.output.shape[1:] for layer in layers[:4:3]] == [(4, 4, 4), (4, 4, 4)]
    assert [(layer.momentum, layer.epsilon) for layer in layers[1:6:3]] == [(0.9, 1e-5)] * 2
    assert [layer.count_params() for layer in layers[:4:3]] == [9 * 3 + 3 * 4, 9 * 4 + 4 * 4]


def test_normalization_and_activation_can_come_first() -> None:
    block = {"filters": 4, "convolutions": 2, "kernel_size": 1, "norm_first": True, "batch_norm": True}
    network = build_network(convnet({**block, "pooling": "none"}), 2)
    parts = ("batch_norm1", "activation1", "conv1", "batch_norm2", "activation2", "conv2")
    assert layer_names(network)[2:8] == [f"block1_{part}" for part in parts]
    assert network.features == "block1_conv2"
    assert not network.model.get_layer("block1_conv2").use_bias


def test_the_activation_alone_can_come_first() -> None:
    block = {"filters": 2, "kernel_size": 1, "norm_first": True, "activation": "tanh", "pooling": "none"}
    network = build_network(convnet(block), 2)
    assert layer_names(network)[2:4] == ["block1_activation", "block1_conv"]
    kernel, bias = np.array([[1.0, -2.0], [0.3, 0.7], [2.0, 0.0]]), np.array([0.5, -3.0])
    network.model.get_layer("block1_conv").set_weights([kernel.reshape(1, 1, 3, 2), bias])
    pictures = noise(2, 8, 8, 3)
    expected = np.tanh(pictures / 255.0) @ kernel + bias
    np.testing.assert_allclose(network.extractor()(pictures), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "has_bias"),
    [
        ({}, True),
        ({"batch_norm": True}, False),
        ({"bias": False}, False),
        ({"batch_norm": True, "bias": True}, True),
    ],
)
def test_convolutions_and_projection_have_a_bias_by_one_rule(given: dict[str, Any], has_bias: bool) -> None:
    network = build_network(convnet({"filters": 4, "separable": True, "residual": True, **given}), 2)
    layers = [network.model.get_layer(f"block1_{part}") for part in ("conv", "projection")]
    assert [layer.use_bias for layer in layers] == [has_bias, has_bias]


def without_convolutions(network: Network) -> Network:
    """Lets all convolutions but projections give zeros, so that what came into a block is all that leaves it."""
    for layer in network.model.layers:
        if "_conv" in layer.name:
            layer.set_weights([np.zeros(weight.shape) for weight in layer.weights])
    return network


def test_a_residual_block_of_one_shape_adds_what_came_in_itself() -> None:
    block = {"filters": 3, "convolutions": 2, "residual": True, "pool_size": 3, "pool_stride": 1, "dropout": 0.25}
    network = without_convolutions(build_network(convnet(block), 2))
    parts = ("conv1", "conv2", "pool", "add", "dropout")
    assert layer_names(network)[2:7] == [f"block1_{part}" for part in parts]
    pictures = noise(2, 8, 8, 3)
    np.testing.assert_allclose(network.extractor()(pictures), pictures / 255.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "step", "filters"),
    [
        ({"pooling": "none"}, 1, 4),
        ({"pooling": "none", "stride": 2}, 2, 3),
        ({"pool_size": 3}, 3, 3),
        ({"stride": 2, "pool_size": 3, "pool_stride": 2}, 4, 5),
    ],
)
def test_a_residual_block_of_another_shape_projects_what_came_in(
    given: dict[str, Any], step: int, filters: int
) -> None:
    network = build_network(convnet({"filters": filters, "residual": True, **given}, size=(8, 10)), 2)
    kernel, bias = np.random.default_rng(2).normal(size=(3, filters)), np.arange(filters)
    network.model.get_layer("block1_projection").set_weights([kernel.reshape(1, 1, 3, filters), bias])
    pictures = noise(2, 8, 10, 3)
    expected = pictures[:, ::step, ::step] / 255.0 @ kernel + bias
    np.testing.assert_allclose(without_convolutions(network).extractor()(pictures), expected, rtol=1e-4, atol=1e-5)


def test_a_residual_block_adds_both_ways() -> None:
    block = {"filters": 3, "kernel_size": 1, "residual": True, "pooling": "none", "activation": "linear"}
    network = build_network(convnet(block), 2)
    kernel = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.0], [2.0, 0.0, 1.0]])
    network.model.get_layer("block1_conv").set_weights([kernel.reshape(1, 1, 3, 3), np.zeros(3)])
    pictures = noise(2, 8, 8, 3)
    expected = pictures / 255.0 @ (kernel + np.eye(3))
    np.testing.assert_allclose(network.extractor()(pictures), expected, rtol=1e-5, atol=1e-6)


# --- heads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pooling", "reduce"),
    [
        ("flatten", lambda maps: maps.reshape(len(maps), -1)),
        ("global_average", lambda maps: maps.mean(axis=(1, 2))),
        ("global_max", lambda maps: maps.max(axis=(1, 2))),
    ],
)
def test_the_head_pools_then_runs_its_layers_in_order(pooling: str, reduce: Any) -> None:
    layers = [{"dropout": 0.5}, {"dense": 6, "activation": "tanh"}, {"dense": 5}]
    network = build_network(convnet({"filters": 4}, head={"pooling": pooling, "layers": layers}), 3)
    names = [f"head_{pooling}", "head_1_dropout", "head_2_dense", "head_3_dense", "logits", "probabilities"]
    assert layer_names(network)[-6:] == names
    assert network.model.get_layer("head_1_dropout").rate == 0.5
    weights = [network.model.get_layer(name).get_weights() for name in names[2:5]]
    pictures = noise(3, 8, 8, 3)
    x = reduce(keras.ops.convert_to_numpy(network.extractor()(pictures)))
    x = np.tanh(x @ weights[0][0] + weights[0][1])
    x = np.maximum(x @ weights[1][0] + weights[1][1], 0.0)
    x = x @ weights[2][0] + weights[2][1]
    np.testing.assert_allclose(network.logits()(pictures), x, rtol=1e-4, atol=1e-5)
    softmax = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(network.model(pictures), softmax, rtol=1e-4, atol=1e-6)


def test_two_classes_share_one_sigmoid_unit() -> None:
    network = build_network(convnet({"filters": 4}), 2)
    pictures = noise(3, 8, 8, 3)
    logits = keras.ops.convert_to_numpy(network.logits()(pictures))
    outputs = keras.ops.convert_to_numpy(network.model(pictures))
    assert logits.shape == outputs.shape == (3, 1)
    np.testing.assert_allclose(outputs, 1.0 / (1.0 + np.exp(-logits)), rtol=1e-5)
    both = class_probabilities(outputs, 2)
    np.testing.assert_array_equal(both[:, 1:], outputs)  # the unit stands for the second class
    np.testing.assert_allclose(both.sum(axis=1), 1.0, rtol=1e-6)


def test_more_classes_have_a_softmax_unit_each() -> None:
    network = build_network(convnet({"filters": 4}), 4)
    outputs = keras.ops.convert_to_numpy(network.model(noise(3, 8, 8, 3)))
    assert outputs.shape == (3, 4)
    np.testing.assert_allclose(outputs.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(class_probabilities(outputs, 4), outputs)


def test_the_last_two_layers_are_logits_and_probabilities() -> None:
    network = build_network(convnet({"filters": 4}), 3)
    logits, probabilities = network.model.layers[-2:]
    assert (logits.name, probabilities.name) == ("logits", "probabilities")
    assert logits.activation is keras.activations.linear
    assert probabilities.output is network.model.output


def test_logits_can_start_from_the_feature_maps_and_share_all_layers() -> None:
    network = build_network(convnet({"filters": 4}, head={"layers": [{"dense": 5}]}), 3)
    pictures = noise(2, 8, 8, 3)
    maps = network.extractor()(pictures)
    np.testing.assert_array_equal(network.logits(network.features)(maps), network.logits()(pictures))
    network.model.get_layer("logits").bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(network.logits(network.features)(maps), network.logits()(pictures))


@pytest.mark.parametrize(("color", "channels"), [("rgb", 3), ("grayscale", 1)])
def test_the_input_has_the_configured_size_and_channels(color: str, channels: int) -> None:
    network = build_network(convnet({"filters": 4}, size=(9, 12), color=color), 2)
    assert network.model.input.name == "pictures"
    assert network.model.input.shape == (None, 9, 12, channels)


def test_a_convnet_trains_whole() -> None:
    network = build_network(convnet({"filters": 4, "batch_norm": True}), 2)
    network.thaw("all")
    assert [weight.path for weight in network.model.trainable_weights] == [
        "block1_conv/kernel",
        "block1_batch_norm/gamma",
        "block1_batch_norm/beta",
        "logits/kernel",
        "logits/bias",
    ]


def test_the_seed_decides_the_initial_weights() -> None:
    def first(seed: int) -> np.ndarray:
        keras.utils.set_random_seed(seed)
        return build_network(convnet({"filters": 4}), 2).model.get_weights()[0]

    assert np.array_equal(first(5), first(5))
    assert not np.array_equal(first(5), first(6))


# --- other sizes -----------------------------------------------------------------------------------------------------

RESIDUAL = {"filters": 4, "separable": True, "batch_norm": True, "norm_first": True, "residual": True, "stride": 2}
SIZED: dict[str, Config] = {
    "convnet": convnet(
        {"filters": 3, "kernel_size": 3},
        {**RESIDUAL, "convolutions": 2},
        {**RESIDUAL, "dropout": 0.1},
        head={"pooling": "global_max", "layers": [{"dense": 5}]},
        size=(40, 40),
    ),
    "vgg16": configuration(backbone("vgg16"), size=(64, 64), color="grayscale"),
    "mobilenetv2": configuration(backbone("mobilenetv2"), size=(64, 64)),
}
sized = pytest.mark.parametrize("name", SIZED)
OTHER = (32, 96)  # halved five times like 64, so that MobileNets pad the same


@cache
def built(name: str) -> Network:
    """A network of three classes; biases, scales and statistics have values of which no two are the same."""
    network = build_network(SIZED[name], 3)
    numbers = np.random.default_rng(3)
    for weight in network.model.weights:
        if len(weight.shape) == 1:
            weight.assign(numbers.uniform(0.5, 1.5, weight.shape))
    return network


def pictures_for(network: Network) -> np.ndarray:
    return noise(2, *network.model.input.shape[1:])


@sized
def test_a_resized_network_shares_all_layers_and_variables_in_the_same_order(name: str) -> None:
    network = built(name)
    resized = network.resized(OTHER)
    channels = network.model.input.shape[-1]
    assert resized.model.input.shape == (None, *OTHER, channels)
    assert resized.model.output.shape == (None, 3)
    assert layer_names(resized) == layer_names(network)
    pairs = zip(network.model.weights, resized.model.weights, strict=True)
    assert all(mine is other for mine, other in pairs)
    pairs = zip(network.model.layers[1:], resized.model.layers[1:], strict=True)
    assert all(mine is other for mine, other in pairs)
    assert (resized.base, resized.features) == (network.base, network.features)


@sized
def test_a_resized_network_answers_as_one_that_was_built_for_the_size(name: str) -> None:
    network = built(name)
    data = SIZED[name].data.model_copy(update={"image_size": OTHER})
    other = build_network(SIZED[name].model_copy(update={"data": data}), 3)
    other.model.set_weights(network.model.get_weights())
    resized, pictures = network.resized(OTHER), pictures_for(other)
    np.testing.assert_allclose(resized.model(pictures), other.model(pictures), rtol=1e-4, atol=1e-6)
    maps = resized.extractor()(pictures)
    np.testing.assert_allclose(maps, other.extractor()(pictures), rtol=1e-4, atol=1e-6)
    expected = other.logits()(pictures)
    for logits in (resized.logits()(pictures), resized.logits(resized.features)(maps)):
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@sized
def test_views_of_the_original_stay_its_own(name: str) -> None:
    network = built(name)
    pictures = pictures_for(network)
    expected = np.asarray(network.model(pictures))
    logits = np.asarray(network.logits()(pictures))
    resized = network.resized(OTHER)
    resized.extractor()
    resized.logits(resized.features)
    assert network.resized(OTHER).extractor().output.shape == resized.extractor().output.shape
    assert network.model.get_layer("logits").output is network.outputs["logits"]
    assert network.model.get_layer(network.features).output.shape == network.extractor().output.shape
    np.testing.assert_array_equal(network.model(pictures), expected)
    np.testing.assert_array_equal(network.logits()(pictures), logits)
    again = resized.resized(tuple(network.model.input.shape[1:3]))
    np.testing.assert_array_equal(again.model(pictures), expected)


@sized
def test_what_a_resized_network_learns_the_original_knows(name: str) -> None:
    network = built(name)
    resized = network.resized(OTHER)
    resized.thaw("all")
    assert [weight.path for weight in network.model.trainable_weights] == [
        weight.path for weight in resized.model.trainable_weights
    ]
    before = [weight.numpy() for weight in network.model.trainable_weights]
    logits = resized.logits()
    logits.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logits.train_on_batch(pictures_for(resized), np.array([0, 2]))
    pairs = zip(network.model.trainable_weights, before, strict=True)
    moved = {weight.path for weight, old in pairs if np.any(weight.numpy() != old)}
    assert {"logits/kernel", "logits/bias"} < moved  # and some before the head
    resized.thaw("none")
    head_only = ["logits"] if network.base else [layer.name for layer in network.model.layers if layer.weights]
    trainable = {weight.path.split("/")[0] for weight in network.model.trainable_weights}
    assert trainable == set(head_only)


def test_a_flattening_head_takes_one_size_only() -> None:
    network = build_network(convnet({"filters": 4}), 2)
    with pytest.raises(ValueError, match="logits"):
        network.resized((16, 16))


def test_a_resized_network_keeps_its_dtypes() -> None:
    network = build_network(SIZED["convnet"], 3, mixed_precision=True).resized(OTHER)
    assert network.extractor().output.dtype == "float16"
    assert network.logits().output.dtype == network.model.output.dtype == "float32"


# --- dtypes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def other_policy() -> Iterator[str]:
    """A dtype policy that is not the one networks are built with."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield "mixed_bfloat16"
    keras.config.set_dtype_policy(before)


def test_mixed_precision_computes_hidden_layers_in_float16_and_answers_in_float32() -> None:
    blocks = {"filters": 4, "batch_norm": True, "dropout": 0.1}
    network = build_network(convnet(blocks, head={"layers": [{"dense": 5}]}), 3, mixed_precision=True)
    *hidden, logits, probabilities = network.model.layers[1:]
    assert {layer.compute_dtype for layer in hidden} == {"float16"}
    assert {logits.compute_dtype, probabilities.compute_dtype} == {"float32"}
    assert {weight.dtype for weight in network.model.trainable_weights} == {"float32"}
    assert network.extractor().output.dtype == "float16"
    assert network.logits().output.dtype == network.model.output.dtype == "float32"
    assert np.isfinite(network.model(np.full((2, 8, 8, 3), 255.0, "float32"))).all()


@pytest.mark.parametrize(("mixed", "dtype"), [(False, "float32"), (True, "float16")])
def test_the_global_policy_neither_leaks_in_nor_out(other_policy: str, mixed: bool, dtype: str) -> None:
    network = build_network(convnet({"filters": 4}), 2, mixed_precision=mixed)
    assert network.model.get_layer("block1_conv").compute_dtype == dtype
    assert keras.config.dtype_policy().name == other_policy


def test_the_global_policy_is_restored_after_an_error(other_policy: str, tmp_path: Path) -> None:
    model = {"kind": "pretrained", "backbone": "vgg16", "weights": str(tmp_path / "none.weights.h5")}
    config = load_config({"data": {"source": "x", "image_size": [32, 32]}, "model": model}).config
    with pytest.raises(ModelFileError):
        build_network(config, 2, mixed_precision=True)
    assert keras.config.dtype_policy().name == other_policy
