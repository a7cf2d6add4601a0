"""Asks a model about pictures."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnntrain.data.pipeline import Pictures, image_batches, steps_of
from cnntrain.errors import ModelFileError
from cnntrain.evaluation.answers import Answers
from cnntrain.models.network import class_probabilities

BATCH = 32


def answer(
    model: Any, pictures: Pictures, classes: Sequence[str], *, on_batch: Callable[[int, int], None] = lambda *_: None
) -> Answers:
    """Runs a model over pictures in their order.

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
    steps = steps_of(len(pictures), BATCH)
    outputs = []
    for step, batch in enumerate(image_batches(pictures, BATCH), start=1):
        outputs.append(model.predict_on_batch(batch))
        on_batch(step, steps)
    probabilities = class_probabilities(np.concatenate(outputs), len(classes))
    if not np.all(np.isfinite(probabilities)):
        raise ModelFileError("the model gives probabilities that are not finite; its weights are damaged, fit it again")
    return Answers(
        paths=pictures.paths,
        truth=pictures.labels,
        probabilities=probabilities.astype(np.float32),
        classes=tuple(classes),
    )
