"""Writes well-known data sets as folders of pictures."""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cnntrain.errors import DataError
from cnntrain.files import new_folder

KerasDataset = Literal["mnist", "fashion_mnist", "cifar10", "cifar100"]
Pixels = npt.NDArray[np.uint8]

_FASHION_MNIST = "t_shirt trouser pullover dress coat sandal shirt sneaker bag ankle_boot"
_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""
CLASS_NAMES: Mapping[str, tuple[str, ...]] = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": tuple(_FASHION_MNIST.split()),
    "cifar10": tuple(_CIFAR10.split()),
    "cifar100": tuple(_CIFAR100.split()),
}

# What Keras looks for in its folder before it downloads; the archives of the last two go by another name there.
_KERAS_FILES: Mapping[str, str] = {
    "mnist": "mnist.npz",
    "fashion_mnist": "fashion-mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz",
    "cifar10": "cifar-10-batches-py-target_archive (cifar-10-python.tar.gz under that name)",
    "cifar100": "cifar-100-python-target_archive (cifar-100-python.tar.gz under that name)",
}


def write_digits(dest: Path) -> int:
    """Writes scikit-learn's 1,797 handwritten digits as 8×8 grayscale PNGs `dest/DIGIT/digit_NUMBER.png`.

    Their values from 0 to 16 become round(value × 255 / 16). NUMBER is the picture's index in scikit-learn's arrays.

    Returns:
        How many pictures were written.

    Raises:
        WriteError: `dest` exists or cannot be written.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    with new_folder(dest) as folder:
        _write_pictures(folder, pixels, [str(digit) for digit in digits.target], "digit_{:04d}.png")
    return len(pixels)


def write_keras_dataset(name: KerasDataset, dest: Path) -> int:
    """Writes a data set of `keras.datasets`, which downloads it once, as PNGs `dest/{train,test}/CLASS/NAME.png`.

    Returns:
        How many pictures were written.

    Raises:
        DataError: It cannot be downloaded, or what was downloaded cannot be read.
        WriteError: `dest` exists or cannot be written.
    """
    written = 0
    with new_folder(dest) as folder:
        for part, (pixels, labels) in zip(("train", "test"), _load(name), strict=True):
            classes = [CLASS_NAMES[name][label] for label in labels.ravel()]
            _write_pictures(folder / part, pixels, classes, name + "_{:05d}.png")
            written += len(pixels)
    return written


def _load(name: KerasDataset) -> tuple[tuple[Pixels, npt.NDArray[Any]], ...]:
    """Pictures (n, height, width) or (n, height, width, 3) and labels (n,) or (n, 1) of training and test."""
    import keras

    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras prints its download there; stdout is for results
            loaded: tuple[tuple[Pixels, npt.NDArray[Any]], ...] = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        cache = Path(os.environ.get("KERAS_HOME", "~/.keras"), "datasets").expanduser()
        reason = " ".join(str(error).split())
        raise DataError(
            f"the data set {name} must be downloaded, and that failed ({reason}); connect to the network, "
            f"or get its files elsewhere and put them into {cache} as {_KERAS_FILES[name]}"
        ) from error
    return loaded


def _write_pictures(folder: Path, pixels: Pixels, classes: list[str], name: str) -> None:
    """Writes one PNG a picture as `folder/CLASS/NAME`, where NAME holds the picture's index."""
    from PIL import Image

    for label in set(classes):
        (folder / label).mkdir(parents=True)
    for index, (picture, label) in enumerate(zip(pixels, classes, strict=True)):
        Image.fromarray(np.ascontiguousarray(picture)).save(folder / label / name.format(index))
