"""A run's model as one file: the whole network with the names of its classes inside."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from cnntrain.errors import ModelFileError
from cnntrain.files import replacing

MEMBER = "cnntrain.json"


def save_model(path: Path, model: keras.Model, classes: Sequence[str]) -> None:
    """Writes a model with its class names, whole or not at all.

    The file is an ordinary `.keras` file that `keras.models.load_model` reads without cnntrain; the names are one
    more member of the archive.

    Args:
        path: The `.keras` file to write.
        model: Pictures to probabilities, not compiled.
        classes: Names in the order of the model's outputs.

    Raises:
        WriteError: The file cannot be written.
    """
    with replacing(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMBER, json.dumps({"format": 1, "classes": list(classes)}, ensure_ascii=False))


def read_class_names(path: Path) -> tuple[str, ...]:
    """The class names inside a model that `save_model` wrote.

    Raises:
        ModelFileError: The file is missing, damaged, or not written by cnntrain.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(json.loads(archive.read(MEMBER))["classes"])
    except FileNotFoundError as error:
        raise ModelFileError(
            f"the model {path} does not exist; was the run interrupted before its first epoch?"
        ) from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{path} is not a model that cnntrain wrote ({error}); fit the run again") from error


def load_model(path: Path) -> Any:
    """Reads a model that `save_model` wrote: pictures (N, height, width, channels), 0 to 255, to probabilities.

    Raises:
        ModelFileError: The file is missing, damaged, or not written by cnntrain.
    """
    read_class_names(path)
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # keras raises whatever its layers raise
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path} cannot be loaded as a model ({reason}); fit the run again") from error
