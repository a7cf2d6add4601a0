"""Activations: what chosen layers of a network make of one picture."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import ModelFileError, UsageError
from cnntrain.interpretation.layers import MAP_MAKERS, check_layer, map_layers, map_of, tensors_of


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
        check_layer(model, name)
    makers = {layer.name for layer in model.layers if isinstance(layer, MAP_MAKERS)}
    chosen = tuple(name for name in tensors_of(model) if name in (names or makers))
    if not chosen:
        raise UsageError(
            f"the network has no convolution or pooling layer; name others with --layer: {map_layers(model)}"
        )
    return chosen


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
    view = keras.Model(model.input, {name: map_of(model, name) for name in layers})
    outputs = view(picture[np.newaxis].astype(np.float32), training=False)
    maps = {name: keras.ops.convert_to_numpy(outputs[name])[0].astype(np.float32) for name in layers}
    for name, values in maps.items():
        if not np.all(np.isfinite(values)):
            raise ModelFileError(
                f"the layer {name} gives values that are not finite; the model is damaged, fit it again"
            )
    return maps
