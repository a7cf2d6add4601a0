"""RandAugment: a few operations drawn for each picture from a list of fourteen (Cubuk et al., 2020)."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.config.sections import RandAugment
from cnntrain.data.augmentation.colour import recolour, saturation_matrices
from cnntrain.data.augmentation.geometry import about, as_projective, matrices, middle, rotations, warp
from cnntrain.data.randomness import RAND_AUGMENT, generator

Floats = npt.NDArray[np.float64]
Shape = tuple[int, int, int]

STRONGEST = 30  # the magnitudes are 0 to 30, as in torchvision
OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast"),
    *("sharpness", "posterize", "solarize", "auto_contrast", "equalize"),
)
_KINDS = ("nothing", "warp", "recolour", "sharpen", "posterize", "solarize", "auto_contrast", "equalize")
_NUMBERS = 10  # that describe an operation, at most


def draw_operations(
    rand_augment: RandAugment, *, seed: int, epoch: int, count: int, shape: Shape
) -> npt.NDArray[np.float32]:
    """Draws the operations of each picture in one epoch, evenly, each with a sign; one can come more than once.

    Args:
        rand_augment: How many, and how strong.
        seed: Of the run.
        epoch: Counted through all stages.
        count: Number of training pictures.
        shape: Height and width in pixels, and channels.

    Returns:
        A float32 array (count, operations, 11) as `operate` takes it: the kind of each, and up to ten numbers.
    """
    uniform = generator(RAND_AUGMENT, seed=seed, epoch=epoch).random((count, rand_augment.operations, 2))
    strength = rand_augment.magnitude / STRONGEST
    described: npt.NDArray[np.float32] = np.stack(
        [describe(name, strength * np.array([-1.0, 1.0]), shape) for name in OPERATIONS]
    )
    drawn = (uniform[..., 0] * len(OPERATIONS)).astype(int)
    return np.asarray(described[drawn, (uniform[..., 1] < 0.5).astype(int)])


def describe(name: str, strength: Floats, shape: Shape) -> npt.NDArray[np.float32]:
    """What one of `OPERATIONS` does at strengths (n,) from -1 to 1: float32 (n, 11), as `operate` takes it.

    The strongest are those of torchvision: a shear by 0.3 from the upper left corner, a shift by 150 / 331 of the side,
    a rotation by 30 degrees, factors of 0.1 and 1.9 for what Pillow calls enhancing, 4 bits less, all inverted. Where
    an operation has no direction the sign does not matter; the last two have no strength.
    """
    size, channels = shape[:2], shape[2]
    described = np.zeros((len(strength), 1 + _NUMBERS), np.float32)
    kind = "nothing"
    numbers: npt.NDArray[Any] = np.zeros((len(strength), 0))
    if name in ("shear_x", "shear_y", "translate_x", "translate_y", "rotate"):
        kind, numbers = "warp", as_projective(_transforms(name, strength, size))
    elif name in ("brightness", "color", "contrast"):
        kind, numbers = "recolour", _colours(name, 1.0 + 0.9 * strength, channels)
    elif name == "sharpness":
        kind, numbers = "sharpen", 0.9 * strength[:, np.newaxis]
    elif name == "posterize":
        kind, numbers = name, 2.0 ** np.rint(4.0 * np.abs(strength))[:, np.newaxis]
    elif name == "solarize":
        kind, numbers = name, 256.0 * (1.0 - np.abs(strength))[:, np.newaxis]
    elif name in ("auto_contrast", "equalize"):
        kind = name
    described[:, 0] = _KINDS.index(kind)
    described[:, 1 : 1 + numbers.shape[1]] = numbers
    return described


def _transforms(name: str, strength: Floats, size: tuple[int, int]) -> Floats:
    """The matrices (n, 3, 3) over (row, column, 1) of what moves pixels."""
    count = len(strength)
    if name == "rotate":
        return about(rotations(np.deg2rad(30.0) * strength), middle(size))
    if name == "shear_x":
        return about(matrices(count, d=0.3 * strength), np.array([-0.5, -0.5]))
    if name == "shear_y":
        return about(matrices(count, b=0.3 * strength), np.array([-0.5, -0.5]))
    axis = 1 if name == "translate_x" else 0
    return matrices(count, **{"cf"[axis]: 150.0 / 331.0 * size[axis] * strength})


def _colours(name: str, factor: Floats, channels: int) -> Floats:
    """The rows of `recolour`, with a matrix if there are colours, and with a part of the mean gray."""
    ones = np.ones_like(factor)
    gain, mean = {"brightness": (factor, 0 * ones), "color": (ones, 0 * ones), "contrast": (factor, 1.0 - factor)}[name]
    if channels == 1:
        return np.column_stack([gain, mean])
    mixing = saturation_matrices(factor if name == "color" else ones).transpose(0, 2, 1).reshape(-1, 9)
    return np.column_stack([gain[:, np.newaxis] * mixing, mean])


def operate(pictures: Any, rows: Any, *, fill: str) -> Any:
    """Applies its own operations to each picture, one after another.

    Args:
        pictures: (N, height, width, channels), from 0 to 255, of any number type.
        rows: (N, operations, 11), of `draw_operations`.
        fill: What is put where a moved picture leaves the frame empty, as for `warp`.

    Returns:
        A float32 tensor of the pictures' shape, from 0 to 255.
    """
    return tf.map_fn(
        lambda both: tf.foldl(lambda picture, row: _one(picture, row, fill), both[1], initializer=both[0]),
        (tf.cast(pictures, tf.float32), rows),
        fn_output_signature=tf.TensorSpec(pictures.shape[1:], tf.float32),
    )


def _one(picture: Any, row: Any, fill: str) -> Any:
    """One operation on one picture (height, width, channels)."""
    width = 10 if picture.shape[-1] == 3 else 2
    doing = {
        "nothing": lambda: picture,
        "warp": lambda: warp(picture[tf.newaxis], row[tf.newaxis, 1:9], fill=fill)[0],
        "recolour": lambda: recolour(picture[tf.newaxis], row[tf.newaxis, 1 : 1 + width])[0],
        "sharpen": lambda: _sharpen(picture, row[1]),
        "posterize": lambda: tf.floor(picture / row[1]) * row[1],
        "solarize": lambda: tf.where(picture < row[1], picture, 255.0 - picture),
        "auto_contrast": lambda: _auto_contrast(picture),
        "equalize": lambda: _equalize(picture),
    }
    changed = tf.switch_case(tf.cast(row[0], tf.int32), [doing[kind] for kind in _KINDS])
    return tf.ensure_shape(changed, picture.shape)


def _sharpen(picture: Any, amount: Any) -> Any:
    """Adds so many times the difference to the smoothed picture (a kernel of 5 amid eight ones); edges stay."""
    detail = (picture - tf.nn.avg_pool2d(picture[tf.newaxis], 3, 1, "SAME")[0]) * 9.0 / 13.0
    inner = np.zeros((*picture.shape[:2], 1), np.float32)
    inner[1:-1, 1:-1] = 1.0
    return tf.clip_by_value(picture + amount * inner * detail, 0.0, 255.0)


def _auto_contrast(picture: Any) -> Any:
    """Stretches each channel to the range from 0 to 255."""
    low, high = tf.reduce_min(picture, axis=(0, 1)), tf.reduce_max(picture, axis=(0, 1))
    return tf.where(high > low, (picture - low) * 255.0 / tf.maximum(high - low, 1e-3), picture)


def _equalize(picture: Any) -> Any:
    """Spreads the values of each channel so that all are as frequent, by Pillow's table."""
    height, width, channels = picture.shape
    values = tf.transpose(tf.reshape(tf.cast(tf.round(picture), tf.int32), (height * width, channels)))
    counts = tf.math.bincount(values, minlength=256, maxlength=256, axis=-1)  # (channels, 256)
    last = tf.gather(counts, tf.reduce_max(values, axis=1), batch_dims=1)
    step = ((height * width - last) // 255)[:, tf.newaxis]
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((step // 2 + below) // tf.maximum(step, 1), 255)
    spread = tf.where(step > 0, tf.gather(table, values, batch_dims=1), values)
    return tf.cast(tf.reshape(tf.transpose(spread), (height, width, channels)), tf.float32)
