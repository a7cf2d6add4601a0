"""What only the networks know about a configuration: layer names and how small a picture may be."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from cnntrain.config import Config, Convnet, Pretrained, Problem, nearest
from cnntrain.config.sections import Block
from cnntrain.models.backbones import backbones, build_backbone
from cnntrain.models.convnet import block_sizes
from cnntrain.models.network import resize

_ANY_BACKBONE = 75  # pixels: the side that the most demanding network of keras.applications needs


def check(config: Config) -> list[Problem]:
    """All problems of the model section, and of the stages where the network decides. No weights are read."""
    if isinstance(config.model, Convnet):
        return [*_check_blocks(config, config.model), *_check_head(config)]
    return [*_check_backbone(config, config.model), *_check_weights(config.model), *_check_head(config)]


def _other_sizes(config: Config) -> dict[int, tuple[int, int]]:
    """Height and width of the pictures of every stage that has a size of its own, by its place in the list."""
    stages = enumerate(config.train.stages)
    sizes = {index: stage.image_size for index, stage in stages if stage.image_size is not None}
    return {index: size for index, size in sizes.items() if size != config.data.image_size}


def _check_head(config: Config) -> list[Problem]:
    """How many numbers flattened maps have, and so the weights of what follows, depends on the size of the pictures."""
    if config.model.head.pooling != "flatten" or not _other_sizes(config):
        return []
    what = "stages with another image_size need a head that takes any size"
    return [Problem(("model", "head", "pooling"), what, allowed="global_average or global_max", got="flatten")]


def _check_blocks(config: Config, model: Convnet) -> list[Problem]:
    """The first block that is larger than what the blocks before leave of the pictures, for every size of them."""
    problems = []
    if misfit := _first_misfit(config.data.image_size, model.blocks):
        index, what = misfit
        allowed = "larger pictures (data.image_size), fewer blocks, padding same or pooling none"
        problems.append(Problem(("model", "blocks", index), f"{what} this block", allowed))
    for stage, size in _other_sizes(config).items():
        if misfit := _first_misfit(size, model.blocks):
            index, what = misfit
            key = ("train", "stages", stage, "image_size")
            problems.append(Problem(key, f"{what} block {index + 1}", allowed="larger pictures", got=str(list(size))))
    return problems


def _first_misfit(image_size: tuple[int, int], blocks: Sequence[Block]) -> tuple[int, str] | None:
    """Index of the first block that does not fit, and what it does not fit, or nothing if all of them do."""
    before = image_size
    for index, size in enumerate(zip(*(block_sizes(side, blocks) for side in image_size), strict=True)):
        if min(size) < 1:
            return index, f"feature maps of {before[0]}x{before[1]} pixels are too small for"
        before = size
    return None


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
    if not _must_be_built(config):
        return []
    problems, image_size = list[Problem](), config.data.image_size
    try:
        base, layers = _build(model, image_size)
    except ValueError:
        what = f"{model.backbone} cannot be built for pictures this small"
        problems.append(Problem(("data", "image_size"), what, allowed="larger pictures", got=str(list(image_size))))
        base, layers = _build(model, (_ANY_BACKBONE, _ANY_BACKBONE))
    return [*problems, *_check_layers(config, model, layers), *_check_resizing(config, model, base)]


def _must_be_built(config: Config) -> bool:
    """Whether only a built backbone can tell what is wrong; that takes seconds for a large one."""
    named = any(stage.unfreeze not in (None, "none", "all") for stage in config.train.stages)
    return named or bool(_other_sizes(config)) or min(config.data.image_size) < _ANY_BACKBONE


def _build(model: Pretrained, image_size: tuple[int, int]) -> tuple[Any, tuple[str, ...]]:
    """The backbone with random weights, and its layers' names. Raises ValueError if the pictures are too small."""
    pictures = keras.Input((*image_size, 3))
    features, layers = build_backbone(pictures, model.backbone, "none")
    return keras.Model(pictures, features), layers


def _check_resizing(config: Config, model: Pretrained, base: Any) -> list[Problem]:
    """One problem for each stage whose pictures the backbone's layers do not take; some take no other size at all."""
    problems = []
    for stage, size in _other_sizes(config).items():
        try:
            resize(base, size)
        except ValueError:
            what = f"the layers of {model.backbone} do not take pictures of this size"
            key = ("train", "stages", stage, "image_size")
            problems.append(Problem(key, what, allowed="another size, or another backbone", got=str(list(size))))
    return problems


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
