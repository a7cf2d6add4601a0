"""Measures against values worked out by hand, and the properties they must have."""

import json
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnntrain.errors import DataError
from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.metrics import accuracy, compute_metrics, confusion, cross_entropy, wilson


def answers_of(truth: list[int], probabilities: list[list[float]], classes: tuple[str, ...]) -> Answers:
    return Answers(
        paths=tuple(f"{row}.png" for row in range(len(truth))),
        truth=np.array(truth, np.int64),
        probabilities=np.array(probabilities, np.float32).reshape(len(truth), len(classes)),
        classes=classes,
    )


# truth  a     b     c    predicted
#   a   0.70  0.20  0.10      a
#   a   0.10  0.80  0.10      b
#   b   0.25  0.50  0.25      b
#   c   0.20  0.20  0.60      c
#   c   0.50  0.10  0.40      a
#
# Right are 3 of 5. Predicted: a twice (1 right), b twice (1), c once (1). There are: a twice (1 found), b once (1),
# c twice (1). F1 = 2PR / (P + R): a 2·½·½ / 1 = ½, b 2·½·1 / (3/2) = 2/3, c the same; their mean is 11/18.
# Loss = -(ln 0.7 + ln 0.1 + ln 0.5 + ln 0.6 + ln 0.4) / 5 = -ln(0.0084) / 5 = 0.955905.
# Wilson with z = 1.959964, z² = 3.841459: centre (3 + z²/2) / (5 + z²) = 0.556552,
# half width z · √(3·2/5 + z²/4) / (5 + z²) = 0.325827.
TRUTH = [0, 0, 1, 2, 2]
ROWS = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.25, 0.5, 0.25], [0.2, 0.2, 0.6], [0.5, 0.1, 0.4]]
FIVE = answers_of(TRUTH, ROWS, ("a", "b", "c"))


