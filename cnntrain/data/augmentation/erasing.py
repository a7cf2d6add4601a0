"""Random erasing: a rectangle of noise over a part of a picture (Zhong et al., 2020)."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.config.sections import Erasing
from cnntrain.data.augmentation.boxes import covered
from cnntrain.data.randomness import ERASING, NOISE, generator

_SLIMMEST = 0.3  # height to width, and width to height
_HEIGHTS = 8  # of the sheet of noise, in pictures


def draw_erasures(
    erasing: Erasing, *, seed: int, epoch: int, count: int, size: tuple[int, int]
) -> npt.NDArray[np.int32]:
    """Draws the rectangle of each picture in one epoch.

    The area is drawn evenly from its range, the ratio of the sides evenly in logarithms from those between 0.3 and
    1 / 0.3 with which a rectangle of that area fits into the picture; if none of them does, from the nearest that does.

    Args:
        erasing: How often, and how large.
        seed: Of the run.
        epoch: Counted through all stages.
        count: Number of training pictures.
        size: Height and width in pixels.

    Returns:
        An int32 array (count, 5): top, left, bottom, right (empty where nothing is erased), and the row of the sheet of
        noise at which the picture's noise begins.
    """
    height, width = size
    uniform = generator(ERASING, seed=seed, epoch=epoch).random((count, 6))
    area = height * width * (erasing.area[0] + (erasing.area[1] - erasing.area[0]) * uniform[:, 1])
    slimmest, widest = (np.clip(ratio, area / width**2, height**2 / area) for ratio in (_SLIMMEST, 1 / _SLIMMEST))
    ratio = slimmest * (widest / slimmest) ** uniform[:, 2]  # of height to width
    is_erased = uniform[:, 0] < erasing.probability
    sides = [np.where(is_erased, np.rint(np.sqrt(area * factor)), 0.0) for factor in (ratio, 1.0 / ratio)]
    top, left = (
        np.floor(uniform[:, 3 + axis] * (full - side + 1))
        for axis, (full, side) in enumerate(zip(size, sides, strict=True))
    )
    noise = np.floor(uniform[:, 5] * ((_HEIGHTS - 1) * height + 1))
    return np.column_stack([top, left, top + sides[0], left + sides[1], noise]).astype(np.int32)


def draw_noise(*, seed: int, epoch: int, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """The sheet of noise of an epoch, from 0 to 255: uint8 (8 × height, width × channels)."""
    height, width, channels = shape
    sheet = generator(NOISE, seed=seed, epoch=epoch)
    return sheet.integers(0, 256, (_HEIGHTS * height, width * channels), np.uint8)


def erase(pictures: Any, rows: Any, *, noise: Any) -> Any:
    """Puts noise over a rectangle of each picture.

    Args:
        pictures: (N, height, width, channels), from 0 to 255, of any number type.
        rows: int32 (N, 5), of `draw_erasures`.
        noise: The sheet of `draw_noise`.

    Returns:
        A float32 tensor of the pictures' shape.
    """
    height, width, channels = pictures.shape[1:]
    lines = tf.reshape(tf.cast(pictures, tf.float32), (-1, height, width * channels))
    own = tf.cast(tf.gather(noise, rows[:, 4:] + tf.range(height)), tf.float32)  # (N, height, width × channels)
    erased = tf.where(covered(rows[:, :4], (height, width, channels)), own, lines)
    return tf.reshape(erased, (-1, height, width, channels))
