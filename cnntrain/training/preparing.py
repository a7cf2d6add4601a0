"""From a configuration to a job: everything that can be wrong is found here, before anything is written."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from cnntrain.config import Config, LoadedConfig, Pretrained, Problem
from cnntrain.config.resolving import SMOKE_STEPS, resolve, smoke_config
from cnntrain.config.stages import plan_stages
from cnntrain.data.batching import steps_of
from cnntrain.data.cache import choose_cache
from cnntrain.data.data_set import DataSet, find_data_set, inspected, names_without_data, smoke_examples
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.generated import write_generated
from cnntrain.data.memory import machine_memory
from cnntrain.data.sources import find_source
from cnntrain.models.checks import check
from cnntrain.models.network import Network, build_network
from cnntrain.runs.directory import RunDirectory
from cnntrain.runtime import Device
from cnntrain.training.bank.planning import FeaturePlan, plan_features, seconds_a_picture
from cnntrain.training.bank.shelf import cache_limit, room_for_features
from cnntrain.training.events import OnEvent, pictures_told
from cnntrain.training.failures import out_of_memory
from cnntrain.training.room import demand_room
from cnntrain.training.session import Job
from cnntrain.untrusted.restoring import check_storable


@dataclass(frozen=True)
class Prepared:
    """A configuration without problems, its network and its pictures.

    Args:
        config: With the changes of a smoke run where it is one; not resolved yet.
        classes: Names in the order of the model's outputs.
        network: With its initial weights.
        data_set: Inspected pictures; absent in a smoke run whose data is not there.
        smoke: Whether it is only a trial.
    """

    config: Config
    classes: tuple[str, ...]
    network: Network
    data_set: DataSet | None
    smoke: bool


def prepare_fit(loaded: LoadedConfig, *, smoke: bool, allow_leak: bool, on_event: OnEvent) -> Prepared:
    """Checks a configuration with its data, builds its network and looks at every picture. Nothing is written.

    Keras's global random state is seeded with the configuration's seed.

    Args:
        loaded: What the user wrote.
        smoke: Whether it is only a trial: a few pictures, or none when the source is not there.
        allow_leak: Whether the same picture may be in two splits.
        on_event: Told how far the look at the pictures is.

    Raises:
        ConfigError: The configuration has problems; all of them are named.
        DataError: Only the data is wrong: pictures are bad, or lie in two splits.
        ModelFileError: The pretrained weights cannot be used.
        TrainingError: The memory does not suffice for the network.
        UsageError: `CNNTRAIN_CACHE_LIMIT` is no size.
    """
    cache_limit()  # says so now if it is none
    config = smoke_config(loaded.config) if smoke else loaded.config
    problems = check(config)
    data_set, data_problems = None, list[Problem]()
    if not smoke or Path(config.data.source).expanduser().exists():
        data_set, data_problems = find_data_set(config.data)
    loaded.raise_for([*problems, *data_problems])
    if smoke and data_set is not None:
        data_set = smoke_examples(data_set, batch_size=config.data.batch_size, steps=SMOKE_STEPS)
    classes = names_without_data(config.data.classes) if data_set is None else data_set.classes
    if data_set is not None:
        told = pictures_told(on_event, len(data_set.examples))
        data_set = inspected(data_set, config.data, allow_leak=allow_leak, on_picture=told)
    network = _build(config, len(classes))
    loaded.raise_for(_storing_problems(config, network))
    return Prepared(config, classes, network, data_set, smoke)


def _storing_problems(config: Config, network: Network) -> list[Problem]:
    """Why a model file with this network would not be loaded again; told now and not after the training."""
    if config.train.mixed_precision:
        return []  # what is stored is a copy in float32
    try:
        check_storable(network.model)
    except ValueError as error:
        return [Problem(("model",), f"a file with this network could not be loaded again: {error}")]
    return []


def _build(config: Config, class_count: int) -> Network:
    keras.utils.set_random_seed(config.seed)
    try:
        return build_network(config, class_count, mixed_precision=config.train.mixed_precision)
    except (MemoryError, OverflowError, tf.errors.ResourceExhaustedError) as error:
        raise out_of_memory(config) from error


def make_job(prepared: Prepared, directory: RunDirectory, device: Device, *, like: Config | None = None) -> Job:
    """Makes every choice that was left open, and the pictures of a smoke run without data.

    Args:
        prepared: What is to be trained.
        directory: Where the run goes.
        device: What it runs on.
        like: The resolved configuration of a run that is gone on with, whose choices are taken over.

    Raises:
        WriteError: The pictures cannot be written, or the disk has too little room for the run.
        TrainingError: The memory can never suffice.
    """
    data_set, source = prepared.data_set, Path(prepared.config.data.source).expanduser()
    notes = _notes(prepared)
    if data_set is None:
        source = directory.generated_pictures
        data_set = _generate(prepared, source)
    choices, told = _choices(prepared, data_set, directory, like)
    config = resolve(
        prepared.config,
        source=source,
        classes=data_set.classes,
        has_validation=bool(data_set.split("validation")),
        **choices,
    )
    pictures = (len(data_set.split("train")), len(data_set.split("validation")))
    demand_room(config, prepared.network, directory.path, pictures=pictures)
    notes = (*notes, *told)
    if prepared.config.train.features.brightness and not config.train.features.brightness:
        notes = (*notes, "train.features.brightness is off: there are no stored features that it could change")
    return Job(config, prepared.config, data_set, prepared.network, device, prepared.smoke, () if like else notes)


def _choices(
    prepared: Prepared, data_set: DataSet, directory: RunDirectory, like: Config | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Where pictures are kept and how often features are stored, and what is told about that."""
    config = prepared.config
    plan = plan_for(config, prepared.network, data_set, directory.path, is_timed=not (prepared.smoke or like))
    if like is None:
        return {"cache": _cache(config, data_set, directory, plan), "views": plan.views}, plan.to_lines()
    cache, views = config.data.cache, config.train.features.views
    taken = {
        "cache": like.data.cache if cache == "auto" else cache,
        "views": like.train.features.views if views == "auto" else plan.views,
    }
    return taken, ()


