"""Estimates with the intervals that they come with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import DataError, UsageError

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured number with the interval that covers the true one with probability `level`.

    Args:
        value: What was measured.
        low: Lower end of the interval.
        high: Upper end.
        level: 0.95.
        method: How the interval was found: `wilson`, `stratified bootstrap`, or for differences of paired shares
            `bonett-price`.
    """

    value: float
    low: float
    high: float
    level: float
    method: str


def wilson(successes: int, trials: int) -> Estimate:
    """The share `successes / trials` with its 95 % score interval (E. B. Wilson, JASA 22, 1927, 209-212).

    Of no trials the share is taken as 0, and nothing is known of the true one: the interval is all from 0 to 1.
    """
    from scipy.stats import binomtest

    if not trials:
        return Estimate(0.0, 0.0, 1.0, LEVEL, "wilson")
    interval = binomtest(successes, trials).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high), LEVEL, "wilson")


def percentile(value: float, resampled: NDArray[np.float64]) -> Estimate:
    """A number with the middle 95 % of what it is in stratified bootstrap samples.

    Args:
        value: What was measured; the interval is widened to it where it lies outside.
        resampled: The same measure of each sample, of shape (R,).
    """
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Estimate(value, min(low, value), max(high, value), LEVEL, "stratified bootstrap")


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
