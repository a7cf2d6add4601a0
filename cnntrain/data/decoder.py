"""The one decoder: file bytes to a picture of the configured size, for every command alike."""

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import IO, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.WebPImagePlugin import WebPImageFile

from cnntrain.config.sections import Data
from cnntrain.data.scanning.header import png_chunks

Resize = Literal["stretch", "crop", "pad"]
Interpolation = Literal["bilinear", "bicubic", "lanczos3", "area", "nearest"]
Alpha = Literal["white", "black", "drop"]

_CHOICES = {"resize": get_args(Resize), "interpolation": get_args(Interpolation), "alpha": get_args(Alpha)}
_BACKGROUNDS = {"white": 255, "black": 0}
_LUMA = (19595, 38470, 7471)  # ITU-R BT.601 in 65536ths, as Pillow takes them

# What TensorFlow 2.21 decodes wrongly: of a BMP with a palette it gives the indices, of one with 32 bits the unused
# bytes as alpha; a GIF loses its transparency.
_WRONG_BY_TENSORFLOW = r"BM\C*|GIF8\C*"
# So does a PNG, gray or of colors, where one color stands for transparent (tRNS); Pillow takes it for another color
# where it has other than 8 bits.
_MAYBE_TRANSPARENT_COLOR = r"\CPNG\r\n\x1a\n\C{16}[\x01\x02\x04\x08\x10][\x00\x02]\C*tRNS\C*"
# Not by Image.open, which warns of large pictures for the whole process; `data.max_pixels` is the limit here.
_OPENERS: dict[bytes, Callable[[IO[bytes]], ImageFile]] = {
    b"BM": BmpImageFile,
    b"GIF8": GifImageFile,
    b"RIFF": WebPImageFile,
}
_MOST_PIXELS = 178_956_970  # the largest `data.max_pixels`
_WEBP_HEAD = r"RIFF\C{4}WEBPVP8X\C*"
_WEBP_FLAGS = 20  # offset in bytes
_WEBP_ANIMATED = 2
_REASON_LENGTH = 100  # of what Pillow says about a damaged file


@dataclass(frozen=True)
class Preprocessing:
    """How a file becomes the array that the model takes.

    Args:
        height: Pixels.
        width: Pixels.
        channels: 3 for red, green and blue, 1 for gray.
        resize: `stretch` changes the aspect ratio, `crop` cuts off what is too long, `pad` adds black edges.
        interpolation: How pixels are computed when resizing.
        alpha: What shows through where a picture is transparent; `drop` takes the hidden colors.
    """

    height: int
    width: int
    channels: int
    resize: Resize = "stretch"
    interpolation: Interpolation = "bilinear"
    alpha: Alpha = "white"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    def to_json(self) -> dict[str, Any]:
        """What `preprocessing.json` holds: the choices, and in sentences what whoever runs the model elsewhere does."""
        return {
            "format": 1,
            **asdict(self),
            "color": "rgb" if self.channels == 3 else "grayscale",
            "steps": [
                "Decode the file, the first frame of an animation, to 8 bits a channel, without color management.",
                "Of 16 bits a channel keep the upper eight: value // 256.",
                _ALPHA_RULES[self.alpha],
                _CHANNEL_RULES[self.channels],
                "Turn and mirror the picture upright as its EXIF orientation (1 to 8) says, before any resizing.",
                _RESIZE_RULES[self.resize].format(height=self.height, width=self.width),
                _INTERPOLATION_RULES[self.interpolation],
                f"Give the model uint8 or float values from 0 to 255, {self.height} x {self.width} x {self.channels}"
                " (height, width, channels); it scales them itself.",
            ],
        }


