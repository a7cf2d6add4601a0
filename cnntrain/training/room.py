"""Whether a training fits: on the disk and into the memory, known before its first step."""

import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import tensorflow as tf

from cnntrain.config.sections import Config, Optimizer
from cnntrain.config.stages import StagePlan, plan_stages
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.memory import attainable_memory
from cnntrain.errors import WriteError
from cnntrain.files import folder_size, nearest_folder
from cnntrain.models.backward import kept_bytes
from cnntrain.models.cutting import frozen_cut
from cnntrain.models.network import Network
from cnntrain.runs.directory import RunDirectory
from cnntrain.training.bank.planning import in_bytes
from cnntrain.training.failures import too_little_memory

_STATES = 4  # two are kept, and the last between two epochs, while the next is written
_MODELS = 2  # one stays while the next is written
_SMALL_FILES = 10 << 20  # record, history, log, examples, curves


@dataclass(frozen=True)
class Memory:
    """What a stage takes at the least, in bytes.

    Args:
        device: Where it computes: weights, optimizer, average, and what waits for the backward pass.
        host: In the machine's memory, wherever it computes: decoded pictures, copies of weights.
    """

    device: int
    host: int

    @property
    def total(self) -> int:
        """Where both are the same."""
        return self.device + self.host


def demand_room(config: Config, network: Network, folder: Path, *, pictures: tuple[int, int]) -> None:
    """Makes sure that a training can be written and that it has a chance to fit into the memory.

    Args:
        config: Resolved.
        network: Built; which of its layers train is left as in the last stage.
        folder: The run directory, made or not; what an earlier state in it takes is counted as free.
        pictures: Number of training and of validation pictures.

    Raises:
        WriteError: The folder cannot be written to, or its disk has too little room.
        TrainingError: The memory that the machine has can never suffice.
    """
    needed = disk_needed(config, network, pictures=pictures) - folder_size(RunDirectory(folder).state)
    demand_disk(folder, needed, purpose="the states and the model of this training")
    demand_memory(config, network, pictures=pictures)


def demand_disk(folder: Path, needed: int, *, purpose: str) -> None:
    """Makes sure that `folder` can be written to and that so many bytes are free on its disk.

    Args:
        folder: Where files are to be written; the nearest folder above is asked where it is not made yet.
        needed: Bytes.
        purpose: What is written, for the message.

    Raises:
        WriteError: It cannot be written to, or there is less room.
    """
    place = nearest_folder(folder.absolute())
    try:
        with tempfile.TemporaryFile(dir=place) as stream:
            stream.write(b"\0")
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise WriteError(f"cannot write to {place}: {error.strerror or error}; choose another place") from error
    if needed > free:
        raise WriteError(
            f"{folder} needs about {in_bytes(needed)} for {purpose}, and its disk has {in_bytes(free)} free; free some "
            "room or choose another place"
        )


def demand_memory(config: Config, network: Network, *, pictures: tuple[int, int]) -> None:
    """Makes sure that what a training takes at the least is not more than the machine, or its GPU, could ever give.

    Raises:
        TrainingError: It is more.
    """
    if tf.config.get_visible_devices("GPU"):
        stages = memory_needed(config, network, pictures=pictures, is_compiled=True)
        _compare(config, max(stage.device for stage in stages), _gpu_memory(), "its GPU")
        _compare(config, max(stage.host for stage in stages), attainable_memory(), "this machine")
    else:
        stages = memory_needed(config, network, pictures=pictures)
        _compare(config, max(stage.total for stage in stages), attainable_memory(), "this machine")


def _compare(config: Config, needed: int, available: int | None, place: str) -> None:
    if available is not None and needed > available:
        raise too_little_memory(config, needed=in_bytes(needed), available=in_bytes(available), place=place)


