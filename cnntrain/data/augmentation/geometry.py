"""Rotation, shift, shear, zoom, flip and crop: one projective transform a picture, one warp a batch."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.config.sections import Augment
from cnntrain.data.randomness import CROP, GEOMETRY, generator

Floats = npt.NDArray[np.float64]
Size = tuple[int, int]


def moves(augment: Augment) -> bool:
    """Whether anything is asked for that moves pixels."""
    ranges = (augment.rotation, augment.shift, augment.shear, augment.zoom, augment.crop)
    return any(ranges) or augment.flip != "none"


def draw_transforms(augment: Augment, *, seed: int, epoch: int, count: int, size: Size) -> npt.NDArray[np.float32]:
    """Draws how the pixels of each picture are moved in one epoch.

    Row i belongs to picture i of the training set, whatever the order in which the pictures are shown, so that the
    changes are a function of seed, epoch and picture alone. A window is cropped first. Then the ranges and the order
    of the operations are those of Keras's ImageDataGenerator: rotate, shift, shear, zoom about the middle of the
    picture, then flip. They act on (row, column), as in its first versions: height shift moves rows, shear tilts
    horizontal lines. Keras 3.15 reads the same matrices over (x, y), which turns both around. What lies outside of the
    window is still there for what these operations move into the frame.

    Args:
        augment: The ranges.
        seed: Of the run.
        epoch: Counted through all stages.
        count: Number of training pictures.
        size: Height and width in pixels.

    Returns:
        A float32 array (count, 8): the projective transforms of `warp`.
    """
    uniform = generator(GEOMETRY, seed=seed, epoch=epoch).random((count, 8))
    signed = 2.0 * uniform - 1.0
    angle = np.deg2rad(augment.rotation) * signed[:, 0]
    rows, columns = (augment.shift * side * signed[:, 1 + axis] for axis, side in enumerate(size))
    shear = np.deg2rad(augment.shear) * signed[:, 3]
    scale_rows, scale_columns = (1.0 + augment.zoom * signed[:, 4 + axis] for axis in range(2))
    transforms = (
        rotations(angle)
        @ matrices(count, c=rows, f=columns)
        @ matrices(count, b=-np.sin(shear), e=np.cos(shear))
        @ matrices(count, a=scale_rows, e=scale_columns)
    )
    flip_rows = np.where(uniform[:, 6] < 0.5, augment.flip in ("vertical", "both"), False)
    flip_columns = np.where(uniform[:, 7] < 0.5, augment.flip in ("horizontal", "both"), False)
    transforms = about(transforms, middle(size)) @ _flips(flip_rows, flip_columns, size)
    if augment.crop:
        transforms = _crops(augment.crop, generator(CROP, seed=seed, epoch=epoch).random((count, 3)), size) @ transforms
    return as_projective(transforms)


def matrices(count: int, **entries: Floats) -> Floats:
    """Matrices (count, 3, 3), identity but for the named entries a b c / d e f, over coordinates (row, column, 1)."""
    made = np.tile(np.eye(3), (count, 1, 1))
    for name, values in entries.items():
        made[:, "abcdef".index(name) // 3, "abcdef".index(name) % 3] = values
    return made


def rotations(angle: Floats) -> Floats:
    """Matrices (count, 3, 3) that turn by angles (count,) in radians."""
    return matrices(len(angle), a=np.cos(angle), b=-np.sin(angle), d=np.sin(angle), e=np.cos(angle))


def middle(size: Size) -> Floats:
    """Row and column of the middle of a picture."""
    return np.array([(side - 1) / 2 for side in size])


def about(transforms: Floats, point: Floats) -> Floats:
    """Lets linear transforms leave a point (row, column) where it is."""
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = point, -point
    return there @ transforms @ back


def _flips(rows: npt.NDArray[np.bool_], columns: npt.NDArray[np.bool_], size: Size) -> Floats:
    """Mirrors the pictures where the flags say so; applied to output coordinates, hence after everything else."""
    return matrices(
        len(rows),
        a=np.where(rows, -1.0, 1.0),
        c=np.where(rows, size[0] - 1.0, 0.0),
        e=np.where(columns, -1.0, 1.0),
        f=np.where(columns, size[1] - 1.0, 0.0),
    )


def _crops(largest: float, uniform: Floats, size: Size) -> Floats:
    """Scales windows up to the frame; their edges, not the middles of their first pixels, come to lie on its edges."""
    side = 1.0 - largest * uniform[:, 0]
    first_row, first_column = ((1.0 - side) * size[axis] * uniform[:, 1 + axis] for axis in range(2))
    half = (side - 1.0) / 2.0
    return matrices(len(side), a=side, c=first_row + half, e=side, f=first_column + half)


def as_projective(transforms: Floats) -> npt.NDArray[np.float32]:
    """From (row, column) matrices to TensorFlow's eight numbers, which speak of x = column before y = row."""
    order = [1, 0, 2]
    swapped = transforms[:, order][:, :, order]
    return swapped.reshape(-1, 9)[:, :8].astype(np.float32)


def warp(pictures: Any, transforms: Any, *, fill: str) -> Any:
    """Applies one projective transform a picture, by bilinear interpolation.

    Args:
        pictures: (N, height, width, channels), of any number type.
        transforms: (N, 8) as `draw_transforms` gives them; they take output to input coordinates.
        fill: What stands outside of the picture: `nearest`, `reflect`, `wrap` or `constant` (0).

    Returns:
        A float32 tensor of the pictures' shape, in their range of values.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(pictures, tf.float32),
        transforms=transforms,
        output_shape=list(pictures.shape[1:3]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill.upper(),
    )