_ALPHA_RULES: dict[str, str] = {
    **{
        name: f"Where there is alpha, compose on {name}: (color * alpha + {level} * (255 - alpha)) / 255, rounded."
        for name, level in _BACKGROUNDS.items()
    },
    "drop": "Where there is alpha, leave it out and take the stored colors as they are.",
}
_CHANNEL_RULES = {
    3: "Repeat gray to red, green and blue; convert a palette and CMYK to red, green and blue.",
    1: "Convert a palette and CMYK to red, green and blue; then make gray of them:"
    " (19595 * red + 38470 * green + 7471 * blue) / 65536, rounded. What is stored as gray stays as it is.",
}
_RESIZE_RULES: dict[str, str] = {
    "stretch": "Unless the picture has that size already, resize it to {height} x {width} (height x width), whatever"
    " its aspect ratio.",
    "crop": "Cut out the largest window in the middle with the aspect ratio {height} : {width} (height : width): one"
    " side is kept, the other is rounded to whole pixels, and an odd pixel more is cut off below or on the right."
    " Unless the window has that size already, resize it to {height} x {width}.",
    "pad": "Resize the picture, with its aspect ratio, to the largest size that fits into {height} x {width} (height x"
    " width): one side fits, the other is rounded to whole pixels. Put it in the middle of black (0); an odd pixel"
    " more is added below or on the right.",
}
_SAMPLED = (
    "an output pixel i of n lies at (i + 0.5) * m / n - 0.5 among m input pixels (half-pixel centers). In a direction"
    " that shrinks the filter is widened by m / n (antialiasing). Weights add up to one, also at the edges; nothing is"
    " rounded between the two directions. Round the result to whole numbers and clip it to 0 to 255."
)
_INTERPOLATION_RULES: dict[str, str] = {
    "bilinear": f"Resizing is bilinear (triangle filter of radius 1): {_SAMPLED}",
    "bicubic": f"Resizing is bicubic (Keys' cubic filter, a = -0.5, radius 2): {_SAMPLED}",
    "lanczos3": f"Resizing is by Lanczos' filter of radius 3: {_SAMPLED}",
    "area": "Resizing is by area: an output pixel is the mean of the input that it covers, parts of pixels counted as"
    " parts. Round the result to whole numbers.",
    "nearest": "Resizing takes the nearest pixel: output pixel i of n is the input pixel floor((i + 0.5) * m / n) of m"
    " (half-pixel centers), without antialiasing.",
}


def preprocessing_of(data: Data, image_size: tuple[int, int] | None = None) -> Preprocessing:
    """The preprocessing that a configuration asks for.

    Args:
        data: Of the configuration.
        image_size: Height and width in pixels where they are not `data.image_size`.
    """
    height, width = image_size or data.image_size
    return Preprocessing(
        height=height,
        width=width,
        channels=3 if data.color == "rgb" else 1,
        resize=data.resize,
        interpolation=data.interpolation,
        alpha=data.alpha,
    )


def preprocessing_from_json(value: dict[str, Any]) -> Preprocessing:
    """The preprocessing that `Preprocessing.to_json` wrote.

    Raises:
        KeyError: A key is missing.
        TypeError: A side or the channels are no whole number.
        ValueError: Another format, a side below 1, or a choice that there is not.
    """
    numbers = {name: value[name] for name in ("height", "width", "channels")}
    choices = {name: value[name] for name in _CHOICES}
    if any(type(number) is not int for number in numbers.values()):
        raise TypeError(f"height, width and channels are whole numbers; got: {numbers}")
    if min(numbers.values()) < 1 or numbers["channels"] not in (1, 3) or value["format"] != 1:
        raise ValueError(f"sides are at least 1, channels 1 or 3, the format 1; got: {numbers}")
    for name, choice in choices.items():
        if choice not in _CHOICES[name]:
            raise ValueError(f"{name} is one of {', '.join(_CHOICES[name])}; got: {choice}")
    return Preprocessing(**numbers, **choices)


