"""The one decoder: file bytes to a picture of the configured size, in training and in use alike."""

from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from cnntrain.config.sections import Data


@dataclass(frozen=True)
class Preprocessing:
    """How a file becomes the array that the model takes.

    Args:
        height: Pixels.
        width: Pixels.
        channels: 3 for red, green and blue, 1 for gray.
    """

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    def to_json(self) -> dict[str, Any]:
        """What `preprocessing.json` holds, for whoever runs the model elsewhere."""
        return {
            "format": 1,
            **asdict(self),
            "color": "rgb" if self.channels == 3 else "grayscale",
            "resize": "stretch",
            "interpolation": "bilinear, half-pixel centers, antialiased when shrinking",
            "values": "0 to 255, rounded to whole numbers; the model scales them itself",
        }


def preprocessing_of(data: Data) -> Preprocessing:
    """The preprocessing that a configuration asks for."""
    height, width = data.image_size
    return Preprocessing(height=height, width=width, channels=3 if data.color == "rgb" else 1)


def preprocessing_from_json(value: dict[str, Any]) -> Preprocessing:
    """The preprocessing that `Preprocessing.to_json` wrote. Raises KeyError or TypeError for anything else."""
    return Preprocessing(height=int(value["height"]), width=int(value["width"]), channels=int(value["channels"]))


def decode(content: Any, preprocessing: Preprocessing) -> Any:
    """Decodes and resizes one picture: JPEG, PNG, BMP, or the first frame of a GIF or WebP.

    The picture is stretched to the size, by bilinear interpolation with half-pixel centers, antialiased in a
    direction that shrinks. 16 bits a channel are scaled to 8.

    Args:
        content: The bytes of the file, a scalar string tensor.
        preprocessing: The wished size and channels.

    Returns:
        A uint8 tensor (height, width, channels).

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no picture. Inside a data set it is raised by the iteration.
    """
    picture = tf.io.decode_image(content, channels=preprocessing.channels, expand_animations=False)
    picture.set_shape((None, None, preprocessing.channels))
    size = tf.constant([preprocessing.height, preprocessing.width])
    picture = tf.cond(
        tf.reduce_all(tf.shape(picture)[:2] == size), lambda: picture, lambda: _resize(picture, preprocessing)
    )
    picture.set_shape(preprocessing.shape)
    return picture


def _resize(picture: Any, preprocessing: Preprocessing) -> Any:
    size = (preprocessing.height, preprocessing.width)
    shrinks = tf.reduce_any(tf.shape(picture)[:2] > size)
    # Without shrinking both give the same values, and the plain one is four times as fast.
    resized = tf.cond(
        shrinks,
        lambda: tf.image.resize(picture, size, antialias=True),
        lambda: tf.image.resize(picture, size),
    )
    return tf.saturate_cast(tf.round(resized), tf.uint8)
