"""What a file says about its picture before any pixel is decoded: kind, size, orientation, traits."""

import struct
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Trait = Literal["alpha", "16_bit", "animated", "cmyk", "palette", "grayscale"]


@dataclass(frozen=True, slots=True)
class Header:
    """The beginning of a file that starts like a picture.

    Args:
        kind: `jpeg`, `png`, `bmp`, `gif` or `webp`.
        height: Pixels as stored; 0 when the header does not say.
        width: Likewise.
        orientation: EXIF's number, 1 to 8.
        traits: What is special about the picture.
        pixels: How many decoding makes; 0 when the header does not say.
        problem: Why it cannot be decoded, as far as the header shows, else empty.
        is_plain: For a JPEG: 8 bits, Huffman codes, gray or three colors, a moderate number of scans.
        is_whole: For a GIF: whether its blocks lead to its end.
    """

    kind: str
    height: int = 0
    width: int = 0
    orientation: int = 1
    traits: tuple[Trait, ...] = ()
    pixels: int = 0
    problem: str = ""
    is_plain: bool = False
    is_whole: bool = True


def read_header(content: bytes) -> Header | None:
    """Reads the header of a JPEG, PNG, BMP, GIF or WebP; None when the file starts like none of them."""
    kind = next((kind for kind, magic in _STARTS.items() if content.startswith(magic)), "")
    if not kind or (kind == "webp" and content[8:12] != b"WEBP"):
        return None
    try:
        return _READERS[kind](content)
    except (struct.error, IndexError):
        return Header(kind, problem="it ends within its header")
    except ValueError as error:
        return Header(kind, problem=str(error))


def seems_to_be(content: bytes) -> str:
    """A phrase on what a file that is no picture looks like."""
    start = content[:512]
    for magic, name in _OTHERS.items():
        if start.startswith(magic):
            return name
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "an MP4 or QuickTime film")
    words = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, name in _MARKUP.items():
        if words.startswith(magic):
            return name
    if not start.strip(b"\0"):
        return "nothing but zeros"
    return "text" if _is_text(start) else "no kind of picture that is known here"


def _is_text(start: bytes) -> bool:
    """Whether bytes are printable UTF-8, of which the last character may be cut."""
    try:
        text = getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return text != "" and all(char.isprintable() or char in "\t\r\n" for char in text)


_OTHERS: Mapping[bytes, str] = {
    b"II*\0": "a TIFF picture, or a camera's raw data",
    b"MM\0*": "a TIFF picture, or a camera's raw data",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "a gzip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"8BPS": "a Photoshop document",
    b"\0\0\1\0": "a Windows icon",
    b"SIMPLE": "a FITS picture",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"\x1aE\xdf\xa3": "a Matroska or WebM film",
    b"RIFF": "an AVI film or a WAV sound",
}
_BRANDS: Mapping[bytes, str] = {
    b"avif": "an AVIF picture",
    b"avis": "an AVIF picture",
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "a HEIC picture"),
}
_MARKUP: Mapping[bytes, str] = {
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<svg": "an SVG drawing",
    b"<?xml": "XML, perhaps an SVG drawing",
    b"version https://git-lfs": "a pointer of Git LFS instead of the file",
}

# JPEG

_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # all processes of coding; the three are tables
_HUFFMAN = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_PROGRESSIVE = 0xC2
_MOST_SCANS = 500  # each scan of a progressive JPEG goes over the whole picture, however few bytes it has


def _jpeg(content: bytes) -> Header:
    orientation, place = 1, 2
    while True:
        marker, place = _next_marker(content, place)
        if marker in _FRAMES:
            return _jpeg_frame(content, marker, place, orientation)
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            raise ValueError("it lacks the header of its picture")
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # the markers without a length
            continue
        (length,) = struct.unpack_from(">H", content, place)
        if marker == _APP1 and orientation == 1 and content.startswith(b"Exif\0\0", place + 2):
            orientation = _exif_orientation(content[place + 8 : place + length])
        place += length


def _next_marker(content: bytes, place: int) -> tuple[int, int]:
    """The next marker, and where what follows it begins; as libjpeg does, anything between two is skipped."""
    marker = 0
    while marker == 0:
        place = content.find(b"\xff", place)
        if place < 0:
            raise IndexError
        while (marker := content[place]) == 0xFF:
            place += 1
        place += 1
    return marker, place


def _jpeg_frame(content: bytes, marker: int, place: int, orientation: int) -> Header:
    bits, height, width, components = struct.unpack_from(">BHHB", content, place + 2)
    many = marker == _PROGRESSIVE and content.count(b"\xff\xda", place) > _MOST_SCANS
    traits: dict[int, tuple[Trait, ...]] = {1: ("grayscale",), 4: ("cmyk",)}
    return Header(
        "jpeg",
        height,
        width,
        orientation,
        traits.get(components, ()),
        pixels=height * width,
        problem=f"it has more than {_MOST_SCANS} scans" if many else "",
        is_plain=marker in _HUFFMAN and bits == 8 and components in (1, 3),
    )


