"""The section `train`."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cnntrain.config.sections.base import Count, Fraction, Pair, Positive, Section, named

OptimizerName = Literal["sgd", "rmsprop", "adam", "adamw", "nadam", "adagrad", "lion"]
ScheduleName = Literal["cosine", "one_cycle"]
Monitor = Literal["val_loss", "val_accuracy", "loss", "accuracy"]
OPTIMIZER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "sgd": ("momentum", "nesterov"),
    "rmsprop": ("rho", "momentum", "epsilon"),
    "adam": ("beta_1", "beta_2", "epsilon"),
    "adamw": ("beta_1", "beta_2", "epsilon"),
    "nadam": ("beta_1", "beta_2", "epsilon"),
    "adagrad": ("epsilon",),
    "lion": ("beta_1", "beta_2"),
}


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
    """`cosine`: half a cosine from the stage's learning rate down to `final_fraction` of it; `one_cycle`: up to the
    stage's learning rate on half a cosine and down again on another (Smith and Topin, Super-Convergence, 2018)."""
    warmup_epochs: Annotated[int, Field(ge=0)] | None = None
    """Of cosine: epochs in which the rate first rises in a straight line from zero; absent: none."""
    warmup_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Of one_cycle: the part of the steps in which the rate rises; absent: 0.3."""
    start_fraction: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Of one_cycle: the first rate as a fraction of the highest; absent: 0.04."""
    final_fraction: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """The last rate as a fraction of the highest."""

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        foreign = ("warmup_fraction", "start_fraction") if self.name == "cosine" else ("warmup_epochs",)
        for option in foreign:
            if getattr(self, option) is not None:
                own = "warmup_epochs" if self.name == "cosine" else "warmup_fraction and start_fraction"
                raise ValueError(f"{self.name} takes no {option}; it takes {own}")
        return self


OptimizerValue = Annotated[Optimizer, BeforeValidator(named, json_schema_input_type=OptimizerName | Optimizer)]
ScheduleValue = Annotated[Schedule, BeforeValidator(named, json_schema_input_type=ScheduleName | Schedule)]


class Features(Section):
    """What the frozen layers of a backbone give, stored and trained on instead of pictures (the feature bank)."""

    views: Literal["auto", "fresh"] | Count = "auto"
    """How many augmented versions of each training picture are stored, of which an epoch takes one; `fresh`: none,
    every epoch runs the whole network; `auto`: chosen by epochs, work and room. Without augmentation there is one."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """Seed of the stored versions; absent: `seed`. Runs with several seeds can share one bank that way."""
    brightness: Fraction = 0.0
    """Random change of the stored features: each channel of a picture's feature map is shifted by up to this part of
    the map's range of values, and clipped to that range (after Bär et al., Frozen Feature Augmentation, 2024)."""


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
    image_size: Pair | None = None
    """Height and width of the pictures in this stage; absent: `data.image_size`, which the last stage must have. A
    stage that differs from the one before in nothing but this, its name and its epochs goes on with weights, optimizer
    and schedule as they are; early stopping and rate reduction count anew."""
    epochs: Count | None = None
    """Epochs of this stage."""
    optimizer: OptimizerValue | None = None
    """Update rule of this stage."""
    learning_rate: Positive | None = None
    """Learning rate of this stage."""
    base_learning_rate: Positive | None = None
    """Learning rate of the backbone's layers that train in this stage."""
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
    base_learning_rate: Positive | None = None
    """Learning rate of those layers of the backbone that train, where it is another; schedules and reductions change
    both by the same factor. Absent: `learning_rate`."""
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
    ema: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Momentum a step of an exponential moving average of all weights, with the statistics of batch normalization;
    what is validated and kept is the average (`loss` and `accuracy` are those of the weights as they change). It starts
    quickly: in step t no more than (1 + t) / (10 + t)."""
    mixed_precision: bool = False
    """Computes in float16 with float32 weights: faster and smaller on a recent GPU, slower on a CPU."""
    interpolate: bool = False
    """Tries the weights between the best ones of the last stage with a frozen backbone and the best of all on the
    validation pictures, and keeps the best of them (WiSE-FT: Wortsman et al., Robust Fine-Tuning, 2022)."""
    features: Features = Features()
    """How the outputs of frozen layers are stored and used."""
    save_every: Count | None = None
    """Steps within an epoch after which a state to resume from is saved, besides those between epochs."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """What happens when the loss or a weight is no longer finite: `stop` ends the run, `rollback` goes back to the last
    state between two epochs and halves the learning rates of the stage, three times at most."""
    stages: Annotated[tuple[Stage, ...], Field(strict=False)] = ()
    """Parts of the training, one after another; absent: one stage. Each begins with the best weights of the one
    before, or goes on with the last ones where it only changes `image_size`."""
