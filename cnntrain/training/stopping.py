"""Best so far, early stopping and rate reduction, as plain values that can be stored."""

import math
from dataclasses import dataclass

from cnntrain.config.sections import EarlyStopping, ReduceLR


def is_improvement(value: float, best: float | None, monitor: str, min_delta: float = 0.0) -> bool:
    """Whether `value` beats `best` by more than `min_delta`: losses when smaller, accuracies when larger.

    A value that is not finite never does; any finite value beats an absent one.
    """
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    gain = best - value if monitor.endswith("loss") else value - best
    return gain > min_delta


@dataclass
class Patience:
    """Counts epochs without improvement.

    Args:
        patience: How many are borne.
        min_delta: Smallest change that counts as an improvement.
        best: Best value so far, absent before the first.
        waited: Epochs since then.
    """

    patience: int
    min_delta: float
    best: float | None = None
    waited: int = 0

    def update(self, value: float, monitor: str) -> bool:
        """Takes the value of one more epoch; says whether there were `patience` without improvement in a row."""
        if is_improvement(value, self.best, monitor, self.min_delta):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.patience


def patience_of(section: EarlyStopping | ReduceLR | None) -> Patience | None:
    """The counter that a stage's early stopping or rate reduction starts with, where it has one."""
    return None if section is None else Patience(section.patience, section.min_delta)


def reduced_rate(section: ReduceLR, rate: float) -> float:
    """The learning rate after one reduction."""
    return max(rate * section.factor, min(rate, section.min_learning_rate))
