"""The look at a file: what its header says, what is wrong with it, what is remembered; and the hashes of a data set."""

import hashlib
import io
import os
import sqlite3
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnntrain.data import rules
from cnntrain.data.examples import Example
from cnntrain.data.fingerprint import fingerprint, split_hashes
from cnntrain.data.scanning import look_at, remembered
from cnntrain.data.scanning.header import Header, Trait, read_header
from cnntrain.data.scanning.look import Look, look, look_closer
from cnntrain.data.scanning.look_at import look_at_all
from cnntrain.data.scanning.similarity import signature

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 1_000_000
RANDOM = np.random.default_rng(0)
HEIGHT, WIDTH = 40, 56
RGBA: Pixels = np.asarray(
    Image.fromarray(RANDOM.integers(0, 256, (5, 7, 4), dtype=np.uint8)).resize(
        (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    )
)
RGB, GRAY = Image.fromarray(RGBA[..., :3]), Image.fromarray(RGBA[..., 0])


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _look(content: bytes) -> Look:
    return look(content, max_pixels=MAX_PIXELS)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(width: int, height: int, packed: bytes, *others: bytes) -> bytes:
    """A gray PNG of 8 bits with these compressed pixels, and other chunks before them."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(others) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _jpeg_of_zeros(sampling: bytes) -> bytes:
    """A gray-looking color JPEG of 32 × 32 whose every block is the code 00, with any sampling of its components.

    Both Huffman tables hold one code of one bit, for no difference of the mean and for the end of a block.
    """
    factors = [(size >> 4, size & 15) for size in sampling]
    wide, high = (8 * max(sides) for sides in zip(*factors, strict=True))
    blocks = -(-32 // wide) * -(-32 // high) * sum(across * down for across, down in factors)
    tables = b"".join(bytes([0xFF, 0xC4, 0, 20, kind, 1, *[0] * 15, 0]) for kind in (0x00, 0x10))
    components = b"".join(bytes([number, size, 0]) for number, size in enumerate(sampling, start=1))
    frame = bytes([0xFF, 0xC0, 0, 17, 8, 0, 32, 0, 32, 3]) + components
    scan = bytes([0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0])
    quantization = bytes([0xFF, 0xDB, 0, 67, 0, *[1] * 64])
    bits = f"{'00' * blocks:1<{-(-blocks // 4) * 8}}"
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return b"\xff\xd8" + quantization + frame + tables + scan + packed + b"\xff\xd9"


# 24 × 32 gray pixels by cjpeg -arithmetic
ARITHMETIC = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb0043000d090a0b0a080d0b0a0b0e0e0d0f13201513121213271c1e17202e2931302e"
    "292d2c333a4a3e333646372c2d405741464c4e525352323e5a615a50604a51524fffc9000b080018002001011100ffcc000600101005ffda"
    "0008010100003f00ff0097933629fb8b3da5d815c05b6b321ee91b9988e2107df035ae37bb642a9236b35426c282ffd9"
)

# what a header says

SIXTEEN = Image.fromarray(np.asarray(GRAY).astype(np.uint16) * 257)
FRAMES: dict[str, Any] = {"save_all": True, "append_images": [GRAY.convert("RGB")]}
HEADERS: dict[str, tuple[bytes, str, tuple[Trait, ...]]] = {
    "jpeg": (_saved(RGB, "JPEG"), "jpeg", ()),
    "progressive jpeg": (_saved(RGB, "JPEG", progressive=True), "jpeg", ()),
    "gray jpeg": (_saved(GRAY, "JPEG"), "jpeg", ("grayscale",)),
    "cmyk jpeg": (_saved(RGB.convert("CMYK"), "JPEG"), "jpeg", ("cmyk",)),
    "jpeg and another (MPO)": (_saved(RGB, "MPO", save_all=True, append_images=[RGB]), "jpeg", ()),
    "png": (_saved(RGB, "PNG"), "png", ()),
    "png with alpha": (_saved(Image.fromarray(RGBA), "PNG"), "png", ("alpha",)),
    "gray png with alpha": (_saved(GRAY.convert("LA"), "PNG"), "png", ("alpha", "grayscale")),
    "png with a transparent color": (_saved(RGB, "PNG", transparency=(1, 2, 3)), "png", ("alpha",)),
    "png with a palette": (_saved(RGB.quantize(8), "PNG"), "png", ("palette",)),
    "png of 16 bits": (_saved(SIXTEEN, "PNG"), "png", ("16_bit", "grayscale")),
    "animated png": (_saved(RGB, "PNG", **FRAMES), "png", ("animated",)),
    "bmp": (_saved(RGB, "BMP"), "bmp", ()),
    "bmp with a palette": (_saved(RGB.quantize(8), "BMP"), "bmp", ("palette",)),
    "gif": (_saved(RGB.quantize(8), "GIF"), "gif", ("palette",)),
    "gif with a transparent color": (_saved(RGB.quantize(8), "GIF", transparency=3), "gif", ("alpha", "palette")),
    "animated gif": (_saved(RGB.quantize(8), "GIF", **FRAMES), "gif", ("animated", "palette")),
    "webp": (_saved(RGB, "WEBP"), "webp", ()),
    "lossless webp": (_saved(RGB, "WEBP", lossless=True), "webp", ()),
    "lossless webp with alpha": (_saved(Image.fromarray(RGBA), "WEBP", lossless=True), "webp", ("alpha",)),
    "webp with alpha": (_saved(Image.fromarray(RGBA), "WEBP"), "webp", ("alpha",)),
    "animated webp": (_saved(RGB, "WEBP", **FRAMES), "webp", ("animated",)),
}


JPEG, PNG = HEADERS["jpeg"][0], HEADERS["png"][0]
SCAN = JPEG.index(b"\xff\xda")


@pytest.mark.parametrize("name", HEADERS)
def test_a_good_picture_is_known_by_its_content(name: str) -> None:
    content, kind, traits = HEADERS[name]
    found = _look(content)
    assert found.signature
    assert found == Look(
        hashlib.sha256(content).hexdigest(), kind, HEIGHT, WIDTH, traits=traits, signature=found.signature
    )


def test_an_upside_down_bmp_has_a_height_too() -> None:
    content = bytearray(_saved(RGB, "BMP"))
    content[22:26] = struct.pack("<i", -HEIGHT)
    assert (_look(bytes(content)).height, _look(bytes(content)).fault) == (HEIGHT, "")


def _exif(orientation: int, order: str) -> bytes:
    """EXIF with another entry before the orientation."""
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, 2)
    entries = struct.pack(f"{order}HHII", 0x0100, 4, 1, WIDTH) + struct.pack(
        f"{order}HHIHH", 0x0112, 3, 1, orientation, 0
    )
    return b"Exif\0\0" + start + entries + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_read(kind: str, orientation: int, order: str) -> None:
    found = _look(_saved(RGB, kind, exif=_exif(orientation, order)))
    assert found.orientation == (orientation if 1 <= orientation <= 8 else 1)
    assert (found.height, found.width, found.fault) == (HEIGHT, WIDTH, "")


@pytest.mark.parametrize(
    ("blocks", "orientation"),
    [((1, 6), 1), ((3, 6), 3), ((9, 6), 1), ((None, 6), 6), ((None, None), 1), ((6, None), 6)],
)
@pytest.mark.parametrize("place", [2, "scan"])
def test_the_first_block_of_exif_with_an_orientation_counts(
    blocks: tuple[int | None, ...], orientation: int, place: int | str
) -> None:
    """Also right before the pixels, where Pillow takes it, too."""
    exif = [_exif(number, "<") if number else b"Exif\0\0II*\0\x08\0\0\0\0\0" for number in blocks]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block for block in exif)
    at = SCAN if place == "scan" else 2
    content = JPEG[:at] + segments + JPEG[at:]
    assert (_look(content).orientation, _look(content).fault) == (orientation, "")
    if blocks[0] in range(1, 9):
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.getexif()[0x0112] == orientation


def test_exif_of_a_png_may_have_the_prefix_of_a_jpeg() -> None:
    content = _png(4, 4, zlib.compress(bytes(20)), _chunk(b"eXIf", _exif(6, ">")))
    assert _look(content).orientation == 6


@given(st.integers(0, 60), st.binary(max_size=8))
@settings(max_examples=50, deadline=None)
def test_broken_exif_turns_nothing(length: int, rest: bytes) -> None:
    content = _png(4, 4, zlib.compress(bytes(20)), _chunk(b"eXIf", _exif(6, "<")[6:][:length] + rest))
    assert 1 <= _look(content).orientation <= 8
    assert _look(content).fault == ""


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,  # stored so that turning it by 270 degrees, clockwise by 90, makes it upright
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_the_signature_is_that_of_the_upright_picture(orientation: int) -> None:
    stored = RGB.transpose(TURNS[orientation])
    assert _look(_saved(stored, "PNG")).signature != _look(_saved(RGB, "PNG")).signature
    turned = _look(_saved(stored, "PNG", exif=_exif(orientation, ">")))
    assert turned.signature == _look(_saved(RGB, "PNG")).signature


def test_the_signature_is_of_what_shows_on_white() -> None:
    """Large enough that it is reduced, to means over blocks of 2 × 2."""
    pixels = RANDOM.integers(0, 256, (96, 128, 4), dtype=np.uint8)
    white = Image.new("RGBA", (128, 96), "white")
    white.alpha_composite(Image.fromarray(pixels))
    red, green, blue = np.moveaxis(np.asarray(white.convert("RGB")).astype(np.float64), 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    means = luma.reshape(48, 2, 64, 2).mean(axis=(1, 3))
    found = np.frombuffer(_look(_saved(Image.fromarray(pixels), "PNG")).signature, np.int8).astype(int)
    expected = np.frombuffer(signature(np.rint(means).astype(np.uint8)), np.int8).astype(int)
    assert np.abs(found - expected).max() <= 3  # of 127; Pillow and we round differently


@pytest.mark.parametrize("size", [(31, 80), (80, 31)])
def test_tiny_pictures_have_no_signature(size: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG"):
        found = _look(_saved(RGB.resize(size), kind))
        assert (found.fault, found.signature) == ("", b"")


# faults

NO_PICTURES = {
    b"no picture\nat all": "text",
    "schöne Grüße".encode(): "text",
    b"\xef\xbb\xbf <!DOCTYPE HTML><p>404": "a web page",
    b"<svg xmlns=": "an SVG drawing",
    b"%PDF-1.7\n": "a PDF",
    b"II*\0\x08\0\0\0": "a TIFF",
    b"\0\0\0\x1cftypheic\0\0\0\0": "a HEIC",
    b"\0\0\0\x1cftypavif\0\0\0\0": "an AVIF",
    b"\0\0\0\x1cftypisom\0\0\0\0": "a",
    b"RIFF\x24\0\0\0WAVEfmt ": "an AVI film or a WAV",
    b"PK\x03\x04\x14\0": "a ZIP",
    bytes(100): "nothing but zeros",
    b"\x80\x81\x82\x83": "no kind of picture",
    b"\x89PNG\r\n": "no kind of picture",
    b"\xff\xd8": "no kind of picture",
}


@pytest.mark.parametrize("content", NO_PICTURES)
def test_what_is_no_picture_is_called_what_it_seems_to_be(content: bytes) -> None:
    found = _look(content)
    assert found == Look(hashlib.sha256(content).hexdigest(), fault="not_a_picture", problem=found.problem)
    assert found.problem.startswith(f"it is {NO_PICTURES[content]}")


def _cut(name: str, length: int) -> bytes:
    return HEADERS[name][0][:length]


PALETTE_CHECKSUM = struct.pack(">I", zlib.crc32(PNG[12:25] + b"\3\0\0\0"))
ADLER = zlib.compress(bytes(20))[:-1] + b"\x7f"
FAULTS: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "empty", "zero bytes"),
    "jpeg without its end": (JPEG[:-2], "undecodable", "Premature end of JPEG file"),
    "jpeg cut in half": (JPEG[: len(JPEG) // 2], "undecodable", "Premature end of JPEG file"),
    "jpeg cut in its header": (JPEG[:30], "undecodable", "ends within its header"),
    "jpeg without a frame": (JPEG[:20] + JPEG[SCAN:], "undecodable", "lacks the header"),
    "jpeg of lossless coding": (JPEG.replace(b"\xff\xc0", b"\xff\xc3"), "undecodable", "a lossless JPEG; save it"),
    "jpeg of hierarchical coding": (JPEG.replace(b"\xff\xc0", b"\xff\xc5"), "undecodable", "a hierarchical JPEG; save"),
    "jpeg of 12 bits": (
        JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),
        "undecodable",
        "12 bits a channel; save it with 8",
    ),
    "jpeg of 2 channels": (
        b"\xff\xd8\xff\xc0\0\x0e\x08\0\x20\0\x20\2\1\x11\0\2\x11\0" + JPEG[SCAN:],
        "undecodable",
        "2 channels; save it with 1, 3 or 4",
    ),
    "jpeg without height": (
        JPEG.replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", 0, WIDTH)),
        "undecodable",
        "its header says 56 × 0 pixels",
    ),
    "jpeg of too many samples": (
        _jpeg_of_zeros(b"\x22\x22\x22"),
        "undecodable",
        "sampled 2 × 2, 2 × 2, 2 × 2, which is",
    ),
    "jpeg cut between frame and scan": (JPEG[:SCAN], "undecodable", "it is cut off before its pixels"),
    "jpeg of a rare sampling with more": (
        _jpeg_of_zeros(b"\x31\x11\x11")[:-2] + b"\0" * 60 + b"\xff\xd9",
        "damaged",
        "extraneous bytes",
    ),
    "jpeg of a rare sampling cut off": (
        _jpeg_of_zeros(b"\x31\x11\x11")[:-2],
        "undecodable",
        "libjpeg cannot decode it",
    ),
    "arithmetic jpeg with more": (ARITHMETIC[:-2] + b"\0" * 60 + ARITHMETIC[-2:], "damaged", "extraneous bytes"),
    "jpeg with bytes between": (JPEG[:SCAN] + b"\0\0\0" + JPEG[SCAN:], "damaged", "3 extraneous bytes"),
    "jpeg with lost blocks": (JPEG[: SCAN + 100] + JPEG[SCAN + 180 :], "damaged", "Corrupt JPEG data"),
    "cmyk jpeg with lost blocks": (
        HEADERS["cmyk jpeg"][0][:-80] + HEADERS["cmyk jpeg"][0][-40:],
        "damaged",
        "Corrupt JPEG data",
    ),
    "jpeg of many scans": (
        HEADERS["progressive jpeg"][0][:-2] + JPEG[SCAN : SCAN + 14] * 501,
        "undecodable",
        "more than the limit of 500",
    ),
    "png cut off": (PNG[:-30], "undecodable", "cut off"),
    "png with an unprintable part": (PNG.replace(b"IDAT", b"I\nAT"), "undecodable", r"part I\nAT is wrong"),
    "png without its end": (PNG[:-12], "undecodable", "cut off"),
    "png that begins otherwise": (PNG[:8] + PNG[33:], "undecodable", "does not begin with its header"),
    "png with a changed bit": (PNG[:60] + bytes([PNG[60] ^ 1]) + PNG[61:], "undecodable", "checksum of its part IDAT"),
    "png with a changed remark": (
        _png(4, 4, zlib.compress(bytes(20)), _chunk(b"tEXt", b"a\0b")[:-1] + b"!"),
        "damaged",
        "checksum of its part tEXt",
    ),
    "png with other pixels": (_png(4, 4, ADLER), "undecodable", "its pixels are damaged"),
    "png with too few pixels": (_png(4, 4, zlib.compress(bytes(19))), "undecodable", "its pixels are damaged"),
    "png without a palette": (PNG[:25] + b"\3\0\0\0" + PALETTE_CHECKSUM + PNG[33:], "undecodable", "or its palette"),
    "png without width": (_png(0, 4, zlib.compress(bytes(4))), "undecodable", "its header says 0 × 4 pixels"),
    "bmp of a negative width": (
        HEADERS["bmp"][0][:18] + struct.pack("<i", -40) + HEADERS["bmp"][0][22:],
        "undecodable",
        "its header says -40 × 40 pixels",
    ),
    "bmp cut off": (_cut("bmp", -10), "undecodable", "truncated"),
    "gif cut off": (_cut("gif", -20), "undecodable", "cut off"),
    "gif cut in its second frame": (_cut("animated gif", -20), "damaged", "cut off"),
    "gif without its end": (_cut("gif", -1), "damaged", "cut off"),
    "webp cut off": (_cut("webp", -10), "undecodable", "it is damaged or cut off"),
    "webp without a picture": (b"RIFF\x04\0\0\0WEBP", "undecodable", "lacks its picture"),
    "webp of a few bytes": (b"RIFF\x04\0\0\0WEBPVP8 \x04\0\0\0\0\0\0\0", "undecodable", "ends within its header"),
    "a letter": (b"BM", "undecodable", "ends within its header"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_picture_has_a_fault_and_a_reason(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, fault, reason = FAULTS[name]
    found = _look(content)
    assert (found.fault, found.signature) == (fault, b"")
    assert reason in found.problem
    assert "Op:" not in found.problem
    assert "\n" not in found.problem
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("more", [b"appended" * 9, b"\xff\xda\0\2" * 600])
def test_what_is_appended_does_no_harm(name: str, more: bytes) -> None:
    content = HEADERS[name][0]
    assert _look(content + more) == replace(_look(content), sha256=hashlib.sha256(content + more).hexdigest())


@pytest.mark.parametrize("sampling", ["11 11 11", "22 11 11", "31 11 11", "22 12 21", "13 11 11"])
def test_rare_samplings_of_colors_are_good(sampling: str) -> None:
    found = _look(_jpeg_of_zeros(bytes.fromhex(sampling)))
    assert (found.fault, found.problem, found.height, found.width) == ("", "", 32, 32)


def test_libjpeg_says_nothing_on_stderr_and_others_can_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    contents = [content for name, (content, *_) in FAULTS.items() if "jpeg" in name]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    found = look_at_all([str(tmp_path / f"{number}.jpg") for number in range(len(contents))], max_pixels=MAX_PIXELS)
    assert {look.fault for look in found} == {"damaged", "undecodable"}
    assert capfd.readouterr() == ("", "")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_without_stderr_rare_samplings_are_good_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    assert _look(_jpeg_of_zeros(b"\x31\x11\x11")).fault == ""


def test_a_jpeg_of_arithmetic_codes_is_good() -> None:
    found = _look(ARITHMETIC)
    assert (found.fault, found.problem, found.height, found.width) == ("", "", 24, 32)


def _of_size(content: bytes, height: int, width: int) -> bytes:
    """A JPEG that says it has another size."""
    return content.replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", height, width))


def test_few_scans_of_many_pixels_are_too_much() -> None:
    progressive = _of_size(HEADERS["progressive jpeg"][0], 7000, 7000)[:-2]
    channel_by_channel = JPEG[:SCAN] + b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    for content in (progressive, _of_size(channel_by_channel, 7000, 7000)):
        found = look(content + JPEG[SCAN : SCAN + 14] * 45, max_pixels=50_000_000)
        assert found.fault == "undecodable"
        assert "scans of 49000000 pixels, too much work" in found.problem


def test_an_ordinary_progressive_jpeg_of_the_largest_size_is_not_too_much() -> None:
    header = read_header(_of_size(HEADERS["progressive jpeg"][0], 12_000, 14_000))
    assert header is not None
    assert (header.problem, header.pixels) == ("", 168_000_000)


def test_a_picture_of_another_size_than_its_header_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(content: bytes) -> Header | None:
        header = read_header(content)
        return header and replace(header, height=header.height + 1)

    monkeypatch.setattr("cnntrain.data.scanning.look.read_header", wrong)
    found = _look(PNG)
    assert (found.fault, found.problem) == ("undecodable", "its header says 56 × 41 pixels, not 56 × 40")


GIF_HEAD, GIF_FRAME = HEADERS["gif"][0][:6], HEADERS["gif"][0].index(b"\x2c", 13 + 3 * 8)


def _gif(screen: tuple[int, int], corner: tuple[int, int]) -> bytes:
    """The GIF on a screen of another size (width, height), and elsewhere on it."""
    content = HEADERS["gif"][0]
    moved = struct.pack("<HH", *corner) + content[GIF_FRAME + 5 :]
    return GIF_HEAD + struct.pack("<HH", *screen) + content[10 : GIF_FRAME + 1] + moved


@pytest.mark.parametrize(
    ("screen", "corner", "size"),
    [
        ((0, 0), (0, 0), (56, 40)),
        ((10, 10), (0, 0), (56, 40)),
        ((10, 300), (5, 7), (61, 300)),
        ((300, 10), (5, 7), (300, 47)),
        ((100, 90), (5, 7), (100, 90)),
    ],
)
def test_the_size_of_a_gif_is_that_of_screen_and_frame_together(
    screen: tuple[int, int], corner: tuple[int, int], size: tuple[int, int]
) -> None:
    content = _gif(screen, corner)
    found = _look(content)
    assert (found.width, found.height, found.fault) == (*size, "")
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == size


def _webp(*chunks: bytes) -> bytes:
    """A WebP of these chunks."""
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WEBP" + b"".join(chunks)


def _extended(width: int, height: int, *, flags: int = 0) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X" + struct.pack("<IB3x", 10, flags) + sides


@pytest.mark.parametrize("name", ["webp", "lossless webp"])
def test_only_the_first_chunk_of_a_webp_gives_its_size(name: str) -> None:
    picture = HEADERS[name][0][12:]
    exif = b"EXIF" + struct.pack("<I", 44) + _exif(6, "<")[6:]
    late = _look(_webp(picture, _extended(3, 3), exif))
    assert (late.width, late.height, late.orientation, late.fault) == (56, 40, 1, "")
    found = _look(_webp(_extended(3, 3), picture))
    assert (found.fault, found.problem) == ("undecodable", "its headers disagree: 3 × 3 or 56 × 40 pixels")
    assert _look(_webp(_extended(56, 40, flags=8), picture, exif)).orientation == 6


BILLIONS = {
    "png": _png(100_000, 100_000, zlib.compress(bytes(100))),
    "jpeg": JPEG.replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", 60_000, 50_000)),
    "bmp": b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 100_000, -100_000, 1, 24) + bytes(100),
    "gif": b"GIF89a" + struct.pack("<HHBBB", 60_000, 50_000, 0, 0, 0) + b";",
    "gif in its frame": b"GIF89a\1\0\1\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 60_000, 50_000, 0) + b"\x02\0;",
    "gif by the place of its frame": b"GIF89a\1\0\1\0\0\0\0,"
    + struct.pack("<HHHHB", 60_000, 50_000, 1, 1, 0)
    + b"\x02\0;",
    "webp": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\2\0\0\0" + b"\xff\xff\x7f" * 2,
    "webp with another size behind": b"RIFF\x26\0\0\0WEBPVP8 \x0a\0\0\0"
    + b"\0" * 6
    + b"\xff\x3f" * 2
    + b"VP8X\x0a\0\0\0"
    + b"\0" * 10,
}


@pytest.mark.parametrize("name", BILLIONS)
def test_too_large_a_picture_is_not_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("simplejpeg.decode_jpeg")
    monkeypatch.delattr("cnntrain.data.decoder.decode_as_stored")
    assert look(BILLIONS[name], max_pixels=178_956_970).fault == "too_large"


def test_the_limit_of_pixels_is_exact() -> None:
    assert look(PNG, max_pixels=HEIGHT * WIDTH).fault == ""
    found = look(PNG, max_pixels=HEIGHT * WIDTH - 1)
    assert (found.fault, found.height, found.width, found.kind) == ("too_large", HEIGHT, WIDTH, "png")
    assert "56 × 40 pixels" in found.problem


# all files


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder a test."""
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _written(folder: Path, count: int) -> list[str]:
    """Different small pictures whose names' endings mean nothing."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.gif").write_bytes(_saved(Image.new("RGB", (3 + number, 2)), "JPEG"))
    return [str(folder / f"{number}.gif") for number in range(count)]


def _look_again(paths: list[str], *, max_pixels: int = MAX_PIXELS) -> tuple[Look, ...]:
    return look_at_all(paths, max_pixels=max_pixels)


def test_all_files_are_looked_at_in_their_order(tmp_path: Path) -> None:
    paths = _written(tmp_path / "data", 100)
    told: list[int] = []
    found = look_at_all(paths, max_pixels=MAX_PIXELS, on_picture=told.append)
    assert found == tuple(_look(Path(path).read_bytes()) for path in paths)
    assert [(look.kind, look.width) for look in found] == [("jpeg", 3 + number) for number in range(100)]
    assert told == sorted(told)
    assert told[-1] == 100


def test_no_files_are_no_looks() -> None:
    assert _look_again([]) == ()


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    paths = [str(tmp_path / "gone.jpg"), str(tmp_path / "folder"), "nul\0l.jpg"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        paths.append(str(tmp_path / "pipe"))
    found = _look_again(paths)
    assert {(look.fault, look.sha256) for look in found} == {("unreadable", "")}
    assert "No such file" in found[0].problem
    assert "not a file" in found[1].problem or "denied" in found[1].problem
    assert all("not a file" in look.problem for look in found[3:])
    assert "null" in found[2].problem


def test_a_huge_file_is_not_taken_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film").write_bytes(JPEG)
    monkeypatch.setattr(look_at, "_LARGEST_FILE", len(JPEG) - 1)
    monkeypatch.delattr(os, "read")
    (found,) = _look_again([str(tmp_path / "film")])
    assert (found.fault, found.sha256) == ("too_large", hashlib.sha256(JPEG).hexdigest())


def test_an_interruption_ends_it_and_keeps_what_was_seen(tmp_path: Path, looks_taken: list[int]) -> None:
    paths = _written(tmp_path / "data", 200)

    def interrupt(done: int) -> None:
        if done >= 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_at_all(paths, max_pixels=MAX_PIXELS, on_picture=interrupt)
    looks_taken.clear()
    _look_again(paths)
    assert len(looks_taken) <= 200 - 64


# what is remembered


@pytest.fixture
def looks_taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the size of each file that is really looked at."""
    taken: list[int] = []

    def counted(content: bytes, sha256: str, *, max_pixels: int) -> Look:
        taken.append(len(content))
        return look_closer(content, sha256, max_pixels=max_pixels)

    monkeypatch.setattr("cnntrain.data.scanning.look_at.look_closer", counted)
    return taken


def test_content_is_looked_at_once(tmp_path: Path, looks_taken: list[int]) -> None:
    paths = []
    for number, (content, *_) in enumerate([*HEADERS.values(), *FAULTS.values()]):
        paths.append(str(tmp_path / f"{number}"))
        Path(paths[-1]).write_bytes(content)
    first = _look_again(paths)
    assert len(looks_taken) == len(paths)
    Path(paths[0]).rename(tmp_path / "moved")
    assert _look_again([str(tmp_path / "moved"), *paths[1:]]) == first
    assert len(looks_taken) == len(paths)


def test_other_content_under_the_same_name_is_looked_at(tmp_path: Path, looks_taken: list[int]) -> None:
    paths = _written(tmp_path / "data", 3)
    _look_again(paths)
    Path(paths[1]).write_bytes(PNG)
    assert [look.kind for look in _look_again(paths)] == ["jpeg", "png", "jpeg"]
    assert len(looks_taken) == 4


def test_another_limit_is_another_look(tmp_path: Path) -> None:
    paths = _written(tmp_path / "data", 1)
    assert _look_again(paths)[0].fault == ""
    assert _look_again(paths, max_pixels=5)[0].fault == "too_large"
    assert _look_again(paths)[0].fault == ""


def test_other_versions_are_another_look(
    tmp_path: Path, looks_taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = _written(tmp_path / "data", 2)
    _look_again(paths)
    monkeypatch.setattr(rules, "version", lambda library: f"0.0 of {library}")
    assert len(_look_again(paths)) == 2
    assert len(looks_taken) == 4


def _is_no_database(cache: Path) -> None:
    (cache / remembered.FILE).write_bytes(b"something else" * 1000)


def _is_damaged(cache: Path) -> None:
    place = cache / remembered.FILE
    place.write_bytes(place.read_bytes()[:4096] + b"\xff" * 4096)


def _is_cut_off(cache: Path) -> None:
    place = cache / remembered.FILE
    place.write_bytes(place.read_bytes()[:5000])


@pytest.mark.parametrize("damage", [_is_no_database, _is_damaged, _is_cut_off])
def test_a_damaged_store_is_made_anew(
    tmp_path: Path, cache: Path, looks_taken: list[int], damage: Callable[[Path], None]
) -> None:
    paths = _written(tmp_path / "data", 40)
    first = _look_again(paths)
    damage(cache)
    assert _look_again(paths) == first  # without it
    assert len(looks_taken) == 80
    assert _look_again(paths) == first  # fills a new one, or has it already
    looks_taken.clear()
    assert _look_again(paths) == first
    assert looks_taken == []


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path, cache: Path, looks_taken: list[int]) -> None:
    cache.write_bytes(b"a file")
    paths = _written(tmp_path / "data", 2)
    assert _look_again(paths) == _look_again(paths)
    assert len(looks_taken) == 4


def test_a_store_that_is_a_folder_is_done_without(tmp_path: Path, cache: Path) -> None:
    (cache / remembered.FILE).mkdir(parents=True)
    assert len(_look_again(_written(tmp_path / "data", 2))) == 2


def test_a_locked_store_is_done_without(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = _written(tmp_path / "data", 3)
    first = _look_again(paths)
    monkeypatch.setattr(remembered, "_PATIENCE", 0.01)
    other = sqlite3.connect(cache / remembered.FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert _look_again(paths) == first
    other.close()
    assert (cache / remembered.FILE).exists()


def test_several_at_once_share_the_store(tmp_path: Path, looks_taken: list[int]) -> None:
    paths = _written(tmp_path / "data", 100)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(_look_again, [paths] * 4))
    assert all(looks == found[0] for looks in found)
    looks_taken.clear()
    assert _look_again(paths) == found[0]
    assert looks_taken == []


# hashes of a data set

ROWS = (
    Example("a.png", "cat", "train", sha256="1"),
    Example("b.png", "dog", "train", sha256="2"),
    Example("c.png", "dog", "test", sha256="2"),
)


@given(st.permutations(ROWS), st.text("xyz", max_size=3))
def test_hashes_are_those_of_the_content(rows: list[Example], prefix: str) -> None:
    moved = [replace(row, path=prefix + row.path, group=prefix) for row in rows]
    assert fingerprint(moved) == fingerprint(ROWS)
    assert split_hashes(moved) == split_hashes(ROWS)


CHANGES: dict[str, Callable[[Example], list[Example]]] = {
    "label": lambda row: [replace(row, label="dog")],
    "split": lambda row: [replace(row, split="validation")],
    "content": lambda row: [replace(row, sha256="2")],
    "twice": lambda row: [row, row],
    "gone": lambda _: [],
}


@pytest.mark.parametrize("change", CHANGES)
def test_hashes_tell_every_change_in_its_split(change: str) -> None:
    changed = [*CHANGES[change](ROWS[0]), *ROWS[1:]]
    assert fingerprint(changed) != fingerprint(ROWS)
    assert split_hashes(changed)["train"] != split_hashes(ROWS)["train"]
    assert split_hashes(changed)["test"] == split_hashes(ROWS)["test"]


def test_hashes_stay_the_same_from_version_to_version() -> None:
    rows = "test\tdog\t2\ntrain\tcat\t1\ntrain\tdog\t2\n"
    assert fingerprint(ROWS) == hashlib.sha256(rows.encode()).hexdigest()
    train = hashlib.sha256(b"cat\t1\ndog\t2\n").hexdigest()
    assert split_hashes(ROWS) == {"train": train, "test": hashlib.sha256(b"dog\t2\n").hexdigest()}
