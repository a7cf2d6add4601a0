"""The learning-rate range test: the loss while the rate grows from far too small to far too large."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnntrain.config.sections import Augment
from cnntrain.config.stages import StagePlan
from cnntrain.data.cache import choose_cache, machine_memory
from cnntrain.data.data_set import DataSet
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.inspection import changed_files
from cnntrain.data.pipeline import Pictures, open_pictures, training_batches
from cnntrain.errors import DataError, TrainingError
from cnntrain.training.class_weights import balanced
from cnntrain.training.compiling import build_optimizer, compile_stage
from cnntrain.training.events import OnEvent, StepDone
from cnntrain.training.features import extract_split
from cnntrain.training.preparing import Prepared
from cnntrain.training.session import out_of_memory

FEWEST_STEPS = 10
_EXPLODED = 4.0  # times the smallest smoothed loss, as in fastai
_FORGETTING = 0.75  # decades of the rate in which a loss's weight in the average falls to 1/e
_CALM = 0.2  # part of the test at its beginning, in which the rate is too small to change the loss


@dataclass(frozen=True)
class RangeTest:
    """What a range test measured, step by step, up to the last finite loss.

    Args:
        rates: The learning rate of each step.
        losses: The mean loss of its batch alone, before the step changes the weights.
        smoothed: Its moving average over the steps so far.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]


@dataclass(frozen=True)
class Suggestion:
    """Learning rates that a range test suggests; both are absent where the loss never falls.

    Args:
        minimum: A tenth of the rate at which the smoothed loss is smallest.
        steepest: The rate at which it falls most a decade.
        is_open: Whether the loss was still falling at the last rate, so that higher ones may be better.
    """

    minimum: float | None = None
    steepest: float | None = None
    is_open: bool = False


class _Average:
    """An exponential moving average without the bias towards its start at zero (Kingma and Ba, Adam, 2015, section 3).

    Args:
        decades: What the logarithm of the rate grows by in a step. The average forgets by decades rather than by steps,
            so that it looks the same whatever the number of steps.
    """

    def __init__(self, decades: float) -> None:
        self._momentum = math.exp(-decades / _FORGETTING)
        self._sum = self._share = 0.0

    def add(self, value: float) -> float:
        """Takes a value; gives the average."""
        self._sum = self._momentum * self._sum + (1.0 - self._momentum) * value
        self._share = self._momentum * self._share + (1.0 - self._momentum)
        return self._sum / self._share


def smooth(rates: Sequence[float], losses: Sequence[float]) -> tuple[float, ...]:
    """The bias-corrected exponential moving average of losses along geometrically growing rates, one for each."""
    average = _Average(_decades_a_step(rates))
    return tuple(average.add(loss) for loss in losses)


def _decades_a_step(rates: Sequence[float]) -> float:
    return math.log10(rates[-1] / rates[0]) / max(len(rates) - 1, 1)


def suggest(rates: Sequence[float], losses: Sequence[float]) -> Suggestion:
    """Reads learning rates off a range test.

    The loss counts as falling when its average comes down from the mean of the first fifth by more than the standard
    deviation of those losses, and by one per cent at least: four deviations or so of the average itself.

    Args:
        rates: Growing geometrically, above zero.
        losses: One finite loss for each rate, zero or more.

    Raises:
        ValueError: There are fewer than two rates, or not as many losses.
    """
    if len(rates) < 2 or len(rates) != len(losses):
        raise ValueError(f"a suggestion needs two rates or more, each with a loss; got: {len(rates)} and {len(losses)}")
    smoothed = np.array(smooth(rates, losses))
    lowest = int(smoothed.argmin())
    calm = np.array(losses[: max(math.ceil(_CALM * len(losses)), 2)])
    level = float(calm.mean())
    if level - smoothed[lowest] <= max(float(calm.std()), 0.01 * level):
        return Suggestion()
    slopes = np.gradient(smoothed[: lowest + 1], np.log10(rates[: lowest + 1]))
    return Suggestion(
        minimum=rates[lowest] / 10.0, steepest=rates[int(slopes.argmin())], is_open=lowest == len(rates) - 1
    )


