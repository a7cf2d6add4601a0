"""What a file says about its picture before any pixel is decoded: kind, size, orientation, traits."""

import re
import struct
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
        is_whole: For a GIF: whether its blocks lead to its end.
    """

    kind: str
    height: int = 0
    width: int = 0
    orientation: int = 1
    traits: tuple[Trait, ...] = ()
    pixels: int = 0
    problem: str = ""
    is_whole: bool = True


def read_header(content: bytes) -> Header | None:
    """Reads the header of a JPEG, PNG, BMP, GIF or WebP; None when the file starts like none of them."""
    kind = next((kind for kind, magic in _STARTS.items() if content.startswith(magic)), "")
    if not kind or (kind == "webp" and content[8:12] != b"WEBP"):
        return None
    try:
        header = _READERS[kind](content)
    except (struct.error, IndexError):
        return Header(kind, problem="it ends within its header")
    except ValueError as error:
        return Header(kind, problem=str(error))
    if min(header.height, header.width) < 1:
        return Header(kind, problem=f"its header says {header.width} × {header.height} pixels")
    return header


# JPEG

_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # all processes of coding; the three are tables
_READ = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # baseline, extended and progressive; the last two with arithmetic codes
_LOSSLESS = (0xC3, 0xCB)
_PROGRESSIVE = (0xC2, 0xCA)
_MOST_BLOCKS = 10  # of 8 × 8 pixels in a unit of all channels
# Where there are several scans, each goes over the whole picture, however few bytes it has: 2 × 10⁹ are about a second.
_MOST_SCANS = 500
_MOST_PIXELS_OF_SCANS = 2_000_000_000
# As libjpeg does, anything between two segments is skipped; nor do stuffed zeros, fill bytes and the markers without a
# length (TEM and restarts) begin one.
_MARKER = re.compile(rb"\xff[^\0\1\xd0-\xd7\xff]")


class _Segment(NamedTuple):
    """A part of a JPEG: its marker, and where its content, after the length, begins and ends."""

    marker: int
    start: int
    end: int


def _jpeg_segments(content: bytes) -> Iterator[_Segment]:
    """The segments of a JPEG up to its end or to where it is cut off; coded pixels, after each scan's, are skipped."""
    place = 2
    while found := _MARKER.search(content, place):
        marker, start = found[0][1], found.end()
        length = int.from_bytes(content[start : start + 2], "big")
        place = start + max(2, length)
        yield _Segment(marker, start + 2, place)
        if marker == _END_OF_IMAGE:
            return


def _jpeg(content: bytes) -> Header:
    segments = _jpeg_segments(content)
    frame, orientation, scan = None, 0, None
    for segment in segments:
        if segment.marker in (_START_OF_SCAN, _END_OF_IMAGE):
            scan = segment
            break
        if segment.marker in _FRAMES:
            frame = frame or segment
        elif segment.marker == _APP1 and content.startswith(b"Exif\0\0", segment.start):
            orientation = orientation or _exif_orientation(content[segment.start : segment.end])
    if frame is None:
        raise ValueError("it lacks the header of its picture" if scan else "it ends within its header")
    return _jpeg_frame(content, frame, orientation or 1, _scans(content, frame, scan, segments))


def _scans(content: bytes, frame: _Segment, first: _Segment | None, rest: Iterator[_Segment]) -> int:
    """How many scans there are; 1 where the first holds the whole picture, so that libjpeg reads no other."""
    if first is None or first.marker == _END_OF_IMAGE:
        return 0
    channels, together = content[frame.start + 5], content[first.start]
    if frame.marker not in _PROGRESSIVE and channels == together:
        return 1
    return 1 + sum(segment.marker == _START_OF_SCAN for segment in rest)


def _jpeg_frame(content: bytes, frame: _Segment, orientation: int, scans: int) -> Header:
    bits, height, width, channels = struct.unpack_from(">BHHB", content, frame.start)
    sampling = bytes(content[frame.start + 7 + 3 * channel] for channel in range(channels))
    traits: dict[int, tuple[Trait, ...]] = {1: ("grayscale",), 4: ("cmyk",)}
    return Header(
        "jpeg",
        height,
        width,
        orientation,
        traits.get(channels, ()),
        pixels=height * width,
        problem=_jpeg_coding(frame.marker, bits, sampling) or _scans_problem(scans, height * width),
    )


