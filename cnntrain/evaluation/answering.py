"""Asks a model about pictures."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cnntrain.data.ahead import made_ahead
from cnntrain.data.batching import steps_of
from cnntrain.data.pipeline import Pictures, image_batches
from cnntrain.errors import DataError, ModelFileError
from cnntrain.evaluation.answers import Answers
from cnntrain.models.asking import ask
from cnntrain.models.network import class_probabilities

Flip = Literal["none", "horizontal", "vertical", "both"]

BATCH = 32
_GRAPH = re.compile(r"\[?\[?\{\{.*?\}\}\]?\]?|\[\[.*$")  # what TensorFlow calls its functions
_HEIGHT, _WIDTH = 1, 2  # axes of a batch
_REVERSED: dict[Flip, tuple[tuple[int, ...], ...]] = {
    "none": ((),),
    "horizontal": ((), (_WIDTH,)),
    "vertical": ((), (_HEIGHT,)),
    "both": ((), (_WIDTH,), (_HEIGHT,), (_HEIGHT, _WIDTH)),
}


def answer(
    model: Any,
    pictures: Pictures,
    classes: Sequence[str],
    *,
    flip: Flip = "none",
    on_batch: Callable[[int, int], None] = lambda *_: None,
) -> Answers:
    """Asks a model about labelled pictures.

    Args:
        model: Pictures to probabilities, as `load_model` gives it.
        pictures: At least one.
        classes: Names in the order of the model's outputs.
        flip: The mirror images that each picture's probabilities are averaged over, as in `predict_probabilities`.
        on_batch: Told the number of batches done and of all.

    Returns:
        The aligned table of paths, true classes and probabilities.

    Raises:
        ModelFileError: The model's answers are not finite.
    """
    return Answers(
        paths=pictures.paths,
        truth=pictures.labels,
        probabilities=predict_probabilities(model, pictures, len(classes), flip=flip, on_batch=on_batch),
        classes=tuple(classes),
    )


def mirrored(batch: NDArray[Any], flip: Flip) -> tuple[NDArray[Any], ...]:
    """A batch (n, height, width, channels) of any type as it is, and its mirror images: 1, 2 or, for `both`, 4 arrays.

    `horizontal` exchanges left and right, `vertical` top and bottom, `both` has these two and the one with both.
    """
    return tuple(np.flip(batch, axes) for axes in _REVERSED[flip])


def predict_probabilities(
    model: Any,
    pictures: Pictures,
    class_count: int,
    *,
    flip: Flip = "none",
    on_batch: Callable[[int, int], None] = lambda *_: None,
) -> NDArray[np.float32]:
    """Runs a model over pictures in their order, labelled or not.

    The probabilities of a picture and of its mirror images are averaged, not their logits (K. Simonyan and
    A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015, section 3.2).

    Args:
        model: Pictures to probabilities, as `load_model` gives it.
        pictures: At least one.
        class_count: Number of classes.
        flip: Which mirror images are asked about too.
        on_batch: Told the number of batches done and of all.

    Returns:
        A float32 array of shape (pictures, classes), each row summing to 1.

    Raises:
        DataError: A picture has gone or changed since it was looked at.
        ModelFileError: The model's answers are not finite.
    """
    steps = steps_of(len(pictures), BATCH)
    size = min(BATCH, len(pictures))
    outputs = []
    with changes_told():
        for step, batch in enumerate(made_ahead(image_batches(pictures, BATCH).as_numpy_iterator()), start=1):
            outputs.append(np.mean([ask(model, version, size) for version in mirrored(batch, flip)], axis=0))
            on_batch(step, steps)
    return finite_probabilities(np.concatenate(outputs), class_count)


@contextmanager
def changes_told() -> Iterator[None]:
    """Turns what TensorFlow says of a file that cannot be decoded any more into one line. Raises DataError."""
    try:
        yield
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
        reason = " ".join(_GRAPH.sub("", error.message).split())[:200]
        raise DataError(
            f"a picture has gone or changed since it was looked at: {reason}; put it back and try again"
        ) from error


def finite_probabilities(outputs: NDArray[Any], class_count: int) -> NDArray[np.float32]:
    """Probabilities of all classes (N, classes) from a model's outputs (N, 1) or (N, classes).

    Raises:
        ModelFileError: They are not finite.
    """
    probabilities = class_probabilities(outputs, class_count)
    if not np.all(np.isfinite(probabilities)):
        raise ModelFileError("the model gives probabilities that are not finite; its weights are damaged, fit it again")
    answers: NDArray[np.float32] = probabilities.astype(np.float32)
    return answers
