"""The stages of a training with everything filled in."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

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
    """One stage, complete: the fields of `Stage` and two that follow from the stages around it.

    Args:
        continues: Whether it differs from the stage before in its image size, name and epochs only, so that weights,
            optimizer, schedule and average go on as they are.
        schedule_epochs: Epochs of all stages that its schedule runs through.
    """

    name: str
    unfreeze: str
    image_size: tuple[int, int]
    epochs: int
    optimizer: Optimizer
    learning_rate: float
    base_learning_rate: float | None
    early_stopping: EarlyStopping | None
    reduce_lr: ReduceLR | None
    schedule: Schedule | None
    continues: bool = False
    schedule_epochs: int = 0


def plan_stages(config: Config) -> tuple[StagePlan, ...]:
    """The stages of a configuration; one called `train` where it lists none.

    A key that a stage leaves out has the value of `train`, except that a stage's own schedule takes the place of an
    inherited rate reduction, and the other way round. A backbone is frozen unless a stage says otherwise.
    """
    stages = config.train.stages or (Stage(name="train"),)
    default = "all" if isinstance(config.model, Convnet) else "none"
    plans = [_complete(stage, config.train, default, config.data.image_size) for stage in stages]
    continues = [False, *(_continues(plan, before) for before, plan in pairwise(plans))]
    groups = list(accumulate(not goes_on for goes_on in continues))  # stages that continue each other have one number
    epochs = Counter[int]()
    for group, plan in zip(groups, plans, strict=True):
        epochs[group] += plan.epochs
    return tuple(
        replace(plan, continues=goes_on, schedule_epochs=epochs[group])
        for plan, goes_on, group in zip(plans, continues, groups, strict=True)
    )


def _continues(plan: StagePlan, before: StagePlan) -> bool:
    alike = replace(plan, name=before.name, epochs=before.epochs, image_size=before.image_size) == before
    return alike and plan.image_size != before.image_size


def _complete(stage: Stage, train: Train, unfreeze: str, image_size: tuple[int, int]) -> StagePlan:
    unfreeze = stage.unfreeze or unfreeze
    return StagePlan(
        name=stage.name,
        unfreeze=unfreeze,
        image_size=stage.image_size or image_size,
        epochs=stage.epochs or train.epochs,
        optimizer=stage.optimizer or train.optimizer,
        learning_rate=stage.learning_rate or train.learning_rate,
        base_learning_rate=None if unfreeze == "none" else stage.base_learning_rate or train.base_learning_rate,
        early_stopping=stage.early_stopping or train.early_stopping,
        reduce_lr=stage.reduce_lr or (None if stage.schedule else train.reduce_lr),
        schedule=stage.schedule or (None if stage.reduce_lr else train.schedule),
    )