def run_range_test(
    prepared: Prepared, stage: StagePlan, *, start: float, end: float, steps: int, on_event: OnEvent
) -> RangeTest:
    """Trains the network with a learning rate that grows by the same factor each step (Smith, Cyclical Learning Rates
    for Training Neural Networks, 2017, with the geometric growth and the end of fastai's version).

    Network, pictures, optimizer, loss and clipping are those of the stage; its schedule and everything that follows
    epochs plays no part. The test ends early when the smoothed loss is over four times its smallest, or the loss is no
    longer finite. Afterwards the network is of no use.

    Args:
        prepared: With its data set.
        stage: What is tested, from the initial weights.
        start: The first rate, above zero.
        end: The last rate, above the first.
        steps: Training steps at the most, `FEWEST_STEPS` or more. There are as many epochs as they need.
        on_event: Told after every step.

    Raises:
        TrainingError: The loss is not finite from the beginning, or the memory is used up.
        DataError: A picture has gone or changed since it was looked at.
    """
    if prepared.data_set is None:
        raise ValueError("a range test needs pictures")
    rates = [float(rate) for rate in np.geomspace(start, end, steps)]
    with _failures_told(prepared, prepared.data_set):
        losses = list(_losses(prepared, prepared.data_set, stage, rates, on_event))
    if len(losses) < 2:
        raise TrainingError(
            f"the loss is not finite at the learning rate {rates[len(losses)]:.3g}; "
            "start at a lower one, or set train.gradient_clipping"
        )
    return RangeTest(tuple(rates[: len(losses)]), tuple(losses), smooth(rates[: len(losses)], losses))


def _losses(
    prepared: Prepared, data_set: DataSet, stage: StagePlan, rates: Sequence[float], on_event: OnEvent
) -> Iterator[float]:
    """Trains a step for each rate, and gives the loss of its batch; ends early where going on is of no use."""
    model, pictures, augment = _inputs(prepared, data_set, stage, len(rates), on_event)
    class_count, train = len(prepared.classes), prepared.config.train
    optimizer = build_optimizer(train, replace(stage, schedule=None), steps_per_epoch=1)
    compile_stage(model, train, optimizer, class_count=class_count)
    average, smallest = _Average(_decades_a_step(rates)), math.inf
    batches = _endless_batches(prepared, pictures, augment)
    for step, (rate, batch) in enumerate(zip(rates, batches, strict=False), start=1):
        optimizer.learning_rate = rate
        loss = float(model.train_on_batch(*batch, return_dict=True)["loss"])  # Keras forgets the batches before
        if not math.isfinite(loss):
            return
        yield loss
        on_event(StepDone("learning rates", step, len(rates)))
        smoothed = average.add(loss)
        smallest = min(smallest, smoothed)
        if smoothed > _EXPLODED * smallest:
            return


def _inputs(
    prepared: Prepared, data_set: DataSet, stage: StagePlan, steps: int, on_event: OnEvent
) -> tuple[keras.Model, Pictures, Augment]:
    """What is trained and on what, as in `Trainer`.

    Where no picture is seen twice, nothing is kept of it, neither pixels nor features: the test may end early.
    """
    config, network = prepared.config, prepared.network
    network.thaw(stage.unfreeze)
    if stage.image_size != config.data.image_size:
        network = network.resized(stage.image_size)
    height, width = stage.image_size
    preprocessing = replace(preprocessing_of(config.data), height=height, width=width)
    examples, batch_size = data_set.split("train"), config.data.batch_size
    are_seen_twice = steps * batch_size > len(examples)
    if are_seen_twice and stage.unfreeze == "none" and not config.augment.is_active:
        opened = open_pictures(examples, prepared.classes, preprocessing)
        features = extract_split(
            network.extractor(), opened, batch_size=batch_size, task="features of train", on_event=on_event
        )
        return network.logits(network.features), features, Augment()
    has_room = choose_cache(len(examples), preprocessing, memory=machine_memory(), disk=0) == "memory"
    cache = "memory" if are_seen_twice and has_room and config.data.cache != "none" else "none"
    return network.logits(), open_pictures(examples, prepared.classes, preprocessing, cache=cache), config.augment


def _endless_batches(prepared: Prepared, pictures: Pictures, augment: Augment) -> Iterator[Any]:
    """The training batches of one epoch after another, the same that `fit` takes."""
    config, class_count = prepared.config, len(prepared.classes)
    is_balanced = config.train.class_weights == "balanced"
    for epoch in count(1):
        yield from training_batches(
            pictures,
            class_count=class_count,
            batch_size=config.data.batch_size,
            seed=config.seed,
            epoch=epoch,
            augment=augment,
            class_weights=balanced(pictures.labels, class_count) if is_balanced else None,
        )


@contextmanager
def _failures_told(prepared: Prepared, data_set: DataSet) -> Iterator[None]:
    """Turns what TensorFlow says of full memory and changed files into errors of ours."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise out_of_memory(prepared.config) from error
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
        changed = changed_files(data_set.split("train"))
        if not changed:
            raise
        raise DataError(f"{changed[0]} has gone or changed since it was looked at; put it back and try again") from error