def memory_needed(
    config: Config, network: Network, *, pictures: tuple[int, int], is_compiled: bool = False
) -> tuple[Memory, ...]:
    """A lower bound of the memory that each stage of a training takes.

    Args:
        config: Resolved.
        network: Built; which of its layers train is left as in the last stage.
        pictures: Number of training and of validation pictures.
        is_compiled: Whether steps are compiled by XLA, which can compute what waits for the backward pass again.
    """
    stages, rows = plan_stages(config), min(config.data.batch_size, pictures[0])
    needed = []
    for stage, epochs in zip(stages, accumulate(stage.epochs for stage in stages), strict=True):
        trained = _Trained.of(config, network, stage)
        device = _weights(network) + trained.device(rows, is_compiled=is_compiled)
        best = trained.weights if epochs > 1 else 0
        needed.append(Memory(device, _stored_pictures(config, network, stage, sum(pictures), "memory") + best))
    return tuple(needed)


def disk_needed(config: Config, network: Network, *, pictures: tuple[int, int]) -> int:
    """About how many bytes the files of a training take at the most, plots and stored features left out.

    Args:
        config: Resolved.
        network: Built; which of its layers train is left as in the last stage.
        pictures: Number of training and of validation pictures.
    """
    stages = plan_stages(config)
    trained = [_Trained.of(config, network, stage) for stage in stages]
    bests = 3 if config.train.interpolate else 2  # of the run, of the stage, of the head
    state = max(part.weights + part.optimizer + part.average for part in trained)
    state += bests * max(part.weights for part in trained)
    frozen = _weights(network) - min(part.weights for part in trained)
    cached = max(_stored_pictures(config, network, stage, sum(pictures), "disk") for stage in stages)
    return _STATES * state + frozen + _MODELS * _weights(network) + cached + _SMALL_FILES


@dataclass(frozen=True)
class _Trained:
    """Bytes of what a stage trains.

    Args:
        weights: That train.
        largest: The largest array among them.
        optimizer: What the optimizer keeps of each of them.
        average: Of the weights, statistics too; 0 where none is made.
        kept: For one picture, each array that waits for the backward pass.
    """

    weights: int
    largest: int
    optimizer: int
    average: int
    kept: tuple[int, ...]

    @classmethod
    def of(cls, config: Config, network: Network, stage: StagePlan) -> "_Trained":
        network.thaw(stage.unfreeze)
        weights = network.model.trainable_weights
        followed = [weight for layer in network.model.layers if layer.trainable for weight in layer.weights]
        return cls(
            weights=_bytes(weights),
            largest=max((_bytes([weight]) for weight in weights), default=0),
            optimizer=_slots(stage.optimizer) * _bytes(weights),
            average=_bytes(followed) if config.train.ema else 0,
            kept=kept_bytes(network.resized(stage.image_size), stage.unfreeze),
        )

    def device(self, rows: int, *, is_compiled: bool) -> int:
        """What a step with so many pictures takes besides the weights."""
        waiting = max(self.kept, default=0) if is_compiled else sum(self.kept)
        return self.optimizer + self.average + max(rows * waiting, self.largest)


def _slots(optimizer: Optimizer) -> int:
    """How many numbers an optimizer keeps for each weight."""
    plain = {"sgd": 0, "rmsprop": 1, "adagrad": 1, "lion": 1, "adam": 2, "adamw": 2, "nadam": 2}
    return plain[optimizer.name] + bool(optimizer.momentum)


def _weights(network: Network) -> int:
    """Bytes of all weights of a network."""
    return _bytes(network.model.weights)


def _bytes(variables: Iterable[Any]) -> int:
    """Of variables, which are float32 whatever is computed in."""
    numbers: int = sum(math.prod(variable.shape) for variable in variables)
    return 4 * numbers


def _stored_pictures(config: Config, network: Network, stage: StagePlan, count: int, place: str) -> int:
    """Bytes of decoded pictures that a stage keeps in a place, `memory` or `disk`."""
    views = config.train.features.views
    is_on_features = views != "fresh" and frozen_cut(network, stage.unfreeze) is not None
    if config.data.cache != place or is_on_features:
        return 0
    return count * math.prod(preprocessing_of(config.data, stage.image_size).shape)


def _gpu_memory() -> int | None:
    """Bytes of the largest GPU that NVIDIA's driver tells of, nothing where it does not."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return max((int(line) << 20 for line in told.split() if line.isdecimal()), default=None)
