"""The typed, frozen sections of a configuration. Field descriptions here are the configuration reference."""

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

Activation = Literal["relu", "elu", "selu", "gelu", "silu", "leaky_relu", "tanh", "sigmoid", "linear"]
OptimizerName = Literal["sgd", "rmsprop", "adam", "adamw", "nadam", "adagrad", "lion"]
ScheduleName = Literal["cosine"]
Monitor = Literal["val_loss", "val_accuracy", "loss", "accuracy"]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

MAX_PIXELS = 50_000_000  # of a picture, unless said otherwise
OPTIMIZER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "sgd": ("momentum", "nesterov"),
    "rmsprop": ("rho", "momentum", "epsilon"),
    "adam": ("beta_1", "beta_2", "epsilon"),
    "adamw": ("beta_1", "beta_2", "epsilon"),
    "nadam": ("beta_1", "beta_2", "epsilon"),
    "adagrad": ("epsilon",),
    "lion": ("beta_1", "beta_2"),
}


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values are never converted, nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def _named(value: Any) -> Any:
    """Lets a bare name stand for a mapping with that name."""
    return {"name": value} if isinstance(value, str) else value


def _classes(value: Any) -> Any:
    """Checks `data.classes`: at least two different names, or a count of at least two."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 2:
            raise ValueError("a classifier needs at least two classes")
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise ValueError("must be a list of class names or a count (put names that look like numbers in quotes)")
    if len(value) < 2:
        raise ValueError("a classifier needs at least two classes")
    if any(name[0] == "." or set(name) & set("/\\\0\n") for name in value):
        raise ValueError("classes are named like folders: no dot in front, no slashes, no line breaks")
    names = tuple(unicodedata.normalize("NFC", name) for name in value)  # the form in which folders are compared
    if len(set(names)) < len(names):
        raise ValueError("a class is named twice")
    return names


Pixels = Annotated[int, Field(ge=1, le=8192)]
Pair = Annotated[tuple[Pixels, Pixels], Field(strict=False)]
Classes = Annotated[
    tuple[str, ...] | int | None,
    PlainValidator(_classes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "minItems": 2},
                {"type": "integer", "minimum": 2},
                {"type": "null"},
            ],
        }
    ),
]


class Data(Section):
    """Which pictures, and how they reach the network."""

    source: Annotated[str, Field(min_length=1)]
    """A data set that is split: a folder with `train/`, `validation/` and `test/` and in each a folder a class, as
    `cnntrain split` makes it; a CSV or TSV with the columns path, label and split; or a .zip or .tar of either."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Cross-validation fold of the manifest that is held out as the validation part; the others are trained on."""
    classes: Classes = None
    """Class names in the order of the model's outputs, or how many there must be; absent: the sorted folder names."""
    image_size: Pair = (180, 180)
    """Height and width in pixels that every picture is resized to."""
    color: Literal["rgb", "grayscale"] = "rgb"
    """Channels of the pictures; a pretrained backbone gets grayscale repeated to three channels."""
    alpha: Literal["white", "black", "drop"] = "white"
    """What shows through where a picture is transparent; `drop` takes the colours hidden below as they are."""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """`stretch` changes the aspect ratio, `crop` keeps it and cuts off evenly what is too long, `pad` keeps it and adds
    black edges."""
    interpolation: Literal["bilinear", "bicubic", "lanczos3", "area", "nearest"] = "bilinear"
    """How pixels are computed when resizing; bilinear, bicubic and lanczos3 are antialiased when shrinking."""
    max_pixels: Annotated[int, Field(ge=1, le=178_956_970)] = MAX_PIXELS
    """Largest height times width of a file's picture; larger ones are bad pictures and are not decoded."""
    bad_images: Literal["error", "skip"] = "error"
    """Pictures that cannot be read or are damaged: an `error` that names all of them, or they are left out (`skip`) and
    listed in `run.json`."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 32
    """Pictures a training step; the last batch of an epoch holds what is left."""
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    """Where decoded pictures are kept between epochs; `auto`: in memory if they fit a quarter of it, else on disk."""


class Augment(Section):
    """Random changes of training pictures, drawn anew for each picture in each epoch. Zero means off."""

    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    """Largest rotation in degrees, either way."""
    shift: Fraction = 0.0
    """Largest shift, as a fraction of height and of width."""
    shear: Annotated[float, Field(ge=0.0, lt=90.0)] = 0.0
    """Largest shear angle in degrees, either way."""
    zoom: Fraction = 0.0
    """Height and width are scaled by factors drawn independently from 1 - zoom to 1 + zoom."""
    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """Mirroring, each with probability one half."""
    fill: Literal["nearest", "reflect", "wrap", "constant"] = "nearest"
    """What is put where a changed picture leaves the frame empty; `constant` is black."""

    @property
    def is_active(self) -> bool:
        """Whether anything is changed at all."""
        return bool(self.rotation or self.shift or self.shear or self.zoom or self.flip != "none")


class Block(Section):
    """One convolution, in this order: convolution, batch normalization, activation, pooling, dropout."""

    filters: Count
    """Number of feature maps."""
    kernel_size: Count = 3
    """Side of the square kernel in pixels."""
    stride: Count = 1
    """Step of the kernel in pixels, both ways."""
    padding: Literal["valid", "same"] = "valid"
    """`valid` uses whole windows only, `same` pads with zeros."""
    activation: Activation = "relu"
    """Activation function."""
    batch_norm: bool = False
    """Batch normalization between convolution and activation; the convolution then has no bias."""
    pooling: Literal["max", "average", "none"] = "max"
    """Pooling after the activation."""
    pool_size: Count = 2
    """Side and stride of the pooling window in pixels."""
    dropout: Fraction = 0.0
    """Fraction of activations dropped during training."""


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


class Optimizer(Section):
    """An update rule; options that are absent keep Keras's defaults."""

    name: OptimizerName
    """Which update rule."""
    momentum: Fraction | None = None
    """Of sgd and rmsprop."""
    nesterov: bool | None = None
    """Of sgd."""
    rho: Fraction | None = None
    """Of rmsprop: decay of the mean of squares."""
    beta_1: Fraction | None = None
    """Of adam, adamw, nadam and lion: decay of the first moment."""
    beta_2: Fraction | None = None
    """Of adam, adamw, nadam and lion: decay of the second moment."""
    epsilon: Positive | None = None
    """Of rmsprop, adam, adamw, nadam and adagrad: added to the denominator."""

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        allowed = OPTIMIZER_OPTIONS[self.name]
        for option in self.options:
            if option not in allowed:
                raise ValueError(f"{self.name} takes no {option}; it takes {', '.join(allowed)}")
        return self

    @property
    def options(self) -> dict[str, float | bool]:
        """The options that were given, by the names that Keras uses."""
        return {name: value for name, value in self if name != "name" and value is not None}


