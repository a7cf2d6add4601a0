"""The one decoder, held against Pillow and against sums done by hand, eagerly and inside a data set alike."""

import io
import itertools
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from golden_pictures import Golden, encoded, golden_pictures, oriented, png_chunk, raw_png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cnntrain.config.sections import Data
from cnntrain.data.decoder import (
    Alpha,
    Interpolation,
    Preprocessing,
    Resize,
    decode,
    decode_as_stored,
    preprocessing_from_json,
    preprocessing_of,
)

Pixels = npt.NDArray[np.uint8]

SIZE = (20, 24)
RGBA: Pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 4), dtype=np.uint8)
RGB, GRAY = RGBA[..., :3], RGBA[..., 0]


def _decoded(content: bytes, height: int, width: int, channels: int, orientation: int = 1, **choices: Any) -> Pixels:
    """What the decoder gives, eagerly and inside a data set alike."""
    preprocessing = Preprocessing(height, width, channels, **choices)
    eager = decode(tf.constant(content), orientation, preprocessing)
    data = tf.data.Dataset.from_tensors((content, np.uint8(orientation)))
    data = data.map(lambda bytes_, number: decode(bytes_, number, preprocessing))
    assert data.element_spec == tf.TensorSpec((height, width, channels), tf.uint8)
    (mapped,) = data.as_numpy_iterator()
    assert eager.dtype == tf.uint8
    np.testing.assert_array_equal(eager.numpy(), mapped)
    return np.asarray(mapped)


def _eager(content: bytes, height: int, width: int, channels: int, **choices: Any) -> Pixels:
    """The same without the data set, where many pictures are tried: it takes long to build."""
    return np.asarray(decode(content, 1, Preprocessing(height, width, channels, **choices)))


def _gray(rows: list[list[int]]) -> bytes:
    return encoded(np.array(rows, np.uint8), "PNG")


def _as_pillow(pixels: Pixels, channels: int) -> Pixels:
    """Gray (height, width) or RGB pixels in 1 or 3 channels, converted by Pillow."""
    converted = Image.fromarray(pixels).convert("RGB" if channels == 3 else "L")
    return np.asarray(converted).reshape(*pixels.shape[:2], channels)


# kinds of files

GOLDEN = golden_pictures()


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_every_kind_of_file_gives_the_golden_pixels(golden: Golden) -> None:
    height, width, channels = golden.expected.shape
    found = _decoded(golden.content, height, width, channels, golden.orientation)
    assert np.abs(found.astype(int) - golden.expected).max() <= golden.tolerance


BITS = Image.fromarray(GRAY).convert("1")
PALETTE = Image.fromarray(RGB).quantize(16)