def decode_as_stored(content: Any) -> Any:
    """Decodes a picture, or the first frame of an animation, in the size and the channels that its file has.

    JPEG (gray, RGB, CMYK and YCCK), PNG and still WebP are decoded by TensorFlow inside the graph; BMP, GIF and
    animated WebP by Pillow. What a file is says its content. Of 16 bits a channel the upper eight are kept. Pixels that
    the first frame of a GIF does not cover are what Pillow makes them: transparent where the frame has a transparent
    color, else the first color of its palette.

    Args:
        content: The bytes of the file, a scalar string tensor.

    Returns:
        A uint8 tensor (height, width, 1 to 4): gray or red, green and blue, and alpha after them where there is any.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no such picture. Inside a data set it is raised by the iteration.
    """
    content = tf.convert_to_tensor(content)
    wrong = tf.strings.regex_full_match(content, _WRONG_BY_TENSORFLOW)
    see_through = tf.strings.regex_full_match(content, _MAYBE_TRANSPARENT_COLOR)
    picture = tf.case(
        [
            (wrong | _is_animated_webp(content), lambda: _decode_by_pillow(content)),
            (see_through, lambda: _decode_png_with_transparent_color(content)),
        ],
        default=lambda: tf.io.decode_image(content, expand_animations=False),
    )
    return tf.ensure_shape(picture, (None, None, None))


