"""An exponential moving average of the weights, statistics of batch normalization too."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from cnntrain.models.network import Network


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc]
    """Follows the weights that train, step by step.

    Keras's own averages (`use_ema`) leave out the moving mean and variance of batch normalization, which then do not
    fit the averaged weights. In step t the momentum is at most (1 + t) / (10 + t), so that the first weights are
    forgotten quickly (as in TensorFlow's ExponentialMovingAverage with `num_updates`).

    Args:
        network: Thawed as it is going to train.
        momentum: How much of the average is kept a step.

    Attributes:
        steps: How many were followed.
        averages: One a weight, in the order of the layers.
    """

    def __init__(self, network: Network, momentum: float) -> None:
        super().__init__()
        self._momentum = momentum
        self.steps = 0
        self._weights = [weight for layer in network.model.layers if layer.trainable for weight in layer.weights]
        self.averages = [keras.Variable(weight, trainable=False, dtype="float32") for weight in self._weights]
        # Traced, since a hundred small operations one by one would take a large part of a small network's step.
        self._move = tf.function(self._moved, autograph=False)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Moves the average towards the weights as they are now."""
        self.steps += 1
        self._move(tf.constant(1.0 - min(self._momentum, (1 + self.steps) / (10 + self.steps))))

    def _moved(self, part: Any) -> None:
        for average, weight in zip(self.averages, self._weights, strict=True):
            average.assign(average + part * (keras.ops.cast(weight, "float32") - average))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Lets the network hold the average while the block runs."""
        current = [keras.ops.copy(weight) for weight in self._weights]
        self._put(self.averages)
        try:
            yield
        finally:
            self._put(current)

    def _put(self, values: list[Any]) -> None:
        for weight, value in zip(self._weights, values, strict=True):
            weight.assign(value)
