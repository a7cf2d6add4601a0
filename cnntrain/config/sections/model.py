"""The section `model`."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from cnntrain.config.sections.base import Count, Fraction, Positive, Section

Activation = Literal["relu", "elu", "selu", "gelu", "silu", "leaky_relu", "tanh", "sigmoid", "linear"]


class BatchNorm(Section):
    """Batch normalization."""

    momentum: Fraction = 0.99
    """How much of the moving mean and variance is kept a step; 0.9 follows faster where there are few steps."""
    epsilon: Positive = 1e-3
    """Added to the variance."""


def _batch_norm(value: Any) -> Any:
    """`true` stands for the defaults, `false` for none."""
    return ({} if value else None) if isinstance(value, bool) else value


BatchNormValue = Annotated[
    BatchNorm | None, BeforeValidator(_batch_norm, json_schema_input_type=bool | BatchNorm | None)
]


class Block(Section):
    """Convolutions of one size, in this order: convolution, batch normalization and activation, as often as
    `convolutions` says; then pooling, the addition of the residual, dropout."""

    filters: Count
    """Number of feature maps."""
    convolutions: Count = 1
    """How many convolutions follow each other."""
    kernel_size: Count = 3
    """Side of the square kernel in pixels."""
    stride: Count = 1
    """Step of the first convolution's kernel in pixels, both ways."""
    padding: Literal["valid", "same"] = "valid"
    """Of convolutions: `valid` uses whole windows only, `same` pads with zeros; a residual block pads."""
    separable: bool = False
    """Each channel is convolved for itself, then a 1×1 convolution mixes them: much less arithmetic, yet on a CPU not
    always less time."""
    bias: bool | None = None
    """Whether convolutions add a bias; absent: unless there is batch normalization."""
    batch_norm: BatchNormValue = None
    """Batch normalization between convolution and activation: true, or a mapping with `momentum` and `epsilon`."""
    norm_first: bool = False
    """Batch normalization and activation come before each convolution, not after it."""
    activation: Activation = "relu"
    """Activation function."""
    pooling: Literal["max", "average", "none"] = "max"
    """Pooling after the convolutions."""
    pool_size: Count = 2
    """Side of the pooling window in pixels."""
    pool_stride: Count | None = None
    """Step of the pooling window in pixels; absent: its side."""
    pool_padding: Literal["valid", "same"] = "valid"
    """Of pooling, as `padding`."""
    residual: bool = False
    """Adds what came into the block to what leaves it, through a 1×1 convolution where shapes differ (He et al.
    2016)."""
    dropout: Fraction = 0.0
    """Fraction of activations dropped during training."""

    @model_validator(mode="before")
    @classmethod
    def _padded_if_residual(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("residual") is True:
            return {"padding": "same", "pool_padding": "same", **values}
        return values

    @model_validator(mode="after")
    def _shapes_fit(self) -> Self:
        if self.residual and (self.padding == "valid" or (self.pooling != "none" and self.pool_padding == "valid")):
            raise ValueError("a residual block pads its convolutions and its pooling; leave out padding: valid")
        if self.pooling == "none" and self.pool_stride is not None:
            raise ValueError("pooling: none takes no pool_stride; the convolution has a stride of its own")
        return self


class HeadLayer(Section):
    """One layer of the head: `{dense: UNITS}` or `{dropout: RATE}`."""

    dense: Count | None = None
    """Units of a fully connected layer."""
    dropout: Fraction | None = None
    """Fraction of activations dropped during training."""
    activation: Activation = "relu"
    """Activation function of the dense layer."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.dense is None) == (self.dropout is None):
            raise ValueError("a layer of the head is either {dense: UNITS} or {dropout: RATE}")
        if self.dropout is not None and "activation" in self.model_fields_set:
            raise ValueError("a dropout layer takes no activation")
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves the activation of a dropout layer out, so that what is written can be read again."""
        fields: dict[str, Any] = serialize(self)
        return fields if self.dropout is None else {"dropout": self.dropout}


class Head(Section):
    """What follows the convolutions; the output layer comes after it of itself."""

    pooling: Literal["flatten", "global_average", "global_max"] = "flatten"
    """How the feature maps become one vector."""
    layers: Annotated[tuple[HeadLayer, ...], Field(strict=False)] = ()
    """Dense and dropout layers, in this order."""


class Convnet(Section):
    """A convolutional network trained from scratch."""

    kind: Literal["convnet"]
    """`convnet`."""
    blocks: Annotated[tuple[Block, ...], Field(strict=False, min_length=1)]
    """Convolution blocks from the picture upwards."""
    head: Head = Head()
    """What turns feature maps into class scores."""


class Pretrained(Section):
    """A backbone of `keras.applications` with a new head."""

    kind: Literal["pretrained"]
    """`pretrained`."""
    backbone: str
    """Name of the network in `keras.applications`, in small or capital letters: vgg16, resnet50, efficientnetv2b0, …"""
    weights: str = "imagenet"
    """`imagenet` (downloaded by Keras once), the path of a weights file without top, or `none` for random weights."""
    head: Head = Head()
    """What turns feature maps into class scores."""
