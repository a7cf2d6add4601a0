"""What cross-validation says about the true score: a mean with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnntrain.errors import DataError, UsageError


@dataclass(frozen=True, slots=True)
class CorrectedInterval:
    """Scores of several trainings on overlapping data.

    Args:
        mean: Their mean.
        low: Lower end of the interval that covers the true score with the confidence asked for.
        high: Upper end.
        deviation: Their standard deviation, with one less than their number in the denominator.
    """

    mean: float
    low: float
    high: float
    deviation: float


def corrected_interval(scores: Sequence[float], *, test_share: float, confidence: float = 0.95) -> CorrectedInterval:
    """The corrected resampled t interval: mean ± t · s · √(1/k + n_test / n_train) with k - 1 degrees of freedom.

    The trainings share most of their pictures, so their scores vary less than those of independent ones would; the
    second term under the root makes up for it (C. Nadeau and Y. Bengio, Machine Learning 52, 2003, 239-281).

    Args:
        scores: One a fold, k of them; finite.
        test_share: Pictures that a fold is measured on, divided by those it is trained on: 1 / (k - 1) for k folds.
        confidence: Between 0 and 1.

    Returns:
        The interval; its ends may lie outside what the score can be.

    Raises:
        DataError: There are fewer than two scores, or one is not finite.
        UsageError: The share is not positive, or the confidence is not between 0 and 1.
    """
    from scipy.stats import t

    if len(scores) < 2 or not all(math.isfinite(score) for score in scores):
        raise DataError(f"an interval needs at least two finite scores; got: {', '.join(map(str, scores)) or 'none'}")
    if not (math.isfinite(test_share) and test_share > 0):
        raise UsageError(f"the share of test to training pictures is above 0; got: {test_share}")
    if not 0 < confidence < 1:
        raise UsageError(f"a confidence is between 0 and 1; got: {confidence}")
    mean, deviation = float(np.mean(scores)), float(np.std(scores, ddof=1))
    quantile = float(t.ppf((1 + confidence) / 2, len(scores) - 1))
    reach = quantile * deviation * math.sqrt(1 / len(scores) + test_share)
    return CorrectedInterval(mean, mean - reach, mean + reach, deviation)
