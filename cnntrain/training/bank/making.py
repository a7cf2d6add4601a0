"""Runs frozen layers over what a bank still lacks, shard by shard."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnntrain.data.batching import steps_of
from cnntrain.models.asking import ask
from cnntrain.training.bank.bank import Bank
from cnntrain.training.events import OnEvent, StepDone

_MOST = 32  # pictures a forward pass: a divisor of the rows of a shard
_PIXELS = _MOST * 256 * 256  # of the pictures of a forward pass, so that large ones need no more memory than others
Inputs = Callable[[int, npt.NDArray[np.int64]], Iterable[Any]]
Check = Callable[[range], None]


def pass_rows(image_size: tuple[int, int]) -> int:
    """How many pictures go through frozen layers at once: a power of two, 32 up to 256 × 256 pixels, fewer above.

    It depends on nothing else, so that features are the same whatever the batches of the training are.
    """
    fitting = _PIXELS // max(math.prod(image_size), 1)
    return min(_MOST, 1 << (max(fitting, 1).bit_length() - 1))


def make(
    bank: Bank, views: int, part: keras.Model, inputs: Inputs, check: Check, *, rows: int, on_event: OnEvent
) -> None:
    """Computes the missing features of a bank and writes them, each shard as soon as it is complete.

    Args:
        bank: Whose lock is held.
        views: How many versions of each picture it is to hold.
        part: The frozen layers, in inference mode.
        inputs: Gives batches of what the part takes, for the number of a version and numbers of pictures.
        check: Given the pictures of a shard before it is written, raises an error if they are not what they were.
        rows: Of a batch, as `pass_rows` gives them.
        on_event: Told after every batch.

    Raises:
        WriteError: A shard cannot be written; those before it stay.
    """
    missing = {view: bank.missing(view) for view in range(views)}
    steps = sum(steps_of(len(shard), rows) for shards in missing.values() for shard in shards)
    task = f"features of {bank.contents.description['split']}"
    done = 0
    for view, shards in missing.items():
        if not shards:
            continue
        batches = iter(inputs(view, np.concatenate([np.arange(shard.start, shard.stop) for shard in shards])))
        for shard in shards:
            features = np.empty((len(shard), *bank.contents.shape), np.float32)
            for first in range(0, len(shard), rows):
                batch = np.asarray(next(batches))
                features[first : first + len(batch)] = ask(part, batch, rows)
                done += 1
                on_event(StepDone(task=task, step=done, steps=steps))
            check(shard)
            bank.write(view, shard.start, features)
