"""Random numbers as functions of seed and epoch: one independent stream for each use."""

import numpy as np

# Numbers of the streams; an epoch has room for sixteen.
ORDER, GEOMETRY, CROP, COLOR, ERASING, NOISE, RAND_AUGMENT, MIXING, VIEWS, BRIGHTNESS = range(10)


def generator(stream: int, *, seed: int, epoch: int, row: int = 0) -> np.random.Generator:
    """A generator whose numbers depend on these four alone.

    Args:
        stream: One of this module's constants.
        seed: Of the run.
        epoch: Counted through all stages.
        row: Of a picture, where each has numbers of its own.
    """
    key = np.array([seed, epoch * 16 + stream], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, row, 0, 0], np.uint64)))
