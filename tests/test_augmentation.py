"""Random changes of pictures, held against SciPy and the matrices of Keras's ImageDataGenerator."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.src.legacy.preprocessing.image import apply_affine_transform
from PIL import Image

from cnntrain.config.sections import Augment
from cnntrain.data.augmentation import draw_transforms, warp

Floats = npt.NDArray[np.float64]
Size = tuple[int, int]

SIZES = [(24, 24), (20, 36), (37, 16)]
ALL = {"rotation": 180.0, "shift": 0.4, "shear": 60.0, "zoom": 0.6}
# Columns of the table of transforms; x_in = X_X x + X_Y y + X, y_in = Y_X x + Y_Y y + Y.
X_X, X, Y_X, Y_Y, Y = 0, 2, 3, 4, 5


def _draw(size: Size, count: int, **options: Any) -> npt.NDArray[np.float32]:
    """Transforms for the ranges in `options`, which may also hold `seed` and `epoch`."""
    key = {"seed": options.pop("seed", 3), "epoch": options.pop("epoch", 2)}
    table = draw_transforms(Augment(**options), count=count, size=size, **key)
    assert table.shape == (count, 8)
    assert table.dtype == np.float32
    return table


def _pictures(size: Size, count: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, *size, channels), dtype=np.uint8)


@dataclass(frozen=True)
class Drawn:
    """What was drawn for each picture, (count,) each: radians, pixels, factors and flags."""

    angle: Floats
    shift_rows: Floats
    shift_columns: Floats
    shear: Floats
    zoom_rows: Floats
    zoom_columns: Floats
    flip_rows: npt.NDArray[np.bool_]
    flip_columns: npt.NDArray[np.bool_]


def _drawn(size: Size, count: int, ranges: dict[str, float], *, flip: str = "none", **key: int) -> Drawn:
    """Reads each parameter from the transforms of its operation alone: the others do not change what is drawn."""

    def alone(name: str) -> Floats:
        return _draw(size, count, **{name: ranges[name]}, **key).astype(np.float64)

    rotation, shift, shear, zoom = map(alone, ("rotation", "shift", "shear", "zoom"))
    flips = _draw(size, count, flip=flip, **key)
    return Drawn(
        angle=np.arctan2(-rotation[:, Y_X], rotation[:, Y_Y]),
        shift_rows=shift[:, Y],
        shift_columns=shift[:, X],
        shear=np.arctan2(-shear[:, Y_X], shear[:, X_X]),
        zoom_rows=zoom[:, Y_Y],
        zoom_columns=zoom[:, X_X],
        flip_rows=flips[:, Y_Y] < 0,
        flip_columns=flips[:, X_X] < 0,
    )


def _generator_matrix(drawn: Drawn, row: int, size: Size) -> Floats:
    """ImageDataGenerator's matrix from output to input (row, column, 1): rotation, shift, shear and zoom."""
    cos, sin = np.cos(drawn.angle[row]), np.sin(drawn.angle[row])
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shift = np.array([[1, 0, drawn.shift_rows[row]], [0, 1, drawn.shift_columns[row]], [0, 0, 1]])
    shear = np.array([[1, -np.sin(drawn.shear[row]), 0], [0, np.cos(drawn.shear[row]), 0], [0, 0, 1]])
    zoom = np.diag([drawn.zoom_rows[row], drawn.zoom_columns[row], 1])
    middle_row, middle_column = size[0] / 2 - 0.5, size[1] / 2 - 0.5
    there = np.array([[1, 0, middle_row], [0, 1, middle_column], [0, 0, 1]])
    back = np.array([[1, 0, -middle_row], [0, 1, -middle_column], [0, 0, 1]])
    return there @ rotation @ shift @ shear @ zoom @ back  # type: ignore[no-any-return]


def _expected(picture: npt.NDArray[np.uint8], drawn: Drawn, row: int, mode: str) -> Floats:
    """The picture changed by SciPy, then flipped."""
    matrix = _generator_matrix(drawn, row, picture.shape[:2])
    channels = [
        scipy.ndimage.affine_transform(
            picture[..., channel].astype(np.float64), matrix[:2, :2], matrix[:2, 2], order=1, mode=mode
        )
        for channel in range(picture.shape[2])
    ]
    return _flipped(np.stack(channels, axis=-1), drawn, row)


