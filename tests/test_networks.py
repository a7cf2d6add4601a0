"""Networks: golden parameter counts, sizes, blocks, heads and dtypes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnntrain.config import Block, Config, load_config
from cnntrain.errors import ModelFileError
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
    *blocks: dict[str, Any], head: dict[str, Any] | None = None, size: tuple[int, int] = (8, 8), color: str = "rgb"
) -> Config:
    """A configuration of a from-scratch network."""
    model = {"kind": "convnet", "blocks": list(blocks), "head": head or {}}
    return load_config({"data": {"source": "x", "image_size": list(size), "color": color}, "model": model}).config


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


# --- sizes -----------------------------------------------------------------------------------------------------------

any_block = st.builds(
    Block,
    filters=st.just(1),
    kernel_size=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same"]),
    pooling=st.sampled_from(["max", "average", "none"]),
    pool_size=st.integers(1, 4),
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


@settings(max_examples=60, deadline=None)
@given(blocks=st.lists(any_block, min_size=1, max_size=3), height=st.integers(1, 20), width=st.integers(1, 20))
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


def test_a_picture_too_small_for_the_blocks_is_told_with_what_is_left_of_it() -> None:
    (problem,) = check(convnet({"filters": 4}, {"filters": 4}, size=(9, 24)))  # 9 → 7 → 3 → 1 → 0
    assert problem.key == ("model", "blocks", 1)
    assert "3x11" in problem.what


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
