"""Activations: what chosen layers of a network make of one picture."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import ModelFileError, UsageError

MAP_MAKERS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
)
_NAMED = 20


def choose_layers(model: keras.Model, names: Sequence[str] = ()) -> tuple[str, ...]:
    """The layers to look at, from the picture upwards, each once.

    Args:
        model: A flat network.
        names: Layers whose output is a map a channel; all convolution and pooling layers when there are none.

    Raises:
        UsageError: The network has no layer of such a name, the layer's output is no map, or no name is given and the
            network has neither convolutions nor pooling.
    """
    for name in names:
        _check_name(model, name)
    chosen = [layer for layer in model.layers if (layer.name in names if names else isinstance(layer, MAP_MAKERS))]
    if not chosen:
        raise UsageError(f"the network has no convolution or pooling layer; name others with --layer: {_named(model)}")
    return tuple(layer.name for layer in chosen)


def _check_name(model: keras.Model, name: str) -> None:
    """Makes sure that a layer of that name gives maps."""
    known = [layer.name for layer in model.layers]
    if name in known:
        if not _gives_maps(model.get_layer(name)):
            raise UsageError(f"the output of the layer {name} is no map; these layers give some: {_named(model)}")
        return
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {_named(model)}"
    raise UsageError(f"the network has no layer {name}; {hint}")


def _gives_maps(layer: Any) -> bool:
    """Whether a layer's output has the shape (N, height, width, channels)."""
    return len(getattr(layer.output, "shape", ())) == 4


def _named(model: keras.Model) -> str:
    """The layers that give maps, the first twenty by name."""
    names = [layer.name for layer in model.layers if _gives_maps(layer)]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def compute_activations(
    model: keras.Model, picture: NDArray[np.generic], layers: Sequence[str]
) -> Mapping[str, NDArray[np.float32]]:
    """What layers make of one picture, in one pass through the network, in inference mode.

    Args:
        model: A flat network that takes pictures (N, height, width, channels), 0 to 255.
        picture: (height, width, channels), as the network takes it.
        layers: Names of layers whose output is a map a channel.

    Returns:
        For each layer, in the order given, its output as a float32 array (h, w, its channels).

    Raises:
        ModelFileError: An activation is not finite.
    """
    view = keras.Model(model.input, {name: model.get_layer(name).output for name in layers})
    outputs = view(picture[np.newaxis].astype(np.float32), training=False)
    maps = {name: keras.ops.convert_to_numpy(outputs[name])[0].astype(np.float32) for name in layers}
    for name, values in maps.items():
        if not np.all(np.isfinite(values)):
            raise ModelFileError(
                f"the layer {name} gives values that are not finite; the model is damaged, fit it again"
            )
    return maps
