"""Measures of how well answers agree with the truth: pure functions of one table of answers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import DataError
from cnntrain.evaluation.answers import Answers, sorted_by_content
from cnntrain.evaluation.areas import measured_areas, rankings, resampled_areas
from cnntrain.evaluation.calibration import Bin, Calibration, calibration_bins, calibration_error
from cnntrain.evaluation.intervals import Estimate, percentile, wilson
from cnntrain.evaluation.resampling import bootstrap_weights

__all__ = ["Bin", "Calibration", "ClassMetrics", "Estimate", "MacroMetrics", "Metrics", "compute_metrics", "wilson"]

_SMALLEST = float(np.finfo(np.float32).eps)  # 1.2e-7, the step of float32 just above one
_TOP = {3: 5, 5: 11}  # among how many is counted, from how many classes on


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """How one class fares.

    Args:
        name: Of the class.
        precision: Of what was called so, the share that is. 0 of a class with pictures that is never predicted.
        recall: Of its pictures, the share that was called so.
        f1: Harmonic mean of the two. None, as these, where the class has no pictures: nothing was measured then.
        support: Number of its pictures.
        roc_auc: Area under the ROC curve of the class against the rest; None where either has no pictures.
        average_precision: Area under the precision-recall curve, likewise.
    """

    name: str
    precision: Estimate | None
    recall: Estimate | None
    f1: float | None
    support: int
    roc_auc: Estimate | None
    average_precision: Estimate | None


@dataclass(frozen=True, slots=True)
class MacroMetrics:
    """Unweighted means over the classes that have pictures; the areas are None where only one class has any."""

    precision: float
    recall: float
    f1: float
    roc_auc: Estimate | None
    average_precision: Estimate | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """All measures of one table of answers.

    Args:
        images: Number of pictures.
        loss: Mean cross-entropy in nats.
        accuracy: Share of right answers.
        top_k: By k: share of pictures whose true class is among the k most probable. 3 from five classes on, 5 above
            ten classes.
        classes: One entry a class, in the order of the model's outputs.
        macro: Means over classes.
        calibration: Confidence against accuracy.
        confusion: C rows of C counts: row the true class, column the predicted one.
    """

    images: int
    loss: float
    accuracy: Estimate
    top_k: Mapping[str, Estimate]
    classes: tuple[ClassMetrics, ...]
    macro: MacroMetrics
    calibration: Calibration
    confusion: tuple[tuple[int, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """The measures as what `metrics.json` holds; a measure that does not exist is null."""
        return {"format": 1, **asdict(self)}


@dataclass(frozen=True, slots=True)
class _Resampled:
    """What has its interval from bootstrap samples. The areas are pairs: ROC, average precision."""

    areas: Mapping[int, tuple[Estimate, Estimate]]
    macro: tuple[Estimate, Estimate] | tuple[None, None]
    calibration_error: Estimate


def compute_metrics(answers: Answers) -> Metrics:
    """Computes every measure of `answers`; neither the order of the rows nor chance matters.

    Shares have Wilson's intervals; areas and calibration error those of 1,000 bootstrap samples, drawn with one seed.

    Raises:
        DataError: There are no answers.
    """
    if not answers.paths:
        raise DataError("there must be at least one picture to measure, and there is none; choose other data")
    answers = sorted_by_content(answers)
    resampled = _resampled(answers)
    classes = _class_metrics(answers, resampled)
    return Metrics(
        images=len(answers.paths),
        loss=cross_entropy(answers),
        accuracy=accuracy(answers),
        top_k={str(k): top(answers, k) for k, least in _TOP.items() if len(answers.classes) >= least},
        classes=classes,
        macro=_macro_metrics(classes, resampled),
        calibration=Calibration(resampled.calibration_error, calibration_bins(answers)),
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


def accuracy(answers: Answers) -> Estimate:
    """Share of pictures whose most probable class is the true one."""
    return wilson(int(np.sum(answers.predicted == answers.truth)), len(answers.paths))


def top(answers: Answers, k: int) -> Estimate:
    """Share of pictures whose true class is among the `k` most probable, of equals the first classes."""
    best = np.argsort(-answers.probabilities, axis=1, kind="stable")[:, :k]
    return wilson(int((best == answers.truth[:, np.newaxis]).any(axis=1).sum()), len(answers.paths))


def confusion(answers: Answers) -> NDArray[np.int64]:
    """int64 array of shape (C, C): how many pictures of the row's class were taken for the column's."""
    from sklearn.metrics import confusion_matrix

    counts: NDArray[np.int64] = confusion_matrix(answers.truth, answers.predicted, labels=_labels(answers))
    return counts


def _class_metrics(answers: Answers, resampled: _Resampled) -> tuple[ClassMetrics, ...]:
    counts = confusion(answers)
    found, support, called = (row.tolist() for row in (counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)))
    return tuple(
        ClassMetrics(
            name=name,
            precision=wilson(found[index], called[index]),
            recall=wilson(found[index], support[index]),
            f1=2 * found[index] / (support[index] + called[index]),
            support=support[index],
            roc_auc=resampled.areas[index][0] if index in resampled.areas else None,
            average_precision=resampled.areas[index][1] if index in resampled.areas else None,
        )
        if support[index]
        else ClassMetrics(name, None, None, None, 0, None, None)
        for index, name in enumerate(answers.classes)
    )


def _macro_metrics(classes: Sequence[ClassMetrics], resampled: _Resampled) -> MacroMetrics:
    """Means over the classes that have pictures. The mean recall is what is also called balanced accuracy."""
    return MacroMetrics(
        precision=float(np.mean([entry.precision.value for entry in classes if entry.precision])),
        recall=float(np.mean([entry.recall.value for entry in classes if entry.recall])),
        f1=float(np.mean([entry.f1 for entry in classes if entry.f1 is not None])),
        roc_auc=resampled.macro[0],
        average_precision=resampled.macro[1],
    )


def _resampled(answers: Answers) -> _Resampled:
    """Areas and calibration error, measured and in bootstrap samples."""
    ranked, count = rankings(answers), len(answers.paths)
    pieces = [
        (resampled_areas(ranked, weights), calibration_error(answers, weights))
        for weights in bootstrap_weights(answers.truth)
    ]
    areas, errors = (np.concatenate(parts, axis=-1) for parts in zip(*pieces, strict=True))
    measured = measured_areas(ranked, count)
    error = float(calibration_error(answers, np.ones((count, 1), np.float32))[0])
    return _Resampled(
        areas={index: _two(measured[row], areas[row]) for row, index in enumerate(ranked)},
        macro=_two(measured.mean(axis=0), areas.mean(axis=0)) if ranked else (None, None),
        calibration_error=percentile(error, errors),
    )


def _two(measured: NDArray[np.float64], samples: NDArray[np.float64]) -> tuple[Estimate, Estimate]:
    """Both areas of shape (2,), with what they are in samples, of shape (2, R)."""
    return percentile(float(measured[0]), samples[0]), percentile(float(measured[1]), samples[1])


def _labels(answers: Answers) -> range:
    """All class indices: without them scikit-learn would leave out classes that have no pictures."""
    return range(len(answers.classes))
