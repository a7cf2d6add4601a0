"""Everything that a configuration asks to be changed in single pictures, in its order."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from cnntrain.config.sections import Augment
from cnntrain.data.augmentation.colour import draw_colours, recolour, recolours
from cnntrain.data.augmentation.erasing import draw_erasures, draw_noise, erase
from cnntrain.data.augmentation.geometry import draw_transforms, moves, warp
from cnntrain.data.augmentation.rand_augment import draw_operations, operate


@dataclass(frozen=True)
class Change:
    """One change of pictures, drawn for an epoch.

    Args:
        rows: What was drawn; the first axis counts the pictures of the training set.
        apply: From a batch of pictures (n, height, width, channels) and their rows to the changed pictures, float32.
    """

    rows: npt.NDArray[Any]
    apply: Callable[[Any, Any], Any]


def draw_changes(
    augment: Augment, *, seed: int, epoch: int, count: int, shape: tuple[int, int, int]
) -> tuple[Change, ...]:
    """Draws what is changed in each picture in one epoch: a function of seed, epoch and picture alone.

    Args:
        augment: The ranges.
        seed: Of the run.
        epoch: Counted through all stages.
        count: Number of training pictures.
        shape: Height and width in pixels, and channels.

    Returns:
        The changes in their order: RandAugment, warp, colours, erasing; only those that are asked for.
    """
    size, channels = shape[:2], shape[2]
    changes = []
    if augment.rand_augment:
        operations = draw_operations(augment.rand_augment, seed=seed, epoch=epoch, count=count, shape=shape)
        changes.append(Change(operations, partial(operate, fill=augment.fill)))
    if moves(augment):
        transforms = draw_transforms(augment, seed=seed, epoch=epoch, count=count, size=size)
        changes.append(Change(transforms, partial(warp, fill=augment.fill)))
    if recolours(augment, channels):
        colours = draw_colours(augment, seed=seed, epoch=epoch, count=count, channels=channels)
        changes.append(Change(colours, recolour))
    if augment.erasing:
        erasures = draw_erasures(augment.erasing, seed=seed, epoch=epoch, count=count, size=size)
        noise = tf.constant(draw_noise(seed=seed, epoch=epoch, shape=shape))
        changes.append(Change(erasures, partial(erase, noise=noise)))
    return tuple(changes)