def _flipped(picture: npt.NDArray[Any], drawn: Drawn, row: int) -> npt.NDArray[Any]:
    picture = picture[::-1] if drawn.flip_rows[row] else picture
    return picture[:, ::-1] if drawn.flip_columns[row] else picture


@pytest.mark.parametrize(("fill", "mode"), [("nearest",) * 2, ("reflect",) * 2, ("constant", "grid-constant")])
@pytest.mark.parametrize("size", SIZES)
def test_all_operations_together_follow_image_data_generator(size: Size, fill: str, mode: str) -> None:
    pictures = _pictures(size, 20)
    drawn = _drawn(size, 20, ALL, flip="both")
    changed = warp(pictures, _draw(size, 20, **ALL, flip="both"), fill=fill).numpy()
    assert changed.dtype == np.float32
    for row, picture in enumerate(pictures):
        np.testing.assert_allclose(changed[row], _expected(picture, drawn, row, mode), rtol=0, atol=1e-2)


def test_all_operations_together_follow_keras_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scipy.ndimage, "interpolation", scipy.ndimage)  # Keras 3.15 uses a name that SciPy gives up
    # Keras 3 calls the first of its matrix's coordinates x where earlier ones called it the row, so its axes are named
    # the other way about here; it then mixes up the middles of pictures that are not square.
    pictures = _pictures((24, 24), 20)
    drawn = _drawn((24, 24), 20, ALL)
    changed = warp(pictures, _draw((24, 24), 20, **ALL), fill="nearest").numpy()
    for row, picture in enumerate(pictures):
        wished = apply_affine_transform(
            picture.astype(np.float64),
            theta=np.rad2deg(drawn.angle[row]),
            tx=drawn.shift_rows[row],
            ty=drawn.shift_columns[row],
            shear=np.rad2deg(drawn.shear[row]),
            zx=drawn.zoom_rows[row],
            zy=drawn.zoom_columns[row],
            row_axis=1,
            col_axis=0,
            channel_axis=2,
        )
        np.testing.assert_allclose(changed[row], wished, rtol=0, atol=1e-2)