def test_five_pictures_worked_out_by_hand() -> None:
    found = json.loads(json.dumps(compute_metrics(FIVE).to_json(), allow_nan=False))
    assert found["loss"] == pytest.approx(0.955905, abs=1e-6)
    assert found["accuracy"] == {
        "value": 0.6,
        "low": pytest.approx(0.230725, abs=1e-6),
        "high": pytest.approx(0.882379, abs=1e-6),
        "level": 0.95,
        "method": "wilson",
    }
    shown = [
        (row["name"], row["precision"]["value"], row["recall"]["value"], row["f1"], row["support"])
        for row in found["classes"]
    ]
    assert shown == [
        ("a", 0.5, 0.5, 0.5, 2),
        ("b", 0.5, 1.0, pytest.approx(2 / 3), 1),
        ("c", 1.0, 0.5, pytest.approx(2 / 3), 2),
    ]
    assert (found["macro"]["precision"], found["macro"]["recall"]) == pytest.approx((2 / 3, 2 / 3))
    assert found["macro"]["f1"] == pytest.approx(11 / 18)
    assert found["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert (found["format"], found["images"], found["top_k"]) == (1, 5, {})
    assert list(found) == [
        *("format", "images", "loss", "accuracy", "top_k", "classes", "macro", "calibration", "confusion")
    ]


# The class a against the rest, falling: 0.70 a, 0.50 c, 0.25 b, 0.20 c, 0.10 a. Of its 2 × 3 pairs with others 3 stand
# in the right order: area ½. Average precision: (1/1 + 2/5) / 2 = 0.7. The class b: 0.80 a, 0.50 b, then the rest: 3 of
# 4 pairs, precision ½. The class c: 0.60 c, 0.40 c: all pairs.
# Confidence 0.7, 0.8, 0.5, 0.6, 0.5; bins begin at 7/15 = 0.4667, 0.5333, 0.6, 0.6667, 0.7333, 0.8; 0.6 and 0.8 are a
# little more in float32. Distances |1 - 2·0.5| / 5, 0.4 / 5, 0.3 / 5, 0.8 / 5: 0.3 together.
def test_areas_and_calibration_worked_out_by_hand() -> None:
    found = compute_metrics(FIVE)
    areas = [(row.roc_auc, row.average_precision) for row in found.classes]
    values = [[area.value for area in pair if area] for pair in areas]
    assert values == [pytest.approx([0.5, 0.7]), pytest.approx([0.75, 0.5]), [1.0, 1.0]]
    assert found.macro.roc_auc is not None
    assert found.macro.roc_auc.value == pytest.approx(0.75)
    assert found.macro.average_precision is not None
    assert found.macro.average_precision.value == pytest.approx(2.2 / 3)
    assert found.calibration.error.value == pytest.approx(0.3, abs=1e-6)
    filled = {index: row for index, row in enumerate(found.calibration.bins) if row.count}
    assert {index: row.count for index, row in filled.items()} == {7: 2, 9: 1, 10: 1, 12: 1}
    assert (filled[7].confidence, filled[7].accuracy) == (0.5, 0.5)
    assert (filled[10].low, filled[10].high) == pytest.approx((10 / 15, 11 / 15))


def test_each_share_has_its_wilson_interval() -> None:
    found = compute_metrics(FIVE)
    assert [row.recall for row in found.classes] == [wilson(1, 2), wilson(1, 1), wilson(1, 2)]
    assert [row.precision for row in found.classes] == [wilson(1, 2), wilson(1, 2), wilson(1, 1)]


def test_top_k_counts_the_true_class_among_the_likeliest() -> None:
    falling = np.linspace(12, 1, 12) / 78
    twelve = answers_of([0, 2, 3, 4, 5, 11], [falling.tolist()] * 6, tuple("abcdefghijkl"))
    found = compute_metrics(twelve)
    assert found.top_k == {"3": wilson(2, 6), "5": wilson(4, 6)}
    five = compute_metrics(answers_of([0, 3], [[0.3, 0.25, 0.2, 0.15, 0.1]] * 2, tuple("abcde")))
    assert found.top_k["3"].value == pytest.approx(1 / 3)
    assert five.top_k == {"3": wilson(1, 2)}
    assert compute_metrics(answers_of([0], [[0.3, 0.3, 0.2, 0.2]], tuple("abcd"))).top_k == {}


def test_of_equally_likely_classes_the_first_count_as_top() -> None:
    even = answers_of([2, 3], [[0.2] * 5] * 2, tuple("abcde"))
    assert compute_metrics(even).top_k["3"] == wilson(1, 2)


def test_a_class_without_pictures_shifts_nothing() -> None:
    with_gap = [[row[0], 0.0, *row[1:]] for row in ROWS]
    gap = compute_metrics(answers_of([0, 0, 2, 3, 3], with_gap, ("a", "absent", "b", "c"))).to_json()
    whole = compute_metrics(FIVE).to_json()
    absent = gap["classes"][1]
    assert absent.pop("name") == "absent"
    assert absent.pop("support") == 0
    assert set(absent.values()) == {None}
    assert (gap["classes"][0], *gap["classes"][2:]) == whole["classes"]
    assert gap["macro"] == whole["macro"]
    assert gap["accuracy"] == whole["accuracy"]
    assert gap["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    assert gap["confusion"] == ((1, 0, 1, 0), (0, 0, 0, 0), (0, 0, 1, 0), (1, 0, 0, 1))


def test_answers_for_a_class_without_pictures_count_as_wrong() -> None:
    # Both pictures are of a; one is taken for c, which has none. b is not heard of at all.
    metrics = compute_metrics(answers_of([0, 0], [[0.8, 0.1, 0.1], [0.2, 0.1, 0.7]], ("a", "b", "c")))
    assert metrics.confusion == ((1, 0, 1), (0, 0, 0), (0, 0, 0))
    assert [entry.recall and entry.recall.value for entry in metrics.classes] == [0.5, None, None]
    assert [entry.roc_auc for entry in metrics.classes] == [None, None, None]
    assert metrics.macro.roc_auc is metrics.macro.average_precision is None
    assert (metrics.macro.precision, metrics.macro.recall, metrics.macro.f1) == pytest.approx((1.0, 0.5, 2 / 3))


def test_a_class_that_is_never_predicted_has_precision_zero() -> None:
    never = compute_metrics(answers_of([0, 1], [[0.9, 0.1], [0.6, 0.4]], ("a", "b"))).classes[1]
    assert never.precision is not None
    assert (never.precision.value, never.precision.low, never.precision.high) == (0.0, 0.0, 1.0)
    assert (never.recall, never.f1, never.support) == (wilson(0, 1), 0.0, 1)


def test_two_classes_are_measured_like_more() -> None:
    two = compute_metrics(answers_of([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ("cat", "dog")))
    assert two.confusion == ((1, 0), (1, 1))
    assert two.loss == pytest.approx(-(math.log(0.9) + math.log(0.8) + math.log(0.4)) / 3, abs=1e-6)


def test_wilson_of_eight_in_ten_and_at_the_ends() -> None:
    # Published for 8 of 10; at 0 of n the interval is [0, z² / (n + z²)] = [0, 0.277533] for n = 10.
    eight = wilson(8, 10)
    assert (eight.value, eight.low, eight.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=5e-5)
    assert (wilson(0, 10).low, wilson(0, 10).high) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert (wilson(10, 10).low, wilson(10, 10).high) == pytest.approx((1 - 0.277533, 1.0), abs=1e-6)


def test_loss_is_finite_when_a_probability_is_zero() -> None:
    # -ln(2⁻²³) = 23 ln 2
    sure_and_wrong = answers_of([1], [[1.0, 0.0]], ("a", "b"))
    assert cross_entropy(sure_and_wrong) == pytest.approx(23 * math.log(2), abs=1e-5)


def test_loss_takes_rows_that_rounding_left_short_of_one() -> None:
    short = answers_of([0, 1], [[0.4996, 0.4996], [0.25, 0.75]], ("a", "b"))
    assert cross_entropy(short) == pytest.approx((math.log(2) - math.log(0.75)) / 2, abs=1e-6)


def test_nothing_to_measure_is_a_data_error() -> None:
    with pytest.raises(DataError, match="at least one picture"):
        compute_metrics(answers_of([], [], ("a", "b")))


@st.composite
def tables(draw: st.DrawFn) -> Answers:
    """Up to 25 pictures in two to five classes, some of which may have none."""
    classes = draw(st.integers(2, 5))
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, classes - 1),
                st.lists(st.integers(0, 9), min_size=classes, max_size=classes).filter(any),
            ),
            min_size=1,
            max_size=25,
        )
    )
    shares = [[weight / sum(weights) for weight in weights] for _, weights in rows]
    return answers_of([truth for truth, _ in rows], shares, tuple("abcde"[:classes]))


