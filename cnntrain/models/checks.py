"""What only the networks know about a configuration: layer names and how small a picture may be."""

from pathlib import Path

import keras

from cnntrain.config import Config, Convnet, Pretrained, Problem, nearest
from cnntrain.models.backbones import backbones, build_backbone
from cnntrain.models.convnet import block_sizes

_LARGE_ENOUGH = (224, 224)


def check(config: Config) -> list[Problem]:
    """All problems of the model section, and of the stages where they name layers. No weights are read."""
    if isinstance(config.model, Convnet):
        return _check_sizes(config, config.model)
    return [*_check_backbone(config, config.model), *_check_weights(config.model)]


def _check_sizes(config: Config, model: Convnet) -> list[Problem]:
    """The first block that is larger than what the blocks before leave of the picture."""
    heights, widths = (block_sizes(side, model.blocks) for side in config.data.image_size)
    for index, (height, width) in enumerate(zip(heights, widths, strict=True)):
        if min(height, width) < 1:
            before = (heights[index - 1], widths[index - 1]) if index else config.data.image_size
            return [
                Problem(
                    key=("model", "blocks", index),
                    what=f"feature maps of {before[0]}x{before[1]} pixels are too small for this block",
                    allowed="larger pictures (data.image_size), fewer blocks, padding same or pooling none",
                )
            ]
    return []


def _check_weights(model: Pretrained) -> list[Problem]:
    """A weights file must be there; what is in it is seen when it is loaded."""
    if model.weights in ("imagenet", "none") or Path(model.weights).expanduser().is_file():
        return []
    what, allowed = "there is no such file", "imagenet, none or the path of a weights file"
    return [Problem(key=("model", "weights"), what=what, allowed=allowed, got=model.weights)]


def _check_backbone(config: Config, model: Pretrained) -> list[Problem]:
    known = backbones()
    if model.backbone.lower() not in known:
        return [
            Problem(
                key=("model", "backbone"),
                what="keras.applications has no such network",
                allowed=", ".join(known),
                got=model.backbone,
                suggestion=nearest(model.backbone.lower(), tuple(known)),
            )
        ]
    try:
        return _check_layers(config, model, _layers(model, config.data.image_size))
    except ValueError:
        too_small = Problem(
            key=("data", "image_size"),
            what=f"{model.backbone} cannot be built for pictures this small",
            allowed="larger pictures",
            got=str(list(config.data.image_size)),
        )
    return [too_small, *_check_layers(config, model, _layers(model, _LARGE_ENOUGH))]


def _layers(model: Pretrained, image_size: tuple[int, int]) -> tuple[str, ...]:
    """Names of the backbone's layers. Raises ValueError if it does not fit pictures of this size."""
    _, layers = build_backbone(keras.Input((*image_size, 3)), model.backbone, "none")
    return layers


def _check_layers(config: Config, model: Pretrained, layers: tuple[str, ...]) -> list[Problem]:
    """One problem for each stage that thaws from a layer which the backbone lacks."""
    allowed = ("none", "all", *layers)
    return [
        Problem(
            key=("train", "stages", index, "unfreeze"),
            what=f"{model.backbone} has no layer of this name",
            allowed=f"none, all, or one of its {len(layers)} layers (cnntrain summary lists them)",
            got=stage.unfreeze,
            suggestion=nearest(stage.unfreeze, allowed),
        )
        for index, stage in enumerate(config.train.stages)
        if stage.unfreeze is not None and stage.unfreeze not in allowed
    ]
