"""RandAugment: each operation held against Pillow or SciPy, and how they are drawn."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from cnntrain.config.sections import RandAugment
from cnntrain.data.augmentation.rand_augment import OPERATIONS, describe, draw_operations, operate

SIZE = (26, 22)
STRENGTHS = (-1.0, -0.3, 0.3, 1.0)
Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def apply() -> Callable[..., npt.NDArray[np.float32]]:
    """Applies operations, named with strengths, to each of some pictures."""

    traced = tf.function(partial(operate, fill="constant"))

    def apply(pictures: Picture, *operations: tuple[str, float]) -> npt.NDArray[np.float32]:
        rows = np.stack([describe(name, np.array([by]), pictures.shape[1:]) for name, by in operations], axis=1)
        found: npt.NDArray[np.float32] = traced(tf.constant(pictures), np.repeat(rows, len(pictures), axis=0)).numpy()
        return found

    return apply


def _pictures(channels: int = 3) -> Picture:
    """Smooth pictures of other brightness each, so that little depends on the last digit of a pixel."""
    noise = np.random.default_rng(0).normal(size=(3, *SIZE, channels))
    smooth = scipy.ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    smooth = smooth / smooth.std() * np.array([20, 40, 60]).reshape(3, 1, 1, 1) + 110
    return np.asarray(np.rint(smooth).clip(0, 255), np.uint8)


def _pillow(picture: Picture, name: str, by: float) -> Picture:
    image: Any = Image.fromarray(picture)
    enhancing: dict[str, Any] = {
        "brightness": ImageEnhance.Brightness,
        "color": ImageEnhance.Color,
        "contrast": ImageEnhance.Contrast,
        "sharpness": ImageEnhance.Sharpness,
    }
    if name in enhancing:
        image, name = enhancing[name](image).enhance(1 + 0.9 * by), "identity"
    others: dict[str, Callable[[], Any]] = {
        "identity": image.copy,
        "posterize": lambda: ImageOps.posterize(image, 8 - round(4 * abs(by))),
        "solarize": lambda: ImageOps.solarize(image, 256 * (1 - abs(by))),  # type: ignore[arg-type]
        "auto_contrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
    }
    return np.asarray(others[name](), np.uint8)


@pytest.mark.parametrize("by", STRENGTHS)
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name[:5] not in ("shear", "trans", "rotat")])
def test_what_changes_colours_is_pillows(apply: Any, name: str, by: float) -> None:
    pictures = _pictures()
    tolerance = {"contrast": 1.6, "color": 1.6, "sharpness": 1.6}.get(name, 1.0)  # Pillow rounds in between
    for found, picture in zip(apply(pictures, (name, by)), pictures, strict=True):
        np.testing.assert_allclose(found, _pillow(picture, name, by), atol=tolerance)


@pytest.mark.parametrize("by", STRENGTHS)
@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_what_moves_pixels_worked_out_by_hand(apply: Any, name: str, by: float) -> None:
    height, width = SIZE
    cos, sin = np.cos(np.deg2rad(30 * by)), np.sin(np.deg2rad(30 * by))
    matrix = {  # over row and column, counted from the upper left corner
        "shear_x": [[1, 0, 0], [0.3 * by, 1, 0]],
        "shear_y": [[1, 0.3 * by, 0], [0, 1, 0]],
        "translate_x": [[1, 0, 0], [0, 1, 150 / 331 * width * by]],
        "translate_y": [[1, 0, 150 / 331 * height * by], [0, 1, 0]],
        "rotate": [
            [cos, -sin, (height - height * cos + width * sin) / 2],
            [sin, cos, (width - height * sin - width * cos) / 2],
        ],
    }[name]
    linear, offset = np.array(matrix)[:, :2], np.array(matrix)[:, 2]
    offset = offset + linear @ [0.5, 0.5] - 0.5  # from corners of pixels to their middles
    pictures = _pictures(channels=1)
    for found, picture in zip(apply(pictures, (name, by)), pictures, strict=True):
        wished = scipy.ndimage.affine_transform(
            picture[..., 0].astype(np.float64), linear, offset, order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(found[..., 0], wished, atol=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_operations_come_in_their_order(apply: Any, channels: int) -> None:
    pictures = _pictures(channels)
    first, second = ("rotate", 0.6), ("solarize", 0.6)
    together = apply(pictures, first, second)
    np.testing.assert_allclose(together, apply(apply(pictures, first), second), atol=1e-3)
    assert np.abs(together - apply(pictures, second, first)).max() > 20


@pytest.mark.parametrize("name", OPERATIONS)
def test_gray_and_flat_pictures_are_no_obstacle(apply: Any, name: str) -> None:
    flat = np.full((2, 24, 24, 1), 100, np.uint8)
    changed = apply(flat, (name, 0.1))
    assert np.isfinite(changed).all()
    if name in ("identity", "color", "contrast", "sharpness", "auto_contrast", "equalize"):
        np.testing.assert_allclose(changed, flat, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("auto_contrast", "equalize")])
def test_no_strength_changes_nothing(apply: Any, name: str) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (2, 9, 8, 3), dtype=np.uint8)
    np.testing.assert_allclose(apply(pictures, (name, 0.0)), pictures, atol=1e-3)


def test_each_picture_gets_its_own(apply: Any) -> None:
    pictures = _pictures()
    rows = draw_operations(RandAugment(operations=3), seed=3, epoch=2, count=3, shape=(*SIZE, 3))
    together = operate(pictures, rows, fill="reflect").numpy()
    for row in range(3):
        alone = operate(pictures[row : row + 1], rows[row : row + 1], fill="reflect").numpy()
        np.testing.assert_array_equal(together[row], alone[0])


# draws


def _draw(count: int, *, seed: int = 3, epoch: int = 2, **options: Any) -> npt.NDArray[np.float32]:
    return draw_operations(RandAugment(**options), seed=seed, epoch=epoch, count=count, shape=(*SIZE, 3))


def test_operations_and_signs_are_drawn_evenly_and_independently() -> None:
    table = _draw(14_000, operations=2, magnitude=15)
    assert table.shape == (14_000, 2, 11)
    frequency = {}
    for name in OPERATIONS:
        both = describe(name, np.array([-0.5, 0.5]), (*SIZE, 3))
        is_one = [(table == row).all(axis=2) for row in np.unique(both, axis=0)]
        assert all(abs(found.mean() - 1 / 14 / len(is_one)) < 0.008 for found in is_one)
        frequency[name] = np.any(is_one, axis=0)
    assert sum(found.mean() for found in frequency.values()) == pytest.approx(1)
    for found in frequency.values():  # one does not make itself rarer or more frequent in the second place
        assert abs((found[:, 0] & found[:, 1]).mean() - 1 / 196) < 0.002


def test_strength_grows_with_the_magnitude() -> None:
    for magnitude in (0, 9, 30):
        table = _draw(500, magnitude=magnitude)
        wished = np.concatenate([describe(name, magnitude / 30 * np.array([-1, 1]), (*SIZE, 3)) for name in OPERATIONS])
        assert {row.tobytes() for row in table.reshape(-1, 11)} <= {row.tobytes() for row in wished}


def test_operations_belong_to_seed_epoch_and_picture() -> None:
    np.testing.assert_array_equal(_draw(5), _draw(50)[:5])
    for key in ({"seed": 4}, {"epoch": 3}):
        assert (_draw(500) != _draw(500, **key)).any(axis=(1, 2)).mean() > 0.9
