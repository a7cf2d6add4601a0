"""Weights files of backbones, checked before they are loaded."""

from pathlib import Path
from typing import Any

import keras

from cnntrain.errors import ModelFileError
from cnntrain.untrusted.archive import CONFIG, METADATA, WEIGHTS, open_members
from cnntrain.untrusted.hdf5 import Group, read_hdf5
from cnntrain.untrusted.span import Span, open_regular, told
from cnntrain.untrusted.stored import Pair, assign, pair, pair_in_order

_OF_CNNTRAIN = "cnntrain.json"


def load_weights(base: Any, path: Path, name: str, *, include_top: bool = False) -> None:
    """Loads a weights file into a backbone. Nothing is changed before all of the file is known to fit.

    Args:
        base: The backbone.
        path: A file that Keras has written: `.weights.h5`, `.keras`, or `.h5` of the older format.
        name: What the backbone is called.
        include_top: Whether it has its top; this is told where the file does not fit.

    Raises:
        ModelFileError: The file is missing, is no weights file, or its arrays are not those of the network.
    """
    if not path.is_file():
        raise ModelFileError(f"the weights file {path} does not exist; give an existing file, imagenet or none")
    if not path.name.endswith((".weights.h5", ".h5", ".keras")):
        raise ModelFileError(f"weights files end in .weights.h5, .h5 or .keras; got {path}")
    try:
        with open_regular(path) as file:
            stored = _stored(file, path)
            assign(base, _pairs(base, path, read_hdf5(stored)), stored)
    except (OSError, ValueError) as error:
        part = "with" if include_top else "without"
        raise ModelFileError(
            f"{path} does not hold the weights of {name} {part} its top ({told(error)}); get the file that belongs to "
            "it"
        ) from error
    if name.lower().startswith("efficientnetb"):
        _divide_twice(base)


def _stored(file: Span, path: Path) -> Span:
    """The HDF5 part of a file. Raises ValueError."""
    if not path.name.endswith(".keras"):
        return file
    return open_members(file, [WEIGHTS], [METADATA, CONFIG, _OF_CNNTRAIN])[WEIGHTS]


def _pairs(base: Any, path: Path, root: Group) -> list[Pair]:
    """The weights of a backbone and their arrays; those of an optimizer are left out. Raises ValueError."""
    if not path.name.endswith((".weights.h5", ".keras")):
        return pair_in_order(base, root)
    return pair(base, {place: array for place, array in root.arrays().items() if place.startswith("layers/")})


def _divide_twice(base: Any) -> None:
    """Normalizes pictures for an EfficientNet the way its ImageNet weights were trained.

    These were trained on (x - mean) / std / sqrt(std). Keras adds the second division to the graph only where it
    downloads the weights itself; here it goes into the variance. Weights trained from scratch have variance 1.
    """
    for layer in base.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.adapt_variance.assign(layer.adapt_variance**1.5)
            layer.finalize_state()
