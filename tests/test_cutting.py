"""Cuts: golden places, an independent reference, costs by hand, and that both sides of a cut make the whole model."""

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnntrain.config import load_config
from cnntrain.models.cutting import cuts, frozen_cut, multiply_adds
from cnntrain.models.network import Network, build_network
from cnntrain.runs.model_file import load_model, save_model

FLOAT16 = 2.0**-11  # the largest relative error of rounding to float16
SIDES = {"inceptionv3": 75}


def configured(model: dict[str, Any], side: int, classes: int = 3, *, mixed_precision: bool = False) -> Network:
    config = load_config({"data": {"source": "x", "image_size": [side, side]}, "model": model}).config
    return build_network(config, classes, mixed_precision=mixed_precision)


def pretrained(name: str, **head: Any) -> dict[str, Any]:
    return {"kind": "pretrained", "backbone": name, "weights": "none", "head": {"pooling": "global_average", **head}}


def convnet() -> Network:
    blocks = [{"filters": 4, "batch_norm": True}, {"filters": 3, "residual": True}]
    return configured({"kind": "convnet", "blocks": blocks}, 16)


@cache
def built(name: str) -> Network:
    """A network as Keras builds it, for pictures as small as it takes; VGG16's has two classes."""
    return configured(pretrained(name), SIDES.get(name, 32), 2 if name == "vgg16" else 3)


# --- where a backbone can be cut -------------------------------------------------------------------------------------

VGG16 = """
    block1_conv1 block1_conv2 block1_pool
    block2_conv1 block2_conv2 block2_pool
    block3_conv1 block3_conv2 block3_conv3 block3_pool
    block4_conv1 block4_conv2 block4_conv3 block4_pool
    block5_conv1 block5_conv2 block5_conv3 block5_pool
"""
RESNET50_BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}
MOBILENETV2_ADDS = (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)  # blocks with a shortcut: those that keep size and channels


def test_a_chain_can_be_cut_after_each_layer() -> None:
    assert cuts(built("vgg16")) == tuple(VGG16.split())


def test_a_residual_network_is_cut_where_blocks_meet() -> None:
    stem = ("conv1_pad", "conv1_conv", "conv1_bn", "conv1_relu", "pool1_pad", "pool1_pool")
    blocks = [f"conv{stage}_block{number + 1}" for stage, count in RESNET50_BLOCKS.items() for number in range(count)]
    expected = [f"{block}_{part}" for block in blocks for part in ("add", "out")]
    assert cuts(built("resnet50")) == (*stem, *expected)


def test_a_block_without_a_shortcut_can_be_cut_inside() -> None:
    found = cuts(built("mobilenetv2"))
    inside = {name.split("_add")[0] for name in found if name.endswith("_add")}
    assert inside == {f"block_{number}" for number in MOBILENETV2_ADDS}
    for number in range(1, 17):
        parts = {name for name in found if name.startswith(f"block_{number}_")}
        assert (parts == {f"block_{number}_add"}) == (number in MOBILENETV2_ADDS)
        assert (f"block_{number}_depthwise" in parts) != (number in MOBILENETV2_ADDS)


def test_inception_is_cut_where_its_branches_are_put_together() -> None:
    stem = [f"{kind}{end}" for end in ("", "_1", "_2") for kind in ("conv2d", "batch_normalization", "activation")]
    more = [f"{kind}_{end}" for end in (3, 4) for kind in ("conv2d", "batch_normalization", "activation")]
    mixed = [f"mixed{number}" for number in range(11)]
    assert cuts(built("inceptionv3")) == (*stem, "max_pooling2d", *more, "max_pooling2d_1", *mixed)


def test_convnext_is_cut_at_sums_that_are_no_layers() -> None:
    name = "convnext_tiny"
    sums = ["add", *(f"add_{number}" for number in range(1, 18))]  # 3 + 3 + 9 + 3 blocks
    stages = [sums[:3], sums[3:6], sums[6:15], sums[15:]]
    starts = [f"{name}_stem", *(f"{name}_downsampling_block_{number}" for number in range(3))]
    blocks = [place for start, stage in zip(starts, stages, strict=True) for place in (start, *stage)]
    assert cuts(built("convnexttiny")) == (f"{name}_prestem_normalization", *blocks, "layer_normalization")


def test_a_dense_block_is_cut_after_every_concatenation() -> None:
    found = cuts(built("densenet121"))
    assert [name for name in found if "conv5" in name] == [f"conv5_block{number}_concat" for number in range(1, 17)]
    assert {"pool2_pool", "pool3_pool", "pool4_pool", "relu"} < set(found)