def plan_for(
    config: Config, network: Network, data_set: DataSet | None, folder: Path, *, is_timed: bool
) -> FeaturePlan:
    """How the stages come to their features.

    Args:
        config: What is trained.
        network: Built.
        data_set: The pictures, absent where they are not there yet.
        folder: An existing folder on the disk that is written to where there is no cache folder.
        is_timed: Whether it is to be told how long that takes here.

    Raises:
        UsageError: `CNNTRAIN_CACHE_LIMIT` is no size.
    """
    return plan_features(
        config,
        network,
        pictures=(len(data_set.split("train")), len(data_set.split("validation"))) if data_set else (0, 0),
        room=room_for_features(folder),
        seconds_of=seconds_a_picture if is_timed else None,
    )


def _notes(prepared: Prepared) -> tuple[str, ...]:
    """What the user should know before it starts."""
    config, notes = prepared.config, []
    if prepared.data_set is None:
        notes.append(f"{config.data.source} is not there: training on generated pictures")
    elif not prepared.data_set.split("validation"):
        notes.append("there are no validation pictures: training itself is monitored")
        if config.train.ema:
            notes.append("train.ema: what is monitored are the weights as they change, what is kept is their average")
    notes += prepared.data_set.notes if prepared.data_set else ()
    is_random = isinstance(config.model, Pretrained) and config.model.weights == "none" and not prepared.smoke
    if is_random and any(stage.unfreeze != "all" for stage in plan_stages(config)):
        notes.append("model.weights is none: the frozen layers of the backbone are random")
    return tuple(notes)


def _generate(prepared: Prepared, folder: Path) -> DataSet:
    """A data set of generated pictures, as small as a smoke run needs it; those of a run that is gone on with."""
    data, classes = prepared.config.data, prepared.classes
    a_batch = steps_of(data.batch_size, len(classes))  # enough of each class for a batch of all
    if not folder.exists():
        write_generated(
            folder,
            classes=classes,
            image_size=data.image_size,
            channels=3 if data.color == "rgb" else 1,
            counts={"train": a_batch * SMOKE_STEPS, "validation": a_batch, "test": a_batch},
            seed=prepared.config.seed,
        )
    data_set = smoke_examples(
        DataSet(find_source(folder).absolute, classes), batch_size=data.batch_size, steps=SMOKE_STEPS
    )
    return inspected(data_set, data, allow_leak=True)


def _cache(config: Config, data_set: DataSet, directory: RunDirectory, plan: FeaturePlan) -> str:
    """Where decoded pictures are kept, chosen by room when the configuration leaves it open."""
    if config.data.cache != "auto":
        return config.data.cache
    if plan.stores_all:
        return "none"
    largest = max((plan.image_size for plan in plan_stages(config)), key=math.prod)
    return choose_cache(
        len(data_set.split("train")) + len(data_set.split("validation")),
        preprocessing_of(config.data, largest),
        memory=machine_memory(),
        disk=shutil.disk_usage(directory.path).free,
    )
