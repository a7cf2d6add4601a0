"""Whether two forms of one network give the same answers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-4  # largest difference of a probability

_AT_ONCE = 8  # pictures


def spread_batches(pictures: NDArray[Any]) -> list[NDArray[Any]]:
    """Pictures (n, …), n from 1, as batches of several sizes: one picture, then up to eight at a time."""
    return np.split(pictures, range(1, len(pictures), _AT_ONCE))


def outputs_of(model: Any, pictures: NDArray[Any]) -> NDArray[np.float32]:
    """What a network gives for a few pictures, at once and without a graph, which would take longer to make.

    Args:
        model: Pictures to probabilities.
        pictures: (n, height, width, channels) of any type, from 0 to 255, at least one.

    Returns:
        float32 (n, outputs), as the model gives them.
    """
    batches = spread_batches(pictures.astype(np.float32))
    outputs = [np.asarray(model(batch, training=False), np.float32) for batch in batches]
    return np.concatenate(outputs)


def largest_difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest absolute difference of two arrays of probabilities, to be compared with `TOLERANCE`.

    Infinite where their shapes differ, or one of them holds something that is no finite number.
    """
    if found.shape != expected.shape or not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    return float(np.max(np.abs(found.astype(np.float64) - expected), initial=0.0))