def test_a_network_without_a_backbone_has_no_cuts() -> None:
    network = convnet()
    assert cuts(network) == ()
    assert {frozen_cut(network, unfreeze) for unfreeze in ("none", "all")} == {None}


# --- what does not train ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "unfreeze", "expected"),
    [
        ("vgg16", "none", "block5_pool"),
        ("vgg16", "block5_pool", "block5_pool"),  # it has no weights, nor does anything after it
        ("vgg16", "block5_conv2", "block5_conv1"),
        ("vgg16", "block5_conv1", "block4_pool"),
        ("vgg16", "block4_pool", "block4_pool"),
        ("vgg16", "block1_conv2", "block1_conv1"),
        ("vgg16", "block1_conv1", None),
        ("vgg16", "all", None),
        ("resnet50", "conv5_block1_1_conv", "conv4_block6_out"),
        ("resnet50", "conv5_block1_0_conv", "conv4_block6_out"),
        ("resnet50", "conv5_block3_3_bn", "conv5_block3_out"),  # batch normalization of a backbone never trains
        ("resnet50", "conv1_bn", "pool1_pool"),
        ("resnet50", "all", None),
        ("mobilenetv2", "block_16_depthwise", "block_16_expand_relu"),
        ("mobilenetv2", "block_15_project", "block_14_add"),
        ("inceptionv3", "mixed8", "mixed8"),
        ("inceptionv3", "conv2d_76", "mixed8"),  # 5 + 3·7 + 4 + 4·10 + 6 convolutions come before it
        ("inceptionv3", "conv2d_93", "mixed9"),
        ("efficientnetv2b0", "top_conv", "block6h_add"),
        ("efficientnetv2b0", "block6b_dwconv2", "block6a_project_bn"),
        ("efficientnetv2b0", "all", None),
        ("efficientnetb0", "all", None),  # its normalization of pictures has weights, but is nothing worth storing
        ("convnexttiny", "convnext_tiny_stage_2_block_4_pointwise_conv_1", "add_9"),
        ("convnexttiny", "convnext_tiny_stage_3_block_0_depthwise_conv", "convnext_tiny_downsampling_block_2"),
        ("convnexttiny", "convnext_tiny_downsampling_block_2", "add_14"),
        ("convnexttiny", "convnext_tiny_stem", None),
        ("densenet121", "conv5_block16_1_conv", "conv5_block15_concat"),
    ],
)
def test_the_frozen_prefix_ends_before_the_first_layer_that_trains(
    name: str, unfreeze: str, expected: str | None
) -> None:
    assert frozen_cut(built(name), unfreeze) == expected


@pytest.mark.parametrize("name", ["resnet50", "convnexttiny"])
def test_frozen_whole_a_backbone_is_cut_at_its_features_however_deep_it_is_thawed_now(name: str) -> None:
    network = built(name)
    network.thaw("all")
    before = {layer.name for layer in network.model.layers if layer.trainable}
    assert frozen_cut(network, "none") == cuts(network)[-1] == network.features
    assert {layer.name for layer in network.model.layers if layer.trainable} == before


@pytest.mark.parametrize("unfreeze", ["none", "all", "conv5_block3_2_conv", "conv5_block3_out"])
def test_the_layers_told_to_train_are_those_that_are_thawed(unfreeze: str) -> None:
    network = built("resnet50")
    told = network.training_layers(unfreeze)
    network.thaw(unfreeze)
    assert {layer.name for layer in network.model.layers if layer.trainable} == told
    assert "logits" in told
    assert "conv5_block3_3_bn" not in told
    assert ("conv5_block3_3_conv" in told) == (unfreeze in ("all", "conv5_block3_2_conv"))


# --- any graph, against removing one place after the other -----------------------------------------------------------