def test_what_was_drawn_in_earlier_versions_is_drawn_still() -> None:
    table = _draw((24, 20), 2, rotation=40.0, shift=0.2, shear=12.0, zoom=0.3, flip="both", seed=7, epoch=3)
    earlier = [
        [-0.810427, -0.4278854, 22.303762, -0.28953046, 1.0286714, 1.3119415, 0, 0],
        [1.259067, 0.1401135, -1.862369, 0.12786831, -1.2143179, 24.588411, 0, 0],
    ]
    np.testing.assert_allclose(table, np.array(earlier, np.float32), rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_wrapping_repeats_the_picture(size: Size) -> None:
    # Left out: the seam between two copies, where TensorFlow does not interpolate, and what lies a picture away.
    ranges = {"rotation": 30.0, "shift": 0.4, "shear": 10.0, "zoom": 0.2}
    pictures = _pictures(size, 20)
    drawn = _drawn(size, 20, ranges, flip="both")
    changed = warp(pictures, _draw(size, 20, **ranges, flip="both"), fill="wrap").numpy()
    compared = outside = 0
    for row, picture in enumerate(pictures):
        rows, columns = np.mgrid[: size[0], : size[1]]
        places = _generator_matrix(drawn, row, size)[:2] @ np.stack([rows, columns, np.ones(size)]).reshape(3, -1)
        margin, last = 1e-3, np.array(size)[:, None] - 1
        clear = (places % (last + 1) < last - margin) & (places > -last + margin) & (places < 2 * last - margin)
        inside = (places >= 0) & (places <= last)
        mask = _flipped(clear.all(axis=0).reshape(size), drawn, row)
        np.testing.assert_allclose(changed[row][mask], _expected(picture, drawn, row, "grid-wrap")[mask], atol=1e-2)
        compared += mask.sum()
        outside += (clear.all(axis=0) & ~inside.all(axis=0)).sum()
    assert compared > 0.85 * 20 * size[0] * size[1]
    assert outside > 0.15 * 20 * size[0] * size[1]


@pytest.mark.parametrize("fill", ["nearest", "reflect", "wrap", "constant"])
def test_what_is_put_outside_worked_out_by_hand(fill: str) -> None:
    row = np.array([[[[10], [20], [30], [40]]]], np.uint8)
    moved_right = np.array([[1, 0, -2, 0, 1, 0, 0, 0]], np.float32)  # the output's column 0 is the input's column -2
    wished = {
        "nearest": [10, 10, 10, 20],
        "reflect": [20, 10, 10, 20],
        "wrap": [30, 40, 10, 20],
        "constant": [0, 0, 10, 20],
    }
    assert warp(row, moved_right, fill=fill).numpy().ravel().tolist() == wished[fill]


# flips


@pytest.mark.parametrize("size", SIZES)
def test_a_flip_is_an_exact_mirror_of_about_half_of_the_pictures(size: Size) -> None:
    pictures = _pictures(size, 1000, channels=1)
    table = _draw(size, 1000, flip="horizontal")
    flagged = table[:, X_X] < 0
    assert 450 <= flagged.sum() <= 550
    wished = np.where(flagged[:, None, None, None], pictures[:, :, ::-1], pictures)
    np.testing.assert_array_equal(warp(pictures, table, fill="constant").numpy(), wished)


@pytest.mark.parametrize(
    ("flip", "wished"),
    [
        ("none", {(False, False)}),
        ("horizontal", {(False, False), (False, True)}),
        ("vertical", {(False, False), (True, False)}),
        ("both", {(False, False), (False, True), (True, False), (True, True)}),
    ],
)
def test_each_way_of_flipping_is_as_frequent(flip: str, wished: set[tuple[bool, bool]]) -> None:
    drawn = _drawn((24, 24), 1000, ALL, flip=flip)
    ways = list(zip(drawn.flip_rows.tolist(), drawn.flip_columns.tolist(), strict=True))
    assert set(ways) == wished
    for way in wished:
        assert abs(ways.count(way) - 1000 / len(wished)) < 60


# crop


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_is_a_window_scaled_up_as_pillow_does(size: Size) -> None:
    pictures = _pictures(size, 20, channels=1)
    table = _draw(size, 20, crop=0.7).astype(np.float64)
    changed = warp(pictures, table.astype(np.float32), fill="nearest").numpy()
    for row, picture in enumerate(pictures):
        side = table[row, X_X]
        left, top = (table[row, column] + (1 - side) / 2 for column in (X, Y))
        # of the edges, 1e-4 for rounding: a box must lie in the picture
        box = np.clip([left, top, left + side * size[1], top + side * size[0]], 0, [size[1], size[0]] * 2)
        gray = Image.fromarray(picture[..., 0].astype(np.float32))
        wished = gray.resize(size[::-1], Image.Resampling.BILINEAR, box=tuple(box.tolist()))
        np.testing.assert_allclose(changed[row, ..., 0], np.asarray(wished), atol=0.05)


@pytest.mark.parametrize("size", SIZES)
def test_windows_have_all_sizes_and_places(size: Size) -> None:
    table = _draw(size, 4000, crop=0.6).astype(np.float64)
    side = table[:, X_X]
    np.testing.assert_array_equal(side, table[:, Y_Y])  # the same for height and width
    assert 0.4 <= side.min() < 0.41
    assert 0.99 < side.max() <= 1.0
    places = [
        (table[:, column] + (1 - side) / 2) / ((1 - side) * length)
        for column, length in zip((X, Y), size[::-1], strict=True)
    ]
    for place in places:
        assert -1e-3 < place.min() < 0.02
        assert 0.98 < place.max() < 1 + 1e-3
        assert abs(place.mean() - 0.5) < 0.02
    assert np.abs(np.corrcoef([side, *places]) - np.eye(3)).max() < 0.05


def test_a_window_is_cropped_before_the_other_operations() -> None:
    def whole(**options: Any) -> Floats:
        table = _draw((20, 36), 10, **options).astype(np.float64)
        return np.column_stack([table, np.ones(10)]).reshape(10, 3, 3)

    together = whole(**ALL, flip="both", crop=0.5)
    np.testing.assert_allclose(together, whole(crop=0.5) @ whole(**ALL, flip="both"), atol=1e-4)


# ranges


@settings(max_examples=25, deadline=None)
@given(
    rotation=st.floats(1, 179),
    shift=st.floats(0.01, 0.99),
    shear=st.floats(1, 89),
    zoom=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(1, 10_000),
    height=st.integers(8, 64),
    width=st.integers(8, 64),
)
def test_draws_fill_their_ranges(
    rotation: float, shift: float, shear: float, zoom: float, seed: int, epoch: int, height: int, width: int
) -> None:
    ranges = {"rotation": rotation, "shift": shift, "shear": shear, "zoom": zoom}
    drawn = _drawn((height, width), 300, ranges, seed=seed, epoch=epoch)
    for values, largest in [
        (np.rad2deg(drawn.angle), rotation),
        (drawn.shift_rows, shift * height),
        (drawn.shift_columns, shift * width),
        (np.rad2deg(drawn.shear), shear),
        (drawn.zoom_rows - 1, zoom),
        (drawn.zoom_columns - 1, zoom),
    ]:
        assert np.abs(values).max() <= largest * (1 + 1e-3) + 1e-5
        assert values.max() > 0.85 * largest
        assert values.min() < -0.85 * largest
        assert abs(values.mean()) < 0.2 * largest


def test_all_draws_are_independent() -> None:
    drawn = _drawn((24, 24), 2000, ALL, flip="both")
    table = np.stack([np.asarray(values, np.float64) for values in vars(drawn).values()])
    correlation = np.corrcoef(table) - np.eye(len(table))
    assert np.abs(correlation).max() < 0.1


@pytest.mark.parametrize("ranges", [{"rotation": 90.0}, {"shear": 45.0}, {"zoom": 0.5}])
@pytest.mark.parametrize("size", SIZES)
def test_the_middle_stays(size: Size, ranges: dict[str, float]) -> None:
    table = _draw(size, 50, **ranges).astype(np.float64)
    y, x = (side / 2 - 0.5 for side in size)
    np.testing.assert_allclose(table[:, :3] @ [x, y, 1], x, atol=1e-4)
    np.testing.assert_allclose(table[:, 3:6] @ [x, y, 1], y, atol=1e-4)


@pytest.mark.parametrize("fill", ["nearest", "reflect", "wrap", "constant"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_asked_changes_nothing(size: Size, fill: Literal["nearest", "reflect", "wrap", "constant"]) -> None:
    assert not Augment(fill=fill).is_active
    pictures = _pictures(size, 5)
    table = _draw(size, 5, fill=fill)
    np.testing.assert_array_equal(table, np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0]), (5, 1)))
    np.testing.assert_array_equal(warp(pictures, table, fill=fill).numpy(), pictures)


