"""A few pictures as one array, to try a network on."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cnntrain.data.decoder import Preprocessing
from cnntrain.data.examples import Example
from cnntrain.data.pipeline import Pictures, image_batches, open_pictures


def spread(examples: Sequence[Example], count: int) -> tuple[Example, ...]:
    """At most `count` of the examples, at even distances, so that all classes have a part in a sorted table."""
    size = len(examples)
    kept = min(count, size)
    return tuple(examples[index * size // kept] for index in range(kept))


def decoded(examples: Sequence[Example], preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Examples, at least one, as uint8 (n, height, width, channels).

    Raises:
        tensorflow.errors.OpError: A picture has gone or is damaged.
    """
    labels = sorted({example.label for example in examples})
    return at_once(open_pictures(examples, labels, preprocessing))


def at_once(pictures: Pictures) -> npt.NDArray[np.uint8]:
    """All of some pictures, at least one, as uint8 (n, height, width, channels).

    Raises:
        tensorflow.errors.OpError: A picture has gone or is damaged.
    """
    batch: npt.NDArray[np.uint8] = next(image_batches(pictures, len(pictures)).as_numpy_iterator())
    return batch
