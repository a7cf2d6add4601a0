"""Gradients of a network by TensorFlow's tape, which is used nowhere else."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

MapGradients = Callable[[NDArray[np.float32], NDArray[np.int64]], tuple[NDArray[np.float32], NDArray[np.float32]]]
PictureGradients = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]
AscentStep = Callable[[Any, Any, Any], tuple[Any, Any]]


def at_maps(view: keras.Model) -> MapGradients:
    """How the score of a class changes with feature maps.

    Compiled, so that of all gradients only these are computed. Eagerly the tape also asks for those of every kernel on
    the way, and there TensorFlow 2.21 on a CPU was seen to damage its memory (Conv2DBackpropFilter, then an abort).

    Args:
        view: Pictures (N, height, width, channels), 0 to 255, to (maps, logits).

    Returns:
        A function of float32 pictures and int64 classes (N,), as `class_scores` takes them. It gives the maps (N, h, w,
        channels) and the gradients of the scores with respect to them, of the same shape.
    """

    def gradients(pictures: Any, targets: Any) -> tuple[Any, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pictures)  # so that what depends on the pictures is recorded
            maps, logits = view(pictures, training=False)
            scores = class_scores(logits, targets)
        return maps, tape.gradient(scores, maps, unconnected_gradients="zero")

    compiled = tf.function(gradients, reduce_retracing=True)

    def computed(
        pictures: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        maps, found = compiled(tf.constant(pictures, tf.float32), tf.constant(targets, tf.int64))
        return maps.numpy(), found.numpy()

    return computed


def at_pictures(view: keras.Model) -> PictureGradients:
    """How the score of a class changes with the pixels of pictures.

    Args:
        view: Pictures (N, height, width, channels), 0 to 255, to logits.

    Returns:
        A function of float32 pictures and int64 classes (N,), as `class_scores` takes them; it gives the gradients of
        the scores, of the shape of the pictures. It is compiled.
    """

    def gradients(pictures: Any, targets: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pictures)
            scores = class_scores(view(pictures, training=False), targets)
        return tape.gradient(scores, pictures, unconnected_gradients="zero")

    compiled = tf.function(gradients, reduce_retracing=True)

    def computed(pictures: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = compiled(tf.constant(pictures, tf.float32), tf.constant(targets, tf.int64)).numpy()
        return found

    return computed


def class_scores(logits: Any, targets: Any) -> Any:
    """What speaks for a class: its logit; of two classes with one logit, that for the second, minus that for the first.

    Args:
        logits: (N, 1) or (N, classes).
        targets: int64 (N,), index of a class for each row.

    Returns:
        A tensor (N,).
    """
    if logits.shape[-1] == 1:
        return logits[:, 0] * tf.cast(2 * targets - 1, logits.dtype)
    return tf.gather(logits, targets, axis=1, batch_dims=1)


def ascent_step(view: keras.Model, length: float) -> AscentStep:
    """One step of gradient ascent as a compiled function, in which each row follows a filter of its own.

    Args:
        view: Pictures to the maps of a layer, (N, h, w, filters).
        length: By how many levels the pixels of a picture change, as the root of the mean of squares.

    Returns:
        A function of pictures (N, height, width, channels), one-hot filters (N, filters), and the shift (2,), by which
        the pictures are rolled down and to the right before the network sees them. It gives the pictures after the
        step, from 0 to 255, and the L2 norm of the gradient of each (N,): where that is zero nothing has changed.
    """
    height, width, channels = view.input_shape[1:]
    distance = length * float(height * width * channels) ** 0.5

    def step(pictures: Any, filters: Any, shift: Any) -> tuple[Any, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pictures)
            maps = view(tf.roll(pictures, shift, axis=[1, 2]), training=False)
            means = tf.reduce_sum(tf.reduce_mean(maps, axis=[1, 2]) * filters, axis=1)  # (N,)
        gradients = tape.gradient(means, pictures)
        norms = tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3], keepdims=True))
        moved = pictures + tf.math.divide_no_nan(gradients, norms) * distance
        return tf.clip_by_value(moved, 0.0, 255.0), norms[:, 0, 0, 0]

    compiled: AscentStep = tf.function(step, reduce_retracing=True)
    return compiled
