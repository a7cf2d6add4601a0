"""The stages of a training with everything filled in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

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
    return tuple(
        replace(plan, continues=continues[index], schedule_epochs=_schedule_epochs(plans, continues, index))
        for index, plan in enumerate(plans)
    )


def _continues(plan: StagePlan, before: StagePlan) -> bool:
    alike = replace(plan, name=before.name, epochs=before.epochs, image_size=before.image_size) == before
    return alike and plan.image_size != before.image_size


def _schedule_epochs(plans: Sequence[StagePlan], continues: Sequence[bool], index: int) -> int:
    """Epochs of the stages around `index` that continue each other."""
    first = max(number for number in range(index + 1) if not continues[number])
    last = next((number for number in range(index + 1, len(plans)) if not continues[number]), len(plans))
    return sum(plan.epochs for plan in plans[first:last])


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