Graph = list[tuple[tuple[int, ...], bool]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """For each place after the pictures: the one or two places that it takes from, and whether it is a layer."""
    return [
        (tuple(sorted(draw(st.sets(st.integers(0, place), min_size=1, max_size=2)))), draw(st.booleans()))
        for place in range(draw(st.integers(1, 9)))
    ]


def network_of(graph: Graph) -> tuple[Network, dict[str, set[str]]]:
    """A network with a backbone of that graph, and what each place takes from, by names.

    Layers that take from one place are dense, and so have weights; the others add.
    """
    tensors = [keras.Input((2,), name="pictures")]
    for number, (parents, is_layer) in enumerate(graph):
        inputs = [tensors[parent] for parent in parents]
        if len(inputs) == 2:
            x = keras.layers.Add(name=f"layer{number}")(inputs) if is_layer else inputs[0] + inputs[1]
        else:
            x = keras.layers.Dense(2, name=f"layer{number}")(inputs[0]) if is_layer else -inputs[0]
        tensors.append(x)
    features = keras.layers.Identity(name="features")(tensors[-1])
    model = keras.Model(tensors[0], keras.layers.Dense(1, name="logits")(features))
    base = tuple(layer.name for layer in model.layers[1:-1])
    names = [tensor._keras_history.operation.name for tensor in tensors]
    takes = {name: {names[parent] for parent in parents} for name, (parents, _) in zip(names[1:], graph, strict=True)}
    takes |= {"features": {names[-1]}, "logits": {"features"}, "pictures": set()}
    network = Network(model, base, "features", {operation.name: operation.output for operation in model.operations})
    return network, takes


def upwards(takes: Mapping[str, Collection[str]], end: str, without: str = "") -> set[str]:
    """All that a place comes from, itself too, where one place is taken away."""
    if end == without:
        return set()
    return {end}.union(*(upwards(takes, parent, without) for parent in takes[end]))


def reference(network: Network, takes: Mapping[str, Collection[str]]) -> list[str]:
    """The places without which the pictures do not reach the logits, from the first to the last layer of the base."""
    needed = [name for name in upwards(takes, "logits") if "pictures" not in upwards(takes, "logits", without=name)]
    ordered = sorted(set(needed) - {"pictures", "logits"}, key=lambda name: len(upwards(takes, name)))
    layers = [place for place, name in enumerate(ordered) if name in network.base]
    return ordered[layers[0] : layers[-1] + 1]


def frozen_reference(takes: Mapping[str, Collection[str]], found: Sequence[str], thawed: Collection[str]) -> str | None:
    """The last of the cuts that come out of something dense and out of nothing dense that trains."""
    dense = {name for name in takes if name.startswith("layer") and len(takes[name]) == 1}
    worth = [name for name in found if upwards(takes, name) & dense and not upwards(takes, name) & dense & set(thawed)]
    return worth[-1] if worth else None


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_cuts_are_the_places_that_nothing_passes_by(graph: Graph, data: st.DataObject) -> None:
    network, takes = network_of(graph)
    found = reference(network, takes)
    assert list(cuts(network)) == found
    unfreeze = data.draw(st.sampled_from((*network.base, "none", "all")))
    first = {"none": len(network.base), "all": 0}.get(unfreeze)
    thawed = network.base[network.base.index(unfreeze) if first is None else first :]
    assert frozen_cut(network, unfreeze) == frozen_reference(takes, found, thawed)


# --- what the parts cost ---------------------------------------------------------------------------------------------


def test_multiply_adds_of_vgg16_at_224_pixels() -> None:
    network = configured(pretrained("vgg16"), 224, 1000)
    sides = (224, 112, 56, 28, 14)
    channels = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
    blocks = [
        sum(side**2 * (9 * before + 1) * after for before, after in pairwise(widths))
        for side, widths in zip(sides, channels, strict=True)
    ]
    assert sum(blocks) == 15_346_630_656 + 13_547_520  # the published 15.3 billion, and a bias at each position
    assert multiply_adds(network, None, "block5_pool") == sum(blocks)
    assert multiply_adds(network, "block4_pool", "block5_pool") == blocks[-1] == 3 * 14**2 * (9 * 512 + 1) * 512
    assert multiply_adds(network, "block4_pool", None) == blocks[-1] + 513 * 1000


def test_multiply_adds_of_branches_and_depthwise_convolutions() -> None:
    block = 64 * 64 + 64 + 9 * 64 * 64 + 64 + 64 * 256 + 256 + 64 * 256 + 256  # three convolutions and the shortcut's
    statistics = 4 * (64 + 64 + 256 + 256)
    assert multiply_adds(built("resnet50"), "pool1_pool", "conv2_block1_out") == 8**2 * (block + statistics)
    depthwise = multiply_adds(built("mobilenetv2"), "Conv1_relu", "expanded_conv_depthwise")
    assert depthwise == 16**2 * 9 * 32


@pytest.mark.parametrize("name", ["resnet50", "convnexttiny"])
def test_both_sides_of_a_cut_cost_what_the_whole_costs(name: str) -> None:
    network = built(name)
    parts = [multiply_adds(network, None, cut) for cut in cuts(network)]
    assert parts == sorted(parts)
    rest = [multiply_adds(network, cut, None) for cut in cuts(network)]
    assert {one + other for one, other in zip(parts, rest, strict=True)} == {multiply_adds(network, None, None)}


def test_multiply_adds_of_a_convnet() -> None:
    network = configured({"kind": "convnet", "blocks": [{"filters": 4}], "head": {"layers": [{"dense": 5}]}}, 8)
    # 8 → 6 → 3: a convolution of 28 weights a filter at 36 positions, then 3 × 3 × 4 = 36 features
    assert multiply_adds(network, None, None) == 36 * 28 * 4 + 37 * 5 + 6 * 3
    assert multiply_adds(network, network.features, None) == 37 * 5 + 6 * 3


# --- the two sides of a cut are the whole model ----------------------------------------------------------------------

FAMILIES = ("vgg16", "resnet50", "mobilenetv2", "efficientnetv2b0", "convnexttiny")
family = pytest.mark.parametrize("name", FAMILIES)


def pictures(network: Network, count: int = 4) -> np.ndarray:
    """Coarse patterns: fine noise would be averaged away in the lower layers."""
    side, *_ = network.model.input.shape[1:]
    coarse = np.random.default_rng(7).uniform(0.0, 255.0, (count, 4, 4, 3))
    return coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2).astype("float32")


