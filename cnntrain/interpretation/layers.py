"""Layers of a network that give feature maps: by name, the last of them, and in single precision."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import keras

from cnntrain.errors import UsageError
from cnntrain.models.cutting import upwards
from cnntrain.models.network import PROBABILITIES

MAP_MAKERS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
)
_POOLING = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_NAMED = 20
_KERNEL_AXES = 4  # of a convolution: height, width, channels in, channels out


def check_layer(model: keras.Model, name: str) -> None:
    """Makes sure that a layer of that name gives maps.

    Raises:
        UsageError: The network has no such layer, or its output is no map.
    """
    tensors = tensors_of(model)
    if name in tensors:
        if not _is_map(tensors[name]):
            raise UsageError(f"the output of the layer {name} is no map; these layers give some: {map_layers(model)}")
        return
    near = get_close_matches(name, tensors, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {map_layers(model)}"
    raise UsageError(f"the network has no layer {name}; {hint}")


def map_layers(model: keras.Model) -> str:
    """The layers that give maps, the first twenty by name: convolutions and pooling, or all where there are none."""
    tensors = {name: tensor for name, tensor in tensors_of(model).items() if _is_map(tensor)}
    names = [name for name, tensor in tensors.items() if isinstance(tensor._keras_history.operation, MAP_MAKERS)]
    names = names or list(tensors)
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def map_of(model: keras.Model, name: str) -> Any:
    """The symbolic output (N, h, w, channels) of the layer `name`. Raises UsageError as `check_layer` does."""
    check_layer(model, name)
    return tensors_of(model)[name]


def last_map(model: keras.Model) -> str | None:
    """Name of the last layer (or operation) with more than one place a channel, a convolution being before it.

    Pooling layers do not count: what they take says more precisely where something is. None where there is no such
    layer, as in a network of dense layers.
    """
    found, is_convolved = None, False
    for node in upwards(model.outputs[0]):
        weights = getattr(node.operation, "weights", ())
        is_convolved |= any(len(weight.shape) == _KERNEL_AXES for weight in weights)
        if is_convolved and has_places(node.outputs[0]) and not isinstance(node.operation, _POOLING):
            found = node.operation.name
    return found


def has_places(tensor: Any) -> bool:
    """Whether a symbolic tensor is a map of more than 1 × 1 places."""
    return _is_map(tensor) and tuple(tensor.shape[1:3]) != (1, 1)


def logits_of(model: keras.Model) -> Any:
    """The symbolic logits of a network: what goes into its layer `probabilities`, or its output where it has none."""
    history = model.outputs[0]._keras_history
    if history.operation.name != PROBABILITIES:
        return model.outputs[0]
    return history.operation._inbound_nodes[history.node_index].input_tensors[0]


def in_single_precision(model: keras.Model) -> keras.Model:
    """The network itself where all of it computes in float32, else a copy with the same weights that does.

    Gradients of one filter or one class are too small for float16.
    """
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model

    def as_single(layer: Any) -> Any:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=as_single)
    copy.set_weights(model.get_weights())
    return copy


def tensors_of(model: keras.Model) -> Mapping[str, Any]:
    """The symbolic output of every layer, and of the operations between them, by name, from the picture upwards."""
    return {node.operation.name: node.outputs[0] for node in upwards(model.outputs[0])}


def _is_map(tensor: Any) -> bool:
    """Whether a tensor has the shape (N, height, width, channels)."""
    return len(getattr(tensor, "shape", ())) == 4
