"""What only the networks know about a configuration: layer names and how small a picture may be."""

import keras

from cnntrain.config import Config, Convnet, Pretrained, Problem, nearest
from cnntrain.models.backbones import backbones, build_backbone
from cnntrain.models.convnet import block_sizes


def check(config: Config) -> list[Problem]:
    """All problems of the model section, and of the stages where they name layers. No weights are read."""
    if isinstance(config.model, Convnet):
        return _check_sizes(config, config.model)
    return _check_backbone(config, config.model)


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
    channels = 3 if config.data.color == "rgb" else 1
    try:
        pictures = keras.Input((*config.data.image_size, channels))
        _, layers = build_backbone(pictures, model.backbone, "none")
    except ValueError as error:
        reason = " ".join(str(error).split())[:160]
        return [
            Problem(
                key=("data", "image_size"),
                what=f"{model.backbone} cannot be built for this size ({reason})",
                allowed="larger pictures",
                got=str(list(config.data.image_size)),
            )
        ]
    return _check_layers(config, model, layers)


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
