"""From a configuration to a job: everything that can be wrong is found here, before anything is written."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import keras

from cnntrain.config import Config, LoadedConfig, Problem
from cnntrain.config.resolving import SMOKE_STEPS, resolve, smoke_config
from cnntrain.data.cache import choose_cache, machine_memory
from cnntrain.data.data_set import DataSet, find_data_set, names_without_data, smoke_examples
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.generated import write_generated
from cnntrain.data.inspection import inspect_all
from cnntrain.data.sources import find_split_examples
from cnntrain.errors import DataError
from cnntrain.models.checks import check
from cnntrain.models.network import Network, build_network
from cnntrain.runs.directory import RunDirectory
from cnntrain.runtime import Device
from cnntrain.training.session import Job


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


def prepare_fit(loaded: LoadedConfig, *, smoke: bool) -> Prepared:
    """Checks a configuration with its data, builds its network and looks at every picture. Nothing is written.

    Keras's global random state is seeded with the configuration's seed.

    Args:
        loaded: What the user wrote.
        smoke: Whether it is only a trial: a few pictures, or none when the source is not there.

    Raises:
        ConfigError: The configuration has problems; all of them are named.
        DataError: Only the data is wrong, or a picture cannot be decoded.
        ModelFileError: The pretrained weights cannot be used.
    """
    config = smoke_config(loaded.config) if smoke else loaded.config
    problems = check(config)
    data_set = None
    if smoke and not Path(config.data.source).exists():
        raise_problems(loaded, problems, [])
        classes = names_without_data(config.data.classes)
    else:
        data_set = require_data_set(loaded, problems)
        if smoke:
            data_set = smoke_examples(data_set, batch_size=config.data.batch_size, steps=SMOKE_STEPS)
        classes = data_set.classes
    keras.utils.set_random_seed(config.seed)
    network = build_network(config, len(classes), mixed_precision=config.train.mixed_precision)
    inspected = data_set and DataSet(inspect_all(data_set.examples), classes)
    return Prepared(config, classes, network, inspected, smoke)


def require_data_set(loaded: LoadedConfig, problems: list[Problem]) -> DataSet:
    """The data set of a configuration; its problems are told together with those found so far.

    Raises:
        ConfigError: There are problems.
        DataError: Only the data is wrong.
    """
    data_set, data_problems = find_data_set(loaded.config.data)
    raise_problems(loaded, problems, data_problems)
    if data_set is None:
        raise DataError(f"{loaded.config.data.source} holds no data set; run `cnntrain split` first")
    return data_set


def raise_problems(loaded: LoadedConfig, problems: list[Problem], data_problems: list[Problem]) -> None:
    """Raises what there is: a ConfigError, or a DataError when only the data is wrong."""
    if not problems and not data_problems:
        return
    error = loaded.locate([*problems, *data_problems])
    raise error if problems else DataError(str(error))


def make_job(prepared: Prepared, directory: RunDirectory, device: Device) -> Job:
    """Makes every choice that was left open, and the pictures of a smoke run without data.

    Raises:
        WriteError: The pictures cannot be written.
    """
    data_set, source = prepared.data_set, Path(prepared.config.data.source)
    if data_set is None:
        source = directory.generated_pictures
        data_set = _generate(prepared, source)
    config = resolve(
        prepared.config,
        source=source,
        classes=data_set.classes,
        cache=_cache(prepared.config, data_set, directory),
        has_validation=bool(data_set.split("validation")),
    )
    return Job(config, data_set, prepared.network, device, prepared.smoke)


def _generate(prepared: Prepared, folder: Path) -> DataSet:
    """A data set of generated pictures, as small as a smoke run needs it."""
    data, classes = prepared.config.data, prepared.classes
    a_batch = -(-data.batch_size // len(classes))
    write_generated(
        folder,
        classes=classes,
        image_size=data.image_size,
        channels=3 if data.color == "rgb" else 1,
        counts={"train": a_batch * SMOKE_STEPS, "validation": a_batch, "test": a_batch},
        seed=prepared.config.seed,
    )
    data_set = DataSet(inspect_all(find_split_examples(folder)), classes)
    return smoke_examples(data_set, batch_size=data.batch_size, steps=SMOKE_STEPS)


def _cache(config: Config, data_set: DataSet, directory: RunDirectory) -> str:
    """Where decoded pictures are kept, chosen by room when the configuration leaves it open."""
    if config.data.cache != "auto":
        return config.data.cache
    return choose_cache(
        len(data_set.split("train")) + len(data_set.split("validation")),
        preprocessing_of(config.data),
        memory=machine_memory(),
        disk=shutil.disk_usage(directory.path).free,
    )
