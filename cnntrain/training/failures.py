"""What can go wrong while a network trains, as errors of ours."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from cnntrain.config import Config
from cnntrain.config.stages import plan_stages
from cnntrain.data.examples import Example
from cnntrain.data.inspection import changed_files
from cnntrain.errors import CnntrainError, DataError, TrainingError

# cuDNN gives an InternalError, oneDNN an AbortedError, the system an OSError.
_FULL_MEMORY = re.compile(
    r"out of memory|OOM when|(unable|failed) to allocate|could not create a memory|_ALLOC_FAILED|OUT_OF_MEMORY",
    re.IGNORECASE,
)


@contextmanager
def failures_told(config: Config, examples: Sequence[Example]) -> Iterator[None]:
    """Turns what TensorFlow says of full memory and of changed files into one line for the user.

    Args:
        config: What is trained.
        examples: Inspected pictures that it is trained on.

    Raises:
        TrainingError: The memory is used up.
        DataError: A picture has gone or changed since it was looked at.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory(config) from error
        missing = isinstance(error, tf.errors.NotFoundError | tf.errors.InvalidArgumentError)
        changed = changed_files(examples) if missing else []
        if not changed:
            raise
        raise DataError(
            f"{changed[0]} has gone or changed since it was looked at; put it back and try again"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory is used up, under whatever name TensorFlow or Keras gave it."""
    if isinstance(error, CnntrainError) or "No space left on device" in str(error):
        return False
    named = isinstance(error, MemoryError | tf.errors.ResourceExhaustedError)
    # Keras raises another error in the place of numpy's, which then is its context.
    return (
        named
        or bool(_FULL_MEMORY.search(str(error)))
        or (error.__context__ is not None and is_out_of_memory(error.__context__))
    )


def out_of_memory(config: Config) -> TrainingError:
    """What to say when the memory is used up."""
    return TrainingError(f"out of memory with {_batches(config)}; {_advice(config)}")


def too_little_memory(config: Config, *, needed: str, available: str, place: str) -> TrainingError:
    """What to say when the memory can never suffice."""
    return TrainingError(
        f"{_batches(config)} need at least {needed} of memory, and {place} has {available}; {_advice(config)}"
    )


def nearly_out_of_memory(config: Config) -> str:
    """What to say while there is still time."""
    what = f"warning: the memory is nearly used up with {_batches(config)}"
    return f"{what}; if the system kills this run, {_advice(config)}"


def _batches(config: Config) -> str:
    """The batches of a training by number and size of their pictures, of the largest where there are several sizes."""
    height, width = max((stage.image_size for stage in plan_stages(config)), key=math.prod)
    count = config.data.batch_size
    return f"batches of {count} picture{'s' if count > 1 else ''} of {height}x{width} pixels"


def _advice(config: Config) -> str:
    cache = "set data.cache to disk, " if config.data.cache == "memory" else ""
    lower = "data.batch_size or data.image_size" if config.data.batch_size > 1 else "data.image_size"
    return f"{cache}lower {lower}, or take a smaller network"