def _decode_png_with_transparent_color(content: Any) -> Any:
    """As `decode_as_stored`. The color is compared in 16 bits, to which fewer are scaled without loss."""
    samples = tf.io.decode_png(content, dtype=tf.uint16)
    color = tf.numpy_function(_transparent_color, [content], tf.uint16, stateful=False)
    color.set_shape((None,))
    stored = tf.cast(samples // 256, tf.uint8)

    def with_alpha() -> Any:
        is_opaque = tf.reduce_any(tf.not_equal(samples, color), axis=2, keepdims=True)
        return tf.concat([stored, tf.cast(is_opaque, tf.uint8) * 255], axis=2)

    fits = tf.equal(tf.size(color), tf.shape(samples)[2])
    return tf.cond(fits, with_alpha, lambda: stored)


def _transparent_color(content: Any) -> npt.NDArray[np.uint16]:
    """What stands for transparent in a PNG without palette, (1,) or (3,) in 16 bits; (0,) without any."""
    png = np.asarray(content, object).item()
    most = (1 << png[24]) - 1  # of as many bits as its header says; the others of a longer number are ignored
    before = takewhile(lambda chunk: chunk.name != b"IDAT", png_chunks(png))
    stored = next((png[chunk.start : chunk.end] for chunk in before if chunk.name == b"tRNS"), b"")
    samples = np.frombuffer(stored[: len(stored) // 2 * 2], ">u2") & most
    return np.asarray(samples * (65535 // most), np.uint16)


def _is_animated_webp(content: Any) -> Any:
    """A scalar boolean tensor. With such a file TensorFlow 2.21 can write past the end of its buffer."""
    head = tf.strings.substr(content, 0, _WEBP_FLAGS + 1)
    flags = tf.io.decode_raw(head, tf.uint8)[_WEBP_FLAGS:]  # none in a shorter file
    animated = tf.reduce_any(tf.bitwise.bitwise_and(flags, _WEBP_ANIMATED) > 0)
    return tf.strings.regex_full_match(head, _WEBP_HEAD) & animated


def _decode_by_pillow(content: Any) -> Any:
    """As `decode_as_stored`; Pillow's errors become TensorFlow's, with their text alone, eagerly and in graphs."""
    picture, reason = tf.numpy_function(_first_frame, [content], [tf.uint8, tf.string], stateful=False)
    picture.set_shape((None, None, None))
    with tf.control_dependencies([tf.raw_ops.Assert(condition=tf.equal(reason, ""), data=[reason])]):
        return tf.identity(picture)


def _first_frame(content: Any) -> tuple[npt.NDArray[np.uint8], bytes]:
    """The first frame (height, width, 1, 3 or 4) and b"", or no pixels and why there are none.

    TensorFlow hands the content over as bytes or, eagerly, as an array () of an object.
    """
    file = np.asarray(content, object).item()
    opener = next(opener for start, opener in _OPENERS.items() if file.startswith(start))
    try:
        with opener(io.BytesIO(file)) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels are more than {_MOST_PIXELS}")
            pixels = np.asarray(picture.convert(_plain_mode(picture)))
    except SyntaxError:  # so Pillow calls a wrong header
        return np.empty((0, 0, 3), np.uint8), b"damaged BMP, GIF or WebP"
    except Exception as error:  # on damaged files Pillow raises whatever its reading runs into
        reason = " ".join(str(error).split())[:_REASON_LENGTH] or type(error).__name__
        return np.empty((0, 0, 3), np.uint8), reason.encode(errors="replace")
    return pixels.reshape(*pixels.shape[:2], -1), b""


def _plain_mode(picture: Image.Image) -> Literal["L", "RGB", "RGBA"]:
    """Pillow's name of the colors that a picture has, at 8 bits a channel and without a palette."""
    if picture.has_transparency_data:
        return "RGBA"
    return "L" if picture.mode in ("1", "L") else "RGB"


def decode(content: Any, orientation: Any, preprocessing: Preprocessing) -> Any:
    """Decodes one picture, turns it upright and resizes it: JPEG, PNG, BMP, WebP or GIF.

    In this order: `decode_as_stored`; alpha composed; gray (the luma of ITU-R BT.601) or RGB; upright; resized, with
    half-pixel centers and antialiased in a direction that shrinks; rounded.

    Args:
        content: The bytes of the file, a scalar string tensor.
        orientation: How the stored picture is turned, EXIF's 1 to 8, a scalar integer tensor.
        preprocessing: The wished size and channels, and how they are reached.

    Returns:
        A uint8 tensor (height, width, channels).

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no picture. Inside a data set it is raised by the iteration.
    """
    picture = _upright(_in_channels(decode_as_stored(content), preprocessing), orientation)
    picture = _FITTED[preprocessing.resize](picture, preprocessing)
    return tf.ensure_shape(picture, preprocessing.shape)


def _in_channels(picture: Any, preprocessing: Preprocessing) -> Any:
    """Brings a picture of 1 to 4 channels to 1 or 3 without alpha. `decode_image` can do so only for JPEG and PNG."""
    channels = preprocessing.channels

    def converted() -> Any:
        opaque = _without_alpha(picture, preprocessing.alpha)
        rgb = tf.broadcast_to(opaque, (*tf.unstack(tf.shape(picture)[:2], 2), 3))
        return rgb if channels == 3 else _luma(rgb)

    fits = tf.equal(tf.shape(picture)[2], channels)
    return tf.ensure_shape(tf.cond(fits, lambda: picture, converted), (None, None, channels))


def _without_alpha(picture: Any, alpha: Alpha) -> Any:
    """A picture of 1 or 3 channels of one of 1 to 4: of 2 or 4 the last is alpha."""
    stored = tf.shape(picture)[2]
    colors = stored - (stored + 1) % 2
    if alpha == "drop":
        return picture[:, :, :colors]
    return tf.cond(
        colors < stored, lambda: _composed(picture[:, :, :-1], picture[:, :, -1:], _BACKGROUNDS[alpha]), lambda: picture
    )


def _composed(colors: Any, alpha: Any, background: int) -> Any:
    """Colors over a background, rounded; all uint8. The sums stay below 65,536."""
    opacity = tf.cast(alpha, tf.uint16)
    total = tf.cast(colors, tf.uint16) * opacity + background * (255 - opacity)
    return tf.cast((total + 127) // 255, tf.uint8)


def _luma(rgb: Any) -> Any:
    """Gray (height, width, 1) of (height, width, 3), rounded; where the three are equal, that value."""
    scaled = tf.reduce_sum(tf.cast(rgb, tf.int32) * _LUMA, axis=2, keepdims=True)
    return tf.cast((scaled + 32768) // 65536, tf.uint8)


def _upright(picture: Any, orientation: Any) -> Any:
    """Turns a picture as EXIF's orientation asks: 5 to 8 are transposed, and then mirrored as 4, 2, 3 … are."""
    number = tf.cast(orientation, tf.int32)

    def turned() -> Any:
        transposed = tf.transpose(picture, tf.where(number >= 5, [1, 0, 2], [0, 1, 2]))
        mirrored = [tf.reduce_any(number == rows_or_columns) for rows_or_columns in ([3, 4, 7, 8], [2, 3, 6, 7])]
        return tf.raw_ops.Reverse(tensor=transposed, dims=[*mirrored, False])

    return tf.cond(number > 1, turned, lambda: picture)


def _stretched(picture: Any, preprocessing: Preprocessing) -> Any:
    return _resized(picture, (preprocessing.height, preprocessing.width), preprocessing.interpolation)


def _cropped(picture: Any, preprocessing: Preprocessing) -> Any:
    """The largest window of the wished aspect ratio in the middle, resized."""
    height, width = preprocessing.height, preprocessing.width
    stored_height, stored_width = tf.unstack(tf.shape(picture)[:2], 2)
    window_height = tf.minimum(stored_height, _scaled(stored_width, height, width))
    window_width = tf.minimum(stored_width, _scaled(stored_height, width, height))
    top, left = (stored_height - window_height) // 2, (stored_width - window_width) // 2
    window = picture[top : top + window_height, left : left + window_width]
    return _resized(window, (height, width), preprocessing.interpolation)


def _padded(picture: Any, preprocessing: Preprocessing) -> Any:
    """The whole picture as large as it fits, in the middle of black."""
    height, width = preprocessing.height, preprocessing.width
    stored_height, stored_width = tf.unstack(tf.shape(picture)[:2], 2)
    inner_height = tf.minimum(height, _scaled(width, stored_height, stored_width))
    inner_width = tf.minimum(width, _scaled(height, stored_width, stored_height))
    inner = _resized(picture, (inner_height, inner_width), preprocessing.interpolation)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    edges = [[top, height - inner_height - top], [left, width - inner_width - left], [0, 0]]
    return tf.pad(inner, edges)


_FITTED = {"stretch": _stretched, "crop": _cropped, "pad": _padded}


def _scaled(side: Any, numerator: Any, denominator: Any) -> Any:
    """A side in pixels times a ratio, rounded (halves up), at least 1; int32, from 64-bit products."""
    side, numerator, denominator = (tf.cast(value, tf.int64) for value in (side, numerator, denominator))
    pixels = (2 * side * numerator + denominator) // (2 * denominator)
    return tf.cast(tf.clip_by_value(pixels, 1, tf.int32.max), tf.int32)


def _resized(picture: Any, size: Any, interpolation: Interpolation) -> Any:
    """A picture of the given height and width; the picture itself when it has them."""
    fits = tf.reduce_all(tf.shape(picture)[:2] == size)
    return tf.cond(fits, lambda: picture, lambda: _interpolated(picture, size, interpolation))


def _interpolated(picture: Any, size: Any, interpolation: Interpolation) -> Any:
    def antialiased() -> Any:
        return tf.image.resize(picture, size, method=interpolation, antialias=True)

    if interpolation == "bilinear":
        # Without shrinking both give the same values, and the plain one is four times as fast.
        shrinks = tf.reduce_any(tf.shape(picture)[:2] > size)
        resized = tf.cond(shrinks, antialiased, lambda: tf.image.resize(picture, size))
    else:
        resized = antialiased()
    return tf.saturate_cast(tf.round(resized), tf.uint8)
