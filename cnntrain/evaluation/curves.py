"""ROC and precision-recall curves of one class against the rest."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.areas import class_scores
from cnntrain.evaluation.metrics import ClassMetrics, Metrics

Curve = tuple[str, float, NDArray[np.float64], NDArray[np.float64]]
"""Name, area, and the points: two arrays of one shape from 0 to 1."""

MEAN = "mean of the classes"
_EACH = 10  # classes that have a curve each; of more, only the worst few
_WORST = 5
_GRID = np.linspace(0, 1, 501)

_Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def roc_curves(answers: Answers, metrics: Metrics) -> tuple[Curve, ...]:
    """Recall against the share of the others that is taken for the class, rising.

    Args:
        answers: The answers.
        metrics: Their measures.

    Returns:
        Of two classes the second's curve; of up to ten the mean of all and each; of more the mean and the five with the
        smallest areas. None where all pictures are of one class. The mean is that of recalls (T. Fawcett, Pattern
        Recognition Letters 27, 2006, 861-874: vertical averaging).
    """
    areas = [_area(entry, "roc_auc") for entry in metrics.classes]
    mean = metrics.macro.roc_auc.value if metrics.macro.roc_auc else 0.0
    return _curves(answers, areas, mean, _roc, lambda points: np.interp(_GRID, *points))


def precision_recall_curves(answers: Answers, metrics: Metrics) -> tuple[Curve, ...]:
    """Precision against recall, as `roc_curves`; between two points the precision is that of the right one."""
    areas = [_area(entry, "average_precision") for entry in metrics.classes]
    mean = metrics.macro.average_precision.value if metrics.macro.average_precision else 0.0
    return _curves(answers, areas, mean, _precision_recall, _stepped)


def _area(entry: ClassMetrics, name: str) -> float | None:
    estimate = getattr(entry, name)
    return None if estimate is None else estimate.value


def _curves(
    answers: Answers,
    areas: list[float | None],
    mean: float,
    points_of: Callable[[NDArray[np.bool_], NDArray[np.float32]], _Points],
    on_grid: Callable[[_Points], NDArray[np.float64]],
) -> tuple[Curve, ...]:
    present = {index: area for index, area in enumerate(areas) if area is not None}
    points = {index: points_of(answers.truth == index, class_scores(answers, index)) for index in present}
    if len(answers.classes) == 2:
        return tuple((answers.classes[1], area, *points[index]) for index, area in present.items() if index == 1)
    if not present:
        return ()
    worst = sorted(present, key=lambda index: present[index])[:_WORST]
    shown = present if len(present) <= _EACH else worst
    macro = (MEAN, mean, _GRID, np.mean([on_grid(each) for each in points.values()], axis=0))
    return (macro, *((answers.classes[index], present[index], *points[index]) for index in shown))


def _roc(members: NDArray[np.bool_], scores: NDArray[np.float32]) -> _Points:
    from sklearn.metrics import roc_curve

    false_positives, recall, _ = roc_curve(members, scores)
    return false_positives, recall


def _precision_recall(members: NDArray[np.bool_], scores: NDArray[np.float32]) -> _Points:
    """Recall rising, and precision."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(members, scores)
    return recall[::-1], precision[::-1]


def _stepped(points: _Points) -> Any:
    """The precision of the first point with at least the recall of the grid."""
    recall, precision = points
    return precision[np.searchsorted(recall, _GRID)]
