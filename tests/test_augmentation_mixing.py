"""MixUp and CutMix: how much of which partner, in pictures, targets and weights."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats

from cnntrain.config.sections import Augment
from cnntrain.data.augmentation import draw_mixtures, mix

SIZE = (20, 24)
TOP, LEFT, BOTTOM, RIGHT, OPACITY = range(5)


def _draw(steps: int, *, seed: int = 3, epoch: int = 2, **options: Any) -> npt.NDArray[np.float32]:
    return draw_mixtures(Augment(**options), seed=seed, epoch=epoch, steps=steps, size=SIZE)


def _batch() -> tuple[npt.NDArray[Any], ...]:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)
    targets = np.eye(3, dtype=np.float32)[[0, 2, 1, 1, 0]]
    return pictures, targets, np.array([1, 2, 4, 8, 16], np.float32)


def test_mixup_worked_out_by_hand() -> None:
    row = np.array([0, 0, *SIZE, 0.25], np.float32)
    pictures, _, _ = _batch()
    mixed, soft, weighed = (part.numpy() for part in mix(row, *_batch()))
    np.testing.assert_allclose(mixed[0], 0.75 * pictures[0] + 0.25 * pictures[1], atol=1e-4)
    np.testing.assert_allclose(mixed[4], 0.75 * pictures[4] + 0.25 * pictures[0], atol=1e-4)
    np.testing.assert_allclose(weighed, [1.25, 2.5, 5, 10, 12.25], atol=1e-5)
    wished = np.array([[0.75, 0, 0.5], [0, 1, 1.5], [0, 5, 0], [4, 6, 0], [12.25, 0, 0]])  # times the weights
    np.testing.assert_allclose(soft * weighed[:, np.newaxis], wished, atol=1e-5)
    _, unweighted = mix(row, *_batch()[:2])
    wished = np.array([[0.75, 0, 0.25], [0, 0.25, 0.75], [0, 1, 0], [0.25, 0.75, 0], [1, 0, 0]])
    np.testing.assert_allclose(unweighted.numpy(), wished, atol=1e-6)


def test_cutmix_worked_out_by_hand() -> None:
    row = np.array([5, 6, 15, 24, 1.0], np.float32)  # 10 × 18 of 20 × 24 pixels: 3/8
    pictures, _, _ = _batch()
    mixed, soft, weighed = (part.numpy() for part in mix(row, *_batch()))
    wished = pictures.astype(np.float32)
    wished[:, 5:15, 6:24] = np.roll(wished, -1, axis=0)[:, 5:15, 6:24]
    np.testing.assert_array_equal(mixed, wished)
    np.testing.assert_allclose(soft[0], [0.625 / 1.375, 0, 0.75 / 1.375], atol=1e-6)
    np.testing.assert_allclose(weighed, [1.375, 2.75, 5.5, 11, 10.375], atol=1e-5)


def test_the_loss_of_mixed_targets_is_the_mixture_of_the_weighted_losses() -> None:
    pictures, targets, weights = _batch()
    _, soft, weighed = (part.numpy() for part in mix(np.array([0, 0, *SIZE, 0.3], np.float32), *_batch()))
    answers = np.random.default_rng(1).dirichlet(np.ones(3), len(pictures))  # to each mixed picture
    own, partners = (-(part * np.log(answers)).sum(axis=1) for part in (targets, np.roll(targets, -1, axis=0)))
    expected = 0.7 * weights * own + 0.3 * np.roll(weights, -1) * partners
    np.testing.assert_allclose(weighed * -(soft * np.log(answers)).sum(axis=1), expected, rtol=1e-5)


def test_two_classes_have_soft_numbers() -> None:
    targets = np.array([[0], [1], [1]], np.float32)
    _, soft = mix(np.array([0, 0, *SIZE, 0.4], np.float32), _batch()[0][:3], targets)
    np.testing.assert_allclose(soft.numpy(), [[0.4], [1.0], [0.6]], atol=1e-6)


def test_a_single_picture_is_its_own_partner() -> None:
    pictures, targets, _ = (part[:1] for part in _batch())
    mixed, soft = mix(np.array([0, 0, *SIZE, 0.3], np.float32), pictures, targets)
    np.testing.assert_allclose(mixed.numpy(), pictures, atol=1e-4)
    np.testing.assert_allclose(soft.numpy(), targets, atol=1e-6)


# draws


@pytest.mark.parametrize("parameter", [0.2, 1.0, 4.0])
def test_mixup_takes_a_part_of_a_beta_distribution(parameter: float) -> None:
    table = _draw(2000, mixup=parameter)
    np.testing.assert_array_equal(table[:, :4], np.tile([0, 0, *SIZE], (2000, 1)))
    assert scipy.stats.kstest(table[:, OPACITY], scipy.stats.beta(parameter, parameter).cdf).pvalue > 0.01


@pytest.mark.parametrize("parameter", [1.0, 4.0])
def test_cutmix_takes_an_area_of_a_beta_distribution(parameter: float) -> None:
    size = (1000, 2000)  # large, so that rounding does not matter
    table = draw_mixtures(Augment(cutmix=parameter), seed=3, epoch=2, steps=4000, size=size).astype(np.float64)
    assert (table[:, OPACITY] == 1).all()
    assert table[:, :4].min() == 0
    assert (table[:, BOTTOM].max(), table[:, RIGHT].max()) == size
    whole = (table[:, TOP] > 0) & (table[:, LEFT] > 0) & (table[:, BOTTOM] < size[0]) & (table[:, RIGHT] < size[1])
    height, width = (table[whole, BOTTOM] - table[whole, TOP]), (table[whole, RIGHT] - table[whole, LEFT])
    np.testing.assert_allclose(width, 2 * height, atol=4)  # in the shape of the picture
    # Kept whole are rectangles of an area a about (1 - sqrt(a))² of the pixels: the density of areas is weighted so.
    areas = np.linspace(0, 1, 2001)
    density = scipy.stats.beta(parameter, parameter).pdf(areas) * (1 - np.sqrt(areas)) ** 2
    cumulative = np.cumsum(density) / density.sum()
    found = height * width / (size[0] * size[1])
    assert scipy.stats.kstest(found, lambda area: np.interp(area, areas, cumulative)).pvalue > 0.01


def test_with_both_each_batch_gets_one_by_the_toss_of_a_coin() -> None:
    both, mixup, cutmix = _draw(1000, mixup=0.4, cutmix=1.0), _draw(1000, mixup=0.4), _draw(1000, cutmix=1.0)
    is_mixup, is_cutmix = ((both == one).all(axis=1) for one in (mixup, cutmix))
    assert (is_mixup ^ is_cutmix).all()
    assert 450 < is_mixup.sum() < 550


@pytest.mark.parametrize("options", [{"mixup": 1e-3}, {"mixup": 1e3}, {"cutmix": 1e-3}, {"cutmix": 1e3}])
def test_extreme_parameters_stay_in_range(options: dict[str, Any]) -> None:
    table = _draw(200, **options)
    assert np.isfinite(table).all()
    assert table[:, OPACITY].min() >= 0
    assert table[:, OPACITY].max() <= 1


def test_mixtures_belong_to_seed_epoch_and_step() -> None:
    options: dict[str, Any] = {"mixup": 0.4, "cutmix": 1.0}
    np.testing.assert_array_equal(_draw(5, **options), _draw(50, **options)[:5])
    for key in ({"seed": 4}, {"epoch": 3}):
        assert (_draw(50, **options) != _draw(50, **options, **key)).any(axis=1).mean() > 0.9
