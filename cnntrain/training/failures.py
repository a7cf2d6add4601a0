"""What can go wrong while a network trains, as errors of ours."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from cnntrain.config import Config
from cnntrain.data.examples import Example
from cnntrain.data.inspection import changed_files
from cnntrain.errors import DataError, TrainingError


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
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise out_of_memory(config) from error
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
        changed = changed_files(examples)
        if not changed:
            raise
        raise DataError(
            f"{changed[0]} has gone or changed since it was looked at; put it back and try again"
        ) from error


def out_of_memory(config: Config) -> TrainingError:
    """What to say when the memory is used up."""
    data = config.data
    height, width = data.image_size
    return TrainingError(
        f"out of memory with batches of {data.batch_size} pictures of {height}x{width} pixels; "
        "lower data.batch_size or data.image_size, or take a smaller network"
    )
