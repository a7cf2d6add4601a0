"""Rectangles in pictures, as numbers and as masks."""

from typing import Any

import tensorflow as tf


def covered(boxes: Any, shape: tuple[int, int, int]) -> Any:
    """Which values of pictures lie in rectangles.

    Args:
        boxes: int32 (N, 4): top, left, bottom, right, the last two not included.
        shape: Height, width and channels of a picture.

    Returns:
        A bool tensor (N, height, width × channels): in this layout comparing and choosing are several times as fast as
        with a mask that is repeated for each channel.
    """
    height, width, channels = shape
    top, left, bottom, right = (boxes[:, i, tf.newaxis] for i in range(4))
    rows, columns = tf.range(height), tf.range(width * channels)
    across = (columns >= left * channels) & (columns < right * channels)  # (N, width × channels)
    down = (rows >= top) & (rows < bottom)  # (N, height)
    return down[:, :, tf.newaxis] & across[:, tf.newaxis, :]