def _exif_orientation(exif: bytes) -> int:
    """The orientation that a block of EXIF (a TIFF header and what follows) gives the main picture; 1 without any."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (table,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, table)
        for entry in range(table + 2, table + 2 + 12 * count, 12):
            tag, size = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == 0x0112:
                (value,) = struct.unpack_from(order + {1: "B", 4: "I"}.get(size, "H"), exif, entry + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:  # cut off
        pass
    return 1


# PNG


class Chunk(NamedTuple):
    """A chunk of a PNG.

    Args:
        name: Four letters.
        start: Where its content begins in the file.
        end: Where it ends; its checksum follows.
    """

    name: bytes
    start: int
    end: int


def png_chunks(content: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG, up to its end or to where it is cut off; a chunk that is not all there is left out."""
    place, name = 8, b""
    while name != b"IEND" and place + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        if place + 12 + length > len(content):
            return
        yield Chunk(name, place + 8, place + 8 + length)
        place += 12 + length


def _png(content: bytes) -> Header:
    if content[12:16] != b"IHDR":
        raise ValueError("it does not begin with its header")
    width, height, bits, color = struct.unpack_from(">IIBB", content, 16)
    chunks = {chunk.name: chunk for chunk in png_chunks(content)}
    exif = chunks.get(b"eXIf")
    found: dict[Trait, bool] = {
        "alpha": color in (4, 6) or b"tRNS" in chunks,
        "16_bit": bits == 16,
        "animated": b"acTL" in chunks,
        "palette": color == 3,
        "grayscale": color in (0, 4),
    }
    return Header(
        "png",
        height,
        width,
        _exif_orientation(content[exif.start : exif.end]) if exif else 1,
        _present(found),
        pixels=height * width,
    )


def _present(traits: Mapping[Trait, bool]) -> tuple[Trait, ...]:
    return tuple(trait for trait, is_there in traits.items() if is_there)


# BMP


def _bmp(content: bytes) -> Header:
    (size,) = struct.unpack_from("<I", content, 14)
    width, height, _, bits = struct.unpack_from("<HHHH" if size == 12 else "<iiHH", content, 18)
    traits: tuple[Trait, ...] = ("palette",) if bits <= 8 else ()
    return Header("bmp", abs(height), abs(width), traits=traits, pixels=abs(height * width))


# GIF

_EXTENSION, _IMAGE, _TRAILER, _GRAPHIC_CONTROL = 0x21, 0x2C, 0x3B, 0xF9


class _Frames(NamedTuple):
    """What the blocks of a GIF hold: pixels and transparency of the first frame, how many there are, and the end."""

    pixels: int
    number: int
    is_transparent: bool
    is_whole: bool


def _gif(content: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    frames = _gif_frames(content, 13 + _palette_bytes(flags))
    found: dict[Trait, bool] = {
        "alpha": frames.is_transparent,
        "animated": frames.number > 1,
        "palette": True,
    }
    return Header(
        "gif",
        height,
        width,
        traits=_present(found),
        pixels=max(height * width, frames.pixels),
        is_whole=frames.is_whole,
    )


def _gif_frames(content: bytes, place: int) -> _Frames:
    pixels, number, is_transparent = 0, 0, False
    try:
        while content[place] in (_EXTENSION, _IMAGE):
            if content[place] == _IMAGE:
                width, height, flags = struct.unpack_from("<HHB", content, place + 5)
                pixels, number = pixels or width * height, number + 1
                place += 11 + _palette_bytes(flags)
            else:
                if content[place + 1] == _GRAPHIC_CONTROL and number == 0:
                    is_transparent = bool(content[place + 3] & 1)
                place += 2
            place = _after_blocks(content, place)
        return _Frames(pixels, number, is_transparent, content[place] == _TRAILER)
    except (IndexError, struct.error):
        return _Frames(pixels, number, is_transparent, is_whole=False)


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(content: bytes, place: int) -> int:
    """Where a row of data blocks, each with its length before it, has come to its end."""
    while length := content[place]:
        place += 1 + length
    return place + 1


# WebP

_WEBP_ALPHA, _WEBP_ANIMATED = 0x10, 0x02


def _webp(content: bytes) -> Header:
    chunks: dict[bytes, int] = {}
    for name, start in _webp_chunks(content):
        chunks.setdefault(name, start)
    if (extended := chunks.get(b"VP8X")) is not None:
        flags, right, bottom = struct.unpack_from("<B3x3s3s", content, extended)
        width, height = 1 + int.from_bytes(right, "little"), 1 + int.from_bytes(bottom, "little")
    elif (lossless := chunks.get(b"VP8L")) is not None:
        (bits,) = struct.unpack_from("<I", content, lossless + 1)
        width, height, flags = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), (bits >> 28 & 1) * _WEBP_ALPHA
    elif (lossy := chunks.get(b"VP8 ")) is not None:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, lossy + 6))
        flags = 0
    else:
        raise ValueError("it lacks its picture")
    exif = chunks.get(b"EXIF")
    found: dict[Trait, bool] = {"alpha": bool(flags & _WEBP_ALPHA), "animated": bool(flags & _WEBP_ANIMATED)}
    orientation = _exif_orientation(content[exif:].removeprefix(b"Exif\0\0")) if exif else 1
    return Header("webp", height, width, orientation, _present(found), pixels=height * width)


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Name of each chunk of a WebP and where its content begins."""
    place = 12
    while place + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, place)
        yield name, place + 8
        place += 8 + length + length % 2


_STARTS: Mapping[str, bytes] = {
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "bmp": b"BM",
    "gif": b"GIF8",
    "webp": b"RIFF",
}
_READERS = {"jpeg": _jpeg, "png": _png, "bmp": _bmp, "gif": _gif, "webp": _webp}
