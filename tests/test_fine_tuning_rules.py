"""Rules for fine-tuning: rates of the backbone, interpolation and stored features."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cnntrain.config import load_config
from cnntrain.config.dumping import config_to_yaml
from cnntrain.config.resolving import resolve
from cnntrain.config.stages import plan_stages
from cnntrain.errors import ConfigError

CONVNET = {"kind": "convnet", "blocks": [{"filters": 4}]}
VGG = {"kind": "pretrained", "backbone": "vgg16"}
HEAD, TUNE = {"name": "head", "unfreeze": "none"}, {"name": "tune", "unfreeze": "block5_conv1"}


def _raw(train: dict[str, Any], model: dict[str, Any], augment: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"data": {"source": "pets"}, "model": model, "train": train, "augment": augment or {}}


@pytest.mark.parametrize(
    ("model", "train", "line"),
    [
        (VGG, {"base_learning_rate": 1e-5}, "train.base_learning_rate: no layer of the backbone trains here"),
        (
            VGG,
            {"base_learning_rate": 1e-5, "stages": [HEAD]},
            "train.base_learning_rate: no layer of the backbone trains here; set unfreeze or leave this out",
        ),
        (
            VGG,
            {"stages": [{**HEAD, "base_learning_rate": 1e-5}, TUNE]},
            "train.stages.0.base_learning_rate: no layer of the backbone trains here; set unfreeze or leave this out",
        ),
        (
            VGG,
            {
                "stages": [TUNE, {"name": "plain", "base_learning_rate": 1e-5}]
            },  # frozen, since it does not say otherwise
            "train.stages.1.base_learning_rate: no layer",
        ),
        (CONVNET, {"base_learning_rate": 1e-5}, "train.base_learning_rate: a convnet has no backbone; leave this out"),
        (
            CONVNET,
            {"stages": [{"name": "one", "base_learning_rate": 1e-5}]},
            "train.stages.0.base_learning_rate: a convnet has no backbone; leave this out",
        ),
        (VGG, {"interpolate": True}, "train.interpolate: needs a stage with unfreeze: none and after it one in which"),
        (VGG, {"interpolate": True, "stages": [TUNE, HEAD]}, "train.interpolate: needs a stage"),
        (VGG, {"interpolate": True, "stages": [TUNE]}, "train.interpolate: needs a stage"),
        (CONVNET, {"interpolate": True}, "train.interpolate: needs a stage"),
        (VGG, {"features": {"views": "fresh", "brightness": 0.1}}, "train.features.brightness: views: fresh stores no"),
        (CONVNET, {"features": {"views": 4}}, "train.features: a convnet has no frozen layers"),
        (CONVNET, {"features": {"brightness": 0.1}}, "train.features: a convnet has no frozen layers"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(model: dict[str, Any], train: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(_raw(train, model))
    assert str(caught.value).startswith(f"config: {line}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("augment", [{"mixup": 0.2}, {"cutmix": 1.0}])
def test_mixed_pictures_cannot_be_stored(augment: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(_raw({"features": {"views": 4}}, VGG, augment))
    line = "with augment.mixup or augment.cutmix nothing can be stored; leave them out, or say fresh"
    assert str(caught.value) == f"config: train.features.views: {line}; allowed: auto, fresh; got: 4"
    for views in ("auto", "fresh"):
        load_config(_raw({"features": {"views": views}}, VGG, augment))


@pytest.mark.parametrize(
    "train",
    [
        {"interpolate": True, "stages": [TUNE, HEAD, {**TUNE, "name": "again"}]},
        {"base_learning_rate": 1e-5, "stages": [HEAD, TUNE]},
        {"stages": [HEAD, {**TUNE, "base_learning_rate": 1e-5}]},
        {"features": {"views": 4, "brightness": 0.1}},
    ],
)
def test_what_can_be_done_is_read(train: dict[str, Any]) -> None:
    assert load_config(_raw(train, VGG)).config.train


def test_a_frozen_stage_inherits_no_rate_so_that_the_resolved_configuration_is_read_again() -> None:
    config = load_config(_raw({"base_learning_rate": 1e-5, "stages": [HEAD, TUNE]}, VGG)).config
    assert [plan.base_learning_rate for plan in plan_stages(config)] == [None, 1e-5]
    resolved = resolve(config, source=Path("pets"), classes=("cat", "dog"), cache="none", has_validation=True, views=4)
    again = load_config(yaml.safe_load(config_to_yaml(resolved))).config
    assert plan_stages(again) == plan_stages(config)
