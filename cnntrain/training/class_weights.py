"""Weights of pictures by their class."""

import numpy as np
import numpy.typing as npt

from cnntrain.config import Config


def class_weights(config: Config, labels: npt.NDArray[np.int64], class_count: int) -> npt.NDArray[np.float32] | None:
    """Weight of each class, where they are to be balanced: pictures / (classes × pictures of the class).

    These are scikit-learn's `balanced` weights.

    Args:
        config: Says in `train.class_weights` whether there are any.
        labels: (N,), index of each picture's class.
        class_count: Number of classes.
    """
    if config.train.class_weights == "none":
        return None
    counts = np.bincount(labels, minlength=class_count)
    return (len(labels) / (class_count * np.maximum(counts, 1))).astype(np.float32)
