"""Weights of pictures by their class."""

import numpy as np
import numpy.typing as npt


def balanced(labels: npt.NDArray[np.int64], class_count: int) -> npt.NDArray[np.float32]:
    """Weight of each class, pictures / (classes × pictures of the class), as scikit-learn's `balanced`.

    Args:
        labels: (N,), index of each picture's class.
        class_count: Number of classes.

    Returns:
        One weight a class, (classes,).
    """
    counts = np.bincount(labels, minlength=class_count)
    return (len(labels) / (class_count * np.maximum(counts, 1))).astype(np.float32)