def stir(network: Network) -> None:
    """Gives all weights, statistics too, values with which answers depend on the pictures and do not saturate."""
    numbers = np.random.default_rng(3)
    for layer in network.model.layers:
        for weight in layer.weights:
            shape, gain = weight.shape, 1.6 * layer.output.shape[-1] / math.prod(weight.shape)
            if len(shape) > 1:
                weight.assign(numbers.normal(0.0, math.sqrt(gain), shape))
            else:
                center = 1.0 if weight.name in ("gamma", "moving_variance") else 0.0
                weight.assign(numbers.uniform(center - 0.5, center + 0.5, shape))
    logits, last = to_numpy(network.logits(), pictures(network)), network.model.get_layer("logits")
    last.kernel.assign(last.kernel / logits.std(axis=0))
    last.bias.assign((last.bias - logits.mean(axis=0)) / logits.std(axis=0))


@cache
def stirred(name: str) -> Network:
    """A network of a family; its tests leave its weights as they found them."""
    network = configured(pretrained(name), 32, 2 if name == "vgg16" else 3)
    stir(network)
    return network


def to_numpy(model: Any, inputs: np.ndarray) -> np.ndarray:
    return np.asarray(model(inputs, training=False), dtype=np.float64)


def probabilities(part: keras.Model, features: np.ndarray) -> np.ndarray:
    """Answers of a part that ends at the logits, by the formulas of sigmoid and softmax."""
    logits = to_numpy(part, features)
    if logits.shape[1] == 1:
        return np.asarray((1.0 + np.tanh(logits / 2.0)) / 2.0)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def float16_tolerance(part: keras.Model, features: np.ndarray) -> float:
    """How far the answers move where each feature moves by as much as rounding to float16 can, up or down at random."""
    signs = np.random.default_rng(11).choice([-1.0, 1.0], (8, *features.shape))
    moved = (features * (1.0 + FLOAT16 * signs)).reshape(-1, *features.shape[1:])
    found = probabilities(part, moved).reshape(8, len(features), -1)
    return float(np.abs(found - probabilities(part, features)).max())


def demand_equal_answers(network: Network, cut: str, images: np.ndarray, whole: np.ndarray) -> None:
    """Compares the part after a cut with the whole model's answers, on features as they are and as they are stored."""
    part, features = network.logits(cut), np.asarray(network.extractor(cut)(images))
    np.testing.assert_allclose(probabilities(part, features), whole, rtol=0, atol=1e-6)
    tolerance = float16_tolerance(part, features)
    assert tolerance < 0.1 * whole.std(axis=0).min()  # or it would show nothing
    stored = features.astype(np.float16)
    np.testing.assert_allclose(probabilities(part, stored), whole, rtol=0, atol=tolerance + 1e-6)


