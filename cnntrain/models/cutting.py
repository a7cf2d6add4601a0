"""Where a network can be cut in two at one tensor, and what the parts cost."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from cnntrain.models.network import LOGITS, Network


def cuts(network: Network) -> tuple[str, ...]:
    """Places in the backbone where one tensor feeds everything after it, from the picture upwards.

    They are the articulation points of the graph between the pictures and the logits. A backbone with branches has them
    where blocks meet; a chain of layers has one at each layer. The last one gives the feature maps.

    Returns:
        Names of layers and, where a backbone adds tensors without a layer (ConvNeXt does), of such operations. All of
        them are keys of `Network.outputs`. Empty for a convnet.
    """
    base = set(network.base)
    names = [node.operation.name for node in _narrow(upwards(network.outputs[LOGITS]))]
    inside = [place for place, name in enumerate(names) if name in base]
    return tuple(names[inside[0] : inside[-1] + 1]) if inside else ()


def frozen_cut(network: Network, unfreeze: str) -> str | None:
    """The last of the cuts before which nothing trains: what comes out of it is the same in every epoch.

    Args:
        network: A built network.
        unfreeze: A layer's name, `none` or `all`, as in `Network.thaw`.

    Returns:
        One of `cuts`, or nothing where the network has no backbone or no kernels before all that trains.
    """
    training, frozen, has_kernels = network.training_layers(unfreeze), None, False
    known = set(cuts(network))
    for node in upwards(network.outputs[LOGITS]):
        weights = _weights(node)
        if weights and node.operation.name in training:
            break
        has_kernels |= any(len(weight.shape) > 1 for weight in weights)
        if has_kernels and node.operation.name in known:
            frozen = node.operation.name
    return frozen


def multiply_adds(network: Network, start: str | None, end: str | None) -> int:
    """Multiplications and additions, in pairs, for one picture.

    Each layer counts the positions of its output (all axes but those of pictures and channels) times its weights.

    Args:
        network: A built network.
        start: Name of the layer after which counting starts; the pictures when absent.
        end: Name of the last layer that counts; the logits when absent.
    """
    before = set() if start is None else set(upwards(network.outputs[start]))
    nodes = [node for node in upwards(network.outputs[end or LOGITS]) if node not in before]
    return sum(math.prod(node.outputs[0].shape[1:-1]) * _count(_weights(node)) for node in nodes)


def upwards(tensor: Any) -> list[Any]:
    """The calls of operations (Keras's nodes) that a symbolic tensor comes out of, each after those it needs."""
    found: dict[Any, None] = {}
    waiting = [tensor._keras_history.operation._inbound_nodes[tensor._keras_history.node_index]]
    while waiting:
        missing = [node for node in waiting[-1].parent_nodes if node not in found]
        if not missing:
            found[waiting.pop()] = None
        waiting.extend(missing)
    return list(found)


def _narrow(nodes: Sequence[Any]) -> list[Any]:
    """Those of the nodes, given in the order of `upwards`, after which nothing that came before them is needed.

    In whatever order a graph is run, one of its nodes lies on all ways to the end if and only if, once it has run, no
    other output is still waited for.
    """
    needed = {node: place for place, node in enumerate(nodes)}
    needed |= {parent: place for place, node in enumerate(nodes) for parent in node.parent_nodes}
    latest = accumulate((needed[node] for node in nodes), max, initial=0)
    return [node for place, (node, before) in enumerate(zip(nodes, latest, strict=False)) if before <= place]


def _weights(node: Any) -> Sequence[Any]:
    """The weights of a node's operation; those that are no layers have none."""
    return getattr(node.operation, "weights", ())


def _count(weights: Sequence[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
