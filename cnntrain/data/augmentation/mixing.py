"""MixUp and CutMix: each picture of a batch is blended with the next one, and so are their targets."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.config.sections import Augment
from cnntrain.data.augmentation.boxes import covered
from cnntrain.data.randomness import MIXING, generator

Floats = npt.NDArray[np.float64]


def draw_mixtures(
    augment: Augment, *, seed: int, epoch: int, steps: int, size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Draws how the pictures of each batch of an epoch are mixed: by MixUp, by CutMix, or by the toss of a coin.

    Both put a rectangle of the partner on the picture: MixUp all of it and translucent, CutMix a part and opaque.

    Args:
        augment: The parameters of the beta distributions; at least one is above zero.
        seed: Of the run.
        epoch: Counted through all stages.
        steps: Number of batches of the epoch.
        size: Height and width in pixels.

    Returns:
        A float32 array (steps, 5): top, left, bottom and right of the rectangle in pixels, and its opacity.
    """
    uniform = generator(MIXING, seed=seed, epoch=epoch).random((steps, 4))
    whole = np.tile(np.array([0, 0, *size], np.float64), (steps, 1))
    mixup = np.column_stack([whole, _beta(augment.mixup, uniform[:, 1])])
    cutmix = np.column_stack([_rectangles(_beta(augment.cutmix, uniform[:, 1]), uniform[:, 2:], size), np.ones(steps)])
    if augment.mixup and augment.cutmix:
        mixed = np.where(uniform[:, :1] < 0.5, mixup, cutmix)
    else:
        mixed = mixup if augment.mixup else cutmix
    return mixed.astype(np.float32)


def _beta(parameter: float, uniform: Floats) -> Floats:
    """Values of a beta distribution with the same parameter twice; zero for a parameter of zero."""
    from scipy.special import betaincinv

    return np.asarray(betaincinv(parameter, parameter, uniform)) if parameter else np.zeros_like(uniform)


def _rectangles(area: Floats, uniform: Floats, size: tuple[int, int]) -> Floats:
    """Rectangles (steps, 4) like the picture, of a part of its area, about any of its pixels; clipped at its edges."""
    sides = np.array(size) * np.sqrt(area)[:, np.newaxis]
    centers = np.floor(uniform * size)
    return np.column_stack([np.clip(centers + sign * (sides // 2), 0, size) for sign in (-1, 1)])


def mix(row: Any, pictures: Any, targets: Any, *weights: Any) -> tuple[Any, ...]:
    """Mixes each picture with the next one of its batch, the last one with the first.

    Targets are mixed in proportion to what is seen of both pictures and to their weights, so that the loss is the same
    mixture of the two weighted losses.

    Args:
        row: float32 (5,), of `draw_mixtures`.
        pictures: (N, height, width, channels), of any number type.
        targets: float32 (N, outputs).
        weights: float32 (N,), where pictures have weights.

    Returns:
        The mixed pictures (float32), targets and weights, in their shapes.
    """
    height, width, channels = pictures.shape[1:]
    box, opacity = tf.cast(row[tf.newaxis, :4], tf.int32), row[4]
    inside = tf.reshape(covered(box, (height, width, channels)), (height, width, channels))
    area = tf.cast((box[0, 2] - box[0, 0]) * (box[0, 3] - box[0, 1]), tf.float32) / (height * width)
    part = opacity * area
    mixed = _blend(tf.cast(pictures, tf.float32), opacity * tf.cast(inside, tf.float32))
    if not weights:
        return mixed, _blend(targets, part)
    weight = weights[0][:, tf.newaxis]
    total = _blend(weight, part)
    return mixed, tf.math.divide_no_nan(_blend(weight * targets, part), total), total[:, 0]


def _blend(values: Any, part: Any) -> Any:
    return (1.0 - part) * values + part * tf.roll(values, -1, axis=0)
