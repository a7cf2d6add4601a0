"""Which layers run once, how many versions of the pictures they run over, and what that costs and saves."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np

from cnntrain.config.sections import Config
from cnntrain.config.stages import StagePlan, plan_stages
from cnntrain.models.cutting import cuts, frozen_cut, multiply_adds
from cnntrain.models.network import Network
from cnntrain.training.bank.making import pass_rows

Views = int | Literal["fresh"]

_CHOICES = (8, 4, 2)  # numbers of versions that `auto` chooses from
_EPOCHS_A_VIEW = 4  # so often at least each version is used in the whole training
_WORTHWHILE = 0.7  # part of the work without a bank
_BACKWARD = 2  # the backward pass costs two forward passes
_BYTES = 2  # a number in float16


@dataclass(frozen=True)
class StageCut:
    """Where a stage begins to train.

    Args:
        stage: Its name.
        image_size: Height and width of its pictures in pixels.
        cut: Name of the layer whose stored outputs it trains on; nothing where it trains on pictures.
        shape: Of those outputs for one picture.
        lowest: The lowest cut among the stages around it whose frozen layers are the same; from its outputs those of
            `cut` are made.
        group: Number of these stages in a row.
    """

    stage: str
    image_size: tuple[int, int]
    cut: str | None = None
    shape: tuple[int, ...] = ()
    lowest: str | None = None
    group: int = 0


@dataclass(frozen=True)
class Work:
    """What a training costs, in one of the two ways.

    Args:
        frozen_pictures: How many pictures go through frozen layers that begin at the picture.
        frozen: Multiplications and additions of the frozen layers.
        trained: Those of what trains, in all stages; a training step counts three times its forward pass.
        disk: Bytes of stored features.
        seconds: About how long all of it takes here; absent where it was not timed.
    """

    frozen_pictures: int
    frozen: int
    trained: int
    disk: int = 0
    seconds: float | None = None

    @property
    def multiply_adds(self) -> int:
        """Of all layers."""
        return self.frozen + self.trained


@dataclass(frozen=True)
class FeaturePlan:
    """How the stages of a training come to their features.

    Args:
        stages: Where each stage begins.
        views: How many versions of each training picture are stored, or `fresh` where every epoch runs all layers.
        reason: Why so many.
        pictures: Training and validation pictures.
        fresh: The work without a bank.
        banked: The work with one, absent where there is none.
    """

    stages: tuple[StageCut, ...]
    views: Views
    reason: str
    pictures: tuple[int, int]
    fresh: Work
    banked: Work | None

    @property
    def stores_all(self) -> bool:
        """Whether no stage takes pictures themselves."""
        return self.views != "fresh" and all(stage.cut for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain lists and mappings."""
        return asdict(self)

    def to_lines(self) -> tuple[str, ...]:
        """The plan in a few sentences; none for a network without frozen layers."""
        cuts = {stage.cut: stage.shape for stage in self.stages if stage.cut}
        if not cuts:
            return ()
        where = ", ".join(f"{name} ({' × '.join(map(str, shape))})" for name, shape in cuts.items())
        if not any(self.pictures):
            return (f"frozen layers end at {where}; what storing their outputs costs is known once the data is there",)
        if self.banked is None:
            return (f"every epoch runs the frozen layers too: {self.reason}",)
        versions = "one version" if self.views == 1 else f"{self.views} versions"
        return (
            f"frozen layers run once, their outputs are stored at {where}",
            f"{versions} of each training picture: {self.reason}; {in_bytes(self.banked.disk)} for "
            f"{self.pictures[0]:,} training and {self.pictures[1]:,} validation pictures",
            f"the frozen layers run over {self.banked.frozen_pictures:,} pictures instead of "
            f"{self.fresh.frozen_pictures:,}; {_compared(self.banked, self.fresh)}",
        )


