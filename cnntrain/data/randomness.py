"""Random numbers as functions of seed and epoch: one independent stream for each use."""

import numpy as np

# Numbers of the streams; an epoch has room for sixteen.
ORDER, GEOMETRY, CROP, COLOR, ERASING, NOISE, RAND_AUGMENT, MIXING = range(8)


def generator(stream: int, *, seed: int, epoch: int) -> np.random.Generator:
    """A generator whose numbers depend on these three alone.

    Args:
        stream: One of this module's constants.
        seed: Of the run.
        epoch: Counted through all stages.
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed, epoch * 16 + stream], np.uint64)))
