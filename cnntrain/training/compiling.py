"""Optimizer, learning-rate schedule, loss and metrics of a stage."""

import math
from collections.abc import Collection
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


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate that rises on half a cosine, then falls on another.

    Smith and Topin, Super-Convergence (2018), with the cosines that fastai made of its straight lines.

    Args:
        peak: The highest rate.
        steps: Steps from the first rate to the last.
        warmup_fraction: The part of the steps in which the rate rises.
        start_fraction: The first rate as a fraction of the highest.
        final_fraction: The last rate as a fraction of the highest.
    """

    def __init__(
        self, peak: float, steps: int, *, warmup_fraction: float, start_fraction: float, final_fraction: float
    ) -> None:
        self.peak = peak
        self.steps = steps
        self.warmup_fraction = warmup_fraction
        self.start_fraction = start_fraction
        self.final_fraction = final_fraction

    def __call__(self, step: Any) -> Any:
        """The rate of a step, counted from 0."""
        done = keras.ops.minimum(keras.ops.cast(step, "float32") / max(self.steps - 1, 1), 1.0)
        up = done / self.warmup_fraction
        down = (done - self.warmup_fraction) / (1.0 - self.warmup_fraction)
        rising = self.start_fraction + (1.0 - self.start_fraction) * _half_cosine(up)
        falling = 1.0 - (1.0 - self.final_fraction) * _half_cosine(down)
        return self.peak * keras.ops.where(up < 1.0, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return vars(self).copy()


def _half_cosine(part: Any) -> Any:
    """From 0 to 1 as `part` goes from 0 to 1, level at both ends."""
    return (1.0 - keras.ops.cos(math.pi * part)) / 2.0


def compile_stage(model: keras.Model, train: Train, optimizer: Any, *, class_count: int) -> None:
    """Makes a model of logits ready to be trained.

    Args:
        model: Gives logits (N, 1) for two classes, else (N, classes); targets are float32 of the same shape.
        train: What holds for all stages.
        optimizer: New, or that of a stage which goes on.
        class_count: Number of classes.
    """
    model.compile(optimizer=optimizer, loss=_loss(class_count, train.label_smoothing), metrics=[_accuracy(class_count)])


def build_optimizer(
    train: Train,
    stage: StagePlan,
    *,
    steps_per_epoch: int,
    base: Collection[keras.Variable] = (),
    rate_factor: float = 1.0,
) -> Any:
    """The optimizer of a stage, with its rate or schedule, weight decay and clipping.

    Where the stage has a `base_learning_rate`, it is what `learning_rate` is to the others for the variables of the
    backbone. The optimizer's `learning_rate` is that of the others; the ratio of both stays the same whatever a
    schedule or an assignment makes of it.

    Args:
        train: What holds for all stages.
        stage: With its rates.
        steps_per_epoch: Training steps, which a schedule follows.
        base: The variables of the backbone, frozen ones too.
        rate_factor: What all its rates are multiplied by.
    """
    rate: Any = stage.learning_rate * rate_factor
    if stage.schedule is not None:
        rate = _SCHEDULES[stage.schedule.name](stage.schedule, rate, stage.schedule_epochs, steps_per_epoch)
    kind: Any = _OPTIMIZERS[stage.optimizer.name]
    if stage.base_learning_rate in (None, stage.learning_rate):
        base = ()
    else:
        kind = _with_two_rates(kind, base, stage.base_learning_rate / stage.learning_rate)
    optimizer = kind(
        learning_rate=rate,
        weight_decay=train.weight_decay or None,
        global_clipnorm=train.gradient_clipping,
        **stage.optimizer.options,
    )
    if train.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=base, var_names=_WITHOUT_DECAY)
    # Small gradients would become zero in float16 (Micikevicius et al., Mixed Precision Training, 2018).
    return keras.optimizers.LossScaleOptimizer(optimizer) if train.mixed_precision else optimizer


def optimizer_variables(optimizer: Any) -> list[keras.Variable]:
    """All variables of an optimizer, also the one that Keras's Nadam has besides those that it lists (3.15)."""
    listed = list(optimizer.variables)
    known = {id(variable) for variable in listed}
    values = vars(getattr(optimizer, "inner_optimizer", optimizer)).values()
    return [*listed, *(value for value in values if isinstance(value, keras.Variable) and id(value) not in known)]


def _with_two_rates(kind: Any, base: Collection[keras.Variable], factor: float) -> Any:
    """An optimizer class whose rate is `factor` times as large for some variables, also in their weight decay.

    Keras is told to leave the decay of these to it. Discriminative fine-tuning: Howard and Ruder, Universal Language
    Model Fine-tuning (2018), section 3.2.
    """
    apart = {id(variable) for variable in base}

    class TwoRates(kind):  # type: ignore[misc]
        def build(self, variables: Any) -> None:
            super().build(variables)
            self._apart = frozenset(index for index, variable in enumerate(variables) if id(variable) in apart)
            self._decayed = frozenset(
                index for index in self._apart if not any(word in variables[index].name for word in _WITHOUT_DECAY)
            )

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            index = self._get_variable_index(variable)
            rate = keras.ops.multiply(learning_rate, factor) if index in self._apart else learning_rate
            if self.weight_decay is not None and index in self._decayed:
                self.assign_sub(variable, variable * self.weight_decay * rate)
            super().update_step(gradient, variable, rate)

    return TwoRates


def _cosine(schedule: Schedule, rate: float, epochs: int, steps_per_epoch: int) -> Any:
    """A cosine over what is left after the warm-up, which rises linearly from zero (Goyal et al. 2017)."""
    warmup = (schedule.warmup_epochs or 0) * steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else rate,
        decay_steps=max(epochs * steps_per_epoch - warmup, 1),
        alpha=schedule.final_fraction,
        warmup_target=rate if warmup else None,
        warmup_steps=warmup,
    )


def _one_cycle(schedule: Schedule, rate: float, epochs: int, steps_per_epoch: int) -> Any:
    return OneCycle(
        rate,
        epochs * steps_per_epoch,
        warmup_fraction=0.3 if schedule.warmup_fraction is None else schedule.warmup_fraction,
        start_fraction=0.04 if schedule.start_fraction is None else schedule.start_fraction,
        final_fraction=schedule.final_fraction,
    )


_SCHEDULES = {"cosine": _cosine, "one_cycle": _one_cycle}


def _loss(class_count: int, smoothing: float) -> Any:
    if class_count == 2:
        return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)


def _accuracy(class_count: int) -> Any:
    """The part of the pictures whose largest logit is at the largest target, be it 1 or a part of mixed pictures."""
    if class_count == 2:
        return keras.metrics.MeanMetricWrapper(_on_same_side, name="accuracy")
    return keras.metrics.CategoricalAccuracy(name="accuracy")


def _on_same_side(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.cast((y_true > 0.5) == (y_pred > 0.0), "float32"), axis=-1)