def plan_cuts(network: Network, stages: Sequence[StagePlan]) -> tuple[StageCut, ...]:
    """Finds where each stage begins to train.

    Stages in a row that all begin at a cut, at one image size, share the frozen layers up to the lowest of their cuts.
    """
    found = [_cut_of(network.resized(stage.image_size), stage) for stage in stages]
    return tuple(
        replace(cut, lowest=lowest, group=number)
        for number, (_, group) in enumerate(groupby(found, key=lambda cut: (cut.cut is None, cut.image_size)))
        for cut, lowest in _with_lowest(network, list(group))
    )


def _cut_of(network: Network, stage: StagePlan) -> StageCut:
    cut = frozen_cut(network, stage.unfreeze)
    if cut is None:
        return StageCut(stage.name, stage.image_size)
    shape = tuple(int(side) for side in network.outputs[cut].shape[1:])
    return StageCut(stage.name, stage.image_size, cut, shape)


def _with_lowest(network: Network, group: list[StageCut]) -> list[tuple[StageCut, str | None]]:
    lowest = min((cut.cut for cut in group if cut.cut), key=cuts(network).index, default=None)
    return [(cut, lowest) for cut in group]


def plan_features(
    config: Config,
    network: Network,
    *,
    pictures: tuple[int, int],
    room: int,
    seconds_of: Callable[[Network, str], float] | None = None,
) -> FeaturePlan:
    """Decides how many versions of the training pictures are stored, where the configuration leaves it open.

    The choice depends on epochs, work and room alone, not on how fast the machine is: the frozen layers must be 0.3 of
    the work or more; with augmentation each version must be used four times or more, and all work, the making of the
    bank with it, must fall below 0.7 of what it is without.

    Args:
        config: What is trained.
        network: Built.
        pictures: Number of training and of validation pictures, both zero where they are not there yet.
        room: Bytes that stored features may take.
        seconds_of: Times a picture's way through the frozen layers up to a cut, which is done only where there is a
            choice; absent: no seconds are told.
    """
    stages = plan_stages(config)
    stage_cuts = plan_cuts(network, stages)
    costs = [
        _Costs.of(network.resized(stage.image_size), stage, cut) for stage, cut in zip(stages, stage_cuts, strict=True)
    ]
    is_open = config.train.features.views == "auto" and config.augment.is_active and not config.augment.mixes
    speed = _speed(network, stage_cuts, seconds_of) if is_open else None
    fresh = _timed(_fresh_work(costs, pictures), speed)

    def banked(views: int) -> Work:
        return _timed(_banked_work(costs, pictures, views), speed)

    views, reason = _choose(config, costs, fresh, banked, room)
    return FeaturePlan(stage_cuts, views, reason, pictures, fresh, None if views == "fresh" else banked(views))


def seconds_a_picture(network: Network, cut: str) -> float:
    """Times the frozen layers up to a cut on a few gray pictures: seconds a picture."""
    part = network.extractor(cut)
    shape = network.model.input_shape[1:]
    batch = np.full((pass_rows(shape[:2]), *shape), 128, np.uint8)
    part.predict_on_batch(batch)
    start = time.perf_counter()
    part.predict_on_batch(batch)
    return (time.perf_counter() - start) / len(batch)


@dataclass(frozen=True)
class _Costs:
    """Multiplications and additions for a picture in a stage: up to the lowest cut, on to its own, and beyond."""

    epochs: int
    cut: StageCut
    lowest: int
    between: int
    trained: int

    @classmethod
    def of(cls, network: Network, stage: StagePlan, cut: StageCut) -> "_Costs":
        if cut.cut is None or cut.lowest is None:
            return cls(stage.epochs, cut, 0, 0, multiply_adds(network, None, None))
        between = 0 if cut.cut == cut.lowest else multiply_adds(network, cut.lowest, cut.cut)
        return cls(
            stage.epochs, cut, multiply_adds(network, None, cut.lowest), between, multiply_adds(network, cut.cut, None)
        )

    @property
    def frozen(self) -> int:
        return self.lowest + self.between

    def training(self, pictures: tuple[int, int]) -> int:
        """The epochs of what trains."""
        train, validation = pictures
        return self.epochs * self.trained * ((1 + _BACKWARD) * train + validation)


