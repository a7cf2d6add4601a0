"""Brightness, contrast, saturation and hue: one affine transform of the colours a picture."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.config.sections import Augment
from cnntrain.data.randomness import COLOR, generator

Floats = npt.NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114])  # weights of red, green and blue in gray: ITU-R BT.601, as in Pillow


def recolours(augment: Augment, channels: int) -> bool:
    """Whether anything is asked for that changes the colours of pictures with so many channels."""
    return bool(augment.brightness or augment.contrast or (channels == 3 and (augment.saturation or augment.hue)))


def draw_colours(augment: Augment, *, seed: int, epoch: int, count: int, channels: int) -> npt.NDArray[np.float32]:
    """Draws how the colours of each picture are changed in one epoch: brightness, contrast, saturation, then hue.

    Args:
        augment: The ranges.
        seed: Of the run.
        epoch: Counted through all stages.
        count: Number of training pictures.
        channels: 1 or 3; saturation and hue change nothing in a gray picture.

    Returns:
        A float32 array with a row a picture, as `recolour` takes it: as narrow as what is asked for allows.
    """
    signed = 2.0 * generator(COLOR, seed=seed, epoch=epoch).random((count, 4)) - 1.0
    ranges = (augment.brightness, augment.contrast, augment.saturation)
    brightness, contrast, saturation = (1.0 + extent * signed[:, column] for column, extent in enumerate(ranges))
    rows = (brightness * contrast)[:, np.newaxis]
    if channels == 3 and (augment.saturation or augment.hue):
        mixing = hue_matrices(2.0 * np.pi * augment.hue * signed[:, 3]) @ saturation_matrices(saturation)
        rows = rows * mixing.transpose(0, 2, 1).reshape(count, 9)
    if augment.contrast:
        rows = np.column_stack([rows, (1.0 - contrast) * brightness])
    return rows.astype(np.float32)


def saturation_matrices(factors: Floats) -> Floats:
    """Matrices (count, 3, 3) over (red, green, blue) that multiply the distance to the gray by factors (count,)."""
    factors = factors[:, np.newaxis, np.newaxis]
    return np.asarray(factors * np.eye(3) + (1.0 - factors) * LUMA)


def hue_matrices(angles: Floats) -> Floats:
    """Matrices (count, 3, 3) over (red, green, blue) that turn hues by angles (count,) in radians, red towards green.

    A rotation about the gray axis, followed by a move along that axis which gives each colour its luma back: what is
    called "hue rotation while preserving luminance" in Paul Haeberli, Matrix Operations for Image Processing, 1993.
    """
    cos, sin = (function(angles)[:, np.newaxis, np.newaxis] for function in (np.cos, np.sin))
    across = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / np.sqrt(3.0)
    rotation = cos * np.eye(3) + (1.0 - cos) / 3.0 + sin * across  # Rodrigues' formula
    return np.asarray(rotation + (LUMA - LUMA @ rotation)[:, np.newaxis, :])


def recolour(pictures: Any, rows: Any) -> Any:
    """Applies one affine transform of the colours a picture; what leaves the range from 0 to 255 is clipped.

    Args:
        pictures: (N, height, width, 1 or 3), from 0 to 255, of any number type.
        rows: (N, 1, 2, 9 or 10): a factor, or a matrix (9) by which pixels (red, green, blue) are multiplied from the
            right; then, where there is one number more, how many times the picture's mean gray is added.

    Returns:
        A float32 tensor of the pictures' shape.
    """
    pictures = tf.cast(pictures, tf.float32)
    shape = tf.shape(pictures)
    pixels = tf.reshape(pictures, (shape[0], -1, pictures.shape[-1]))  # (N, height × width, channels)
    terms = 9 if rows.shape[1] >= 9 else 1
    factors = tf.reshape(rows[:, :terms], (-1, 3, 3) if terms == 9 else (-1, 1, 1))
    changed = tf.matmul(pixels, factors) if terms == 9 else pixels * factors
    if rows.shape[1] > terms:
        changed += (rows[:, terms:] * _mean_gray(pixels))[:, tf.newaxis]
    return tf.reshape(tf.clip_by_value(changed, 0.0, 255.0), shape)


def _mean_gray(pixels: Any) -> Any:
    """The mean luma (N, 1) of pixels (N, M, channels)."""
    means = tf.reduce_mean(pixels, axis=1)
    if pixels.shape[-1] == 1:
        return means
    # Not a matrix product: its last digit depends on N.
    return sum(means[:, channel, tf.newaxis] * weight for channel, weight in enumerate(LUMA))
