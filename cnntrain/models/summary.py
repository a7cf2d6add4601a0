"""The table of a network's layers: shapes, activations, parameters, what trains when."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cnntrain.models.network import Network


@dataclass(frozen=True)
class LayerRow:
    """One layer.

    Args:
        name: Its name.
        kind: Its class in Keras.
        shape: Shape of its output for one picture.
        activations: Numbers in that output.
        parameters: Its weights, whether they train or not.
        trains: Names of the stages in which it trains.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    activations: int
    parameters: int
    trains: tuple[str, ...]


@dataclass(frozen=True)
class NetworkSummary:
    """All layers of a network, with totals.

    Args:
        layers: From the picture upwards.
        parameters: Of the whole network.
        parameters_without_head: Up to the feature maps.
        trainable: Parameters that train, by stage.
        activations: Of all layers together, for one picture.
    """

    layers: tuple[LayerRow, ...]
    parameters: int
    parameters_without_head: int
    trainable: dict[str, int]
    activations: int

    def to_json(self) -> dict[str, Any]:
        """The summary as plain lists and mappings."""
        return {"format": 1, **asdict(self)}


def summarize(network: Network, stages: Mapping[str, str]) -> NetworkSummary:
    """Tells the layers of a network; which of them train is left as in the last stage.

    Args:
        network: A built network.
        stages: For each stage's name the layer from which the backbone is thawed in it, `none` or `all`.
    """
    trains: dict[str, list[str]] = {layer.name: [] for layer in network.model.layers}
    trainable = {}
    for stage, unfreeze in stages.items():
        network.thaw(unfreeze)
        trainable[stage] = sum(math.prod(weight.shape) for weight in network.model.trainable_weights)
        for layer in network.model.layers:
            if layer.trainable_weights:
                trains[layer.name].append(stage)
    rows = tuple(_row(layer, network.outputs[layer.name], tuple(trains[layer.name])) for layer in network.model.layers)
    return NetworkSummary(
        layers=rows,
        parameters=network.model.count_params(),
        parameters_without_head=network.base_parameters,
        trainable=trainable,
        activations=sum(row.activations for row in rows),
    )


def _row(layer: Any, output: Any, trains: tuple[str, ...]) -> LayerRow:
    shape = tuple(int(side) for side in output.shape[1:])
    return LayerRow(
        name=layer.name,
        kind=type(layer).__name__,
        shape=shape,
        activations=math.prod(shape),
        parameters=layer.count_params(),
        trains=trains,
    )