# a function of seed, epoch and picture


def test_a_picture_is_changed_alike_however_many_there_are() -> None:
    many = _draw((20, 36), 100, **ALL, flip="both")
    np.testing.assert_array_equal(_draw((20, 36), 7, **ALL, flip="both"), many[:7])
    assert len(np.unique(many, axis=0)) == 100


def test_the_same_epoch_of_the_same_seed_is_drawn_alike() -> None:
    np.testing.assert_array_equal(_draw((24, 24), 9, **ALL), _draw((24, 24), 9, **ALL))


@pytest.mark.parametrize("other", [{"seed": 4}, {"epoch": 3}, {"seed": 2, "epoch": 3}, {"seed": 2**32 - 1}])
def test_other_epochs_and_seeds_are_drawn_anew(other: dict[str, int]) -> None:
    here, there = _draw((24, 24), 100, **ALL), _draw((24, 24), 100, **ALL, **other)
    assert (here != there).any(axis=1).all()
    assert abs(np.corrcoef(here[:, X], there[:, X])[0, 1]) < 0.4


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_number_type_keeps_its_range(kind: type, channels: int) -> None:
    pictures: npt.NDArray[Any] = _pictures((24, 24), 30, channels).astype(kind)
    changed = warp(pictures, _draw((24, 24), 30, **ALL, flip="both"), fill="reflect").numpy()
    assert changed.dtype == np.float32
    assert changed.shape == pictures.shape
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert changed.std() > 40
