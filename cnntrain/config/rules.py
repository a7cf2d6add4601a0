"""Rules of a configuration that no section can check alone."""

import os
from collections.abc import Iterable
from itertools import pairwise

from cnntrain.config.problems import Key, Problem
from cnntrain.config.sections import Config, Convnet, Features, Pretrained, Stage, Train
from cnntrain.config.stages import plan_stages


def check(config: Config) -> list[Problem]:
    """All problems between the sections of a configuration whose values are each right."""
    holders: list[tuple[Key, Train | Stage]] = [(("train",), config.train)]
    holders += [(("train", "stages", index), stage) for index, stage in enumerate(config.train.stages)]
    return [
        *(problem for key, holder in holders for problem in _check_rates(key, holder, config.train)),
        *_check_homes(config),
        *_check_names(config),
        *_check_warmup(config),
        *_check_unfreeze(config),
        *_check_joint_schedules(config),
        *_check_last_size(config),
        *_check_base_rates(config),
        *_check_interpolation(config),
        *_check_features(config),
    ]


def _check_rates(key: Key, holder: Train | Stage, train: Train) -> list[Problem]:
    """Settings that exclude each other or need each other."""
    problems = []
    if holder.reduce_lr is not None and holder.schedule is not None:
        what = "reduce_lr and schedule exclude each other; keep one of them"
        problems.append(Problem((*key, "schedule"), what))
    if holder.optimizer is not None and holder.optimizer.name == "adamw" and not train.weight_decay:
        what = "adamw without train.weight_decay is adam; set a weight_decay above 0 or take adam"
        problems.append(Problem((*key, "optimizer"), what))
    return problems


def _check_homes(config: Config) -> list[Problem]:
    """A path that begins with `~` must name a home folder."""
    paths = {("data", "source"): config.data.source}
    if isinstance(config.model, Pretrained):
        paths["model", "weights"] = config.model.weights
    return [
        Problem(key, "there is no such user; write ./~… for a name that begins with ~", got=path)
        for key, path in paths.items()
        if path.startswith("~") and os.path.expanduser(path) == path  # noqa: PTH111 - pathlib raises
    ]


def _check_names(config: Config) -> list[Problem]:
    names = [stage.name for stage in config.train.stages]
    first = {name: index for index, name in reversed(list(enumerate(names)))}
    return [
        Problem(("train", "stages", index, "name"), "an earlier stage has this name", got=name)
        for index, name in enumerate(names)
        if first[name] < index
    ]


def _check_warmup(config: Config) -> list[Problem]:
    """A warm-up must end before its stage does."""
    return [
        Problem(
            ("train", "stages", index, "schedule") if config.train.stages else ("train", "schedule"),
            "the warm-up must be shorter than the stage",
            allowed=f"warmup_epochs below {plan.schedule_epochs}",
            got=str(plan.schedule.warmup_epochs),
        )
        for index, plan in enumerate(plan_stages(config))
        if not plan.continues
        and plan.schedule is not None
        and (plan.schedule.warmup_epochs or 0) >= plan.schedule_epochs
    ]


def _check_unfreeze(config: Config) -> list[Problem]:
    if not isinstance(config.model, Convnet):
        return []
    what = "a convnet has no frozen base"
    return [
        Problem(("train", "stages", index, "unfreeze"), what, allowed="all", got=stage.unfreeze)
        for index, stage in enumerate(config.train.stages)
        if stage.unfreeze not in (None, "all")
    ]


def _check_joint_schedules(config: Config) -> list[Problem]:
    """A schedule that runs on through the next stage would never end if this one stopped early."""
    what = "a stage whose schedule goes on in the next one cannot stop early; leave one of both out"
    return [
        Problem(
            ("train", "stages", index, "early_stopping") if stage.early_stopping else ("train", "early_stopping"), what
        )
        for index, (stage, (plan, after)) in enumerate(
            zip(config.train.stages, pairwise(plan_stages(config)), strict=False)
        )
        if after.continues and plan.schedule is not None and plan.early_stopping is not None
    ][:1]


def _check_last_size(config: Config) -> list[Problem]:
    """The model that a training ends with must have been trained on pictures of the size that it will be shown."""
    size, last = config.data.image_size, plan_stages(config)[-1].image_size
    if last == size:
        return []
    key = ("train", "stages", len(config.train.stages) - 1, "image_size")
    what = "the last stage trains at data.image_size, the size that the model is used with"
    return [Problem(key, what, allowed=str(list(size)), got=str(list(last)))]


def _check_base_rates(config: Config) -> list[Problem]:
    """A rate of the backbone is for stages in which some of it trains."""
    frozen = [plan.unfreeze == "none" for plan in plan_stages(config)]
    holders: list[tuple[Key, Train | Stage, bool]] = [(("train",), config.train, all(frozen))]
    holders += [(("train", "stages", index), stage, frozen[index]) for index, stage in enumerate(config.train.stages)]
    is_convnet = isinstance(config.model, Convnet)
    what = "a convnet has no backbone;" if is_convnet else "no layer of the backbone trains here; set unfreeze or"
    return [
        Problem((*key, "base_learning_rate"), f"{what} leave this out")
        for key, holder, is_frozen in holders
        if holder.base_learning_rate is not None and (is_convnet or is_frozen)
    ]


def _check_interpolation(config: Config) -> list[Problem]:
    """There must be weights of a head and fine-tuned ones to interpolate between."""
    if not config.train.interpolate:
        return []
    frozen = [plan.unfreeze == "none" for plan in plan_stages(config)]
    if any(before and not after for before, after in pairwise(frozen)):
        return []
    what = "needs a stage with unfreeze: none and after it one in which layers of the backbone train"
    return [Problem(("train", "interpolate"), what)]


def _check_features(config: Config) -> list[Problem]:
    """What `train.features` says must be possible with this network and this augmentation."""
    features, key = config.train.features, ("train", "features")
    if isinstance(config.model, Convnet):
        what = "a convnet has no frozen layers whose outputs could be stored; leave it out"
        return [Problem(key, what)] if features != Features() else []
    problems = []
    if features.views == "fresh" and features.brightness:
        what = "views: fresh stores no features that could be changed; give a number of views or leave brightness out"
        problems.append(Problem((*key, "brightness"), what))
    if isinstance(features.views, int) and config.augment.mixes:
        what = "with augment.mixup or augment.cutmix nothing can be stored; leave them out, or say fresh"
        problems.append(Problem((*key, "views"), what, allowed="auto, fresh", got=str(features.views)))
    if features.brightness and config.augment.mixes:
        what = (
            "with augment.mixup or augment.cutmix no features are stored that could be changed; leave one of both out"
        )
        problems.append(Problem((*key, "brightness"), what))
    return problems


def check_overrides(config: Config, overridden: Iterable[Key]) -> list[Problem]:
    """An override of a key of `train` that every stage sets for itself would change nothing."""
    stages = config.train.stages
    names = {key[1] for key in overridden if len(key) >= 2 and key[0] == "train"} & set(Stage.model_fields)
    return [
        Problem(
            ("train", name),
            "every stage sets this for itself, so it has no effect",
            allowed=f"train.stages.0.{name} and so on",
        )
        for name in sorted(str(name) for name in names)
        if stages and all(getattr(stage, name) is not None for stage in stages)
    ]
