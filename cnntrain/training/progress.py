"""How far a training has come, and the best of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cnntrain.config.stages import StagePlan
from cnntrain.runs.history import EpochRow
from cnntrain.runs.record import Best, Interpolated
from cnntrain.training.stopping import Patience, is_improvement, patience_of

Weights = list[npt.NDArray[Any]]


@dataclass
class Progress:
    """How far a training has come: all that it needs to know to go on, besides the variables of model and optimizer.

    Args:
        history: A row for each epoch that is over.
        best: The best epoch so far among those of all stages at `data.image_size`.
        best_weights: The weights of the whole network after it, in Keras's order.
        stage: Number of the stage in hand, counted from 1.
        epoch_in_stage: Epochs of it that are over.
        stage_best: The best monitored value in it.
        stage_weights: The weights after that epoch: what the next stage begins with, unless it goes on with the last.
        is_frozen: Whether nothing of the backbone trains in the stage in hand.
        head_weights: The best weights of the last such stage so far.
        interpolation: What was tried between them and the best weights, once all stages are over.
        stopping: Counter of its early stopping.
        reduction: Counter of its rate reduction.
        timings: Seconds by part of the work.
    """

    history: list[EpochRow] = field(default_factory=list)
    best: Best | None = None
    best_weights: Weights | None = None
    stage: int = 0
    epoch_in_stage: int = 0
    stage_best: float | None = None
    stage_weights: Weights | None = None
    is_frozen: bool = False
    head_weights: Weights | None = None
    interpolation: tuple[Interpolated, ...] = ()
    stopping: Patience | None = None
    reduction: Patience | None = None
    timings: dict[str, float] = field(default_factory=dict)

    def begin_stage(self, number: int, stage: StagePlan) -> None:
        """Forgets what belongs to the stage before."""
        self.stage, self.epoch_in_stage, self.stage_best = number, 0, None
        self.is_frozen = stage.unfreeze == "none"
        self.stopping, self.reduction = patience_of(stage.early_stopping), patience_of(stage.reduce_lr)

    def keep(self, row: EpochRow, monitor: str, weights: Callable[[], Weights], *, is_candidate: bool = True) -> bool:
        """Adds an epoch; takes its weights if they are the best of the stage, and says whether they are of the run.

        An epoch counts only if all its losses and all its weights are finite.

        Args:
            row: What the epoch gave.
            monitor: What is compared.
            weights: Gives the weights as they are now.
            is_candidate: Whether the run's best may come from this epoch: it was measured on pictures of the size that
                the model is used with.
        """
        self.history.append(row)
        self.epoch_in_stage += 1
        value = row.monitored(monitor)
        if not row.is_finite or not is_improvement(value, self.stage_best, monitor):
            return False
        taken = weights()
        if not all(np.all(np.isfinite(array)) for array in taken):
            return False
        self.stage_best, self.stage_weights = value, taken
        if self.is_frozen:
            self.head_weights = taken
        if not is_candidate or not is_improvement(value, self.best.value if self.best else None, monitor):
            return False
        self.best_weights = taken
        self.best = Best(monitor=monitor, value=value, epoch=row.epoch, stage=row.stage)
        return True