def chosen_cuts(network: Network) -> tuple[str, str]:
    """The cut with the whole base before it, and one in the middle."""
    found = cuts(network)
    return found[-1], found[len(found) // 2]


@family
def test_the_part_after_a_cut_answers_like_the_whole_model(name: str) -> None:
    network = stirred(name)
    images = pictures(network)
    whole = to_numpy(network.model, images)
    for cut in chosen_cuts(network):
        demand_equal_answers(network, cut, images, whole)


def test_the_part_after_a_cut_answers_like_the_saved_model(tmp_path: Path) -> None:
    network = stirred("mobilenetv2")
    images = pictures(network)
    save_model(tmp_path / "model.keras", network.model, ("a", "b", "c"))
    whole = to_numpy(load_model(tmp_path / "model.keras"), images)
    for cut in chosen_cuts(network):
        demand_equal_answers(network, cut, images, whole)


@family
def test_a_higher_cut_follows_from_a_lower_one(name: str) -> None:
    network = stirred(name)
    images, found = pictures(network), cuts(network)
    for low, high in ((found[2], found[-4]), (found[-2], found[-1])):
        features = network.extractor(low)(images)
        np.testing.assert_array_equal(network.extractor(high, low)(features), network.extractor(high)(images))


@pytest.mark.parametrize(
    ("name", "unfreeze"),
    [("vgg16", "block5_conv1"), ("mobilenetv2", "block_16_expand"), ("efficientnetv2b0", "block6h_expand_conv")],
)
def test_training_after_a_cut_is_training_the_whole_model(name: str, unfreeze: str) -> None:
    network = stirred(name)
    cut = frozen_cut(network, unfreeze)
    assert cut is not None
    images = pictures(network)
    features, untrained = np.asarray(network.extractor(cut)(images)), to_numpy(network.model, images)
    before = network.model.get_weights()
    network.thaw(unfreeze)
    after_cut = one_step(network.logits(cut), features, network)
    answers = to_numpy(network.model, images)
    np.testing.assert_array_equal(network.extractor(cut)(images), features)
    np.testing.assert_allclose(probabilities(network.logits(cut), features), answers, rtol=0, atol=1e-6)
    network.model.set_weights(before)
    end_to_end = one_step(network.logits(), images, network)
    network.model.set_weights(before)
    assert np.abs(answers - untrained).max() > 0.01
    for one, other, old in zip(after_cut, end_to_end, before, strict=True):
        np.testing.assert_allclose(one - old, other - old, rtol=1e-3, atol=1e-6)


def one_step(model: keras.Model, inputs: np.ndarray, network: Network) -> list[np.ndarray]:
    """All weights of the network after one step of gradient descent of a part of it."""
    two = model.output.shape[-1] == 1
    loss: Any = keras.losses.BinaryCrossentropy if two else keras.losses.SparseCategoricalCrossentropy
    model.compile(keras.optimizers.SGD(0.01), loss(from_logits=True), run_eagerly=True)
    model.train_on_batch(inputs, np.array([0, 1, 1, 0]).reshape(4, 1) if two else np.array([0, 1, 2, 0]))
    return list(network.model.get_weights())


# --- other sizes, other dtypes ---------------------------------------------------------------------------------------


def test_a_resized_network_is_cut_at_the_same_places() -> None:
    network = built("vgg16")
    resized = network.resized((64, 64))
    assert cuts(resized) == cuts(network)
    assert frozen_cut(resized, "block5_conv1") == "block4_pool"
    assert resized.extractor("block4_pool").output.shape[1:] == (4, 4, 512)
    assert network.extractor("block4_pool").output.shape[1:] == (2, 2, 512)
    assert multiply_adds(resized, None, "block5_pool") == 4 * multiply_adds(network, None, "block5_pool")
    images = pictures(resized, 2)
    found = probabilities(resized.logits("block4_pool"), np.asarray(resized.extractor("block4_pool")(images)))
    np.testing.assert_allclose(found, to_numpy(resized.model, images), rtol=0, atol=1e-6)


def test_cuts_do_not_count_the_graphs_that_share_layers() -> None:
    network = configured(pretrained("mobilenetv2"), 32)
    expected = cuts(network)
    for start in (None, *expected[-3:]):
        network.logits(start)
    resized = network.resized((64, 96))
    resized.extractor(expected[5])
    resized.logits(expected[5])
    assert cuts(network) == cuts(resized) == expected
    assert network.extractor(expected[5], expected[2]).input.shape == network.outputs[expected[2]].shape
    assert resized.extractor(expected[5], expected[2]).input.shape == resized.outputs[expected[2]].shape


def test_in_mixed_precision_features_are_float16_and_lose_nothing_when_stored() -> None:
    network = configured(pretrained("vgg16", layers=[{"dense": 4}]), 32, mixed_precision=True)
    assert cuts(network) == tuple(VGG16.split())
    cut = frozen_cut(network, "block5_conv1")
    assert cut == "block4_pool"
    extractor, images = network.extractor(cut), pictures(network, 2)
    features = np.asarray(extractor(images))
    assert extractor.output.dtype == features.dtype == np.float16
    logits = network.logits(cut)
    assert logits.output.dtype == "float32"
    np.testing.assert_array_equal(logits(features), network.logits()(images))
    np.testing.assert_array_equal(logits(features.astype(np.float32)), network.logits()(images))