def _jpeg_coding(marker: int, bits: int, sampling: bytes) -> str:
    """What speaks against a coding of these bits a channel; `sampling` is a byte a channel, across and down."""
    if marker not in _READ:
        coding = "lossless" if marker in _LOSSLESS else "hierarchical"
        return f"it is a {coding} JPEG; save it as an ordinary one"
    if bits != 8:
        return f"it has {bits} bits a channel; save it with 8"
    if len(sampling) not in (1, 3, 4):
        return f"it has {len(sampling)} channels; save it with 1, 3 or 4"
    sides = [(size >> 4, size & 15) for size in sampling]
    if len(sampling) > 1 and sum(across * down for across, down in sides) > _MOST_BLOCKS:
        factors = ", ".join(f"{across} × {down}" for across, down in sides)
        return f"its channels are sampled {factors}, which is more than a JPEG may have; save it again"
    return ""


def _scans_problem(scans: int, pixels: int) -> str:
    if scans < 1:
        return "it is cut off before its pixels"
    if scans > _MOST_SCANS:
        return f"it has {scans} scans, more than the limit of {_MOST_SCANS}; save it again"
    if scans > 1 and scans * pixels > _MOST_PIXELS_OF_SCANS:
        return f"it has {scans} scans of {pixels} pixels, too much work to decode; save it again"
    return ""


def _exif_orientation(exif: bytes) -> int:
    """The orientation that EXIF (a TIFF header and what follows) gives the main picture; 0 where it says nothing."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 0
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
    return 0


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
        (_exif_orientation(content[exif.start : exif.end]) if exif else 0) or 1,
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
    return Header("bmp", abs(height), width, traits=traits, pixels=abs(height * width))


# GIF

_EXTENSION, _IMAGE, _TRAILER, _GRAPHIC_CONTROL = 0x21, 0x2C, 0x3B, 0xF9


class _Frames(NamedTuple):
    """What the blocks of a GIF hold: where the first frame ends, its transparency, how many there are, and the end."""

    bottom: int
    right: int
    number: int
    is_transparent: bool
    is_whole: bool


def _gif(content: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    frames = _gif_frames(content, 13 + _palette_bytes(flags))
    height, width = max(height, frames.bottom), max(width, frames.right)  # Pillow enlarges the screen
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
        pixels=height * width,
        is_whole=frames.is_whole,
    )


def _gif_frames(content: bytes, place: int) -> _Frames:
    bottom, right, number, is_transparent = 0, 0, 0, False
    try:
        while content[place] in (_EXTENSION, _IMAGE):
            if content[place] == _IMAGE:
                left, top, width, height, flags = struct.unpack_from("<HHHHB", content, place + 1)
                if number == 0:
                    bottom, right = top + height, left + width
                number += 1
                place += 11 + _palette_bytes(flags)
            else:
                if content[place + 1] == _GRAPHIC_CONTROL and number == 0:
                    is_transparent = bool(content[place + 3] & 1)
                place += 2
            place = _after_blocks(content, place)
        return _Frames(bottom, right, number, is_transparent, content[place] == _TRAILER)
    except (IndexError, struct.error):
        return _Frames(bottom, right, number, is_transparent, is_whole=False)


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
    """The first chunk decides, as in libwebp: others are looked for only after an extended header."""
    chunks: dict[bytes, int] = {}
    for name, start in _webp_chunks(content):
        chunks.setdefault(name, start)
    first = next(iter(chunks), b"")
    if first != b"VP8X":
        height, width, flags = _webp_picture(content, {first: chunks.get(first, 0)})
        exif = b""
    else:
        flags, right, bottom = struct.unpack_from("<B3x3s3s", content, chunks[first])
        height, width = 1 + int.from_bytes(bottom, "little"), 1 + int.from_bytes(right, "little")
        exif = content[chunks[b"EXIF"] :] if b"EXIF" in chunks else b""
        if not flags & _WEBP_ANIMATED and (inner := _webp_picture(content, chunks)[:2]) != (height, width):
            raise ValueError(f"its headers disagree: {width} × {height} or {inner[1]} × {inner[0]} pixels")
    found: dict[Trait, bool] = {"alpha": bool(flags & _WEBP_ALPHA), "animated": bool(flags & _WEBP_ANIMATED)}
    return Header("webp", height, width, _exif_orientation(exif) or 1, _present(found), pixels=height * width)


def _webp_picture(content: bytes, chunks: Mapping[bytes, int]) -> tuple[int, int, int]:
    """Height, width and flags that the chunk of a still picture gives."""
    if (lossless := chunks.get(b"VP8L")) is not None:
        (bits,) = struct.unpack_from("<I", content, lossless + 1)
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF), (bits >> 28 & 1) * _WEBP_ALPHA
    if (lossy := chunks.get(b"VP8 ")) is not None:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, lossy + 6))
        return height, width, 0
    raise ValueError("it lacks its picture")


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
