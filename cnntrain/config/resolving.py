"""From what the user wrote to what is done: every choice that was left open, made and written down."""

from pathlib import Path
from typing import Literal, TypeVar

from cnntrain.config.sections import Config, Convnet, Features, Pretrained, Stage, Train
from cnntrain.config.stages import plan_stages

SMOKE_BATCH = 4
SMOKE_STEPS = 2
Holder = TypeVar("Holder", Train, Stage)
_WITHOUT_VALIDATION = {"val_loss": "loss", "val_accuracy": "accuracy"}


def resolve(
    config: Config,
    *,
    source: Path,
    classes: tuple[str, ...],
    cache: str,
    has_validation: bool,
    views: int | Literal["fresh"],
) -> Config:
    """A configuration that says everything and gives the same run again, from any working directory.

    Args:
        config: What the user wrote.
        source: Where the pictures are.
        classes: Names in the order of the model's outputs.
        cache: Where decoded pictures are kept: `memory`, `disk` or `none`.
        has_validation: Without a validation split the training's own loss or accuracy is monitored.
        views: How many versions of each training picture are stored.
    """
    asked = config.train.monitor
    monitor = asked if has_validation else _WITHOUT_VALIDATION.get(asked, asked)
    changes = {"source": source.absolute().as_posix(), "classes": classes, "cache": cache}
    model = config.model
    if isinstance(model, Pretrained) and model.weights not in ("imagenet", "none"):
        model = model.model_copy(update={"weights": Path(model.weights).expanduser().absolute().as_posix()})
    train = {"monitor": monitor, "stages": _complete_stages(config), "features": _features(config, views)}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update=changes),
            "model": model,
            "train": config.train.model_copy(update=train),
        }
    )


def _features(config: Config, views: int | Literal["fresh"]) -> Features:
    """How features are stored; nothing is said about that for networks that have no frozen layers by their kind."""
    features = config.train.features
    if isinstance(config.model, Convnet):
        return features
    brightness = 0.0 if views == "fresh" else features.brightness
    return features.model_copy(update={"views": views, "brightness": brightness})


def _complete_stages(config: Config) -> tuple[Stage, ...]:
    """The stages that were listed, with all that they inherit."""
    plans = plan_stages(config) if config.train.stages else ()
    return tuple(Stage.model_construct(**{name: getattr(plan, name) for name in Stage.model_fields}) for plan in plans)


def without_weights(config: Config) -> Config:
    """The same network with random weights."""
    if not isinstance(config.model, Pretrained):
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": "none"})})


def smoke_config(config: Config) -> Config:
    """A trial of a configuration: one epoch a stage without warm-up, batches of four at most, random weights."""
    config = without_weights(config)
    stages = tuple(_one_epoch(stage) for stage in config.train.stages)
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"batch_size": min(config.data.batch_size, SMOKE_BATCH)}),
            "train": _one_epoch(config.train).model_copy(update={"stages": stages}),
        }
    )


def _one_epoch(holder: Holder) -> Holder:
    schedule = holder.schedule and holder.schedule.model_copy(update={"warmup_epochs": None})
    return holder.model_copy(update={"epochs": 1, "schedule": schedule})
