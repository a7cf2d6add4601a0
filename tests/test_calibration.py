"""Expected calibration error against a plain loop, and what it must be at the ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.calibration import BINS, calibration_bins, calibration_error
from cnntrain.evaluation.metrics import compute_metrics
from cnntrain.plots.calibration import draw_calibration


def two_classes(second: list[float], truth: list[int]) -> Answers:
    column = np.array(second, np.float32)
    paths = tuple(f"{row}.png" for row in range(len(truth)))
    return Answers(paths, np.array(truth, np.int64), np.stack([1 - column, column], axis=1), ("cat", "dog"))


def _plain(answers: Answers, weights: list[int]) -> float:
    """The definition, a bin and a picture at a time."""
    drawn = [row for row, times in enumerate(weights) for _ in range(times)]
    error = 0.0
    for index in range(BINS):
        inside = []
        for row in drawn:
            confidence = float(answers.probabilities[row].max())
            if index < confidence * BINS <= index + 1:
                inside.append((confidence, answers.predicted[row] == answers.truth[row]))
        if inside:
            gap = np.mean([confidence for confidence, _ in inside]) - np.mean([right for _, right in inside])
            error += abs(float(gap)) * len(inside) / len(drawn)
    return error


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25).filter(
        lambda rows: any(times for *_, times in rows)
    )
)
def test_the_error_is_that_of_a_plain_loop(rows: list[tuple[int, bool, int]]) -> None:
    answers = two_classes([share / 60 for share, *_ in rows], [int(second) for _, second, _ in rows])
    weights = [times for *_, times in rows]
    found = calibration_error(answers, np.array(weights, np.float32)[:, np.newaxis])
    assert found[0] == pytest.approx(_plain(answers, weights), abs=1e-6)


def test_the_bins_hold_all_pictures() -> None:
    answers = two_classes([0.0, 1.0, 0.5, 0.93, 0.94], [1, 1, 0, 1, 1])
    bins = calibration_bins(answers)
    assert [(row.low, row.high) for row in bins] == [(index / 15, (index + 1) / 15) for index in range(15)]
    assert {index: row.count for index, row in enumerate(bins) if row.count} == {7: 1, 13: 1, 14: 3}
    assert bins[14].accuracy == pytest.approx(2 / 3)
    assert (bins[0].confidence, bins[0].accuracy) == (None, None)


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not() -> None:
    right = compute_metrics(two_classes([1.0, 0.0], [1, 0])).calibration.error
    wrong = compute_metrics(two_classes([1.0, 0.0], [0, 1])).calibration.error
    assert (right.value, right.low, right.high) == (0, 0, 0)
    assert (wrong.value, wrong.low, wrong.high) == (1, 1, 1)


def test_the_interval_holds_the_error() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        second = random.random(30)
        error = compute_metrics(two_classes(second.tolist(), (random.random(30) < second).astype(int).tolist()))
        found = error.calibration.error
        assert found.low <= found.value <= found.high
        assert found.low < found.high


def test_the_diagram_counts_its_pictures() -> None:
    figure = draw_calibration([(0.4, 0.5, 3, 0.45, (1 / 3, 0.06, 0.79)), (0.9, 1.0, 7, 0.97, (1.0, 0.6, 1.0))], 0.123)
    upper, lower = figure.axes
    assert [text.get_text() for text in lower.texts] == ["3", "7"]
    assert [bar.get_height() for bar in upper.patches] == pytest.approx([1 / 3, 1.0])
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "expected calibration error 0.1230"