def _fresh_work(costs: Sequence[_Costs], pictures: tuple[int, int]) -> Work:
    shown = [cost.epochs * sum(pictures) if cost.cut.cut else 0 for cost in costs]
    frozen = sum(cost.frozen * count for cost, count in zip(costs, shown, strict=True))
    return Work(frozen_pictures=sum(shown), frozen=frozen, trained=sum(cost.training(pictures) for cost in costs))


def _banked_work(costs: Sequence[_Costs], pictures: tuple[int, int], views: int) -> Work:
    """Each lowest cut costs one pass from the pictures, each other cut one from there."""
    count = views * pictures[0] + pictures[1]
    passes = {(cost.cut.lowest, cost.cut.group): cost.lowest for cost in costs if cost.cut.cut}
    steps = {(cost.cut.cut, cost.cut.group): cost.between for cost in costs if cost.cut.cut}
    return Work(
        frozen_pictures=count * len(passes),
        frozen=count * (sum(passes.values()) + sum(steps.values())),
        trained=sum(cost.training(pictures) for cost in costs),
        disk=count * sum(_bytes_of(costs, name, group) for name, group in passes | steps),
    )


def _bytes_of(costs: Sequence[_Costs], name: str | None, group: int) -> int:
    """Bytes of one picture's features at a cut."""
    shape = next(cost.cut.shape for cost in costs if cost.cut.cut == name and cost.cut.group == group)
    return _BYTES * math.prod(shape)


def _choose(
    config: Config, costs: Sequence[_Costs], fresh: Work, banked: Callable[[int], Work], room: int
) -> tuple[Views, str]:
    """The number of versions and why."""
    features, augment = config.train.features, config.augment
    epochs = sum(cost.epochs for cost in costs if cost.cut.cut)
    if features.views == "fresh":
        return "fresh", "train.features.views says so"
    if not epochs:
        return "fresh", "no stage has frozen layers"
    if augment.mixes:
        return "fresh", "mixed pictures cannot be stored"
    if features.views != "auto":
        return (features.views if augment.is_active else 1), "train.features.views says so"
    if banked(1).disk > room:
        return "fresh", "there is no room for stored features"
    if fresh.trained > _WORTHWHILE * fresh.multiply_adds:
        return "fresh", "the frozen layers are a small part of the work"
    if not augment.is_active:
        return 1, "the pictures are the same in every epoch"
    for views in _CHOICES:
        work = banked(views)
        used_often = views * _EPOCHS_A_VIEW <= epochs
        if used_often and work.disk <= room and work.multiply_adds <= _WORTHWHILE * fresh.multiply_adds:
            return views, f"each version is used {epochs / views:.0f} times in {epochs} epochs"
    if features.brightness:
        return 1, "train.features.brightness changes stored features only"
    return "fresh", f"stored features would save too little in {epochs} epochs"


def in_bytes(count: int) -> str:
    """Bytes as megabytes or gigabytes."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _compared(banked: Work, fresh: Work) -> str:
    """The work with stored features and without, in time where that is known."""
    part = banked.multiply_adds / max(fresh.multiply_adds, 1)
    if banked.seconds is None or fresh.seconds is None:
        return f"{part:.2f} of the work"
    return f"all epochs take about {_in_time(banked.seconds)} instead of {_in_time(fresh.seconds)} ({part:.2f})"


def _in_time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _speed(
    network: Network, stage_cuts: Sequence[StageCut], seconds_of: Callable[[Network, str], float] | None
) -> float | None:
    """Multiplications and additions a second, measured on the first frozen part."""
    first = next((cut for cut in stage_cuts if cut.lowest), None)
    if seconds_of is None or first is None or first.lowest is None:
        return None
    network = network.resized(first.image_size)
    return multiply_adds(network, None, first.lowest) / seconds_of(network, first.lowest)


def _timed(work: Work, speed: float | None) -> Work:
    return work if speed is None else replace(work, seconds=round(work.multiply_adds / speed, 1))
