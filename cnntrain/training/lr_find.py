"""The learning-rate range test: the loss while the rate grows from far too small to far too large."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import keras
import numpy as np

from cnntrain.config.stages import StagePlan
from cnntrain.data.cache import Cache, choose_cache
from cnntrain.data.data_set import DataSet
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.features import Features, training_features
from cnntrain.data.memory import machine_memory
from cnntrain.data.pipeline import Pictures, open_pictures, training_batches
from cnntrain.errors import TrainingError, WriteError
from cnntrain.models.network import Network
from cnntrain.training.bank.opening import FeatureBanks
from cnntrain.training.bank.planning import plan_cuts
from cnntrain.training.bank.shelf import open_shelf
from cnntrain.training.class_weights import class_weights
from cnntrain.training.compiling import build_optimizer, compile_stage
from cnntrain.training.events import Message, OnEvent, StepDone
from cnntrain.training.failures import failures_told
from cnntrain.training.preparing import Prepared

_EXPLODED = 4.0  # times the smallest smoothed loss, as in fastai
_FORGETTING = 0.75  # decades of the rate in which a loss's weight in the average falls to 1/e
_CALM = 0.2  # part of the test at its beginning, in which the rate should be too small to change the loss
_CLEAR = 1.5  # standard deviations of the losses there; a smaller fall may be noise
_ROUNDING = 1e-3  # part of the loss; a smaller fall is none


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
    """Learning rates that a range test suggests; they are absent where the loss never falls.

    Args:
        minimum: A tenth of the rate at which the smoothed loss is smallest.
        steepest: The rate at which it falls most a decade.
        is_open: Whether the loss was still falling at the last rate, so that higher ones may be better.
    """

    minimum: float | None = None
    steepest: float | None = None
    is_open: bool = False

    @property
    def best(self) -> float | None:
        """The lower of both.

        It is the minimum where the loss turns up soon after its fall: there the average, which lags behind, is steepest
        at rates that are too high for a whole training. Where the loss stays low for long, it does so for what has been
        learnt before, and the steepest fall is what says something about the rate.
        """
        return None if self.minimum is None or self.steepest is None else min(self.minimum, self.steepest)


class _Average:
    """An exponential moving average without the bias towards its start at zero (Kingma and Ba, Adam, 2015, section 3).

    Args:
        decades: What the logarithm of the rate grows by in a step. The average forgets by decades rather than by steps,
            so that it looks the same whatever the number of steps.
    """

    def __init__(self, decades: float) -> None:
        self._momentum = math.exp(-decades / _FORGETTING)
        self._sum = self._weight = 0.0

    def add(self, value: float) -> float:
        """Takes a value; gives the average."""
        self._sum = self._momentum * self._sum + value
        self._weight = self._momentum * self._weight + 1.0
        return self._sum / self._weight


def smooth(rates: Sequence[float], losses: Sequence[float]) -> tuple[float, ...]:
    """The bias-corrected exponential moving average of losses along geometrically growing rates, one for each."""
    average = _Average(_decades_a_step(rates))
    return tuple(average.add(loss) for loss in losses)


def _decades_a_step(rates: Sequence[float]) -> float:
    return math.log10(rates[-1] / rates[0]) / max(len(rates) - 1, 1)


def suggest(rates: Sequence[float], losses: Sequence[float]) -> Suggestion:
    """Reads learning rates off a range test.

    The loss falls when, after the first fifth of the steps, its average comes down from the mean of that fifth by more
    than 1.5 standard deviations of its losses, which few curves of pure noise do.

    Args:
        rates: Growing geometrically, above zero.
        losses: One finite loss for each rate, zero or more.

    Raises:
        ValueError: There are fewer than two rates, or not as many losses.
    """
    if len(rates) < 2 or len(rates) != len(losses):
        raise ValueError(f"a suggestion needs two rates or more, each with a loss; got: {len(rates)} and {len(losses)}")
    smoothed, first = np.array(smooth(rates, losses)), math.ceil(_CALM * len(losses))
    lowest = first + int(smoothed[first:].argmin())
    calm = np.array(losses[:first])
    fall = float(calm.mean()) - float(smoothed[lowest])
    if fall <= max(_CLEAR * float(calm.std()), _ROUNDING * float(calm.mean())):
        return Suggestion()
    slopes = np.gradient(smoothed, np.log10(rates))[first : lowest + 1]
    steepest = first + int(slopes.argmin())
    return Suggestion(minimum=rates[lowest] / 10.0, steepest=rates[steepest], is_open=lowest == len(rates) - 1)


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
        steps: Training steps at the most. There are as many epochs as they need.
        on_event: Told after every step.

    Raises:
        TrainingError: The loss is not finite from the beginning, or the memory is used up.
        DataError: A picture has gone or changed since it was looked at.
    """
    if prepared.data_set is None:
        raise ValueError("a range test needs pictures")
    rates = [float(rate) for rate in np.geomspace(start, end, steps)]
    with failures_told(prepared.config, prepared.data_set.examples):
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
    model, batches_of = _inputs(prepared, data_set, stage, len(rates), on_event)
    class_count, train = len(prepared.classes), prepared.config.train
    base = prepared.network.base_weights
    optimizer = build_optimizer(train, replace(stage, schedule=None), steps_per_epoch=1, base=base)
    compile_stage(model, train, optimizer, class_count=class_count)
    average, smallest = _Average(_decades_a_step(rates)), math.inf
    batches = (batch for epoch in count(1) for batch in batches_of(epoch=epoch))
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
) -> tuple[keras.Model, Callable[..., Any]]:
    """What is trained, and what gives the batches of an epoch, the same that `fit` takes.

    Where no picture is seen twice, nothing is kept of it, neither pixels nor features: the test may end early.
    """
    config, network = prepared.config, prepared.network
    network.thaw(stage.unfreeze)
    resized = network.resized(stage.image_size)
    preprocessing = preprocessing_of(config.data, stage.image_size)
    examples, batch_size = data_set.split("train"), config.data.batch_size
    cache: Cache = "none"
    are_seen_twice = steps * batch_size > len(examples)
    if are_seen_twice and config.data.cache != "none":
        cache = choose_cache(len(examples), preprocessing, memory=machine_memory(), disk=0)
    opened = open_pictures(examples, prepared.classes, preprocessing, cache=cache)
    class_count = len(prepared.classes)
    common: dict[str, Any] = {
        "class_count": class_count,
        "batch_size": batch_size,
        "seed": config.seed,
        "class_weights": class_weights(config, opened.labels, class_count),
    }
    stored = _features(prepared, stage, resized, opened, on_event) if are_seen_twice else None
    if stored is not None:
        cut, features = stored
        common["brightness"] = config.train.features.brightness
        return resized.logits(cut), partial(training_features, features, **common)
    batches = partial(training_batches, opened, augment=config.augment, **common)
    return resized.logits(), batches


def _features(
    prepared: Prepared, stage: StagePlan, resized: Network, opened: Pictures, on_event: OnEvent
) -> tuple[str, Features] | None:
    """The name of the cut that the stage begins at and the features there, where every epoch has the same ones."""
    config = prepared.config
    (cut,) = plan_cuts(prepared.network, [stage])
    if cut.cut is None or config.augment.is_active or config.train.features.views == "fresh":
        return None
    try:
        shelf = open_shelf()
    except WriteError as error:
        on_event(Message(f"warning: {error}; every step runs all layers"))
        return None
    banks = FeatureBanks(config, shelf, on_event, views=1)
    found = banks.open(resized, cut, {"train": opened})
    return None if found is None else (cut.cut, found["train"])
