"""The network that is trained: one flat graph from raw pictures to probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from cnntrain.config import Config, Convnet
from cnntrain.config.sections import Head
from cnntrain.models.backbones import build_backbone
from cnntrain.models.convnet import build_blocks

LOGITS = "logits"
PROBABILITIES = "probabilities"
_HEAD = "head_"


@dataclass(frozen=True)
class Network:
    """A whole model, and where its pretrained part ends.

    Args:
        model: Pictures (N, height, width, channels), 0 to 255, to probabilities: (N, 1), of the second class, where
            there are two classes, else (N, classes). Not compiled.
        base: Names of the backbone's layers from the picture upwards; empty for a convnet.
        features: Name of the layer that gives the feature maps to the head.
        outputs: The symbolic output of every layer in this graph, and of the operations between them that are no
            layers, by name. A layer may stand in graphs for several sizes of pictures; asked itself, it knows only the
            first of its outputs.
    """

    model: keras.Model
    base: tuple[str, ...]
    features: str
    outputs: Mapping[str, Any]

    @property
    def base_parameters(self) -> int:
        """Number of weights up to the feature maps, everything but the head."""
        layers = self.model.layers
        last = [layer.name for layer in layers].index(self.features)
        return sum(layer.count_params() for layer in layers[: last + 1])

    @property
    def base_weights(self) -> list[keras.Variable]:
        """The variables of the backbone."""
        return [weight for name in self.base for weight in self.model.get_layer(name).weights]

    def logits(self, start: str | None = None) -> keras.Model:
        """The trained view of the model: to logits (N, 1) or (N, classes), sharing all layers.

        Args:
            start: Name in `outputs` of what goes in; the pictures when absent.
        """
        inputs = self.model.input if start is None else self.outputs[start]
        return keras.Model(inputs, self.outputs[LOGITS])

    def extractor(self, end: str | None = None, start: str | None = None) -> keras.Model:
        """The part of the model between two layers, sharing all layers.

        Args:
            end: Name in `outputs` of what comes out; the feature maps when absent.
            start: Name in `outputs` of what goes in; the pictures when absent.
        """
        inputs = self.model.input if start is None else self.outputs[start]
        return keras.Model(inputs, self.outputs[end or self.features])

    def resized(self, image_size: tuple[int, int]) -> "Network":
        """The same layers on pictures of a size, be it their own: what one of the networks learns, the other knows.

        Zeros that a backbone pads with are as many as at the size it was built for.

        Args:
            image_size: Height and width in pixels.

        Raises:
            ValueError: A layer takes no feature maps of the size that results.
        """
        if self.model.input_shape[1:3] == tuple(image_size):
            return self
        model, outputs = resize(self.model, image_size)
        return replace(self, model=model, outputs=outputs)

    def training_layers(self, unfreeze: str) -> frozenset[str]:
        """Names of the layers that train: all of the head, of the backbone those from `unfreeze` on.

        Batch normalization of a backbone never trains, since its statistics would be torn by small batches.

        Args:
            unfreeze: A layer's name, `none` or `all`.
        """
        layers = {layer.name: layer for layer in self.model.layers}
        first = {"none": len(self.base), "all": 0}.get(unfreeze)
        thawed = self.base[self.base.index(unfreeze) if first is None else first :]
        trained = {name for name in thawed if not isinstance(layers[name], keras.layers.BatchNormalization)}
        return frozenset(layers) - set(self.base) | trained

    def thaw(self, unfreeze: str) -> None:
        """Makes the `training_layers` trainable and no others.

        With `trainable` off Keras also runs batch normalization in inference mode.

        Args:
            unfreeze: A layer's name, `none` or `all`.
        """
        training = self.training_layers(unfreeze)
        for layer in self.model.layers:
            layer.trainable = layer.name in training


def resize(model: keras.Model, image_size: tuple[int, int]) -> tuple[keras.Model, Mapping[str, Any]]:
    """Puts the layers of a flat graph on an input of another size; they are shared, and so are their weights.

    Args:
        model: From pictures (N, height, width, channels).
        image_size: Height and width in pixels.

    Returns:
        The model, and the symbolic output of every layer and every other operation in it, by name.

    Raises:
        ValueError: A layer takes no feature maps of the size that results.
    """
    pictures = keras.Input((*image_size, model.input.shape[-1]), dtype=model.input.dtype, name=model.input.name)
    outputs = {pictures.name: pictures}

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        outputs[layer.name] = layer(*arguments, **options)
        return outputs[layer.name]

    twin = keras.models.clone_model(
        model, input_tensors=pictures, clone_function=lambda layer: layer, call_function=call
    )
    return twin, outputs


def network_of(model: keras.Model) -> Network:
    """The network that a finished model is, of which nothing is known to be pretrained.

    Args:
        model: As `Network.model`, with a head of cnntrain's.
    """
    head = next(layer for layer in model.layers if layer.name.startswith(_HEAD))
    features = _layer_of(head.input)
    return Network(model, (), features, {operation.name: operation.output for operation in model.operations})


def build_network(config: Config, class_count: int, *, mixed_precision: bool = False) -> Network:
    """Builds the network of a configuration, with its pretrained weights where it asks for some.

    The initial weights are drawn from Keras's global generator: seed it first.

    Args:
        config: A configuration without problems.
        class_count: Number of classes, two or more.
        mixed_precision: Whether all but the last two layers compute in float16.

    Raises:
        ModelFileError: The pretrained weights are missing, damaged, of another network, or cannot be downloaded.
    """
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if mixed_precision else "float32")
    try:
        return _build(config, class_count)
    finally:
        keras.config.set_dtype_policy(previous)


def _build(config: Config, class_count: int) -> Network:
    channels = 3 if config.data.color == "rgb" else 1
    pictures = keras.Input((*config.data.image_size, channels), name="pictures")
    base: tuple[str, ...] = ()
    if isinstance(config.model, Convnet):
        features = build_blocks(pictures, config.model.blocks)
        name = _layer_of(features)
    else:
        features, base = build_backbone(pictures, config.model.backbone, config.model.weights)
        name = base[-1]
    outputs = _build_head(features, config.model.head, class_count)
    model = keras.Model(pictures, outputs, name="cnntrain")
    return Network(model, base, name, {operation.name: operation.output for operation in model.operations})


def _layer_of(tensor: Any) -> str:
    """Name of the layer that a symbolic tensor came out of."""
    return str(tensor._keras_history.operation.name)


def _build_head(features: Any, head: Head, class_count: int) -> Any:
    """Pooling, the layers as listed, then `logits` and `probabilities` in float32."""
    pooling = {
        "flatten": keras.layers.Flatten,
        "global_average": keras.layers.GlobalAveragePooling2D,
        "global_max": keras.layers.GlobalMaxPooling2D,
    }[head.pooling]
    x = pooling(name=f"{_HEAD}{head.pooling}")(features)
    for number, layer in enumerate(head.layers, start=1):
        if layer.dense is not None:
            x = keras.layers.Dense(layer.dense, activation=layer.activation, name=f"head_{number}_dense")(x)
        else:
            x = keras.layers.Dropout(layer.dropout, name=f"head_{number}_dropout")(x)
    units, activation = (1, "sigmoid") if class_count == 2 else (class_count, "softmax")
    x = keras.layers.Dense(units, name=LOGITS, dtype="float32")(x)
    return keras.layers.Activation(activation, name=PROBABILITIES, dtype="float32")(x)


def class_probabilities(outputs: Any, class_count: int) -> Any:
    """Probabilities of all classes as an array (N, classes) from a model's outputs as an array.

    Args:
        outputs: What `Network.model` gives: (N, 1) for two classes, else (N, classes).
        class_count: Number of classes.
    """
    return np.concatenate([1.0 - outputs, outputs], axis=1) if class_count == 2 else outputs
