"""Weights files of backbones, checked before they are loaded."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import keras

from cnntrain.errors import ModelFileError


def load_weights(base: Any, path: Path, name: str) -> None:
    """Loads a weights file into a backbone.

    Raises:
        ModelFileError: The file is missing, is no weights file, or its arrays are not those of the network.
    """
    if not path.is_file():
        raise ModelFileError(f"the weights file {path} does not exist; give an existing file, imagenet or none")
    if not path.name.endswith((".weights.h5", ".h5", ".keras")):
        raise ModelFileError(f"weights files end in .weights.h5, .h5 or .keras; got {path}")
    try:
        _check_count(base, path)
        base.load_weights(path)
    except Exception as error:  # h5py and keras raise OSError, ValueError, KeyError and more
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"{path} does not hold the weights of {name} without its top ({reason}); get the file that belongs to it"
        ) from error
    if name.lower().startswith("efficientnetb"):
        _divide_twice(base)


def _check_count(base: Any, path: Path) -> None:
    """Raises ValueError where a file holds more arrays than the backbone has: Keras would pass over the others."""
    if path.name.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            count = _count_arrays(BytesIO(archive.read("model.weights.h5")))
    elif path.name.endswith(".weights.h5"):
        count = _count_arrays(path)
    else:
        return  # for the older format Keras counts itself
    if count != len(base.weights):
        raise ValueError(f"it holds {count} arrays, the network {len(base.weights)}")


def _count_arrays(source: Path | BytesIO) -> int:
    """Number of arrays of layers in Keras's HDF5 format; those of an optimizer are left out."""
    arrays: list[str] = []
    with h5py.File(source) as file:
        layers = file["layers"]
        layers.visititems(lambda name, item: arrays.append(name) if isinstance(item, h5py.Dataset) else None)
    return len(arrays)


def _divide_twice(base: Any) -> None:
    """Normalizes pictures for an EfficientNet the way its ImageNet weights were trained.

    These were trained on (x - mean) / std / sqrt(std). Keras adds the second division to the graph only where it
    downloads the weights itself; here it goes into the variance. Weights trained from scratch have variance 1.
    """
    for layer in base.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.adapt_variance.assign(layer.adapt_variance**1.5)
            layer.finalize_state()
