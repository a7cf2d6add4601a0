"""The corrected interval of cross-validation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnntrain.errors import DataError, UsageError
from cnntrain.evaluation.intervals import CorrectedInterval, corrected_interval

SCORES = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=20)


def test_five_folds_worked_out_by_hand() -> None:
    """Deviations from 0.86 are -4, -2, 0, 2, 4 hundredths: s² = 40e-4 / 4 = 0.001; t(4) = 2.776445 in the tables.

    √(1/5 + 1/4) = 0.670820, so the reach is 2.776445 · 0.0316228 · 0.670820 = 0.0588972.
    """
    found = corrected_interval([0.82, 0.90, 0.86, 0.84, 0.88], test_share=0.25)
    assert found.mean == pytest.approx(0.86)
    assert found.deviation == pytest.approx(0.0316228, abs=1e-7)
    assert found.low == pytest.approx(0.8011028, abs=1e-6)
    assert found.high == pytest.approx(0.9188972, abs=1e-6)


def test_two_scores_follow_the_cauchy_distribution() -> None:
    """One degree of freedom: the 75 % point of t is tan(π/4) = 1; s = 0.1 · √2; √(1/2 + 1) = √1.5."""
    found = corrected_interval([0.6, 0.8], test_share=1.0, confidence=0.5)
    assert found.high - found.mean == pytest.approx(0.1 * math.sqrt(3))


def test_equal_scores_leave_no_doubt() -> None:
    assert corrected_interval([0.5, 0.5, 0.5], test_share=0.5) == CorrectedInterval(0.5, 0.5, 0.5, 0.0)


@given(SCORES, st.floats(0.01, 1.0))
def test_the_interval_surrounds_the_mean_whatever_the_order(scores: list[float], share: float) -> None:
    found = corrected_interval(scores, test_share=share)
    again = corrected_interval(sorted(scores), test_share=share)
    assert found.low <= np.mean(scores) <= found.high
    assert (found.low, found.high) == pytest.approx((again.low, again.high), abs=1e-9)
    assert found.high - found.mean == pytest.approx(found.mean - found.low, abs=1e-9)


@given(SCORES, st.floats(0.01, 0.5))
def test_more_shared_data_and_more_confidence_widen_it(scores: list[float], share: float) -> None:
    found = corrected_interval(scores, test_share=share)
    assert corrected_interval(scores, test_share=2 * share).high >= found.high
    assert corrected_interval(scores, test_share=share, confidence=0.99).high >= found.high


@pytest.mark.parametrize("scores", [[], [0.5], [0.5, math.nan], [math.inf, 0.5]])
def test_scores_that_give_no_interval_are_refused(scores: list[float]) -> None:
    with pytest.raises(DataError, match="at least two finite scores"):
        corrected_interval(scores, test_share=0.25)


@pytest.mark.parametrize(("share", "confidence"), [(0.0, 0.95), (-1.0, 0.95), (math.nan, 0.95), (0.5, 0.0), (0.5, 1.0)])
def test_impossible_shares_and_confidences_are_refused(share: float, confidence: float) -> None:
    with pytest.raises(UsageError, match="got:"):
        corrected_interval([0.5, 0.6], test_share=share, confidence=confidence)
