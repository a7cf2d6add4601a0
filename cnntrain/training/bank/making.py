"""Runs frozen layers over what a bank still lacks, shard by shard."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnntrain.data.batching import steps_of
from cnntrain.models.asking import ask
from cnntrain.training.bank.bank import Bank
from cnntrain.training.events import OnEvent, StepDone

BATCH = 32  # rows a forward pass, whatever the training's batches are: a divisor of the rows of a shard
Inputs = Callable[[int, npt.NDArray[np.int64]], Iterable[Any]]
Check = Callable[[range], None]


def make(bank: Bank, views: int, part: keras.Model, inputs: Inputs, check: Check, *, on_event: OnEvent) -> int:
    """Computes the missing features of a bank and writes them, each shard as soon as it is complete.

    Args:
        bank: Whose lock is held.
        views: How many versions of each picture it is to hold.
        part: The frozen layers, in inference mode.
        inputs: Gives batches of 32 of what the part takes, for the number of a version and numbers of pictures.
        check: Given the pictures of a shard before it is written, raises an error if they are not what they were.
        on_event: Told after every batch.

    Returns:
        Number of pictures, versions counted each, that went through the part.

    Raises:
        WriteError: A shard cannot be written; those before it stay.
    """
    missing = {view: bank.missing(view) for view in range(views)}
    steps = sum(steps_of(len(shard), BATCH) for shards in missing.values() for shard in shards)
    task = f"features of {bank.contents.description['split']}"
    done = 0
    for view, shards in missing.items():
        if not shards:
            continue
        batches = iter(inputs(view, np.concatenate([np.arange(shard.start, shard.stop) for shard in shards])))
        for shard in shards:
            features = np.empty((len(shard), *bank.contents.shape), np.float32)
            for first in range(0, len(shard), BATCH):
                batch = np.asarray(next(batches))
                features[first : first + len(batch)] = ask(part, batch, BATCH)
                done += 1
                on_event(StepDone(task=task, step=done, steps=steps))
            check(shard)
            bank.write(view, shard.start, features)
    return sum(len(shard) for shards in missing.values() for shard in shards)
