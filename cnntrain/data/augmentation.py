"""Random changes of training pictures: drawn with numpy as a table, applied to a batch as one affine warp."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.config.sections import Augment

Floats = npt.NDArray[np.float64]
_STREAM = 1  # keeps these draws apart from those of the order of the pictures


def draw_transforms(augment: Augment, *, seed: int, epoch: int, count: int, size: tuple[int, int]) -> npt.NDArray[Any]:
    """Draws how each picture is changed in one epoch.

    Row i belongs to picture i of the training set, whatever the order in which the pictures are shown, so that the
    changes are a function of seed, epoch and picture alone. The ranges and the order of the operations are those of
    Keras's ImageDataGenerator: rotate, shift, shear, zoom about the middle of the picture, then flip.

    Args:
        augment: The ranges.
        seed: Of the run.
        epoch: Counted through all stages.
        count: Number of training pictures.
        size: Height and width in pixels.

    Returns:
        A float32 array (count, 8): the projective transforms of `warp`.
    """
    uniform = np.random.Generator(np.random.Philox(key=[seed, epoch * 16 + _STREAM])).random((count, 8))
    signed = 2.0 * uniform - 1.0
    angle = np.deg2rad(augment.rotation) * signed[:, 0]
    rows, columns = (augment.shift * side * signed[:, 1 + axis] for axis, side in enumerate(size))
    shear = np.deg2rad(augment.shear) * signed[:, 3]
    scale_rows, scale_columns = (1.0 + augment.zoom * signed[:, 4 + axis] for axis in range(2))
    matrices = (
        _matrices(count, a=np.cos(angle), b=-np.sin(angle), d=np.sin(angle), e=np.cos(angle))
        @ _matrices(count, c=rows, f=columns)
        @ _matrices(count, b=-np.sin(shear), e=np.cos(shear))
        @ _matrices(count, a=scale_rows, e=scale_columns)
    )
    matrices = _about_middle(matrices, size)
    flip_rows = np.where(uniform[:, 6] < 0.5, augment.flip in ("vertical", "both"), False)
    flip_columns = np.where(uniform[:, 7] < 0.5, augment.flip in ("horizontal", "both"), False)
    return _as_projective(matrices @ _flips(flip_rows, flip_columns, size))


def _matrices(count: int, **entries: Floats) -> Floats:
    """Matrices (count, 3, 3), identity but for the named entries a b c / d e f, over coordinates (row, column, 1)."""
    matrices = np.tile(np.eye(3), (count, 1, 1))
    for name, values in entries.items():
        matrices[:, "abcdef".index(name) // 3, "abcdef".index(name) % 3] = values
    return matrices


def _about_middle(matrices: Floats, size: tuple[int, int]) -> Floats:
    """Lets transforms leave the middle of the picture where it is."""
    middle = np.array([(side - 1) / 2 for side in size])
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = middle, -middle
    return there @ matrices @ back


def _flips(rows: npt.NDArray[np.bool_], columns: npt.NDArray[np.bool_], size: tuple[int, int]) -> Floats:
    """Mirrors the pictures where the flags say so; applied to output coordinates, hence after everything else."""
    return _matrices(
        len(rows),
        a=np.where(rows, -1.0, 1.0),
        c=np.where(rows, size[0] - 1.0, 0.0),
        e=np.where(columns, -1.0, 1.0),
        f=np.where(columns, size[1] - 1.0, 0.0),
    )


def _as_projective(matrices: Floats) -> npt.NDArray[np.float32]:
    """From (row, column) matrices to TensorFlow's eight numbers, which speak of x = column before y = row."""
    order = [1, 0, 2]
    swapped = matrices[:, order][:, :, order]
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
        output_shape=tf.shape(pictures)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill.upper(),
    )
