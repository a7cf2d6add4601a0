"""The one decoder: file bytes to a picture of the configured size, in training and in use alike."""

from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from cnntrain.config.sections import Data

_LUMA = (19595, 38470, 7471)  # ITU-R BT.601 in 65536ths, as Pillow takes them
_WEBP_HEAD = r"RIFF\C{4}WEBPVP8X\C*"
_WEBP_FLAGS = 20  # offset in bytes
_WEBP_ANIMATED = 2


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


def is_animated_webp(content: Any) -> Any:
    """Whether the bytes, a scalar string tensor, are a WebP with several frames: a scalar boolean tensor."""
    head = tf.strings.substr(content, 0, _WEBP_FLAGS + 1)
    flags = tf.io.decode_raw(head, tf.uint8)[_WEBP_FLAGS:]  # none in a shorter file
    animated = tf.reduce_any(tf.bitwise.bitwise_and(flags, _WEBP_ANIMATED) > 0)
    return tf.strings.regex_full_match(head, _WEBP_HEAD) & animated


def decode_as_stored(content: Any) -> Any:
    """Decodes one picture in the size and the channels that its file has.

    Args:
        content: The bytes of the file, a scalar string tensor.

    Returns:
        A uint8 tensor (height, width, 1 to 4): gray or red, green and blue, and alpha after them where there is any.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no picture, or an animated WebP.
    """
    # With an animated WebP that has no alpha TensorFlow 2.21 writes past the end of its buffer.
    safe = tf.where(is_animated_webp(content), b"", content)
    return tf.io.decode_image(safe, expand_animations=False)


def decode(content: Any, preprocessing: Preprocessing) -> Any:
    """Decodes and resizes one picture: JPEG, PNG, BMP, WebP without animation, or the first frame of a GIF.

    The picture is stretched to the size, by bilinear interpolation with half-pixel centers, antialiased in a
    direction that shrinks. 16 bits a channel are scaled to 8. Alpha is dropped. Gray is the luma of ITU-R BT.601.

    Args:
        content: The bytes of the file, a scalar string tensor.
        preprocessing: The wished size and channels.

    Returns:
        A uint8 tensor (height, width, channels).

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no picture. Inside a data set it is raised by the iteration.
    """
    picture = _in_channels(decode_as_stored(content), preprocessing.channels)
    size = tf.constant([preprocessing.height, preprocessing.width])
    picture = tf.cond(
        tf.reduce_all(tf.shape(picture)[:2] == size), lambda: picture, lambda: _resize(picture, preprocessing)
    )
    picture.set_shape(preprocessing.shape)
    return picture


def _in_channels(picture: Any, channels: int) -> Any:
    """Brings a picture of 1 to 4 channels to 1 or 3. `decode_image` can do so only for JPEG and PNG."""
    height, width, stored = tf.unstack(tf.shape(picture), 3)
    opaque = picture[:, :, : stored - (stored + 1) % 2]  # of 2 or 4 channels the last is alpha
    rgb = tf.broadcast_to(opaque, (height, width, 3))
    return tf.ensure_shape(rgb if channels == 3 else _luma(rgb), (None, None, channels))


def _luma(rgb: Any) -> Any:
    """Gray (height, width, 1) of (height, width, 3), rounded; where the three are equal, that value."""
    scaled = tf.reduce_sum(tf.cast(rgb, tf.int32) * _LUMA, axis=2, keepdims=True)
    return tf.cast((scaled + 32768) // 65536, tf.uint8)


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
