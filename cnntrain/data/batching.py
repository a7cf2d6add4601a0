"""The pieces that batches are made of, be it of pictures or of stored features."""

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.data.randomness import ORDER, generator

_PREFETCH = 2


def steps_of(count: int, batch_size: int) -> int:
    """Number of batches that `count` pictures make, the last perhaps smaller."""
    return -(-count // batch_size)


def epoch_order(count: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The order of the training pictures in an epoch: a permutation, a function of seed and epoch alone."""
    return generator(ORDER, seed=seed, epoch=epoch).permutation(count)


def as_graph(function: Callable[..., Any]) -> Any:
    """A function that TensorFlow traces as it is: what stands here has no `if` on tensors, and looking costs time."""
    return tf.autograph.experimental.do_not_convert(function)


def per_batch(values: npt.NDArray[Any], order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """A data set of batches of the rows of `values` in the given order."""
    return tf.data.Dataset.from_tensor_slices(values[order]).batch(batch_size)


def taken(stored: Any, order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """A data set of batches of the rows of `stored` in the given order, gathered when they are needed.

    TensorFlow keeps the functions of a data set as long as the process lives. So they only refer to the array, whose
    memory is free again when whoever holds it lets it go.

    Args:
        stored: An array, or what has the shape, the type and the rows of one.
        order: int64 (n,), numbers of rows.
        batch_size: Rows a batch.
    """
    reference = weakref.ref(stored)

    def take(chosen: Any) -> Any:
        rows = tf.numpy_function(lambda rows: alive(reference)[rows], [chosen], stored_type, stateful=False)
        return tf.ensure_shape(rows, shape)

    shape, stored_type = (None, *stored.shape[1:]), stored.dtype
    return tf.data.Dataset.from_tensor_slices(order).batch(batch_size).map(as_graph(take))


def alive(reference: "weakref.ref[Any]") -> Any:
    """What is referred to. Raises RuntimeError when it is gone."""
    array = reference()
    if array is None:
        raise RuntimeError("the pictures of this data set are gone; hold them as long as their batches are drawn")
    return array


def targets(labels: npt.NDArray[np.int64], class_count: int, order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """A data set of what the loss takes: float32 (n, 1) for two classes, else one-hot (n, classes)."""
    if class_count == 2:
        return per_batch(labels.astype(np.float32)[:, np.newaxis], order, batch_size)
    return per_batch(labels, order, batch_size).map(as_graph(lambda numbers: tf.one_hot(numbers, class_count)))


def finished(batches: Any) -> Any:
    """Batches that are made while the network works.

    TensorFlow's autotuning is off: at the end of an epoch its thread can keep the iterator until the sleep it is in is
    over (TensorFlow 2.21: 1, 5, 10 or 20 seconds an epoch, seen on epochs of the same length).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(_PREFETCH).with_options(options)
