"""What a bank is named by: everything that decides the features in it."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from cnntrain.config.sections import Augment
from cnntrain.data.pipeline import Pictures
from cnntrain.data.rules import rules
from cnntrain.training.bank.bank import Contents

_MODULES = (
    "augmentation/boxes.py",
    "augmentation/changes.py",
    "augmentation/colour.py",
    "augmentation/erasing.py",
    "augmentation/geometry.py",
    "augmentation/rand_augment.py",
    "decoder.py",
    "randomness.py",
    "scanning/header.py",
)
_LIBRARIES = ("tensorflow", "keras", "numpy", "pillow")


def contents_of(
    part: keras.Model, pictures: Pictures, *, backbone: str, cut: str, split: str, augment: Augment, seed: int
) -> Contents:
    """Names the features of pictures: other pictures, layers, weights or changes have another key.

    The number of versions is not in it, since each of them is what it is whatever their number; nor is the seed where
    nothing is changed.

    Args:
        part: From pictures to features, with its weights.
        pictures: In their order.
        backbone: Its name, for whoever reads the list of banks.
        cut: Name of the layer that the part ends with, likewise.
        split: `train` or `validation`, likewise.
        augment: What is changed in each version.
        seed: Of the changes.

    Raises:
        ValueError: The files were not looked at, so that nobody knows what is in them.
    """
    if not all(pictures.checksums) or len(pictures.checksums) != len(pictures):
        raise ValueError("pictures without checksums have no key")
    changes = {"augment": _of_single_pictures(augment), "seed": seed} if augment.is_active else {}
    decisive = {
        "rules": rules(_MODULES, _LIBRARIES),
        "layers": _layers(part),
        "weights": _digest(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)) for weight in part.weights),
        "pictures": _digest(bytes.fromhex(checksum) for checksum in pictures.checksums),
        "preprocessing": pictures.preprocessing.to_json(),
        **changes,
    }
    return Contents(
        key=hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest(),
        shape=tuple(int(side) for side in part.output.shape[1:]),
        count=len(pictures),
        description={
            "backbone": backbone,
            "cut": cut,
            "split": split,
            "image_size": list(pictures.preprocessing.shape[:2]),
            **changes,
        },
    )


def _of_single_pictures(augment: Augment) -> dict[str, Any]:
    """All that is said about changes, but for the mixing of pictures with others."""
    return augment.model_dump(mode="json", exclude={"mixup", "cutmix"})


def _layers(part: keras.Model) -> Any:
    """The graph of a model without the name that Keras made up and the sizes that its layers were first called with."""
    config = json.loads(part.to_json())
    config["config"].pop("name")
    for layer in config["config"]["layers"]:
        layer.pop("build_config", None)
    return config


def _digest(buffers: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()
