"""Temperature scaling: the temperature is found again, and never makes the answers worse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.temperature import fit_temperature, with_temperature


def _answers(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> Answers:
    names = tuple(f"class {number}" for number in range(logits.shape[1]))
    probabilities = softmax(logits, axis=1).astype(np.float32)
    return Answers(tuple(f"{number}.png" for number in range(len(truth))), truth, probabilities, names)


def _calibrated(seed: int, count: int, classes: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits, and classes drawn with the probabilities that these give."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (count, classes))
    gumbel = random.gumbel(size=(count, classes))
    return logits, np.argmax(logits + gumbel, axis=1)


def _loss(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    return -float(log_softmax(logits, axis=1)[np.arange(len(truth)), truth].mean())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), classes=st.integers(2, 6), factor=st.floats(0.5, 2))
def test_logits_scaled_by_a_factor_have_that_factor_more_temperature(seed: int, classes: int, factor: float) -> None:
    logits, truth = _calibrated(seed, 300, classes)
    plain = fit_temperature(_answers(logits, truth))
    scaled = fit_temperature(_answers(logits * factor, truth))
    assert scaled == pytest.approx(factor * plain, rel=1e-3)


def test_answers_drawn_from_their_own_probabilities_need_no_temperature() -> None:
    logits, truth = _calibrated(1, 40_000, 4)
    assert fit_temperature(_answers(logits, truth)) == pytest.approx(1, abs=0.03)
    assert fit_temperature(_answers(logits * 2.5, truth)) == pytest.approx(2.5, abs=0.08)


def test_it_is_the_lowest_of_a_grid() -> None:
    logits, truth = _calibrated(2, 200, 5)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 4001))
    lowest = grid[np.argmin([_loss(3 * logits / temperature, truth) for temperature in grid])]
    assert fit_temperature(_answers(3 * logits, truth)) == pytest.approx(lowest, rel=2e-3)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 5), count=st.integers(1, 30), scale=st.floats(0.1, 30))
def test_the_loss_is_never_worse_than_without(seed: int, classes: int, count: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    logits, truth = random.normal(0, scale, (count, classes)), random.integers(0, classes, count)
    answers = _answers(logits, truth)
    temperature = fit_temperature(answers)
    before = np.log(np.maximum(answers.probabilities.astype(np.float64), 1.2e-7 if classes == 2 else 1.2e-38))
    assert 0.05 <= temperature <= 20.0001
    assert _loss(before / temperature, truth) <= _loss(before, truth) + 1e-12


def test_by_hand() -> None:
    """Logits 2 and 0, right three times of four: the best probability is 3/4, which ln 3 gives."""
    logits = np.array([[2.0, 0.0]] * 4)
    answers = _answers(logits, np.array([0, 0, 0, 1]))
    temperature = fit_temperature(answers)
    assert temperature == pytest.approx(2 / np.log(3), rel=1e-4)
    np.testing.assert_allclose(with_temperature(answers.probabilities, temperature)[0], [0.75, 0.25], atol=1e-4)


def test_where_all_is_right_nothing_is_changed() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 0.1]])
    assert fit_temperature(_answers(logits, np.array([0, 1]))) == 1.0


@pytest.mark.parametrize("classes", [2, 3, 100])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_probabilities_at_a_temperature_are_a_softmax_of_divided_logits(classes: int, temperature: float) -> None:
    logits = np.random.default_rng(classes).normal(0, 2, (50, classes))
    probabilities = softmax(logits, axis=1).astype(np.float32)
    scaled = with_temperature(probabilities, temperature)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, softmax(logits / temperature, axis=1), atol=2e-6)
    np.testing.assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))


def test_zeros_stay_small() -> None:
    """A tail of a hundred classes with next to nothing stays next to nothing; a sigmoid that is full has no more."""
    tail = np.zeros((1, 101), np.float32)
    tail[0, 0] = 1
    assert with_temperature(tail, 3.0)[0, 0] == pytest.approx(1, abs=1e-6)
    full = with_temperature(np.array([[0, 1], [1, 0]], np.float32), 2.0)
    np.testing.assert_allclose(full[0], full[1][::-1])
    assert full[0, 1] == pytest.approx(1 / (1 + np.sqrt(np.finfo(np.float32).eps)), abs=1e-6)