@settings(deadline=None, max_examples=40)
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_number(answers: Answers, chance: random.Random) -> None:
    order = list(range(len(answers.paths)))
    chance.shuffle(order)
    shuffled = Answers(
        paths=tuple(answers.paths[row] for row in order),
        truth=answers.truth[order],
        probabilities=answers.probabilities[order],
        classes=answers.classes,
    )
    assert compute_metrics(shuffled) == compute_metrics(answers)


@settings(deadline=None)
@given(tables())
def test_confusion_is_a_count_of_pairs(answers: Answers) -> None:
    pairs = Counter(zip(answers.truth.tolist(), answers.predicted.tolist(), strict=True))
    size = range(len(answers.classes))
    matrix = confusion(answers)
    assert matrix.tolist() == [[pairs[row, column] for column in size] for row in size]
    assert accuracy(answers).value == pytest.approx(np.trace(matrix) / matrix.sum())


@settings(deadline=None, max_examples=40)
@given(tables())
def test_measures_of_a_class_follow_from_the_confusion(answers: Answers) -> None:
    metrics = compute_metrics(answers)
    matrix = np.array(metrics.confusion)
    for index, entry in enumerate(metrics.classes):
        right, present, called = matrix[index, index], matrix[index].sum(), matrix[:, index].sum()
        assert entry.support == present
        if present:
            assert entry.recall == wilson(right, present)
            assert entry.precision == wilson(right, called)
            assert entry.f1 == pytest.approx(2 * right / (present + called))
        else:
            assert entry.recall is entry.precision is entry.f1 is None
