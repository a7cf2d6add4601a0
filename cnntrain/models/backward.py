"""What a training step keeps of its forward pass until the backward pass has used it."""

import math
from collections.abc import Iterator
from typing import Any

import keras

from cnntrain.models.cutting import upwards
from cnntrain.models.network import LOGITS, Network

_LEARN_FROM_INPUT = (
    keras.layers.Dense,
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.BatchNormalization,
)
_MAXIMA = (keras.layers.MaxPooling2D, keras.layers.GlobalMaxPooling2D)
_SAME_ARRAY = (keras.layers.Flatten, keras.layers.Reshape)
_DERIVED_FROM_OUTPUT = {"relu", "elu", "selu", "tanh", "sigmoid"}
_DERIVED_FROM_INPUT = {"gelu", "silu", "leaky_relu"}
_BYTES = {"float64": 8, "float32": 4}  # whatever else there is has 2 or more


def kept_bytes(network: Network, unfreeze: str) -> tuple[int, ...]:
    """Bytes for one picture of each array that waits for the backward pass: fewer than a training step really keeps.

    Counted are the inputs of kernels and of batch normalization that train, and, from there on upwards, the inputs of
    maximum pooling and what activations are derived from. All of them are there when the loss is known, unless a
    compiler computes some of them again.

    Args:
        network: At the size of the pictures.
        unfreeze: A layer's name, `none` or `all`, as in `Network.thaw`.
    """
    training = network.training_layers(unfreeze)
    kept: dict[int, int] = {}
    changing = set[int]()  # tensors that depend on what trains
    for node in upwards(network.outputs[LOGITS]):
        learns = node.operation.name in training and isinstance(node.operation, _LEARN_FROM_INPUT)
        is_passed = any(id(tensor) in changing for tensor in node.input_tensors)
        if learns or is_passed:
            changing |= {id(tensor) for tensor in node.outputs}
            for tensor in _kept(node, learns=learns, is_passed=is_passed):
                kept[id(tensor)] = min(_bytes(tensor, node.operation), kept.get(id(tensor), 1 << 62))
    return tuple(kept.values())


def _kept(node: Any, *, learns: bool, is_passed: bool) -> Iterator[Any]:
    """What the backward pass through a node needs.

    Args:
        node: A call of an operation.
        learns: Whether its own weights train.
        is_passed: Whether its input depends on weights that train.
    """
    if learns or (is_passed and isinstance(node.operation, _MAXIMA)):
        yield _source(node.input_tensors[0])
    activation = _activation(node.operation)
    if activation in _DERIVED_FROM_INPUT and isinstance(node.operation, keras.layers.Activation):
        yield _source(node.input_tensors[0])
    elif activation in _DERIVED_FROM_INPUT | _DERIVED_FROM_OUTPUT:
        yield node.outputs[0]  # or what is inside the layer, of the same shape


def _source(tensor: Any) -> Any:
    """The tensor whose memory this one shares."""
    history = tensor._keras_history
    operation = history.operation
    is_idle = isinstance(operation, keras.layers.Dropout) and not operation.rate
    is_linear = isinstance(operation, keras.layers.Activation) and _activation(operation) == "linear"
    if isinstance(operation, _SAME_ARRAY) or is_idle or is_linear:
        return _source(operation._inbound_nodes[history.node_index].input_tensors[0])
    return tensor


def _activation(operation: Any) -> str:
    return getattr(getattr(operation, "activation", None), "__name__", "")


def _bytes(tensor: Any, operation: Any) -> int:
    """Of one picture; an operation takes its inputs in the type that it computes in."""
    types = (str(tensor.dtype), str(getattr(operation, "compute_dtype", tensor.dtype)))
    numbers: int = math.prod(tensor.shape[1:])
    return numbers * min(_BYTES.get(name, 2) for name in types)
