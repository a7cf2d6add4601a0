"""Random erasing: how often, how large, where, and with what."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cnntrain.config.sections import Erasing
from cnntrain.data.augmentation.erasing import draw_erasures, draw_noise, erase

TOP, LEFT, BOTTOM, RIGHT, NOISE = range(5)


def _draw(count: int, size: tuple[int, int], *, seed: int = 3, epoch: int = 2, **options: Any) -> npt.NDArray[np.int32]:
    return draw_erasures(Erasing(**options), seed=seed, epoch=epoch, count=count, size=size)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_rectangle_of_noise_and_nothing_else(channels: int) -> None:
    size = (24, 20)
    pictures = np.random.default_rng(0).integers(0, 256, (30, *size, channels), dtype=np.uint8)
    rows = _draw(30, size, probability=0.7)
    noise = draw_noise(seed=3, epoch=2, shape=(*size, channels))
    erased = erase(pictures, rows, noise=noise).numpy()
    assert erased.dtype == np.float32
    for picture, row, found in zip(pictures, rows, erased, strict=True):
        own = noise[row[NOISE] : row[NOISE] + size[0]].reshape(*size, channels)
        inside = np.zeros((*size, 1), bool)
        inside[row[TOP] : row[BOTTOM], row[LEFT] : row[RIGHT]] = True
        np.testing.assert_array_equal(found, np.where(inside, own, picture))


@pytest.mark.parametrize("probability", [0.1, 0.5, 1.0])
def test_as_often_as_wished(probability: float) -> None:
    rows = _draw(4000, (24, 20), probability=probability)
    is_erased = rows[:, BOTTOM] > rows[:, TOP]
    np.testing.assert_array_equal(is_erased, rows[:, RIGHT] > rows[:, LEFT])
    assert abs(is_erased.mean() - probability) < 0.03


@pytest.mark.parametrize("size", [(600, 600), (500, 800)])
def test_areas_and_ratios_are_those_of_the_paper(size: tuple[int, int]) -> None:
    rows = _draw(4000, size, probability=1.0, area=(0.02, 0.18)).astype(np.float64)
    height, width = rows[:, BOTTOM] - rows[:, TOP], rows[:, RIGHT] - rows[:, LEFT]
    area, ratio = height * width / (size[0] * size[1]), np.log(height / width)
    assert 0.019 < area.min() < 0.022
    assert 0.178 < area.max() < 0.182
    assert abs(area.mean() - 0.1) < 0.004
    assert abs(ratio.min() - np.log(0.3)) < 0.05
    assert abs(ratio.max() + np.log(0.3)) < 0.05
    assert abs(ratio.mean()) < 0.05  # even in logarithms
    assert abs(np.corrcoef(area, ratio)[0, 1]) < 0.05
    for first, side, full in ((rows[:, TOP], height, size[0]), (rows[:, LEFT], width, size[1])):
        place = first / (full - side)
        assert 0 <= place.min() < 0.01
        assert 0.99 < place.max() <= 1
        assert abs(place.mean() - 0.5) < 0.02


@pytest.mark.parametrize("size", [(24, 24), (8, 200), (200, 8), (1, 1), (2, 3)])
@pytest.mark.parametrize("area", [(0.02, 0.33), (0.9, 1.0), (1.0, 1.0)])
def test_rectangles_lie_in_the_picture_whatever_its_shape(size: tuple[int, int], area: tuple[float, float]) -> None:
    rows = _draw(500, size, probability=1.0, area=area)
    assert rows[:, :4].min() >= 0
    assert (rows[:, TOP] <= rows[:, BOTTOM]).all()
    assert (rows[:, LEFT] <= rows[:, RIGHT]).all()
    assert rows[:, BOTTOM].max() <= size[0]
    assert rows[:, RIGHT].max() <= size[1]
    if area[0] == 1.0:
        np.testing.assert_array_equal(rows[:, :4], np.tile([0, 0, *size], (500, 1)))


def test_noise_is_even_and_belongs_to_seed_and_epoch() -> None:
    noise = draw_noise(seed=3, epoch=2, shape=(24, 20, 3))
    assert np.bincount(noise.ravel(), minlength=256).min() > 0
    assert abs(noise.mean() - 127.5) < 2
    np.testing.assert_array_equal(noise, draw_noise(seed=3, epoch=2, shape=(24, 20, 3)))
    assert (noise != draw_noise(seed=3, epoch=3, shape=(24, 20, 3))).mean() > 0.9
    starts = _draw(3000, (24, 20), probability=1.0)[:, NOISE]
    assert starts.min() == 0
    assert starts.max() == len(noise) - 24


def test_rectangles_belong_to_seed_epoch_and_picture() -> None:
    options: dict[str, Any] = {"probability": 0.5}
    np.testing.assert_array_equal(_draw(5, (24, 20), **options), _draw(50, (24, 20), **options)[:5])
    for key in ({"seed": 4}, {"epoch": 3}):
        assert (_draw(50, (24, 20), **options) != _draw(50, (24, 20), **options, **key)).any(axis=1).all()
