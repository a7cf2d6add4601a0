"""Measures of how well answers agree with the truth: pure functions of one table of answers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import DataError
from cnntrain.evaluation.answers import Answers

_LEVEL = 0.95
_SMALLEST = float(np.finfo(np.float32).eps)  # 1.2e-7, the step of float32 just above one


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share between 0 and 1 with the interval that covers the true share with probability `level`."""

    value: float
    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """How one class fares. The three measures are None where it has no pictures, since nothing was measured then."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, slots=True)
class MacroMetrics:
    """Unweighted means over the classes that have pictures."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """All measures of one table of answers.

    Args:
        images: Number of pictures.
        loss: Mean cross-entropy in nats.
        accuracy: Share of right answers.
        classes: One entry a class, in the order of the model's outputs.
        macro: Means over classes.
        confusion: C rows of C counts: row the true class, column the predicted one.
    """

    images: int
    loss: float
    accuracy: Proportion
    classes: tuple[ClassMetrics, ...]
    macro: MacroMetrics
    confusion: tuple[tuple[int, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """The measures as what `metrics.json` holds; a measure that does not exist is null."""
        return {"format": 1, **asdict(self)}


def compute_metrics(answers: Answers) -> Metrics:
    """Computes every measure of `answers`; the order of the rows does not matter.

    Raises:
        DataError: There are no answers.
    """
    if not answers.paths:
        raise DataError("there must be at least one picture to measure, and there is none; choose other data")
    classes = class_metrics(answers)
    return Metrics(
        images=len(answers.paths),
        loss=cross_entropy(answers),
        accuracy=accuracy(answers),
        classes=classes,
        macro=macro_metrics(classes),
        confusion=tuple(tuple(row) for row in confusion(answers).tolist()),
    )


def cross_entropy(answers: Answers) -> float:
    """Mean of -ln(probability of the true class), in nats.

    A probability below 1.2e-7 counts as that: a sigmoid's answer in float32 resolves no more near one, and a single
    zero would make the mean infinite. One picture thus adds 15.9 at the most.
    """
    from sklearn.metrics import log_loss

    table = np.maximum(answers.probabilities.astype(np.float64), _SMALLEST)
    table /= table.sum(axis=1, keepdims=True)
    return float(log_loss(answers.truth, table, labels=_labels(answers)))


def accuracy(answers: Answers) -> Proportion:
    """Share of pictures whose most probable class is the true one."""
    return wilson(int(np.sum(answers.predicted == answers.truth)), len(answers.paths))


def wilson(successes: int, trials: int) -> Proportion:
    """The share `successes / trials` with its 95 % score interval (E. B. Wilson, JASA 22, 1927, 209-212)."""
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(confidence_level=_LEVEL, method="wilson")
    return Proportion(successes / trials, float(interval.low), float(interval.high), _LEVEL, "wilson")


def class_metrics(answers: Answers) -> tuple[ClassMetrics, ...]:
    """Precision, recall, F1 and number of pictures of each class, in the order of `answers.classes`.

    A class that has pictures but is never predicted has precision 0.
    """
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        answers.truth, answers.predicted, labels=_labels(answers), zero_division=0
    )
    rows = zip(answers.classes, *(column.tolist() for column in columns), strict=True)
    return tuple(
        ClassMetrics(name, precision, recall, f1, support) if support else ClassMetrics(name, None, None, None, 0)
        for name, precision, recall, f1, support in rows
    )


def macro_metrics(classes: tuple[ClassMetrics, ...]) -> MacroMetrics:
    """Means of precision, recall and F1 over the classes that have pictures; at least one must.

    The mean recall is what is also called balanced accuracy.
    """
    return MacroMetrics(
        precision=_mean([entry.precision for entry in classes]),
        recall=_mean([entry.recall for entry in classes]),
        f1=_mean([entry.f1 for entry in classes]),
    )


def confusion(answers: Answers) -> NDArray[np.int64]:
    """int64 array of shape (C, C): how many pictures of the row's class were taken for the column's."""
    from sklearn.metrics import confusion_matrix

    counts: NDArray[np.int64] = confusion_matrix(answers.truth, answers.predicted, labels=_labels(answers))
    return counts


def _labels(answers: Answers) -> range:
    """All class indices: without them scikit-learn would leave out classes that have no pictures."""
    return range(len(answers.classes))


def _mean(values: list[float | None]) -> float:
    """The mean of the values that exist."""
    return float(np.mean([value for value in values if value is not None]))
