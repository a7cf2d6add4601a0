"""Pictures in six formats and what can happen to their bytes, for the fuzz test and for `benchmarks/fuzz.py`."""

import io
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

_MOST_FLIPS = 16
_LONGEST_RUN = 64  # bytes
_HEADER = 64  # bytes
_ODD = (0, 1, 0x7F, 0x80, 0xFF)


class Verdict(NamedTuple):
    """What became of one file.

    Args:
        fault: What the look says.
        is_decoded: Whether the decoder of training gives a picture; None where nobody should try.
        is_rejected: Whether a strict JPEG decoder refuses it; None for what does not start like a JPEG.
    """

    fault: str
    is_decoded: bool | None
    is_rejected: bool | None


def _photo(random: np.random.Generator, *, channels: int = 3) -> Image.Image:
    """A smooth picture with some noise, 24 to 95 pixels a side."""
    height, width = random.integers(24, 96, 2)
    coarse = random.integers(0, 256, (4, 4, channels), dtype=np.uint8)
    planes = [Image.fromarray(coarse[..., plane]).resize((width, height)) for plane in range(channels)]
    noise = random.integers(-12, 13, (height, width, channels))
    pixels = np.clip(np.stack([np.asarray(plane) for plane in planes], axis=2) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _jpeg(random: np.random.Generator, *, progressive: bool = False) -> bytes:
    picture = _photo(random, channels=int(random.choice([1, 3, 3, 3])))
    if random.random() < 0.1:
        picture = picture.convert("CMYK")
    exif = Image.Exif()
    exif[0x0112] = int(random.integers(1, 9))
    options: list[dict[str, Any]] = [{}, {"exif": exif}, {"restart_marker_blocks": 4}, {"optimize": True}]
    quality, chosen = int(random.integers(40, 96)), options[random.integers(len(options))]
    return _saved(picture, "JPEG", quality=quality, progressive=progressive, **chosen)


def _png(random: np.random.Generator) -> bytes:
    picture = _photo(random, channels=int(random.integers(1, 5)))
    match random.integers(6):
        case 0:
            picture = picture.convert("RGB").quantize(32)
        case 1:
            picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    stream = _saved(picture, "PNG", compress_level=int(random.integers(0, 10)))
    return _with_small_chunks(stream) if random.random() < 0.3 else stream


def _with_small_chunks(content: bytes) -> bytes:
    """A PNG whose pixels are spread over chunks of 512 bytes."""
    import zlib

    start = content.index(b"IDAT") - 4
    length = int.from_bytes(content[start : start + 4], "big")
    packed, rest = content[start + 8 : start + 8 + length], content[start + 12 + length :]
    pieces = [b"IDAT" + packed[at : at + 512] for at in range(0, length, 512)]
    chunks = [(len(piece) - 4).to_bytes(4, "big") + piece + zlib.crc32(piece).to_bytes(4, "big") for piece in pieces]
    return content[:start] + b"".join(chunks) + rest


def _bmp(random: np.random.Generator) -> bytes:
    mode = str(random.choice(["RGB", "RGB", "L", "P", "1", "RGBA"]))
    return _saved(_photo(random).convert(mode), "BMP")


def _frames(random: np.random.Generator) -> dict[str, Any]:
    """Options of an animation, or, mostly, none."""
    return {"save_all": True, "append_images": [_photo(random), _photo(random)]} if random.random() < 0.3 else {}


def _gif(random: np.random.Generator) -> bytes:
    return _saved(_photo(random).quantize(int(random.choice([4, 64, 256]))), "GIF", **_frames(random))


def _webp(random: np.random.Generator) -> bytes:
    picture = _photo(random, channels=int(random.choice([3, 4])))
    options = _frames(random)
    if options:
        options["append_images"] = [frame.resize(picture.size) for frame in options["append_images"]]
    return _saved(picture, "WEBP", lossless=bool(random.random() < 0.4), **options)


PICTURES: Mapping[str, Callable[[np.random.Generator], bytes]] = {
    "jpeg": _jpeg,
    "progressive jpeg": lambda random: _jpeg(random, progressive=True),
    "png": _png,
    "bmp": _bmp,
    "gif": _gif,
    "webp": _webp,
}

_PARTS = re.compile(rb"(?s)(?=\xff[\xc0-\xfe]|....(?:IHDR|IDAT|IEND|PLTE|tRNS)|\x00[\x21\x2c]|VP8|ANMF|ALPH|EXIF)")


def _flipped(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in random.integers(len(content), size=random.integers(1, _MOST_FLIPS + 1)):
        changed[place] ^= 1 << random.integers(8)
    return bytes(changed)


def _truncated(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(len(content))]


def _overwritten(content: bytes, random: np.random.Generator) -> bytes:
    start, length = int(random.integers(len(content))), int(random.integers(1, _LONGEST_RUN + 1))
    run = random.bytes(length) if random.random() < 0.5 else bytes([random.choice(_ODD)]) * length
    return content[:start] + run + content[start + length :]


def _split(content: bytes, random: np.random.Generator) -> tuple[bytes, bytes, bytes]:
    """What is before a part of the file, the part, and what is after it: a chunk of its format, or a run of bytes."""
    places = [found.start() for found in _PARTS.finditer(content)]
    if len(places) < 2 or random.random() < 0.3:
        places = [int(place) for place in random.integers(len(content), size=2)]
        start, end = min(places), max(places)
    else:
        at = random.integers(len(places) - 1)
        start, end = places[at], places[at + 1]
    return content[:start], content[start:end], content[end:]


def _shortened(content: bytes, random: np.random.Generator) -> bytes:
    before, _, after = _split(content, random)
    return before + after


def _doubled(content: bytes, random: np.random.Generator) -> bytes:
    before, part, after = _split(content, random)
    return before + part + part + after


def _with_another_header(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in random.integers(min(_HEADER, len(content)), size=random.integers(1, 4)):
        changed[place] = random.choice(_ODD) if random.random() < 0.5 else random.integers(256)
    return bytes(changed)


def _with_garbage(content: bytes, random: np.random.Generator) -> bytes:
    return content + random.bytes(int(random.integers(1, 1000)))


MUTATIONS: Mapping[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "bits flipped": _flipped,
    "truncated": _truncated,
    "run overwritten": _overwritten,
    "part deleted": _shortened,
    "part doubled": _doubled,
    "header edited": _with_another_header,
    "garbage appended": _with_garbage,
}


def mutated(seed: int, number: int) -> tuple[str, str, bytes]:
    """Kind of picture, kind of mutation, and the bytes; formats and mutations take turns."""
    random = np.random.default_rng([seed, number])
    kind = list(PICTURES)[number % len(PICTURES)]
    name = list(MUTATIONS)[number // len(PICTURES) % len(MUTATIONS)]
    return kind, name, MUTATIONS[name](PICTURES[kind](random), random)


def judge(content: bytes, *, max_pixels: int) -> Verdict:
    """Looks at a file and asks the decoder of training and a strict JPEG decoder about it."""
    from cnntrain.data.scanning.look import look

    fault = look(content, max_pixels=max_pixels).fault
    if fault == "too_large":
        return Verdict(fault, None, None)
    return Verdict(fault, _is_decoded(content), _is_rejected(content))


def _is_decoded(content: bytes) -> bool:
    import tensorflow as tf

    from cnntrain.data.decoder import decode_as_stored

    try:
        return bool(min(decode_as_stored(tf.constant(content)).shape) > 0)
    except tf.errors.InvalidArgumentError:
        return False


def _is_rejected(content: bytes) -> bool | None:
    """Whether simplejpeg refuses to decode all of it in full size and color."""
    import simplejpeg

    if not content.startswith(b"\xff\xd8\xff"):
        return None
    try:
        simplejpeg.decode_jpeg(content, "RGB", strict=True)
    except ValueError:
        return True
    return False