class EarlyStopping(Section):
    """Ends a stage when the monitored value has stopped improving."""

    patience: Count
    """Epochs without improvement before the stage ends."""
    min_delta: Annotated[float, Field(ge=0.0)] = 0.0
    """Smallest change that counts as an improvement."""


class ReduceLR(Section):
    """Lowers the learning rate when the monitored value has stopped improving."""

    patience: Count
    """Epochs without improvement before the rate is lowered."""
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """What the rate is multiplied by."""
    min_delta: Annotated[float, Field(ge=0.0)] = 0.0
    """Smallest change that counts as an improvement."""
    min_learning_rate: Annotated[float, Field(ge=0.0)] = 0.0
    """The rate is not lowered below this."""


class Schedule(Section):
    """A learning rate that follows a curve over the steps of a stage."""

    name: ScheduleName
    """`cosine`: half a cosine from the stage's learning rate down to `final_fraction` of it."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs in which the rate first rises in a straight line from zero."""
    final_fraction: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """The last rate as a fraction of the highest."""


OptimizerValue = Annotated[Optimizer, BeforeValidator(_named, json_schema_input_type=OptimizerName | Optimizer)]
ScheduleValue = Annotated[Schedule, BeforeValidator(_named, json_schema_input_type=ScheduleName | Schedule)]


def _stage_name(value: str) -> str:
    if not value.strip() or any(letter in value for letter in ",\n\r\t"):
        raise ValueError("a stage's name is one line without commas")
    return value


class Stage(Section):
    """A part of the training. Keys that are absent take the value that stands in `train`."""

    name: Annotated[str, AfterValidator(_stage_name)]
    """What the stage is called in the history and in the curves."""
    unfreeze: str | None = None
    """First layer of the backbone that trains, with all after it; `none`: the head only; `all`. Of a convnet: `all`."""
    epochs: Count | None = None
    """Epochs of this stage."""
    optimizer: OptimizerValue | None = None
    """Update rule of this stage."""
    learning_rate: Positive | None = None
    """Learning rate of this stage."""
    early_stopping: EarlyStopping | None = None
    """Early stopping of this stage."""
    reduce_lr: ReduceLR | None = None
    """Rate reduction of this stage."""
    schedule: ScheduleValue | None = None
    """Learning-rate schedule of this stage."""


class Train(Section):
    """How the network is trained."""

    epochs: Count = 10
    """Passes over the training pictures."""
    optimizer: OptimizerValue = Optimizer(name="rmsprop")
    """Update rule: a name, or a mapping with `name` and its options."""
    learning_rate: Positive = 1e-3
    """Learning rate, or the highest one of a schedule."""
    monitor: Monitor = "val_loss"
    """What "best" means: losses are best when small, accuracies when large."""
    early_stopping: EarlyStopping | None = None
    """Ends a stage when `monitor` has stopped improving."""
    reduce_lr: ReduceLR | None = None
    """Lowers the rate when `monitor` has stopped improving; not together with `schedule`."""
    schedule: ScheduleValue | None = None
    """Learning-rate schedule: a name, or a mapping with `name` and its options."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs each training picture by pictures / (classes × pictures of its class)."""
    label_smoothing: Fraction = 0.0
    """Fraction of each target that is spread evenly over all classes, in `loss` and `val_loss` alike; `evaluate`
    measures without it."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """Decoupled weight decay a step, times the learning rate; biases and normalization are left out."""
    gradient_clipping: Positive | None = None
    """Largest norm of the gradient of all weights together; a longer one is scaled down to it."""
    mixed_precision: bool = False
    """Computes in float16 with float32 weights: faster and smaller on a recent GPU, slower on a CPU."""
    stages: Annotated[tuple[Stage, ...], Field(strict=False)] = ()
    """Parts of the training, one after another, each from the best weights of the one before; absent: one stage."""


class Config(Section):
    """A whole configuration."""

    format: Literal[1] = 1
    """Version of this form of configuration."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1337
    """Seed of everything that is random: initial weights, order, augmentation, dropout."""
    data: Data
    """Which pictures, and how they reach the network."""
    augment: Augment = Augment()
    """Random changes of training pictures; absent: none."""
    model: Annotated[Convnet | Pretrained, Field(discriminator="kind")]
    """The network: `kind: convnet` or `kind: pretrained`."""
    train: Train = Train()
    """How the network is trained."""
