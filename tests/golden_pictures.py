"""One picture through every kind of file, with the pixels that each must give: 16 high, 32 wide, four flat quarters.

What is expected is worked out by hand, in red, green and blue, upright, and composed on white. The quarters are whole
blocks of a JPEG, so that even there they come back nearly as they were.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 16, 32

# from left to right, then from top to bottom
COLORS = ((200, 60, 40), (40, 160, 80), (60, 80, 220), (240, 240, 230))
GRAYS = (20, 90, 160, 250)
ALPHAS = (255, 128, 0, 51)
ON_WHITE = ((200, 60, 40), (147, 207, 167), (255, 255, 255), (252, 252, 250))  # COLORS seen through ALPHAS
FIRST_IS_WHITE = ((255, 255, 255), *COLORS[1:])
OTHERS = ((1, 2, 3), (7, 6, 5), (90, 91, 92), (200, 100, 0))  # of a second frame, which nobody may see
INKS = ((0, 153, 204, 0), (204, 51, 102, 51), (153, 153, 0, 0), (0, 0, 0, 102))  # cyan, magenta, yellow, black
OF_INKS = ((255, 102, 51), (41, 163, 122), (102, 102, 255), (153, 153, 153))  # (255 - ink)(255 - black) / 255


class Golden(NamedTuple):
    """One file: its name, its bytes, its pixels (16, 32, 3), how far off they may be, and its EXIF orientation."""

    name: str
    content: bytes
    expected: Pixels
    tolerance: int = 0
    orientation: int = 1


def quarters(values: Sequence[Any]) -> Pixels:
    """A picture (16, 32) of four numbers, or (16, 32, channels) of four colors."""
    four = np.array(values, np.uint8).reshape(2, 2, *np.shape(values)[1:])
    return four.repeat(HEIGHT // 2, axis=0).repeat(WIDTH // 2, axis=1)


def encoded(pixels: npt.NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:
    """A file of these pixels as Pillow writes it."""
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(stream, kind, **options)
    return stream.getvalue()


def oriented(pixels: Pixels, kind: str, orientation: int, **options: Any) -> bytes:
    """A file whose EXIF data hold the orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, kind, exif=exif, **options)


def indexed() -> Image.Image:
    """The picture of COLORS with the indices 3, 2, 1 and 0 into a palette."""
    picture = Image.fromarray(quarters((3, 2, 1, 0)))
    picture.putpalette([value for color in reversed(COLORS) for value in color])
    return picture


def raw_png(samples: npt.NDArray[Any], kind: int, *, more: bytes = b"") -> bytes:
    """A PNG of uint8 or uint16 samples (height, width, …) of the color type `kind`, with `more` before the pixels."""
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], samples.itemsize * 8, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(samples.dtype.newbyteorder(">")).tobytes() for row in samples)
    parts = png_chunk(b"IHDR", header), more, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """One part of a PNG file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _sixteen_bits() -> bytes:
    """COLORS as the upper bytes; the lower ones are 0 or 255, which must not matter."""
    lower = np.where(np.arange(WIDTH) % 2, 255, 0)[None, :, None]
    return raw_png((quarters(COLORS) * np.uint16(256) + lower).astype(np.uint16), 2)


def _animated(kind: str, **options: Any) -> bytes:
    second = Image.fromarray(quarters(OTHERS))
    first = indexed() if kind == "GIF" else Image.fromarray(quarters(COLORS))
    return encoded(first, kind, save_all=True, append_images=[second], duration=100, **options)


def golden_pictures() -> tuple[Golden, ...]:
    """A file of every kind that the decoder knows."""
    colors, gray = quarters(COLORS), quarters(GRAYS)
    gray_expected = np.repeat(gray[:, :, None], 3, axis=2)
    colors_with_alpha = quarters([(*color, alpha) for color, alpha in zip(COLORS, ALPHAS, strict=True)])
    inks = Image.frombytes("CMYK", (WIDTH, HEIGHT), quarters(INKS).tobytes())
    jpeg: dict[str, Any] = {"quality": 95, "subsampling": 0}
    turned = np.rot90(colors)  # to the left; 6 asks to turn it to the right
    first_color = png_chunk(b"tRNS", struct.pack(">3H", *COLORS[0]))
    return (
        Golden("jpeg_rgb.jpg", encoded(colors, "JPEG", **jpeg), colors, 2),
        Golden("jpeg_gray.jpg", encoded(gray, "JPEG", quality=95), gray_expected, 2),
        Golden("jpeg_cmyk.jpg", encoded(inks, "JPEG", quality=95), quarters(OF_INKS), 3),
        Golden("jpeg_orientation_6.jpg", oriented(turned, "JPEG", 6, **jpeg), colors, 2, orientation=6),
        Golden("png_rgb.png", encoded(colors, "PNG"), colors),
        Golden("png_palette.png", encoded(indexed(), "PNG"), colors),
        Golden("png_alpha.png", encoded(colors_with_alpha, "PNG"), quarters(ON_WHITE)),
        Golden("png_transparent_color.png", raw_png(colors, 2, more=first_color), quarters(FIRST_IS_WHITE)),
        Golden("png_16_bit.png", _sixteen_bits(), colors),
        Golden("png_gray.png", encoded(gray, "PNG"), gray_expected),
        Golden("bmp_24_bit.bmp", encoded(colors, "BMP"), colors),
        Golden("bmp_palette.bmp", encoded(indexed(), "BMP"), colors),
        Golden("gif_transparent.gif", encoded(indexed(), "GIF", transparency=3), quarters(FIRST_IS_WHITE)),
        Golden("gif_animated.gif", _animated("GIF"), colors),
        Golden("webp_lossless.webp", encoded(colors, "WEBP", lossless=True), colors),
        Golden("webp_animated.webp", _animated("WEBP", lossless=True), colors),
        Golden("webp_alpha.webp", encoded(colors_with_alpha, "WEBP", lossless=True, exact=True), quarters(ON_WHITE)),
    )
