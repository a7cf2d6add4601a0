"""Pretrained backbones: every network of `keras.applications`, its preprocessing and its ImageNet weights."""

import os
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import keras
from keras.src.backend.common import global_state

from cnntrain.errors import ModelFileError
from cnntrain.models.weights import load_weights


@cache
def backbones() -> Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """All networks of `keras.applications` by their names in small letters, each as (builder, preprocessing)."""
    builders = {name: value for name, value in vars(keras.applications).items() if name[0].isupper()}
    return {
        name.lower(): (builder, sys.modules[builder.__module__].preprocess_input) for name, builder in builders.items()
    }


def build_backbone(pictures: Any, name: str, weights: str, *, include_top: bool = False) -> tuple[Any, tuple[str, ...]]:
    """Puts a backbone on the pictures, in the same flat graph, with its own preprocessing before it.

    The layers of a backbone run in inference mode for good: its dropout is turned off here, its batch normalization
    by `Network.thaw`. So frozen layers give the same feature maps in training as in use. Layers that Keras names by
    counting are counted from the start, so that a backbone's layers are called the same whatever was built before.

    Args:
        pictures: Symbolic tensor (N, height, width, 1 or 3), 0 to 255; one channel is repeated to three.
        name: Key of `backbones()`, in letters of any case.
        weights: `imagenet`, `none` or the path of a weights file.
        include_top: Whether ImageNet's classification follows the feature maps.

    Returns:
        The symbolic feature maps, or with the top the logits (N, 1000), and the names of the backbone's layers from the
        picture upwards.

    Raises:
        ModelFileError: The weights are missing, damaged, of another network, or cannot be downloaded.
        ValueError: The pictures are too small for the network.
    """
    builder, preprocess = backbones()[name.lower()]
    if pictures.shape[-1] == 1:
        pictures = keras.layers.Concatenate(name="repeat_channels")([pictures, pictures, pictures])
    before = set(_layers_to(pictures))
    options = {"include_top": True, "classifier_activation": None} if include_top else {"include_top": False}
    with _counted_from_the_start():
        inputs = preprocess(pictures)
        if weights == "imagenet":
            base = _download(builder, name, inputs, options)
        else:
            base = builder(**options, weights=None, input_tensor=inputs)
    if weights not in ("imagenet", "none"):
        load_weights(base, Path(weights).expanduser(), name, include_top=include_top)
    for layer in base.layers:
        _turn_off_dropout(layer)
    return base.output, tuple(layer.name for layer in base.layers if layer.name not in before)


def _layers_to(tensor: Any) -> list[str]:
    """Names of the layers between the inputs and `tensor`."""
    if isinstance(tensor._keras_history.operation, keras.layers.InputLayer):
        return [tensor._keras_history.operation.name]
    return [layer.name for layer in keras.Model(keras.utils.get_source_inputs(tensor), tensor).layers]


@contextmanager
def _counted_from_the_start() -> Iterator[None]:
    """Lets Keras number unnamed layers from zero, and go on afterwards with numbers that are not yet taken."""
    before = dict(global_state.get_global_attribute("object_name_uids") or {})
    counts: defaultdict[str, int] = defaultdict(int)
    global_state.set_global_attribute("object_name_uids", counts)
    try:
        yield
    finally:
        for prefix, count in before.items():
            counts[prefix] = max(counts[prefix], count)


def _turn_off_dropout(layer: Any) -> None:
    if isinstance(layer, keras.layers.Dropout):
        layer.rate = 0.0
    if hasattr(layer, "drop_path_rate"):
        layer.drop_path_rate = 0.0


def _download(builder: Callable[..., Any], name: str, inputs: Any, options: Mapping[str, Any]) -> Any:
    """Builds a backbone with its ImageNet weights, which Keras downloads on first use."""
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):  # where Keras shows the download
            warnings.simplefilter("ignore", UserWarning)  # MobileNets tell which picture size they were trained on
            return builder(**options, weights="imagenet", input_tensor=inputs)
    except Exception as error:  # keras.utils.get_file raises a bare Exception when there is no network
        if isinstance(error, ValueError) and "hash" not in str(error):
            raise
        found = re.search(r"\S+\.h5", str(error))
        part = "with" if options["include_top"] else "without"
        file = found.group() if found else f"{name}'s weights {part} top"
        folder = Path(os.environ.get("KERAS_HOME", "~/.keras"))
        raise ModelFileError(
            f"weights: imagenet needs the file {file}, which could not be downloaded; get it with a machine that has a "
            f"network and put it into {folder / 'models'}, or give its path instead of imagenet"
        ) from error
