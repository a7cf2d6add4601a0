"""What ends a stage, lowers its rate and counts as best, on scripted values and without training."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnntrain.config.sections import EarlyStopping, ReduceLR
from cnntrain.training.stopping import (
    Patience,
    is_improvement,
    patience_of,
    reduced_rate,
)


@pytest.mark.parametrize(
    ("value", "best", "monitor", "min_delta", "expected"),
    [
        (0.5, 0.6, "val_loss", 0.0, True),
        (0.6, 0.6, "val_loss", 0.0, False),
        (0.59, 0.6, "loss", 0.05, False),
        (0.6, 0.5, "val_accuracy", 0.0, True),
        (0.5, 0.6, "accuracy", 0.0, False),
        (0.9, None, "val_loss", 1.0, True),
        (math.nan, None, "val_loss", 0.0, False),
        (math.inf, None, "val_accuracy", 0.0, False),
        (-math.inf, 0.5, "val_loss", 0.0, False),
    ],
)
def test_improvement(value: float, best: float | None, monitor: str, min_delta: float, expected: bool) -> None:
    assert is_improvement(value, best, monitor, min_delta) is expected


def test_patience_counts_epochs_without_improvement_in_a_row() -> None:
    patience = Patience(patience=2, min_delta=0.0)
    losses = [1.0, 1.1, 0.9, 0.9, 1.0]
    assert [patience.update(loss, "val_loss") for loss in losses] == [False, False, False, False, True]
    assert patience.best == 0.9


def test_not_a_number_counts_as_no_improvement() -> None:
    patience = Patience(patience=2, min_delta=0.0)
    assert [patience.update(loss, "val_loss") for loss in (math.nan, math.nan)] == [False, True]
    assert patience.best is None


@given(st.lists(st.floats(0, 10), min_size=1, max_size=40), st.integers(1, 5))
def test_patience_ends_exactly_when_the_last_values_bring_nothing(losses: list[float], patience: int) -> None:
    counter = Patience(patience=patience, min_delta=0.0)
    for seen, loss in enumerate(losses, start=1):
        ended = counter.update(loss, "val_loss")
        before, recent = losses[: max(seen - patience, 0)], losses[max(seen - patience, 0) : seen]
        assert ended == (bool(before) and min(before) <= min(recent) and _no_record(losses[:seen], patience))
        if ended:
            return


def _no_record(losses: list[float], patience: int) -> bool:
    """Whether none of the last values was smaller than everything before it."""
    return all(min(losses[:i]) <= losses[i] for i in range(len(losses) - patience, len(losses)))


def test_counters_come_from_their_sections() -> None:
    assert patience_of(None) is None
    assert patience_of(EarlyStopping(patience=3, min_delta=0.1)) == Patience(3, 0.1)
    assert patience_of(ReduceLR(patience=2)) == Patience(2, 0.0)


def test_a_rate_is_reduced_down_to_its_least() -> None:
    section = ReduceLR(patience=1, factor=0.1, min_learning_rate=5e-4)
    assert reduced_rate(section, 1e-2) == pytest.approx(1e-3)
    assert reduced_rate(section, 1e-3) == pytest.approx(5e-4)
    assert reduced_rate(section, 1e-4) == pytest.approx(1e-4)  # a rate that starts lower is not raised
