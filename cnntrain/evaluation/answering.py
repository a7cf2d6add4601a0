"""Asks a model about pictures."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cnntrain.data.pipeline import Pictures, image_batches, steps_of
from cnntrain.errors import DataError, ModelFileError
from cnntrain.evaluation.answers import Answers
from cnntrain.models.network import class_probabilities

BATCH = 32


def answer(
    model: Any, pictures: Pictures, classes: Sequence[str], *, on_batch: Callable[[int, int], None] = lambda *_: None
) -> Answers:
    """Asks a model about labelled pictures.

    Args:
        model: Pictures to probabilities, as `load_model` gives it.
        pictures: At least one.
        classes: Names in the order of the model's outputs.
        on_batch: Told the number of batches done and of all.

    Returns:
        The aligned table of paths, true classes and probabilities.

    Raises:
        ModelFileError: The model's answers are not finite.
    """
    return Answers(
        paths=pictures.paths,
        truth=pictures.labels,
        probabilities=predict_probabilities(model, pictures, len(classes), on_batch=on_batch),
        classes=tuple(classes),
    )


def predict_probabilities(
    model: Any, pictures: Pictures, class_count: int, *, on_batch: Callable[[int, int], None] = lambda *_: None
) -> NDArray[np.float32]:
    """Runs a model over pictures in their order, labelled or not.

    Args:
        model: Pictures to probabilities, as `load_model` gives it.
        pictures: At least one.
        class_count: Number of classes.
        on_batch: Told the number of batches done and of all.

    Returns:
        A float32 array of shape (pictures, classes), each row summing to 1.

    Raises:
        DataError: A picture has gone or changed since it was looked at.
        ModelFileError: The model's answers are not finite.
    """
    steps = steps_of(len(pictures), BATCH)
    outputs = []
    try:
        for step, batch in enumerate(image_batches(pictures, BATCH), start=1):
            outputs.append(model.predict_on_batch(batch))
            on_batch(step, steps)
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
        reason = " ".join(error.message.split())[:200]
        raise DataError(
            f"a picture has gone or changed since it was looked at: {reason}; put it back and try again"
        ) from error
    probabilities = class_probabilities(np.concatenate(outputs), class_count)
    if not np.all(np.isfinite(probabilities)):
        raise ModelFileError("the model gives probabilities that are not finite; its weights are damaged, fit it again")
    answers: NDArray[np.float32] = probabilities.astype(np.float32)
    return answers
