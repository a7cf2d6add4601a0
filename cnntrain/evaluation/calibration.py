"""Whether a model is right as often as its confidence says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.intervals import Estimate, wilson

BINS = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures whose confidence (the probability of the predicted class) is above `low` and at most `high`.

    Args:
        low: Where it begins.
        high: Where it ends.
        count: Number of pictures.
        confidence: Their mean confidence; None of no pictures.
        accuracy: The share of right answers; None of no pictures.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence against accuracy.

    Args:
        error: Expected calibration error.
        bins: 15 of equal width, from 0 to 1.
    """

    error: Estimate
    bins: tuple[Bin, ...]

    @property
    def measured(self) -> list[tuple[float, float, int, float, tuple[float, float, float]]]:
        """The bins that have pictures: low, high, count, confidence, and accuracy with the ends of its interval."""
        rows = []
        for each in self.bins:
            if each.confidence is not None and each.accuracy is not None:
                share = wilson(round(each.accuracy * each.count), each.count)
                rows.append((each.low, each.high, each.count, each.confidence, (share.value, share.low, share.high)))
        return rows


def calibration_bins(answers: Answers) -> tuple[Bin, ...]:
    """Counts, mean confidence and accuracy of the predicted class in 15 bins of equal width."""
    places, confidence, right = _places(answers), _confidence(answers), answers.predicted == answers.truth
    bins = []
    for index in range(BINS):
        inside = places == index
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (None, None)
        bins.append(Bin(index / BINS, (index + 1) / BINS, count, *means))
    return tuple(bins)


def calibration_error(answers: Answers, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Expected calibration error: mean distance of confidence from accuracy over the bins, weighted by their counts.

    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On Calibration of Modern Neural Networks, 2017, equation 5. The
    fewer pictures, the higher it comes out, even for a model that is calibrated; a bootstrap sample adds to that.

    Args:
        answers: N pictures.
        weights: Array of shape (N, R), a column a sample.

    Returns:
        Array of shape (R,), from 0 to 1.
    """
    from scipy.sparse import csr_matrix

    gap = _confidence(answers) - (answers.predicted == answers.truth)
    rows = np.arange(len(gap))
    gaps = csr_matrix((gap, (_places(answers), rows)), shape=(BINS, len(gap)))
    gathered = np.abs(gaps @ weights.astype(np.float64)).sum(axis=0)
    error: NDArray[np.float64] = gathered / weights.sum(axis=0, dtype=np.float64)
    return error


def _confidence(answers: Answers) -> NDArray[np.float64]:
    largest: NDArray[np.float64] = answers.probabilities.max(axis=1).astype(np.float64)
    return largest


def _places(answers: Answers) -> NDArray[np.int64]:
    """The bin of each picture."""
    places: NDArray[np.int64] = np.ceil(_confidence(answers) * BINS).astype(np.int64) - 1
    return np.clip(places, 0, BINS - 1)
