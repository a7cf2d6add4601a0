"""Bootstrap samples as weights: how often each picture was drawn."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
_SEED = 1337
_AT_ONCE = 1 << 21  # weights: 8 MB


def bootstrap_weights(truth: NDArray[np.int64], *, resamples: int = RESAMPLES) -> Iterator[NDArray[np.float32]]:
    """Draws pictures with replacement, of each class as many as there are (B. Efron and R. J. Tibshirani, 1993).

    The same `truth` gives the same samples. They come in pieces of at most 2 million weights, or one sample.

    Args:
        truth: int64 array of shape (N,): the class of each picture.
        resamples: How many samples.

    Yields:
        float32 arrays of shape (N, r), whole numbers: a column a sample. Together they have `resamples` columns.
    """
    random = np.random.default_rng(_SEED)
    members = [np.flatnonzero(truth == index) for index in np.unique(truth)]
    at_once = max(1, _AT_ONCE // len(truth))
    for start in range(0, resamples, at_once):
        yield _weights(members, len(truth), min(at_once, resamples - start), random)


def _weights(
    members: list[NDArray[np.intp]], pictures: int, resamples: int, random: np.random.Generator
) -> NDArray[np.float32]:
    weights = np.empty((pictures, resamples), np.float32)
    for rows in members:
        size = len(rows)
        drawn = random.integers(size, size=(size, resamples)) * resamples + np.arange(resamples)
        weights[rows] = np.bincount(drawn.ravel(), minlength=size * resamples).reshape(size, resamples)
    return weights
