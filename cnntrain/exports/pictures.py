"""The pictures that an export is checked on."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnntrain.data.decoder import Preprocessing
from cnntrain.data.few import decoded, spread
from cnntrain.data.inspection import inspect
from cnntrain.errors import DataError
from cnntrain.evaluation.selection import examples_of_split
from cnntrain.runs.run import Run

_COUNT = 32
_HELD_OUT_FIRST = ("test", "validation", "train")


@dataclass(frozen=True)
class Trial:
    """Pictures to try a model on.

    Args:
        of: The split that they are of, or `noise`.
        pictures: uint8 (n, height, width, channels), n from 1 to 32.
    """

    of: str
    pictures: NDArray[np.uint8]


def trial_pictures(run: Run, preprocessing: Preprocessing) -> Trial:
    """Test pictures of a run, else those of validation, else of training; noise where no pictures are left."""
    for split in _HELD_OUT_FIRST:
        with suppress(DataError):
            examples = spread(examples_of_split(run, split), _COUNT)
            good = inspect(examples, max_pixels=run.config.data.max_pixels, bad_images="skip").examples
            if good:
                return Trial(split, decoded(good, preprocessing))
    random = np.random.default_rng(run.config.seed)
    return Trial("noise", random.integers(0, 256, (_COUNT, *preprocessing.shape), np.uint8))
