"""The operating point of two classes: from which probability on a picture is taken for the second one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import DataError
from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.intervals import Estimate, wilson


@dataclass(frozen=True, slots=True)
class Threshold:
    """An operating point.

    Args:
        positive: The second class.
        value: Pictures are taken for it where its probability is at least this.
        images: Number of pictures that it was fitted on.
        balanced_accuracy: Mean of sensitivity and specificity on them.
    """

    positive: str
    value: float
    images: int
    balanced_accuracy: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """How a threshold fares on pictures that it was not fitted on.

    Args:
        threshold: The threshold.
        accuracy: Share of right answers with it.
        sensitivity: Of the second class's pictures, the share taken for it; None where there are none.
        specificity: Of the first class's pictures, the share not taken for the second; None where there are none.
    """

    threshold: Threshold
    accuracy: Estimate
    sensitivity: Estimate | None
    specificity: Estimate | None


def fit_threshold(answers: Answers) -> Threshold:
    """Finds the threshold with the largest balanced accuracy (W. J. Youden, Cancer 3, 1950, 32-35: J + 1 over 2).

    It lies midway between two neighbouring probabilities; of equally good ones the nearest to one half is taken.

    Args:
        answers: Of two classes.

    Raises:
        DataError: One of the classes has no pictures.
        ValueError: There are more than two classes.
    """
    if len(answers.classes) != 2:
        raise ValueError(f"a threshold is for two classes; received {len(answers.classes)}")
    second = answers.truth == 1
    if second.all() or not second.any():
        raise DataError("a threshold needs pictures of both classes; there are some of one only")
    scores = answers.probabilities[:, 1].astype(np.float64)
    cuts = _midpoints(scores)
    missed = np.searchsorted(np.sort(scores[second]), cuts)
    rejected = np.searchsorted(np.sort(scores[~second]), cuts)
    positives, negatives = int(second.sum()), int((~second).sum())
    gain = rejected * positives - missed * negatives  # Youden's J times both counts: whole numbers, compared exactly
    equals = np.flatnonzero(gain == gain.max())
    best = equals[np.argmin(np.abs(cuts[equals] - 0.5))]
    balanced = (1 + float(gain[best]) / (positives * negatives)) / 2
    return Threshold(answers.classes[1], float(cuts[best]), len(answers.paths), balanced)


def measure_threshold(threshold: Threshold, answers: Answers) -> OperatingPoint:
    """Takes pictures for the second class from a threshold on, and measures how that fares.

    Args:
        threshold: Fitted on other pictures.
        answers: At least one, of the same two classes.
    """
    called = answers.probabilities[:, 1].astype(np.float64) >= threshold.value  # which float32 would round
    second = answers.truth == 1
    right = called == second
    return OperatingPoint(
        threshold, wilson(int(right.sum()), len(right)), _share(right[second]), _share(right[~second])
    )


def _share(right: NDArray[np.bool_]) -> Estimate | None:
    return wilson(int(right.sum()), len(right)) if len(right) else None


def _midpoints(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Array of all thresholds that differ in what they do, rising, but for that which takes nothing."""
    different = np.unique(scores)
    below = np.concatenate([np.minimum(different[:1], 0), different[:-1]])
    return (below + different) / 2
