"""Batches of stored features: which version of a picture an epoch takes, and how its channels are shifted."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnntrain.data.batching import epoch_order
from cnntrain.data.features import (
    Features,
    draw_views,
    evaluation_features,
    feature_batches,
    shift_channels,
    training_features,
)

COUNT, VIEWS = 11, 3
LABELS = np.arange(COUNT) % 3


@pytest.fixture
def features() -> Features:
    """Row r holds the number r everywhere, so that every batch says which rows it is made of."""
    rows = np.arange(COUNT * VIEWS, dtype=np.float16)
    return Features(LABELS, np.broadcast_to(rows[:, None, None, None], (COUNT * VIEWS, 2, 2, 4)).copy())


def _epoch(features: Features, epoch: int, **options: Any) -> list[tuple[npt.NDArray[Any], ...]]:
    options = {"class_count": 3, "batch_size": 4, "seed": 5, **options}
    return list(training_features(features, epoch=epoch, **options).as_numpy_iterator())


def _joined(batches: list[tuple[npt.NDArray[Any], ...]], place: int) -> npt.NDArray[Any]:
    return np.concatenate([batch[place] for batch in batches])


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_each_version_is_taken_once_in_as_many_epochs(count: int, views: int, seed: int, cycle: int) -> None:
    epochs = range(cycle * views + 1, (cycle + 1) * views + 1)
    drawn = np.array([draw_views(count, views, seed=seed, epoch=epoch) for epoch in epochs])
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.broadcast_to(np.arange(views)[:, None], (views, count)))


def test_versions_are_drawn_by_seed_and_epoch() -> None:
    first = draw_views(200, 4, seed=1, epoch=1)
    np.testing.assert_array_equal(first, draw_views(200, 4, seed=1, epoch=1))
    assert not np.array_equal(first, draw_views(200, 4, seed=2, epoch=1))
    assert not np.array_equal(first, draw_views(200, 4, seed=1, epoch=2))
    assert not np.array_equal(first, draw_views(200, 4, seed=1, epoch=5))  # the next cycle
    assert np.bincount(first, minlength=4).min() > 25


def test_an_epoch_takes_one_version_of_each_picture_in_the_order_of_the_pictures(features: Features) -> None:
    for epoch in (1, 2, 7):
        batches = _epoch(features, epoch)
        order = epoch_order(COUNT, seed=5, epoch=epoch)
        views = draw_views(COUNT, VIEWS, seed=5, epoch=epoch)
        np.testing.assert_array_equal(_joined(batches, 0)[:, 0, 0, 0], views[order] * COUNT + order)
        np.testing.assert_array_equal(_joined(batches, 1), np.eye(3)[LABELS[order]])
        assert [len(batch[0]) for batch in batches] == [4, 4, 3]
        assert batches[0][0].dtype == np.float32


def test_two_classes_weights_and_a_later_first_step(features: Features) -> None:
    weights = np.array([2.0, 0.5], np.float32)
    two = Features(LABELS % 2, features.stored)
    batches = _epoch(two, 2, class_count=2, class_weights=weights, first_step=1)
    order = epoch_order(COUNT, seed=5, epoch=2)[4:]
    np.testing.assert_array_equal(_joined(batches, 1)[:, 0], two.labels[order])
    np.testing.assert_array_equal(_joined(batches, 2), weights[two.labels[order]])
    whole = _epoch(two, 2, class_count=2)
    np.testing.assert_array_equal(_joined(batches, 0), _joined(whole, 0)[4:])


def test_evaluation_takes_the_first_version_in_order(features: Features) -> None:
    batches = list(evaluation_features(features, class_count=3, batch_size=4).as_numpy_iterator())
    np.testing.assert_array_equal(_joined(batches, 0)[:, 0, 0, 0], np.arange(COUNT))
    np.testing.assert_array_equal(_joined(batches, 1), np.eye(3)[LABELS])
    rows = np.array([30, 2, 17])
    (batch,) = feature_batches(features, rows, batch_size=4).as_numpy_iterator()
    np.testing.assert_array_equal(batch[:, 1, 1, 3], rows)


def test_channels_are_shifted_by_a_part_of_the_range_and_clipped_to_it() -> None:
    """Range of picture 0: 0 to 10. Channel 0 + 0.2 × 10 (10 stays 10), channel 1 - 0.5 × 10 (at least 0)."""
    batch = np.array([[[[0.0, 4.0], [10.0, 8.0]]], [[[1.0, 1.0], [1.0, 1.0]]]], np.float32)
    shifts = np.array([[0.2, -0.5], [0.3, 0.3]], np.float32)
    expected = [[[[2.0, 0.0], [10.0, 3.0]]], [[[1.0, 1.0], [1.0, 1.0]]]]
    np.testing.assert_allclose(shift_channels(_tensor(batch), shifts), expected, atol=1e-6)
    flat = np.array([[0.0, 5.0, 10.0]], np.float32)
    np.testing.assert_allclose(shift_channels(_tensor(flat), np.full((1, 3), 0.1, np.float32)), [[1, 6, 10]], atol=1e-6)


def _tensor(array: npt.NDArray[Any]) -> Any:
    import tensorflow as tf

    return tf.constant(array)


def test_shifts_are_a_function_of_seed_epoch_and_picture() -> None:
    random = np.random.default_rng(0).random((COUNT, 2, 2, 4)).astype(np.float32)
    features = Features(LABELS, random)

    def shifted(epoch: int, batch_size: int) -> npt.NDArray[Any]:
        """In the order of the pictures."""
        batches = _epoch(features, epoch, brightness=0.3, batch_size=batch_size)
        found = np.empty_like(random)
        found[epoch_order(COUNT, seed=5, epoch=epoch)] = _joined(batches, 0)
        return found

    np.testing.assert_array_equal(shifted(1, 4), shifted(1, 3))
    assert not np.array_equal(shifted(1, 4), shifted(2, 4))
    change = shifted(1, 4) - random
    extent = np.ptp(random, axis=(1, 2, 3))
    assert np.all(np.abs(change) <= 0.3 * extent[:, None, None, None] + 1e-6)
    assert len(np.unique(change.round(5)[:, 0, 0, :])) > COUNT  # another shift for each channel of each picture
    assert np.all(shifted(1, 4) >= random.min(axis=(1, 2, 3), keepdims=True) - 1e-6)
