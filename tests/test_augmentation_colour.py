"""Changes of colours, held against plain numpy, Pillow and TensorFlow."""

import colorsys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance
from scipy.spatial.transform import Rotation

from cnntrain.config.sections import Augment
from cnntrain.data.augmentation.colour import (
    draw_colours,
    hue_matrices,
    recolour,
    recolours,
    saturation_matrices,
)

Floats = npt.NDArray[np.float64]

COUNT = 12
WEIGHTS = [0.299, 0.587, 0.114]
ALL: dict[str, Any] = {"brightness": 0.4, "contrast": 0.5, "saturation": 0.6, "hue": 0.3}


def _draw(
    count: int = COUNT, channels: int = 3, *, seed: int = 3, epoch: int = 2, **options: Any
) -> npt.NDArray[np.float32]:
    table = draw_colours(Augment(**options), seed=seed, epoch=epoch, count=count, channels=channels)
    assert table.dtype == np.float32
    return table


def _pictures(channels: int = 3, low: int = 0, high: int = 256) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(low, high, (COUNT, 9, 7, channels), dtype=np.uint8)


def _factors(name: str, count: int = COUNT, **key: int) -> Floats:
    """What was drawn for one range, read from the table of that range alone."""
    table = _draw(count, **{name: ALL[name]}, **key).astype(np.float64)
    if name == "hue":  # the angle by which a colour is turned, seen along the gray axis
        along, across = np.array([1.0, -1.0, 0.0]), np.array([1.0, 1.0, -2.0]) / np.sqrt(3.0)
        turned = along @ table.reshape(-1, 3, 3)
        return np.asarray(np.arctan2(turned @ across, turned @ along))
    if name == "saturation":
        return (table[:, 0] - WEIGHTS[0]) / (1 - WEIGHTS[0])
    return table[:, 0]


def _expected(picture: npt.NDArray[Any], row: int) -> Floats:
    """One after another: brightness, contrast, saturation, hue; clipped at the end."""
    pixels = picture.reshape(-1, 3).astype(np.float64) * _factors("brightness")[row]
    mean = (pixels @ WEIGHTS).mean()
    pixels = mean + _factors("contrast")[row] * (pixels - mean)
    gray = (pixels @ WEIGHTS)[:, np.newaxis]
    pixels = gray + _factors("saturation")[row] * (pixels - gray)
    turned = Rotation.from_rotvec(_factors("hue")[row] * np.ones(3) / np.sqrt(3)).apply(pixels)
    pixels = turned + (pixels @ WEIGHTS - turned @ WEIGHTS)[:, np.newaxis]
    return np.asarray(pixels.reshape(picture.shape).clip(0, 255))


def test_all_together_are_one_after_another() -> None:
    pictures = _pictures()
    changed = recolour(pictures, _draw(**ALL)).numpy()
    assert changed.dtype == np.float32
    for row, picture in enumerate(pictures):
        np.testing.assert_allclose(changed[row], _expected(picture, row), atol=2e-3)
    assert changed.min() == 0
    assert changed.max() == 255


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors_are_those_of_pillow(name: str) -> None:
    pillow = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast}.get(name, ImageEnhance.Color)
    pictures = _pictures()
    changed = recolour(pictures, _draw(**{name: ALL[name]})).numpy()
    for row, factor in enumerate(_factors(name)):
        wished = np.asarray(pillow(Image.fromarray(pictures[row])).enhance(factor), np.float64)
        np.testing.assert_allclose(changed[row], wished, atol=1.6)  # Pillow rounds the gray, then the result


def test_contrast_of_gray_pictures_is_that_of_tensorflow() -> None:
    pictures = _pictures(channels=1, low=100, high=150)
    changed = recolour(pictures, _draw(channels=1, contrast=0.5)).numpy()
    for row, factor in enumerate(_factors("contrast")):
        wished = tf.image.adjust_contrast(pictures[row].astype(np.float32), factor).numpy()
        np.testing.assert_allclose(changed[row], wished, atol=1e-3)


def test_saturation_and_hue_change_nothing_in_gray_pictures() -> None:
    assert not recolours(Augment(saturation=0.5, hue=0.5), channels=1)
    assert recolours(Augment(saturation=0.5), channels=3)
    np.testing.assert_array_equal(_draw(channels=1, **ALL), _draw(channels=1, brightness=0.4, contrast=0.5))
    gray = np.repeat(_pictures(channels=1), 3, axis=-1)
    np.testing.assert_allclose(recolour(gray, _draw(saturation=0.9, hue=0.5)).numpy(), gray, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "width"),
    [({"brightness": 0.1}, 1), ({"contrast": 0.1}, 2), ({"hue": 0.1}, 9), ({"saturation": 0.1, "contrast": 0.1}, 10)],
)
def test_tables_are_no_wider_than_needed(options: dict[str, Any], width: int) -> None:
    assert _draw(**options).shape == (COUNT, width)


# hue


def test_turning_hues_keeps_luma_and_gray() -> None:
    matrices = hue_matrices(np.linspace(-np.pi, np.pi, 50))
    np.testing.assert_allclose(WEIGHTS @ matrices, np.tile(WEIGHTS, (50, 1)), atol=1e-12)
    np.testing.assert_allclose(matrices @ np.ones(3), np.ones((50, 3)), atol=1e-12)


@pytest.mark.parametrize("sixths", range(-3, 4))
@pytest.mark.parametrize("color", [(200, 50, 50), (30, 180, 30), (10, 20, 240), (240, 240, 0), (90, 0, 90)])
def test_sixths_of_the_circle_turn_hues_as_hsv_does(sixths: int, color: tuple[int, int, int]) -> None:
    turned = hue_matrices(np.array([sixths * np.pi / 3]))[0] @ np.array(color)
    raised = turned - turned.min()  # adding gray does not change the hue
    hue = colorsys.rgb_to_hsv(*(raised / raised.max()))[0]
    difference = hue - colorsys.rgb_to_hsv(*(channel / 255 for channel in color))[0] - sixths / 6
    assert abs(difference - round(difference)) < 1e-9


def test_a_turn_back_restores_the_colours() -> None:
    angles = np.linspace(-3, 3, 20)
    np.testing.assert_allclose(hue_matrices(angles) @ hue_matrices(-angles), np.tile(np.eye(3), (20, 1, 1)), atol=1e-12)


def test_no_saturation_is_gray() -> None:
    np.testing.assert_allclose(saturation_matrices(np.zeros(1))[0] @ [10, 100, 200], np.full(3, 84.49), atol=1e-9)


# draws


@pytest.mark.parametrize(("name", "middle"), [("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0)])
def test_draws_fill_their_ranges(name: str, middle: int) -> None:
    largest = ALL[name] * (2 * np.pi if name == "hue" else 1)
    values = _factors(name, 2000) - middle
    assert np.abs(values).max() <= largest * (1 + 1e-5)
    assert values.max() > 0.98 * largest
    assert values.min() < -0.98 * largest
    assert abs(values.mean()) < 0.05 * largest


def test_draws_are_independent_and_belong_to_seed_epoch_and_picture() -> None:
    table = np.stack([_factors(name, 2000) for name in ALL])
    assert np.abs(np.corrcoef(table) - np.eye(4)).max() < 0.1
    np.testing.assert_array_equal(_draw(5, **ALL), _draw(50, **ALL)[:5])
    for key in ({"seed": 4}, {"epoch": 3}):
        assert (_draw(**ALL) != _draw(**ALL, **key)).any(axis=1).all()
