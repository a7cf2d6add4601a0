"""What a stage trains and is validated on: the whole network on pictures, or what follows a cut on stored features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

from cnntrain.config.sections import Config, Pretrained
from cnntrain.config.stages import StagePlan
from cnntrain.data.batching import steps_of
from cnntrain.data.features import Features, evaluation_features, training_features
from cnntrain.data.pipeline import Pictures, evaluation_batches, training_batches
from cnntrain.models.cutting import cuts
from cnntrain.models.network import Network
from cnntrain.training.bank.opening import FeatureBanks
from cnntrain.training.bank.planning import StageCut, plan_cuts
from cnntrain.training.bank.shelf import Shelf
from cnntrain.training.class_weights import class_weights
from cnntrain.training.events import OnEvent


@dataclass(frozen=True)
class Opened:
    """The pictures of a training at one size.

    Args:
        train: Training pictures.
        validation: Validation pictures, absent where there are none.
    """

    train: Pictures
    validation: Pictures | None


@dataclass(frozen=True)
class Measured:
    """What is validated and on what.

    Args:
        model: Of logits.
        batches: Gives the batches of the validation pictures.
        steps: Number of these.
    """

    model: keras.Model
    batches: Callable[[], Any]
    steps: int


@dataclass(frozen=True)
class StageInputs:
    """What a stage trains and on what.

    Args:
        model: Of logits.
        count: Number of training pictures.
        training: Gives the batches of an epoch from `epoch`, its number, and `first_step`, those that are left out.
        steps: Number of these in a whole epoch.
        validation: What is validated, absent where there are no validation pictures.
    """

    model: keras.Model
    count: int
    training: Callable[..., Any]
    steps: int
    validation: Measured | None


class Inputs:
    """Gives the stages of one training their inputs.

    Args:
        config: Resolved.
        network: With the weights that the first stage begins with.
        stages: All of them.
        class_count: Number of classes.
        open_pictures: Gives the pictures at a height and width; asked once for each change of size.
        shelf: Where features are stored.
        on_event: Told what happens.
    """

    def __init__(
        self,
        config: Config,
        network: Network,
        stages: Sequence[StagePlan],
        *,
        class_count: int,
        open_pictures: Callable[[tuple[int, int]], Opened],
        shelf: Shelf,
        on_event: OnEvent,
    ) -> None:
        self._config = config
        self._network = network
        self._open_pictures = open_pictures
        self._opened: Opened | None = None
        self._common: dict[str, Any] = {"class_count": class_count, "batch_size": config.data.batch_size}
        self._cuts = _cuts(config, network, stages)
        self._banks = FeatureBanks(config, shelf, on_event, views=_views(config))

    @property
    def seconds(self) -> float:
        """Seconds that getting features took so far."""
        return self._banks.seconds

    def touch(self) -> None:
        """Notes that the stored features are still used."""
        self._banks.touch()

    def of_stage(self, number: int, image_size: tuple[int, int]) -> StageInputs:
        """Stored features where frozen layers run once, else pictures.

        Args:
            number: Of the stage, counted from 1.
            image_size: Of its pictures.
        """
        cut = self._cuts[number - 1]
        network, opened = self._at_size(image_size)
        splits = {"train": opened.train}
        if opened.validation is not None:
            splits["validation"] = opened.validation
        features = self._features(network, cut, splits)
        model = network.logits(cut.cut if features else None)
        training = self._training(opened.train, features)
        validation = None if opened.validation is None else self._measured(model, opened.validation, features)
        count = len(opened.train)
        return StageInputs(model, count, training, steps_of(count, self._config.data.batch_size), validation)

    def of_all_stages(self) -> Measured:
        """What is validated after the lowest of all cuts, at `data.image_size`: all that any stage has changed.

        Raises:
            ValueError: There are no validation pictures.
        """
        size = self._config.data.image_size
        network, opened = self._at_size(size)
        if opened.validation is None:
            raise ValueError(f"{self._config.train.monitor} is monitored without validation pictures")
        names = [cut.cut for cut in self._cuts if cut.cut]
        is_everywhere = len(names) == len(self._cuts)
        lowest = min(names, key=cuts(self._network).index) if is_everywhere else None
        cut = StageCut("interpolation", size, cut=lowest, lowest=lowest)
        features = self._features(network, cut, {"validation": opened.validation})
        return self._measured(network.logits(lowest if features else None), opened.validation, features)

    def _training(self, pictures: Pictures, features: Mapping[str, Features] | None) -> Callable[..., Any]:
        config = self._config
        weights = class_weights(config, pictures.labels, self._common["class_count"])
        common = {**self._common, "seed": config.seed, "class_weights": weights}
        if features is None:
            return partial(training_batches, pictures, augment=config.augment, **common)
        return partial(training_features, features["train"], brightness=config.train.features.brightness, **common)

    def _measured(self, model: keras.Model, validation: Pictures, features: Mapping[str, Features] | None) -> Measured:
        steps = steps_of(len(validation), self._config.data.batch_size)
        if features is None:
            return Measured(model, partial(evaluation_batches, validation, **self._common), steps)
        return Measured(model, partial(evaluation_features, features["validation"], **self._common), steps)

    def _features(
        self, network: Network, cut: StageCut, pictures: Mapping[str, Pictures]
    ) -> Mapping[str, Features] | None:
        """The stored features of each split, nothing where there are none."""
        return None if cut.cut is None else self._banks.open(network, cut, pictures)

    def _at_size(self, image_size: tuple[int, int]) -> tuple[Network, Opened]:
        """The network for pictures of a size, sharing its weights, and those pictures."""
        if self._opened is None or self._opened.train.preprocessing.shape[:2] != image_size:
            self._opened = None  # before the next are made, to have room for them
            self._opened = self._open_pictures(image_size)
        return self._network.resized(image_size), self._opened


def _cuts(config: Config, network: Network, stages: Sequence[StagePlan]) -> tuple[StageCut, ...]:
    """Where each stage begins to train; with the picture itself where nothing is to be stored."""
    if config.train.features.views == "fresh":
        return tuple(StageCut(stage.name, stage.image_size) for stage in stages)
    return plan_cuts(network, stages)


def _views(config: Config) -> int:
    """How many versions of each training picture are stored."""
    views = config.train.features.views
    if views == "auto" and isinstance(config.model, Pretrained):
        raise ValueError("the configuration is not resolved")
    return views if isinstance(views, int) else 0
