"""ImageNet models: a network of keras.applications as it was trained there, its picture size and its classes."""

import sys
from collections import Counter
from contextlib import redirect_stdout
from difflib import get_close_matches
from functools import cache

import keras
import numpy as np

from cnntrain.errors import UsageError
from cnntrain.models.backbones import backbones, build_backbone
from cnntrain.models.network import PROBABILITIES

CLASSES = 1000
_USUAL_SIDE = 224
_SIDES = {
    "inceptionv3": 299,
    "inceptionresnetv2": 299,
    "xception": 299,
    "nasnetlarge": 331,
    "efficientnetb1": 240,
    "efficientnetb2": 260,
    "efficientnetb3": 300,
    "efficientnetb4": 380,
    "efficientnetb5": 456,
    "efficientnetb6": 528,
    "efficientnetb7": 600,
    "efficientnetv2b1": 240,
    "efficientnetv2b2": 260,
    "efficientnetv2b3": 300,
    "efficientnetv2s": 384,
    "efficientnetv2m": 480,
    "efficientnetv2l": 480,
}


def check_name(name: str) -> str:
    """The name of a network in small letters.

    Raises:
        UsageError: `keras.applications` has no such network.
    """
    known = name.lower()
    if known not in backbones():
        near = get_close_matches(known, backbones(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(sorted(backbones()))}"
        raise UsageError(f"there is no pretrained network {name}; {hint}")
    return known


def picture_side(name: str) -> int:
    """Height and width in pixels of the pictures that a network was trained on, by its name in small letters."""
    return _SIDES.get(name, _USUAL_SIDE)


def build_imagenet(name: str, weights: str, *, include_top: bool) -> keras.Model:
    """A network of `keras.applications` with its preprocessing inside: pictures (N, side, side, 3), 0 to 255.

    Args:
        name: One of `backbones()`, in small letters.
        weights: `imagenet`, `none` or the path of a weights file, of the network with its top or without as asked for.
        include_top: Whether it ends in the layer `probabilities` (N, 1000), whose input are the logits, or in its
            feature maps.

    Raises:
        ModelFileError: The weights are missing, damaged, of another network, or cannot be downloaded.
    """
    side = picture_side(name)
    pictures = keras.Input((side, side, 3), name="pictures")
    outputs, _ = build_backbone(pictures, name, weights, include_top=include_top)
    if include_top:
        outputs = keras.layers.Activation("softmax", name=PROBABILITIES, dtype="float32")(outputs)
    return keras.Model(pictures, outputs, name=name)


@cache
def class_names() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes, from the list that Keras downloads once; each is told apart.

    Two pairs of classes share their name (`crane`, `maillot`): those have ImageNet's own number behind it.

    Raises:
        OSError: The list cannot be downloaded or read.
    """
    ranks = np.arange(CLASSES, dtype=np.float32)[np.newaxis]
    try:
        with redirect_stdout(sys.stderr):  # where Keras shows the download
            (decoded,) = keras.applications.imagenet_utils.decode_predictions(ranks, top=CLASSES)
    except Exception as error:  # keras.utils.get_file raises a bare Exception when there is no network
        raise OSError(f"the names of ImageNet's classes cannot be read: {' '.join(str(error).split())}") from error
    counts = Counter(name for _, name, _ in decoded)
    ordered = sorted(decoded, key=lambda entry: float(entry[2]))
    return tuple(name if counts[name] == 1 else f"{name} {number}" for number, name, _ in ordered)
