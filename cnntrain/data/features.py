"""From stored features to batches: an epoch takes one version of each picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.data.batching import as_graph, epoch_order, finished, per_batch, taken, targets
from cnntrain.data.randomness import BRIGHTNESS, VIEWS, generator


@dataclass(frozen=True)
class Features:
    """What the frozen part of a network gives for the pictures of one split.

    Args:
        labels: int64 (N,), index of each picture's class.
        stored: float16 or float32 (views × N, …), an array or what has the shape, the type and the rows of one, in row
            view × N + picture.
    """

    labels: npt.NDArray[np.int64]
    stored: Any

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def views(self) -> int:
        """How many versions there are of each picture."""
        return int(self.stored.shape[0]) // max(len(self), 1)


def draw_views(count: int, views: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Draws which version of each picture an epoch takes: a function of seed, epoch and picture alone.

    In every `views` epochs in a row, counted from the first, each version is taken once.

    Args:
        count: Number of pictures.
        views: Number of versions of each.
        seed: Of the run.
        epoch: Counted from 1 through all stages.

    Returns:
        An int64 array (count,) with numbers below `views`.
    """
    cycle, place = divmod(epoch - 1, views)
    return generator(VIEWS, seed=seed, epoch=cycle).random((count, views)).argsort(axis=1)[:, place]


def training_features(
    features: Features,
    *,
    class_count: int,
    batch_size: int,
    seed: int,
    epoch: int,
    brightness: float = 0.0,
    class_weights: npt.NDArray[np.float32] | None = None,
    first_step: int = 0,
) -> Any:
    """The batches of one training epoch, one version of each picture, in the order that the pictures would have.

    Args:
        features: Of the training set.
        class_count: Number of classes.
        batch_size: The last batch holds what is left.
        seed: Of the run.
        epoch: Counted through all stages.
        brightness: Largest shift of a channel, as a part of the range of values of a picture's features.
        class_weights: float32 (classes,), the weight of each picture of a class.
        first_step: Batches of the epoch that are left out at its beginning.

    Returns:
        A data set of (features, targets) or (features, targets, weights): features are float32 (n, …); targets and
        weights are those of `pipeline.training_batches`.
    """
    count = len(features)
    order = epoch_order(count, seed=seed, epoch=epoch)[first_step * batch_size :]
    views = draw_views(count, features.views, seed=seed, epoch=epoch)[order]
    inputs = _inputs(features, views * count + order, batch_size)
    if brightness:
        numbers = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        inputs = tf.data.Dataset.zip(inputs, numbers).map(_brightening(brightness, seed=seed, epoch=epoch))
    parts = [inputs, targets(features.labels, class_count, order, batch_size)]
    if class_weights is not None:
        parts.append(per_batch(class_weights[features.labels], order, batch_size))
    return finished(tf.data.Dataset.zip(*parts))


def evaluation_features(features: Features, *, class_count: int, batch_size: int) -> Any:
    """Batches of (features, targets) in the order of the pictures, unchanged, each in its first version."""
    order = np.arange(len(features))
    inputs = _inputs(features, order, batch_size)
    return finished(tf.data.Dataset.zip(inputs, targets(features.labels, class_count, order, batch_size)))


def feature_batches(features: Features, rows: npt.NDArray[np.int64], *, batch_size: int) -> Any:
    """Batches of float32 features alone, of the given rows of what is stored."""
    return finished(_inputs(features, rows, batch_size))


def _inputs(features: Features, rows: npt.NDArray[np.int64], batch_size: int) -> Any:
    return taken(features.stored, rows, batch_size).map(as_graph(lambda batch: tf.cast(batch, tf.float32)))


def _brightening(brightness: float, *, seed: int, epoch: int) -> Any:
    """What shifts the channels of a batch of features, by numbers that depend on seed, epoch and picture alone."""

    def draw(numbers: npt.NDArray[np.int64], channels: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        draws = [generator(BRIGHTNESS, seed=seed, epoch=epoch, row=int(number)).random(channels) for number in numbers]
        return (brightness * (2.0 * np.array(draws) - 1.0)).astype(np.float32)

    def brighten(batch: Any, numbers: Any) -> Any:
        shifts = tf.numpy_function(draw, [numbers, batch.shape[-1]], tf.float32)
        return shift_channels(batch, tf.ensure_shape(shifts, (None, batch.shape[-1])))

    return as_graph(brighten)


def shift_channels(batch: Any, shifts: Any) -> Any:
    """Shifts each channel of each picture's features by a part of their range, and clips them to that range.

    After Bär et al., Frozen Feature Augmentation for Few-Shot Image Classification (2024): a feature map is treated
    like a picture whose brightness changes, each channel by itself.

    Args:
        batch: float32 (n, …, channels).
        shifts: float32 (n, channels), parts of the difference between the largest and the smallest value of a picture's
            features.

    Returns:
        A float32 tensor of the batch's shape.
    """
    inner = list(range(1, batch.shape.rank))
    lowest = tf.reduce_min(batch, axis=inner, keepdims=True)
    highest = tf.reduce_max(batch, axis=inner, keepdims=True)
    shape = [-1, *[1] * (batch.shape.rank - 2), batch.shape[-1]]
    return tf.clip_by_value(batch + tf.reshape(shifts, shape) * (highest - lowest), lowest, highest)
