"""The weights of a network and the arrays of a file, side by side."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
from keras.src.utils.naming import to_snake_case

from cnntrain.untrusted.hdf5 import Array, Group
from cnntrain.untrusted.span import Span


class Pair(NamedTuple):
    """A weight of a network and the array in a file that is its value."""

    weight: keras.Variable
    array: Array


def weights_by_path(model: Any) -> dict[str, keras.Variable]:
    """All weights of a network by the paths at which Keras stores them, such as `layers/conv2d_3/vars/0`."""
    found: dict[str, keras.Variable] = {}
    for path, layer in _stored_layers(model, "layers"):
        own: dict[str, keras.Variable] = {}
        layer.save_own_variables(own)
        found |= {f"{path}/vars/{key}": weight for key, weight in own.items()}
    return found


def _stored_layers(model: Any, folder: str) -> Iterator[tuple[str, Any]]:
    """Layers with their paths: the class, and how many of the class were before."""
    counts: dict[str, int] = {}
    for layer in model.layers:
        kind = to_snake_case(type(layer).__name__)
        counts[kind] = counts.get(kind, -1) + 1
        path = f"{folder}/{kind}_{counts[kind]}" if counts[kind] else f"{folder}/{kind}"
        yield path, layer
        if hasattr(layer, "layers"):
            yield from _stored_layers(layer, f"{path}/layers")


def pair(model: Any, arrays: Mapping[str, Array]) -> list[Pair]:
    """Every weight of a network with its array; for each there is one, and of the same shape.

    Args:
        model: A network.
        arrays: By their paths.

    Raises:
        ValueError: The arrays are not those of the network; the first that differs is named.
    """
    weights = weights_by_path(model)
    if len(arrays) != len(weights):
        first = next((path for path in weights if path not in arrays), None)
        other = next((path for path in arrays if path not in weights), None)
        named = f"{other} is not the network's" if first is None else f"{first} is missing"
        raise ValueError(f"it holds {len(arrays)} arrays, the network {len(weights)}; {named}")
    for path, weight in weights.items():
        if path not in arrays:
            raise ValueError(f"it lacks {path}, {weight.path} of the network")
        _check_shape(path, weight, arrays[path])
    return [Pair(weight, arrays[path]) for path, weight in weights.items()]


def pair_in_order(model: Any, root: Group) -> list[Pair]:
    """As `pair`, for Keras's older format, which lists layers and their weights in the order of the network.

    Args:
        model: A network.
        root: All that the file holds.

    Raises:
        ValueError: The arrays are not those of the network; the first that differs is named.
    """
    whole = root.members.get("model_weights")
    group = whole if isinstance(whole, Group) and "layer_names" not in root.lists else root
    stored = [(name, found) for name in _listed(group, "layer_names") if (found := _arrays_of(group, name))]
    layers = [layer for layer in model.layers if layer.weights]
    if len(stored) != len(layers):
        raise ValueError(f"it holds {len(stored)} layers with arrays, the network {len(layers)}")
    pairs = []
    for layer, (name, arrays) in zip(layers, stored, strict=True):
        weights = layer.trainable_weights + layer.non_trainable_weights
        if len(arrays) != len(weights):
            raise ValueError(f"it holds {len(arrays)} arrays for {name}, the network {len(weights)} for {layer.name}")
        for (path, array), weight in zip(arrays, weights, strict=True):
            _check_shape(f"{name}/{path}", weight, array)
            pairs.append(Pair(weight, array))
    return pairs


def _listed(group: Group, what: str) -> Iterator[str]:
    """The names in a list, which is in pieces where it is long."""
    yield from group.lists.get(what, ())
    for number in range(len(group.lists)):
        yield from group.lists.get(f"{what}{number}", ())


def _arrays_of(group: Group, name: str) -> list[tuple[str, Array]]:
    """The arrays of a layer, in their order."""
    layer = group.find(name)
    if not isinstance(layer, Group):
        raise ValueError(f"it lists the layer {name[:60]!r} and does not hold it")
    found = []
    for path in _listed(layer, "weight_names"):
        array = layer.find(path)
        if not isinstance(array, Array):
            raise ValueError(f"it lists the array {path[:60]!r} and does not hold it")
        found.append((path, array))
    return found


def _check_shape(path: str, weight: keras.Variable, array: Array) -> None:
    if tuple(weight.shape) != array.shape:
        expected = tuple(weight.shape)
        raise ValueError(f"its array {path} has the shape {array.shape}, {weight.path} of the network {expected}")


def check_types(pairs: Iterable[Pair]) -> None:
    """Makes sure that weights have the types of their arrays, as where cnntrain stored them itself.

    Raises:
        ValueError: One has another type.
    """
    for weight, array in pairs:
        if weight.dtype != array.dtype.name:
            raise ValueError(f"its array for {weight.path} holds {array.dtype.name}, the network {weight.dtype}")


def assign(model: Any, pairs: Iterable[Pair], file: Span) -> None:
    """Gives the weights of a network the values in a file, one after the other.

    Raises:
        ValueError: The file ends before.
    """
    for weight, array in pairs:
        weight.assign(array.read(file))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.finalize_state()
