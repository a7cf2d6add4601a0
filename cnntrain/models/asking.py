"""Runs a model on batches that may be smaller than the others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ask(model: Any, batch: NDArray[Any], size: int) -> NDArray[Any]:
    """A model's outputs for a batch, filled up to `size` rows, since Keras traces again for every other size.

    Args:
        model: Treats the rows of a batch each by itself.
        batch: (n, …), at least one row and at most `size`.
        size: Rows that the model sees.

    Returns:
        An array (n, …).
    """
    filler = np.repeat(batch[-1:], size - len(batch), axis=0)
    outputs: NDArray[Any] = model.predict_on_batch(np.concatenate([batch, filler]) if len(filler) else batch)
    return outputs[: len(batch)]
