"""Optimizer, learning-rate schedule, loss and metrics of a stage."""

from typing import Any

import keras

from cnntrain.config.sections import Schedule, Train
from cnntrain.config.stages import StagePlan

_OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "nadam": keras.optimizers.Nadam,
    "adagrad": keras.optimizers.Adagrad,
    "lion": keras.optimizers.Lion,
}
_WITHOUT_DECAY = ["bias", "gamma", "beta"]


class SmoothedCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of logits (N, classes) with integer targets (N,), part of each spread over all classes.

    With smoothing s and C classes the target is 1 - s + s/C at the true class and s/C elsewhere (Szegedy et al.,
    Rethinking the Inception Architecture, 2016, section 7).

    Args:
        smoothing: s, from 0 to below 1.
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__(name="smoothed_crossentropy")
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each picture, float32 (N,)."""
        log_probabilities = keras.ops.log_softmax(y_pred, axis=-1)
        targets = keras.ops.one_hot(keras.ops.cast(y_true, "int32"), keras.ops.shape(y_pred)[-1])
        of_truth = keras.ops.sum(targets * log_probabilities, axis=-1)
        return -(1.0 - self.smoothing) * of_truth - self.smoothing * keras.ops.mean(log_probabilities, axis=-1)


def compile_stage(
    model: keras.Model, train: Train, stage: StagePlan, *, steps_per_epoch: int, class_count: int
) -> None:
    """Makes a model of logits ready to be trained for a stage.

    Args:
        model: Gives logits (N, 1) for two classes, else (N, classes).
        train: What holds for all stages.
        stage: The stage.
        steps_per_epoch: Training steps an epoch, for the schedule.
        class_count: Number of classes.
    """
    model.compile(
        optimizer=build_optimizer(train, stage, steps_per_epoch=steps_per_epoch),
        loss=_loss(class_count, train.label_smoothing),
        metrics=[_accuracy(class_count)],
    )


def build_optimizer(train: Train, stage: StagePlan, *, steps_per_epoch: int) -> Any:
    """The optimizer of a stage, with its rate or schedule, weight decay and clipping."""
    rate: Any = stage.learning_rate
    if stage.schedule is not None:
        rate = _schedule(stage.schedule, rate, epochs=stage.epochs, steps_per_epoch=steps_per_epoch)
    optimizer = _OPTIMIZERS[stage.optimizer.name](
        learning_rate=rate,
        weight_decay=train.weight_decay or None,
        global_clipnorm=train.gradient_clipping,
        **stage.optimizer.options,
    )
    if train.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=_WITHOUT_DECAY)
    # Small gradients would become zero in float16 (Micikevicius et al., Mixed Precision Training, 2018).
    return keras.optimizers.LossScaleOptimizer(optimizer) if train.mixed_precision else optimizer


def _schedule(schedule: Schedule, rate: float, *, epochs: int, steps_per_epoch: int) -> Any:
    """A cosine over what is left after the warm-up, which rises linearly from zero (Goyal et al. 2017)."""
    warmup = schedule.warmup_epochs * steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else rate,
        decay_steps=max(epochs * steps_per_epoch - warmup, 1),
        alpha=schedule.final_fraction,
        warmup_target=rate if warmup else None,
        warmup_steps=warmup,
    )


def _loss(class_count: int, smoothing: float) -> Any:
    if class_count == 2:
        return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    if smoothing:
        return SmoothedCrossentropy(smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _accuracy(class_count: int) -> Any:
    if class_count == 2:
        return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")
