"""The table of a network's layers."""

import json
from typing import Any

from cnntrain.config import load_config
from cnntrain.models.network import Network, build_network
from cnntrain.models.summary import LayerRow, summarize


def network(model: dict[str, Any], *, size: tuple[int, int], classes: int) -> Network:
    config = load_config({"data": {"source": "x", "image_size": list(size)}, "model": model}).config
    return build_network(config, classes)


def small() -> Network:
    """8 × 10 pixels → convolution 6 × 8 × 4 → normalization, activation → pooling 3 × 4 × 4 → 48 → 5 → 3."""
    model = {
        "kind": "convnet",
        "blocks": [{"filters": 4, "batch_norm": True}],
        "head": {"layers": [{"dropout": 0.5}, {"dense": 5}]},
    }
    return network(model, size=(8, 10), classes=3)


def test_every_layer_has_its_shape_activations_parameters_and_stages() -> None:
    stages = ("train",)
    assert summarize(small(), {"train": "all"}).layers == (
        LayerRow("pictures", "InputLayer", (8, 10, 3), 240, 0, ()),
        LayerRow("rescaling", "Rescaling", (8, 10, 3), 240, 0, ()),
        LayerRow("block1_conv", "Conv2D", (6, 8, 4), 192, 3 * 3 * 3 * 4, stages),
        LayerRow("block1_batch_norm", "BatchNormalization", (6, 8, 4), 192, 4 * 4, stages),
        LayerRow("block1_activation", "Activation", (6, 8, 4), 192, 0, ()),
        LayerRow("block1_pool", "MaxPooling2D", (3, 4, 4), 48, 0, ()),
        LayerRow("head_flatten", "Flatten", (48,), 48, 0, ()),
        LayerRow("head_1_dropout", "Dropout", (48,), 48, 0, ()),
        LayerRow("head_2_dense", "Dense", (5,), 5, 48 * 5 + 5, stages),
        LayerRow("logits", "Dense", (3,), 3, 5 * 3 + 3, stages),
        LayerRow("probabilities", "Activation", (3,), 3, 0, ()),
    )


def residual() -> Network:
    """8 × 10 pixels → 8 × 10 × 4 → 4 × 5 × 4, and beside it 1 × 1 convolutions that skip pixels → their sum → 4 → 1."""
    block = {"filters": 4, "separable": True, "batch_norm": True, "norm_first": True, "residual": True}
    model = {"kind": "convnet", "blocks": [block], "head": {"pooling": "global_average"}}
    return network(model, size=(8, 10), classes=2)


def test_a_residual_block_is_told_with_its_separable_convolution_and_its_projection() -> None:
    stages = ("train",)
    summary = summarize(residual(), {"train": "all"})
    assert summary.layers == (
        LayerRow("pictures", "InputLayer", (8, 10, 3), 240, 0, ()),
        LayerRow("rescaling", "Rescaling", (8, 10, 3), 240, 0, ()),
        LayerRow("block1_batch_norm", "BatchNormalization", (8, 10, 3), 240, 3 * 4, stages),
        LayerRow("block1_activation", "Activation", (8, 10, 3), 240, 0, ()),
        LayerRow("block1_conv", "SeparableConv2D", (8, 10, 4), 320, 9 * 3 + 3 * 4, stages),
        LayerRow("block1_pool", "MaxPooling2D", (4, 5, 4), 80, 0, ()),
        LayerRow("block1_projection", "Conv2D", (4, 5, 4), 80, 3 * 4, stages),
        LayerRow("block1_add", "Add", (4, 5, 4), 80, 0, ()),
        LayerRow("head_global_average", "GlobalAveragePooling2D", (4,), 4, 0, ()),
        LayerRow("logits", "Dense", (1,), 1, 4 + 1, stages),
        LayerRow("probabilities", "Activation", (1,), 1, 0, ()),
    )
    assert summary.parameters == 12 + 39 + 12 + 5
    assert summary.parameters_without_head == 12 + 39 + 12
    assert summary.trainable == {"train": 6 + 39 + 12 + 5}


def test_a_resized_network_is_told_in_its_own_size() -> None:
    original = residual()
    resized = summarize(original.resized((4, 6)), {"train": "all"})
    shapes = {row.name: row.shape for row in resized.layers}
    assert (shapes["pictures"], shapes["block1_conv"], shapes["block1_add"]) == ((4, 6, 3), (4, 6, 4), (2, 3, 4))
    whole = summarize(original, {"train": "all"})
    assert whole.layers[0].shape == (8, 10, 3)
    assert (resized.parameters, resized.trainable) == (whole.parameters, whole.trainable)


def test_totals_by_hand() -> None:
    summary = summarize(small(), {"train": "all"})
    assert summary.parameters == 108 + 16 + 245 + 18
    assert summary.parameters_without_head == 108 + 16
    assert summary.trainable == {"train": 108 + 8 + 245 + 18}  # moving means and variances do not train
    assert summary.activations == 240 + 240 + 192 + 192 + 192 + 48 + 48 + 48 + 5 + 3 + 3


def test_a_summary_is_plain_json() -> None:
    summary = summarize(small(), {"train": "all"})
    read = json.loads(json.dumps(summary.to_json()))
    assert read["format"] == 1
    assert read["layers"][2] == {
        "name": "block1_conv",
        "kind": "Conv2D",
        "shape": [6, 8, 4],
        "activations": 192,
        "parameters": 108,
        "trains": ["train"],
    }
    assert {name: value for name, value in read.items() if name not in ("format", "layers")} == {
        "parameters": 387,
        "parameters_without_head": 124,
        "trainable": {"train": 379},
        "activations": 1211,
    }


def test_what_trains_is_told_by_stage() -> None:
    model = {
        "kind": "pretrained",
        "backbone": "vgg16",
        "weights": "none",
        "head": {"pooling": "global_average", "layers": [{"dense": 4}]},
    }
    found = network(model, size=(32, 32), classes=2)
    summary = summarize(found, {"head": "none", "fine_tune": "block5_conv2", "whole": "all"})
    head = 512 * 4 + 4 + 4 + 1
    convolution = 512 * 9 * 512 + 512
    assert summary.trainable == {
        "head": head,
        "fine_tune": head + 2 * convolution,
        "whole": head + 14_714_688,
    }
    assert summary.parameters == head + 14_714_688
    assert summary.parameters_without_head == 14_714_688
    trains = {row.name: row.trains for row in summary.layers}
    assert trains["logits"] == trains["head_1_dense"] == ("head", "fine_tune", "whole")
    assert trains["block5_conv3"] == trains["block5_conv2"] == ("fine_tune", "whole")
    assert trains["block5_conv1"] == trains["block1_conv1"] == ("whole",)
    assert trains["block5_pool"] == trains["pictures"] == ()


def test_normalization_of_a_backbone_never_trains() -> None:
    model = {"kind": "pretrained", "backbone": "mobilenetv3small", "weights": "none"}
    summary = summarize(network(model, size=(32, 32), classes=2), {"whole": "all"})
    rows = [row for row in summary.layers if row.kind == "BatchNormalization"]
    assert len(rows) > 10
    assert {row.trains for row in rows} == {()}
    assert summary.trainable["whole"] == summary.parameters - sum(row.parameters for row in rows)
