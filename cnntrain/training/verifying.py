"""Whether the model that a training has saved is the network that it has in memory."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.config import Config
from cnntrain.data.data_set import DataSet
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.few import decoded, spread
from cnntrain.errors import ModelFileError
from cnntrain.models.agreement import TOLERANCE, largest_difference, outputs_of
from cnntrain.runs.model_file import load_model
from cnntrain.runtime import whole_float32

_PICTURES = 8


def few_pictures(config: Config, data_set: DataSet) -> NDArray[np.uint8]:
    """Pictures to ask a saved model about: uint8 (n, height, width, channels), n from 1 to 8.

    They are of the validation part, and of the training part where there is none.
    """
    examples = data_set.split("validation") or data_set.split("train")
    return decoded(spread(examples, _PICTURES), preprocessing_of(config.data))


def check_saved(path: Path, model: Any, pictures: NDArray[np.uint8]) -> None:
    """Loads a saved model as later commands do, and asks it and the network in memory about the same pictures.

    Args:
        path: Where `save_model` wrote it.
        model: What was saved.
        pictures: (n, height, width, channels), from 0 to 255.

    Raises:
        ModelFileError: The file cannot be read, or its probabilities differ from those of the network.
    """
    with whole_float32():
        difference = largest_difference(outputs_of(load_model(path), pictures), outputs_of(model, pictures))
    if difference > TOLERANCE:
        raise ModelFileError(
            f"{path} does not give the answers of the network that it was written from: probabilities differ by up to "
            f"{difference:.2g}, allowed is {TOLERANCE:g}; check the disk and go on with --resume, which writes it again"
        )