FILES: dict[str, tuple[bytes, Pixels]] = {
    "png rgb": (encoded(RGB, "PNG"), RGB),
    "png gray": (encoded(GRAY, "PNG"), GRAY),
    "png rgba": (encoded(RGBA, "PNG"), RGB),
    "png gray alpha": (encoded(np.ascontiguousarray(RGBA[..., :2]), "PNG"), GRAY),
    "png palette": (encoded(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB"))),
    "png palette alpha": (encoded(PALETTE, "PNG", transparency=3), np.asarray(PALETTE.convert("RGB"))),
    "png bits": (encoded(BITS, "PNG"), np.asarray(BITS.convert("L"))),
    "bmp rgb": (encoded(RGB, "BMP"), RGB),
    "bmp gray": (encoded(GRAY, "BMP"), GRAY),
    "bmp rgba": (encoded(RGBA, "BMP"), RGB),
    "bmp palette": (encoded(PALETTE, "BMP"), np.asarray(PALETTE.convert("RGB"))),
    "bmp bits": (encoded(BITS, "BMP"), np.asarray(BITS.convert("L"))),
    "gif palette": (encoded(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "gif gray": (encoded(GRAY, "GIF"), GRAY),
    "gif alpha": (encoded(PALETTE, "GIF", transparency=3), np.asarray(PALETTE.convert("RGB"))),
    "webp rgb": (encoded(RGB, "WEBP", lossless=True), RGB),
    "webp rgba": (encoded(RGBA, "WEBP", lossless=True, exact=True), RGB),
}


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", FILES)
def test_lossless_pictures_are_those_of_pillow(name: str, channels: int) -> None:
    content, pixels = FILES[name]
    np.testing.assert_array_equal(_decoded(content, *SIZE, channels, alpha="drop"), _as_pillow(pixels, channels))


@pytest.mark.parametrize("name", FILES)
def test_pictures_as_stored_have_the_channels_of_their_files(name: str) -> None:
    channels = {"rgb": 3, "gray": 1, "rgba": 4, "palette": 3, "bits": 1, "alpha": 4}[name.split()[-1]]
    # A BMP's fourth byte means nothing; a GIF of grays has a palette of any order.
    channels = {"png gray alpha": 2, "bmp rgba": 3, "gif gray": 3}.get(name, channels)
    stored = decode_as_stored(FILES[name][0])
    assert stored.dtype == tf.uint8
    assert tuple(stored.shape) == (*SIZE, channels)


@pytest.mark.parametrize(("color", "gray"), [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)])
def test_gray_is_the_luma_of_bt_601(color: tuple[int, int, int], gray: int) -> None:
    picture = np.full((2, 2, 3), color, np.uint8)
    assert np.unique(_decoded(encoded(picture, "PNG"), 2, 2, 1)).tolist() == [gray]


@pytest.mark.parametrize(("kind", "samples"), [(0, 1), (4, 2), (2, 3), (6, 4)])
def test_sixteen_bits_keep_their_upper_eight(kind: int, samples: int) -> None:
    pixels = np.random.default_rng(kind).integers(0, 65536, (*SIZE, samples), dtype=np.uint16)
    np.testing.assert_array_equal(decode_as_stored(raw_png(pixels, kind)), pixels // 256)


def _keyed_png(bits: int, kind: int, row: str, key: list[int], *, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG of one row, given in hexadecimal, in which one color stands for transparent."""
    samples = np.frombuffer(bytes.fromhex(row), np.uint8)
    width = samples.size * 8 // bits // (3 if kind == 2 else 1)
    header = struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0)
    transparent = png_chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" + samples.tobytes()))
    parts = png_chunk(b"IHDR", header), before, transparent, pixels, after, png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# bits a channel, color type, samples, the transparent ones, and alpha and upper eight bits of each pixel
KEYED: dict[str, tuple[int, int, str, list[int], list[list[int]]]] = {
    "gray of 1 bit": (1, 0, "6f", [0], [[v, v] for v in (0, 255, 255, 0, 255, 255, 255, 255)]),
    "gray of 2 bits": (2, 0, "1b", [2], [[0, 255], [85, 255], [170, 0], [255, 255]]),
    "gray of 4 bits": (4, 0, "015f", [5], [[0, 255], [17, 255], [85, 0], [255, 255]]),
    "gray of 8 bits": (8, 0, "070809", [8], [[7, 255], [8, 0], [9, 255]]),
    "gray of 16 bits": (16, 0, "1234 1235 1334", [0x1235], [[0x12, 255], [0x12, 0], [0x13, 255]]),
    "colors of 8 bits": (8, 2, "010203 010204", [1, 2, 4], [[1, 2, 3, 255], [1, 2, 4, 0]]),
    "colors of 16 bits": (
        16,
        2,
        "0001 0102 0203 0001 0102 0204",
        [1, 0x102, 0x203],
        [[0, 1, 2, 0], [0, 1, 2, 255]],
    ),
    "bits too many": (4, 0, "015f", [0xFFF5], [[0, 255], [17, 255], [85, 0], [255, 255]]),
}


@pytest.mark.parametrize("name", KEYED)
def test_one_color_of_a_png_stands_for_transparent_at_every_depth(name: str) -> None:
    bits, kind, row, key, wished = KEYED[name]
    content = _keyed_png(bits, kind, row, key)
    assert decode_as_stored(content).numpy().tolist() == [wished]
    on_black = [[v * (alpha == 255) for v in colors] for *colors, alpha in wished]
    found = _decoded(content, 1, len(wished), 3, alpha="black")
    assert found.tolist() == [[colors * (3 // len(colors)) for colors in on_black]]


NOT_KEYED = {
    "its name in a remark": _keyed_png(8, 0, "0708", [], before=png_chunk(b"tEXt", b"a\0tRNS\0\7")),
    "after the pixels": _keyed_png(8, 0, "0708", [], after=png_chunk(b"tRNS", b"\0\7")),
    "too long": _keyed_png(8, 0, "0708", [7, 7, 7]),
    "too short": _keyed_png(8, 0, "0708", [], before=png_chunk(b"tRNS", b"\7")),
}


@pytest.mark.parametrize("name", NOT_KEYED)
def test_what_names_no_transparent_color_leaves_a_png_as_it_is(name: str) -> None:
    assert decode_as_stored(NOT_KEYED[name]).numpy().tolist() == [[[7], [8]]]


def _bmp(width: int, height: int, bits: int, compression: int, palette: bytes, data: bytes) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0)
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + palette + data


def test_a_bmp_that_is_run_length_encoded() -> None:
    palette = bytes([30, 20, 10, 0, 50, 100, 200, 0])  # blue, green, red
    runs = bytes([3, 1, 0, 0, 1, 0, 2, 1, 0, 1])  # from below: three of 1, end of line; one of 0, two of 1, end
    first, second = [10, 20, 30], [200, 100, 50]
    stored = decode_as_stored(_bmp(3, 2, 8, 1, palette, runs))
    assert stored.numpy().tolist() == [[first, second, second], [second, second, second]]


@pytest.mark.parametrize("control", [b"", b"\x21\xf9\x04\x01\0\0\0\0"], ids=["opaque", "first color transparent"])
def test_a_gif_whose_frame_does_not_cover_it(control: bytes) -> None:
    # A screen of 3 × 1 with the frame at the second pixel; clear (4), color 1 and end (5) in three bits each.
    head = b"GIF89a" + struct.pack("<HHBBB", 3, 1, 0x80, 0, 0) + bytes([10, 20, 30, 200, 100, 50])
    content = (
        head + control + b"\x2c" + struct.pack("<HHHHB", 1, 0, 1, 1, 0) + bytes([2, 2, 0b01_001_100, 0b1, 0, 0x3B])
    )
    uncovered = [10, 20, 30, 0] if control else [10, 20, 30]
    covered = [200, 100, 50, 255] if control else [200, 100, 50]
    assert decode_as_stored(content).numpy().tolist() == [[uncovered, covered, uncovered]]


def _frames() -> tuple[Image.Image, list[Image.Image]]:
    first, *later = [Image.fromarray(np.full((*SIZE, 3), level, np.uint8)) for level in (10, 200, 90)]
    return first, later


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(kind: str, mode: str) -> None:
    first, later = _frames()
    frames = [frame.convert(mode) for frame in later]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(first.convert(mode), kind, save_all=True, append_images=frames, **options)
    assert np.unique(_decoded(content, *SIZE, 3)).tolist() == [10]
    for _ in range(5):  # TensorFlow alone breaks its heap with the WebP
        assert np.unique(_eager(content, *SIZE, 3)).tolist() == [10]


@pytest.mark.parametrize("kind", ["BMP", "GIF", "WEBP"])
def test_pillow_does_not_warn_of_large_pictures(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, later = _frames()
    content = encoded(first, kind, **({} if kind == "BMP" else {"save_all": True, "append_images": later}))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIZE[0] * SIZE[1] - 1)
    assert tuple(decode_as_stored(content).shape) == (*SIZE, 3)


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("channels", [3, 1])
def test_jpeg_is_near_pillow(channels: int, subsampling: int) -> None:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    smooth = np.stack([rows * 12, columns * 10, (rows + columns) * 5], axis=-1).astype(np.uint8)
    content = encoded(smooth, "JPEG", quality=90, subsampling=subsampling)
    wished = _as_pillow(np.asarray(Image.open(io.BytesIO(content))), channels).astype(int)
    difference = np.abs(_decoded(content, *SIZE, channels) - wished)
    assert difference.max() <= 5  # TensorFlow takes the fast discrete cosine transform
    assert difference.mean() <= 1.5


def test_gray_jpeg_in_three_channels() -> None:
    content = encoded(np.full(SIZE, 77, np.uint8), "JPEG")
    np.testing.assert_array_equal(_decoded(content, *SIZE, 3), np.full((*SIZE, 3), 77))


def _cmyk_jpeg() -> bytes:
    inks = bytes([10, 60, 120, 80]) * 256
    return encoded(Image.frombytes("CMYK", (16, 16), inks), "JPEG", quality=95)


def test_a_ycck_jpeg_is_that_of_pillow() -> None:
    content = bytearray(_cmyk_jpeg())
    content[content.index(b"Adobe") + 11] = 2  # the transform: YCCK instead of CMYK
    wished = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    assert np.abs(_decoded(bytes(content), 16, 16, 3) - wished).max() <= 2


def test_a_cmyk_jpeg_that_is_not_adobes_is_not_inverted() -> None:
    content = _cmyk_jpeg()  # stored are 245, 195, 135 and 175
    start = content.index(b"\xff\xee")
    plain = content[:start] + content[start + 2 + int.from_bytes(content[start + 2 : start + 4]) :]
    wished = [(255 - ink) * (255 - 175) / 255 for ink in (245, 195, 135)]
    assert np.abs(_decoded(plain, 16, 16, 3) - wished).max() <= 2


def test_real_photos_are_near_pillow(test_data: Path) -> None:
    with zipfile.ZipFile(test_data / "data" / "dogs-vs-cats-4000.zip") as archive:
        photos = [archive.read(name) for name in archive.namelist() if name.endswith(".jpg")][::200]
    assert len(photos) == 20
    for content in photos:
        wished = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        found = decode(tf.constant(content), 1, Preprocessing(*wished.shape)).numpy()
        assert np.abs(found - wished).max() <= 8
        assert np.abs(found - wished).mean() <= 1.5


# damaged files

FIRST, LATER = _frames()
MOVING = encoded(FIRST, "WEBP", save_all=True, append_images=LATER, lossless=True)
DAMAGED = {
    "nothing": (b"", "empty"),
    "text": (b"no picture\nat all", "Unknown image file format"),
    "cut jpeg": (encoded(RGB, "JPEG")[:-40], "Uncompress failed"),
    "cut png": (encoded(RGB, "PNG")[:-30], "Invalid PNG"),
    "cut bmp": (encoded(RGB, "BMP")[:-30], "image file is truncated"),
    "cut gif": (encoded(PALETTE, "GIF")[:-30], "image file is truncated"),
    "cut webp": (MOVING[:-30], "could not create decoder object"),
    "head of a bmp": (b"BM", "damaged BMP, GIF or WebP"),
    "head of a gif": (b"GIF89a", "damaged BMP, GIF or WebP"),
    "head of a webp": (MOVING[:21], "could not create decoder object"),
    "huge bmp": (_bmp(60_000, 60_000, 24, 0, b"", b""), "60000 x 60000 pixels are more than 178956970"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_one_kind_of_error_with_a_short_reason(name: str) -> None:
    content, reason = DAMAGED[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason) as eager:
        decode_as_stored(content)
    data = tf.data.Dataset.from_tensors(content).map(lambda bytes_: decode(bytes_, 1, Preprocessing(8, 8, 3)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason) as mapped:
        list(data)
    for caught in (eager, mapped):
        assert "Traceback" not in caught.value.message
        assert len(caught.value.message) < 500


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([encoded(PALETTE, "BMP"), encoded(PALETTE, "GIF", transparency=3), MOVING]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0.2, 1),
)
def test_a_mutated_file_is_a_picture_or_an_error(content: bytes, changes: list[tuple[float, int]], part: float) -> None:
    mutated = bytearray(content[: round(len(content) * part)])
    for place, value in changes:
        mutated[int(place * min(len(mutated), 400))] = value
    mutated[: len(content[:4])] = content[:4]
    try:
        stored = decode_as_stored(bytes(mutated))
    except tf.errors.InvalidArgumentError:
        return
    assert stored.dtype == tf.uint8
    assert stored.shape[2] in (1, 2, 3, 4)


# alpha

# Two pixels: the first (100, 200, 40) with the given alpha, the second opaque and black.
TWO = np.array([[[100, 200, 40, 0], [0, 0, 0, 255]]], np.uint8)


def _two(alpha: int) -> Pixels:
    pixels = TWO.copy()
    pixels[0, 0, 3] = alpha
    return pixels


def _two_in_a_palette(kind: str) -> bytes:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([100, 200, 40, 0, 0, 0])
    return encoded(picture, kind, transparency=0)


SEE_THROUGH: dict[str, bytes] = {
    "png": encoded(_two(0), "PNG"),
    "png of 16 bits": raw_png(_two(0).astype(np.uint16) * 257, 6),
    "png palette": _two_in_a_palette("PNG"),
    "png of a transparent color": raw_png(TWO[..., :3], 2, more=png_chunk(b"tRNS", struct.pack(">3H", 100, 200, 40))),
    "gif": _two_in_a_palette("GIF"),
    "webp": encoded(_two(0), "WEBP", lossless=True, exact=True),
}
BELOW: dict[Alpha, list[int]] = {"white": [255, 255, 255], "black": [0, 0, 0], "drop": [100, 200, 40]}


@pytest.mark.parametrize("alpha", BELOW)
@pytest.mark.parametrize("name", SEE_THROUGH)
def test_what_shows_through_where_nothing_is(name: str, alpha: Alpha) -> None:
    assert _decoded(SEE_THROUGH[name], 1, 2, 3, alpha=alpha).tolist() == [[BELOW[alpha], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("alpha", "wished"),
    [
        ("white", [(40 + 153), (80 + 153), (16 + 153)]),  # 0.4 of the color and 0.6 of 255
        ("black", [40, 80, 16]),
        ("drop", [100, 200, 40]),
    ],
)
def test_what_shows_through_a_veil(alpha: Alpha, wished: list[int]) -> None:
    content = encoded(_two(102), "PNG")  # 102 is 0.4 of 255
    assert _decoded(content, 1, 2, 3, alpha=alpha)[0, 0].tolist() == wished


@pytest.mark.parametrize(("background", "alpha"), [(255, "white"), (0, "black")])
def test_every_alpha_of_every_gray_is_rounded(background: int, alpha: Alpha) -> None:
    pixels = np.stack(np.meshgrid(np.arange(256), np.arange(256), indexing="ij"), axis=-1).astype(np.uint8)
    opacity = pixels[..., 1] / 255
    wished = np.round(pixels[..., 0] * opacity + background * (1 - opacity))
    np.testing.assert_array_equal(_decoded(encoded(pixels, "PNG"), 256, 256, 1, alpha=alpha)[..., 0], wished)


def test_alpha_is_composed_before_resizing() -> None:
    content = encoded(_two(0), "PNG")
    assert _decoded(content, 1, 1, 3).tolist() == [[[128, 128, 128]]]  # the mean of white and black, and no green


# orientation


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(orientation: int, channels: int) -> None:
    content = oriented(RGB[:5, :7], "PNG", orientation)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert upright.shape == ((5, 7, 3) if orientation < 5 else (7, 5, 3))
    found = _decoded(content, *upright.shape[:2], channels, orientation)
    np.testing.assert_array_equal(found, _as_pillow(upright, channels))


TURNED = {
    1: [[1, 2], [3, 4]],
    2: [[2, 1], [4, 3]],
    3: [[4, 3], [2, 1]],
    4: [[3, 4], [1, 2]],
    5: [[1, 3], [2, 4]],
    6: [[3, 1], [4, 2]],
    7: [[4, 2], [3, 1]],
    8: [[2, 4], [1, 3]],
}


@pytest.mark.parametrize("orientation", TURNED)
def test_four_pixels_turned(orientation: int) -> None:
    content = _gray([[1, 2], [3, 4]])
    assert _decoded(content, 2, 2, 1, orientation)[..., 0].tolist() == TURNED[orientation]


def test_a_picture_is_turned_before_it_is_fitted() -> None:
    content = _gray([[1, 2, 3, 4]])  # 6 makes it a column
    assert _decoded(content, 2, 1, 1, 6, resize="crop")[..., 0].tolist() == [[2], [3]]
    assert _decoded(content, 4, 3, 1, 6, resize="pad")[..., 0].tolist() == [[0, n, 0] for n in (1, 2, 3, 4)]


# fitting


def test_stretching_changes_the_aspect_ratio() -> None:
    content = _gray([[10, 10, 50, 50], [30, 30, 70, 70]])
    assert _decoded(content, 2, 2, 1, interpolation="area")[..., 0].tolist() == [[10, 50], [30, 70]]


CROPS: dict[str, tuple[list[list[int]], tuple[int, int], list[list[int]]]] = {
    "4 to 2 columns": ([[1, 2, 3, 4], [5, 6, 7, 8]], (2, 2), [[2, 3], [6, 7]]),
    "3 to 2 columns, the odd one on the right": ([[1, 2, 3], [5, 6, 7]], (2, 2), [[1, 2], [5, 6]]),
    "4 to 2 rows": ([[1, 5], [2, 6], [3, 7], [4, 8]], (2, 2), [[2, 6], [3, 7]]),
    "3 to 2 rows, the odd one below": ([[1, 5], [2, 6], [3, 7]], (2, 2), [[1, 5], [2, 6]]),
    "5 to 2 2/3, rounded to 3 columns": ([[1, 2, 3, 4, 5]] * 2, (3, 4), [[2, 3, 3, 4]] * 3),
    "5 to 2 1/2, rounded to 3 columns": ([[1, 2, 3, 4, 5]] * 5, (6, 3), [[2, 3, 4]] * 6),
    "the same size": ([[1, 2], [3, 4]], (2, 2), [[1, 2], [3, 4]]),
    "then enlarged": ([[1, 2, 3, 4], [5, 6, 7, 8]], (4, 4), [[2, 2, 3, 3]] * 2 + [[6, 6, 7, 7]] * 2),
    "never less than one pixel": ([[7, 8, 9]], (100, 1), [[8]] * 100),
}


@pytest.mark.parametrize("name", CROPS)
def test_cropping_keeps_the_largest_window_in_the_middle(name: str) -> None:
    rows, size, wished = CROPS[name]
    found = _decoded(_gray(rows), *size, 1, resize="crop", interpolation="nearest")[..., 0]
    assert found.tolist() == wished


PADS: dict[str, tuple[list[list[int]], tuple[int, int], list[list[int]]]] = {
    "2 rows to 4": ([[1, 2, 3, 4], [5, 6, 7, 8]], (4, 4), [[0] * 4, [1, 2, 3, 4], [5, 6, 7, 8], [0] * 4]),
    "2 columns to 4": ([[1, 2], [3, 4], [5, 6], [7, 8]], (4, 4), [[0, a, a + 1, 0] for a in (1, 3, 5, 7)]),
    "an odd row below": ([[1, 2, 3], [4, 5, 6]], (3, 3), [[1, 2, 3], [4, 5, 6], [0, 0, 0]]),
    "an odd column on the right": ([[1, 2], [3, 4], [5, 6]], (3, 3), [[1, 2, 0], [3, 4, 0], [5, 6, 0]]),
    "the same size": ([[1, 2], [3, 4]], (2, 2), [[1, 2], [3, 4]]),
    "enlarged": ([[1, 2]], (4, 4), [[0] * 4, [1, 1, 2, 2], [1, 1, 2, 2], [0] * 4]),
    "shrunk to 1 1/2, rounded to 2 rows": ([[9] * 8] * 4, (5, 3), [[0] * 3, [9] * 3, [9] * 3, [0] * 3, [0] * 3]),
    "never less than one pixel": ([[9]] * 300, (3, 3), [[0, 9, 0]] * 3),
}


@pytest.mark.parametrize("name", PADS)
def test_padding_keeps_all_of_it_in_the_middle_of_black(name: str) -> None:
    rows, size, wished = PADS[name]
    found = _decoded(_gray(rows), *size, 1, resize="pad", interpolation="nearest")[..., 0]
    assert found.tolist() == wished


SIDE = st.integers(1, 40)


@settings(max_examples=15, deadline=None)
@given(SIDE, SIDE, st.integers(1, 25), st.integers(1, 25))
def test_a_padded_picture_has_edges_on_two_sides_at_most(
    stored_height: int, stored_width: int, height: int, width: int
) -> None:
    content = encoded(np.full((stored_height, stored_width), 200, np.uint8), "PNG")
    inside = _eager(content, height, width, 1, resize="pad")[..., 0] == 200
    inner_height, inner_width = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert inside.sum() == inner_height * inner_width
    assert inner_height == height or inner_width == width
    scale = min(height / stored_height, width / stored_width)
    assert abs(inner_height - max(1, stored_height * scale)) <= 0.5
    assert abs(inner_width - max(1, stored_width * scale)) <= 0.5
    above, left = inside.any(axis=1).argmax(), inside.any(axis=0).argmax()
    assert (above, left) == ((height - inner_height) // 2, (width - inner_width) // 2)


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize("size", [(10, 12), (40, 48)])
def test_all_ways_are_one_where_the_aspect_ratio_fits(size: tuple[int, int], interpolation: Interpolation) -> None:
    content = encoded(RGB, "PNG")
    found = [_eager(content, *size, 3, resize=way, interpolation=interpolation) for way in get_args(Resize)]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize("resize", get_args(Resize))
def test_a_picture_that_has_the_size_is_not_touched(resize: Resize, interpolation: Interpolation) -> None:
    found = _eager(encoded(RGB, "PNG"), *SIZE, 3, resize=resize, interpolation=interpolation)
    np.testing.assert_array_equal(found, RGB)


# interpolation


def test_enlarging_is_bilinear_with_half_pixel_centers() -> None:
    # Centers of the four lie at -1/4 (taken as 0), 1/4, 3/4 and 5/4 (taken as 1) of the two.
    found = _decoded(_gray([[0, 100], [200, 60]]), 4, 4, 1)[..., 0]
    assert found.tolist() == [[0, 25, 75, 100], [50, 60, 80, 90], [150, 130, 90, 70], [200, 165, 95, 60]]


def test_shrinking_weighs_by_a_triangle_of_twice_the_width() -> None:
    # To half the side the weights are 3/7, 3/7, 1/7, 0 and 0, 1/7, 3/7, 3/7.
    picture = np.zeros((4, 4), np.uint8)
    picture[0, 0], picture[2, 1] = 245, 196
    found = _decoded(encoded(picture, "PNG"), 2, 2, 1)[..., 0]
    assert found.tolist() == [[45 + 12, 4], [36, 12]]


def _weights(stored: int, wished: int) -> npt.NDArray[np.float64]:
    """The (wished, stored) weights of a triangle filter, as wide as a pixel of the coarser side."""
    scale = stored / wished
    centers = (np.arange(wished)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(stored) + 0.5 - centers) / max(scale, 1))
    return weights / weights.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def _shares(stored: int, wished: int) -> npt.NDArray[np.float64]:
    """The (wished, stored) shares that each stored pixel has of each wished one."""
    scale = stored / wished
    first, pixel = np.arange(wished)[:, None] * scale, np.arange(stored)
    covered = np.minimum(first + scale, pixel + 1) - np.maximum(first, pixel)
    return np.maximum(0, covered) / scale  # type: ignore[no-any-return]


WEIGHTS: dict[Interpolation, Callable[[int, int], npt.NDArray[np.float64]]] = {"bilinear": _weights, "area": _shares}


@settings(max_examples=20, deadline=None)
@given(SIDE, SIDE, st.integers(1, 25), st.integers(1, 25), st.sampled_from([1, 3]), st.sampled_from(list(WEIGHTS)))
def test_any_size_follows_the_filter(
    stored_height: int, stored_width: int, height: int, width: int, channels: int, interpolation: Interpolation
) -> None:
    random = np.random.default_rng(stored_height * 41 + stored_width)
    picture = random.integers(0, 256, (stored_height, stored_width, 3), dtype=np.uint8)
    picture = picture if channels == 3 else picture[..., 0]
    weights = WEIGHTS[interpolation]
    exact = weights(stored_height, height) @ picture.reshape(stored_height, -1).astype(np.float64)
    exact = exact.reshape(height, stored_width, channels).swapaxes(1, 2) @ weights(stored_width, width).T
    found = _eager(encoded(picture, "PNG"), height, width, channels, interpolation=interpolation)
    assert np.abs(found - exact.swapaxes(1, 2)).max() <= 0.5 + 1e-3


PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos3": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
SIZES = [(name, (10, 8)) for name in PILLOW] + [
    (name, size) for name in ("bilinear", "bicubic", "lanczos3") for size in ((7, 11), (20, 5), (3, 24))
]


@pytest.mark.parametrize(("interpolation", "size"), SIZES)
def test_shrinking_is_that_of_pillow(interpolation: Any, size: tuple[int, int]) -> None:
    found = _decoded(encoded(RGB, "PNG"), *size, 3, interpolation=interpolation).astype(int)
    wished = np.asarray(Image.fromarray(RGB).resize(size[::-1], PILLOW[interpolation])).astype(int)
    limit = 0 if interpolation == "nearest" else 2  # Pillow rounds between the two directions
    assert np.abs(found - wished).max() <= limit
    assert np.abs(found - wished).mean() <= 0.5


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3"])
def test_enlarging_is_that_of_pillow(interpolation: Any) -> None:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    smooth = np.stack([20 + rows * 8, 30 + columns * 7, 90 + rows + columns], axis=-1).astype(np.uint8)
    found = _decoded(encoded(smooth, "PNG"), 33, 50, 3, interpolation=interpolation).astype(int)
    wished = np.asarray(Image.fromarray(smooth).resize((50, 33), PILLOW[interpolation])).astype(int)
    assert np.abs(found - wished).max() <= 1


def test_the_nearest_pixel_is_that_of_half_pixel_centers() -> None:
    row = list(range(10))
    assert _decoded(_gray([row]), 1, 4, 1, interpolation="nearest").ravel().tolist() == [1, 3, 6, 8]


@pytest.mark.parametrize("interpolation", ["bicubic", "lanczos3"])
def test_what_a_filter_overshoots_is_clipped(interpolation: Interpolation) -> None:
    content = _gray([[0] * 8 + [255] * 8] * 4)
    found = _decoded(content, 4, 64, 1, interpolation=interpolation)[0, :, 0].astype(int)
    assert found[:24].max() < 60  # a value below 0 or above 255 that wraps around would be on the other side
    assert found[40:].min() > 195


# what is noted for others


@pytest.mark.parametrize(("color", "channels"), [("rgb", 3), ("grayscale", 1)])
def test_the_configuration_says_how(color: Any, channels: int) -> None:
    plain = preprocessing_of(Data(source="x", image_size=(30, 40), color=color))
    assert plain == Preprocessing(30, 40, channels, resize="stretch", interpolation="bilinear", alpha="white")
    assert plain.shape == (30, 40, channels)
    chosen = preprocessing_of(
        Data(source="x", image_size=(30, 40), color=color, resize="pad", interpolation="area", alpha="drop")
    )
    assert chosen == Preprocessing(30, 40, channels, resize="pad", interpolation="area", alpha="drop")


def test_the_choices_are_those_of_the_configuration() -> None:
    for name, choices in {"resize": Resize, "interpolation": Interpolation, "alpha": Alpha}.items():
        assert get_args(Data.model_fields[name].annotation) == get_args(choices)


@pytest.mark.parametrize(
    "choices", list(itertools.product([1, 3], get_args(Resize), get_args(Interpolation), get_args(Alpha)))
)
def test_preprocessing_is_noted_and_read_again(choices: tuple[Any, ...]) -> None:
    wished = Preprocessing(30, 40, *choices)
    noted = json.loads(json.dumps(wished.to_json()))
    assert noted["format"] == 1
    assert noted["color"] == ("rgb" if choices[0] == 3 else "grayscale")
    assert preprocessing_from_json(noted) == wished


def _steps(**choices: Any) -> str:
    return "\n".join(Preprocessing(30, 40, **{"channels": 3, **choices}).to_json()["steps"])


def test_the_steps_are_those_of_the_choices() -> None:
    assert "(color * alpha + 255 * (255 - alpha)) / 255" in _steps()
    assert "+ 0 * (255 - alpha)" in _steps(alpha="black")
    assert "value // 256" in _steps()
    assert "19595 * red" in _steps(channels=1)
    assert "window" not in _steps()
    assert "aspect ratio 30 : 40" in _steps(resize="crop")
    assert "fits into 30 x 40" in _steps(resize="pad")
    for interpolation in ("bilinear", "bicubic", "lanczos3"):
        assert "antialiasing" in _steps(interpolation=interpolation)
    texts = {_steps(resize=r, interpolation=i) for r in get_args(Resize) for i in get_args(Interpolation)}
    assert len(texts) == 15


NO_PREPROCESSING: list[tuple[dict[str, Any], type[Exception]]] = [
    *[({name: None}, TypeError) for name in ("height", "width", "channels")],
    ({"height": 30.0}, TypeError),
    ({"channels": True}, TypeError),
    ({"channels": 4}, ValueError),
    ({"width": 0}, ValueError),
    ({"format": 2}, ValueError),
    *[({name: "else"}, ValueError) for name in ("resize", "interpolation", "alpha")],
    ({"alpha": ["white"]}, ValueError),
]


@pytest.mark.parametrize(("change", "error"), NO_PREPROCESSING)
def test_something_else_is_no_preprocessing(change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        preprocessing_from_json({**Preprocessing(30, 40, 3).to_json(), **change})


@pytest.mark.parametrize("name", ["format", "height", "width", "channels", "resize", "interpolation", "alpha"])
def test_preprocessing_is_complete(name: str) -> None:
    noted = Preprocessing(30, 40, 3).to_json()
    del noted[name]
    with pytest.raises(KeyError):
        preprocessing_from_json(noted)
