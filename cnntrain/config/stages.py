"""The stages of a training with everything filled in."""

from dataclasses import dataclass

from cnntrain.config.sections import (
    Config,
    Convnet,
    EarlyStopping,
    Optimizer,
    ReduceLR,
    Schedule,
    Stage,
    Train,
)


@dataclass(frozen=True)
class StagePlan:
    """One stage, complete; the fields are those of `Stage`."""

    name: str
    unfreeze: str
    epochs: int
    optimizer: Optimizer
    learning_rate: float
    early_stopping: EarlyStopping | None
    reduce_lr: ReduceLR | None
    schedule: Schedule | None


def plan_stages(config: Config) -> tuple[StagePlan, ...]:
    """The stages of a configuration; one called `train` where it lists none.

    A key that a stage leaves out has the value of `train`, except that a stage's own schedule takes the place of an
    inherited rate reduction, and the other way round. A backbone is frozen unless a stage says otherwise.
    """
    stages = config.train.stages or (Stage(name="train"),)
    default = "all" if isinstance(config.model, Convnet) else "none"
    return tuple(_complete(stage, config.train, default) for stage in stages)


def _complete(stage: Stage, train: Train, unfreeze: str) -> StagePlan:
    return StagePlan(
        name=stage.name,
        unfreeze=stage.unfreeze or unfreeze,
        epochs=stage.epochs or train.epochs,
        optimizer=stage.optimizer or train.optimizer,
        learning_rate=stage.learning_rate or train.learning_rate,
        early_stopping=stage.early_stopping or train.early_stopping,
        reduce_lr=stage.reduce_lr or (None if stage.schedule else train.reduce_lr),
        schedule=stage.schedule or (None if stage.reduce_lr else train.schedule),
    )
