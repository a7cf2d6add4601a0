"""Asks a model about pictures batch by batch, so that no more of them are in memory than a few batches take."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.data.unlabelled import NamedBatch
from cnntrain.evaluation.answering import changes_told, finite_probabilities
from cnntrain.models.asking import ask


def stream_probabilities(
    model: Any, batches: Iterable[NamedBatch], class_count: int, *, size: int
) -> Iterator[tuple[NamedBatch, NDArray[np.float32]]]:
    """Each batch with what a model says about its pictures.

    Args:
        model: Pictures to probabilities, as `load_model` gives it.
        batches: Of at most `size` pictures, or of none.
        class_count: Number of classes.
        size: Rows that the model sees at a time.

    Yields:
        The batch and a float32 array of shape (n, classes), each row summing to 1.

    Raises:
        DataError: A picture has gone or changed since it was looked at.
        ModelFileError: The model's answers are not finite.
    """
    nothing = np.empty((0, class_count), np.float32)
    with changes_told():
        for batch in batches:
            images = batch.images
            yield batch, finite_probabilities(ask(model, images, size), class_count) if len(images) else nothing
