"""The threshold of two classes: by hand, against every other one, and measured."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from cnntrain.errors import DataError
from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.metrics import wilson
from cnntrain.evaluation.thresholds import Threshold, fit_threshold, measure_threshold
from tests.test_calibration import two_classes


def test_a_threshold_worked_out_by_hand() -> None:
    # rising: 0.1 cat, 0.2 cat, 0.3 dog, 0.4 cat, 0.6 dog, 0.8 dog. From 0.3 on: all 3 dogs, 2 of 3 cats refused.
    # From 0.6 on: 2 of 3 dogs and all cats, as good; midway lie 0.25 and 0.5, of which 0.5 is nearer to one half.
    found = fit_threshold(two_classes([0.1, 0.2, 0.3, 0.4, 0.6, 0.8], [0, 0, 1, 0, 1, 1]))
    assert (found.positive, found.images) == ("dog", 6)
    assert found.value == pytest.approx(0.5)
    assert found.balanced_accuracy == pytest.approx(5 / 6)


def test_rare_classes_move_it() -> None:
    # One dog at 0.3 among cats at 0.1 and 0.2, and one cat of five at 0.35
    found = fit_threshold(two_classes([0.3, 0.1, 0.1, 0.2, 0.2, 0.35], [1, 0, 0, 0, 0, 0]))
    assert found.value == pytest.approx(0.25)
    assert found.balanced_accuracy == pytest.approx((1 + 4 / 5) / 2)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), min_size=2, max_size=30))
def test_no_other_threshold_is_better(rows: list[tuple[int, int]]) -> None:
    scores, truth = [share / 20 for share, _ in rows], [second for _, second in rows]
    answers = two_classes(scores, truth)
    if len(set(truth)) < 2:
        with pytest.raises(DataError, match="both classes"):
            fit_threshold(answers)
        return
    found = fit_threshold(answers)
    column = answers.probabilities[:, 1]
    measured = [balanced_accuracy_score(truth, column >= cut) for cut in (found.value, *(np.arange(42) / 40))]
    assert measured[0] == pytest.approx(found.balanced_accuracy)
    assert max(measured) == pytest.approx(measured[0])


def test_a_threshold_is_measured_on_other_pictures() -> None:
    threshold = Threshold("dog", 0.25, 10, 0.9)
    point = measure_threshold(threshold, two_classes([0.1, 0.25, 0.3, 0.2, 0.9], [0, 0, 1, 1, 1]))
    assert point.threshold is threshold
    assert (point.accuracy, point.sensitivity, point.specificity) == (wilson(3, 5), wilson(2, 3), wilson(1, 2))
    only = measure_threshold(threshold, two_classes([0.1, 0.3], [0, 0]))
    assert (only.accuracy, only.sensitivity, only.specificity) == (wilson(1, 2), None, wilson(1, 2))


def test_it_holds_between_neighbouring_numbers_too() -> None:
    dog = float(np.nextafter(np.float32(0.5), np.float32(1)))
    answers = two_classes([0.5, dog], [0, 1])
    found = fit_threshold(answers)
    assert (found.balanced_accuracy, measure_threshold(found, answers).accuracy.value) == (1, 1)


def test_a_threshold_is_for_two_classes() -> None:
    three = Answers(("a",), np.zeros(1, np.int64), np.array([[0.5, 0.25, 0.25]], np.float32), ("a", "b", "c"))
    with pytest.raises(ValueError, match="two classes"):
        fit_threshold(three)
