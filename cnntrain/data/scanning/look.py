"""What one file holds, found from its bytes alone."""

import hashlib
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cnntrain.data.scanning.header import Header, Trait, png_chunks, read_header
from cnntrain.data.scanning.not_a_picture import seems_to_be
from cnntrain.data.scanning.similarity import signature

Fault = Literal["", "unreadable", "empty", "not_a_picture", "too_large", "undecodable", "damaged"]
Pixels = npt.NDArray[np.uint8]

_SMALLEST = 32  # pixels a side; of smaller pictures there is no signature
_REDUCED = 48  # pixels of the shorter side, at least, that a signature is made from
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
# What libjpeg warns of and goes on, as TensorFlow does; not among them the premature end of a file, which TensorFlow
# does not take, and all that libjpeg gives up at.
_JPEG_WARNINGS = (
    "Corrupt JPEG data",
    "Inconsistent progression sequence",
    "Unknown Adobe color transform",
    "Warning: unknown JFIF revision",
)
_WORDS = 120  # characters of a decoder's message
# What TensorFlow says, which tells its own names, and what that means.
_IN_PLAIN_WORDS: Mapping[str, str] = {
    "jpeg::Uncompress failed": "libjpeg cannot decode it",
    "Invalid PNG data": "its pixels are damaged or cut off",
    "Invalid PNG.": "its header or its palette is damaged",
    "Failed to decode WebP": "it is damaged or cut off",
}
_STDERR = 2
_ONE_LISTENS = Lock()


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in one file.

    Args:
        sha256: Checksum of its bytes; empty when it cannot be read.
        kind: `jpeg`, `png`, `bmp`, `gif` or `webp` by its content; empty for anything else.
        height: Pixels as stored, before it is turned upright; 0 when unknown.
        width: Likewise.
        orientation: EXIF's number of how to turn it upright, 1 to 8; 1 where it says nothing.
        traits: What is special about it.
        fault: What makes it a bad picture; empty for a good one.
        problem: The fault in a phrase for messages; empty for a good one.
        signature: What near-duplicates are found by; empty for bad, tiny and featureless pictures.
    """

    sha256: str
    kind: str = ""
    height: int = 0
    width: int = 0
    orientation: int = 1
    traits: tuple[Trait, ...] = ()
    fault: Fault = ""
    problem: str = ""
    signature: bytes = b""


class _Trial(NamedTuple):
    """What came of decoding: a fault with its phrase, or the picture in gray (height, width) and perhaps reduced."""

    fault: Fault
    problem: str = ""
    gray: Pixels | None = None


def look(content: bytes, *, max_pixels: int) -> Look:
    """Finds out all about a file; JPEG is decoded strictly, everything else as it is for training.

    It never raises, whatever the bytes. The caller has prepared TensorFlow (`runtime.prepare`), and may call it from
    several threads.

    Args:
        content: The bytes of the file.
        max_pixels: Largest height times width that is decoded; the header is read first.
    """
    return look_closer(content, hashlib.sha256(content).hexdigest(), max_pixels=max_pixels)


def look_closer(content: bytes, sha256: str, *, max_pixels: int) -> Look:
    """As `look`, of bytes with a known checksum."""
    if not content:
        return Look(sha256, fault="empty", problem="zero bytes")
    header = read_header(content)
    if header is None:
        return Look(sha256, fault="not_a_picture", problem=f"it is {seems_to_be(content)}")
    trial = _trial(content, header, max_pixels)
    found = Look(sha256, header.kind, header.height, header.width, header.orientation, header.traits)
    if trial.fault:
        return replace(found, fault=trial.fault, problem=trial.problem)
    if trial.gray is None or min(header.height, header.width) < _SMALLEST:
        return found
    return replace(found, signature=signature(_upright(trial.gray, header.orientation)))


def _trial(content: bytes, header: Header, max_pixels: int) -> _Trial:
    """Decodes a picture, unless its header speaks against it."""
    if header.problem:
        return _Trial("undecodable", header.problem)
    if header.pixels > max_pixels:
        return _Trial("too_large", f"{header.width} × {header.height} pixels, more than the limit of {max_pixels}")
    if header.kind == "jpeg":
        return _trial_of_jpeg(content, header)
    return _outcome(*_as_in_training(content), header, _silent_damage(content, header))


def _trial_of_jpeg(content: bytes, header: Header) -> _Trial:
    """Decodes a JPEG strictly. With a damaged one TensorFlow's libjpeg would print what is wrong on stderr.

    The strict decoder is libjpeg-turbo, as in TensorFlow, so what it takes without complaint is decoded in training.
    """
    gray, problem = _strictly(content, header)
    if gray is not None:
        return _Trial("", gray=gray)
    if "subsampling" in problem:  # a rare one, which simplejpeg does not know and libjpeg itself can decode
        picture, reason, problem = _overheard(content)
        return _outcome(picture, reason, header, problem)
    if problem:
        return _Trial("damaged" if problem.startswith(_JPEG_WARNINGS) else "undecodable", problem)
    return _outcome(*_as_in_training(content), header, "")


def _outcome(picture: Pixels | None, reason: str, header: Header, problem: str) -> _Trial:
    """What a picture (height, width, 1 to 4), or the reason why there is none, and a known problem come to."""
    if picture is None:
        return _Trial("undecodable", problem or reason)
    height, width, _ = picture.shape
    if (height, width) != (header.height, header.width):
        return _Trial("undecodable", f"its header says {header.width} × {header.height} pixels, not {width} × {height}")
    return _Trial("damaged", problem) if problem else _Trial("", gray=_gray(picture))


def _strictly(content: bytes, header: Header) -> tuple[Pixels | None, str]:
    """A JPEG in gray, reduced by up to 8; or what libjpeg complains of; or neither, for CMYK without fault."""
    import simplejpeg

    space = "CMYK" if "cmyk" in header.traits else "GRAY"
    try:
        pixels = simplejpeg.decode_jpeg(
            content, space, fastdct=True, fastupsample=True, min_height=_SMALLEST, min_width=_SMALLEST, strict=True
        )
    except ValueError as error:
        return None, " ".join(str(error).split())[:_WORDS]
    return (_gray(pixels) if space == "GRAY" else None), ""


def _overheard(content: bytes) -> tuple[Pixels | None, str, str]:
    """As `_as_in_training`, and the warning that libjpeg has for nobody but stderr, where it is not shown.

    It diverts stderr for the whole process, so it is for what is rare, one at a time.
    """
    with _ONE_LISTENS, ExitStack() as after:
        try:
            heard, shown = after.enter_context(TemporaryFile()), os.dup(_STDERR)
        except OSError:  # there is no stderr
            return *_as_in_training(content), ""
        after.callback(os.close, shown)
        after.callback(os.dup2, shown, _STDERR)
        os.dup2(heard.fileno(), _STDERR)
        picture, reason = _as_in_training(content)
        heard.seek(0)
        lines = heard.read().decode(errors="replace").splitlines()
    return picture, reason, next((line for line in lines if line.startswith(_JPEG_WARNINGS)), "")


def _as_in_training(content: bytes) -> tuple[Pixels | None, str]:
    """The picture (height, width, 1 to 4) as the one decoder gives it, or why it does not."""
    import tensorflow as tf

    from cnntrain.data.decoder import decode_as_stored

    try:
        with tf.device("CPU:0"):
            return np.asarray(decode_as_stored(tf.constant(content))), ""
    except (tf.errors.OpError, ValueError) as error:
        return None, _in_short(str(getattr(error, "message", error)))


def _in_short(message: str) -> str:
    """What a message of TensorFlow says about the bytes, without what it says about the operation."""
    text = " ".join(message.split()).split("}} ")[-1].split(" [Op:")[0]
    text = text.removeprefix("assertion failed: [").removesuffix("]")[:_WORDS]
    return next((words for start, words in _IN_PLAIN_WORDS.items() if text.startswith(start)), text)


def _silent_damage(content: bytes, header: Header) -> str:
    """What is wrong with a file that a decoder may pass over."""
    if header.kind == "png":
        return _png_damage(content)
    return "" if header.is_whole else "it is cut off, or broken inside"


def _png_damage(content: bytes) -> str:
    """The first wrong checksum of a PNG, or that it is cut off. Its pixels have one of their own, which is decoded."""
    name = b""
    for name, start, end in png_chunks(content):
        if zlib.crc32(content[start - 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            return f"the checksum of its part {ascii(name)[2:-1]} is wrong"
    return "" if name == b"IEND" else "it is cut off"


def _gray(picture: Pixels) -> Pixels:
    """A picture (height, width, 1 to 4) on white, in gray, its shorter side reduced to 48 to 95 pixels."""
    colors = picture if picture.shape[2] % 2 else _on_white(picture)
    side = min(picture.shape[:2]) // _REDUCED
    means: npt.NDArray[Any] = _block_means(colors, side) if side > 1 else colors
    gray: npt.NDArray[Any] = means @ _LUMA if means.shape[2] == 3 else means[..., 0]
    return gray if gray.dtype == np.uint8 else np.rint(gray).astype(np.uint8)


def _on_white(picture: Pixels) -> Pixels:
    """Colors without the alpha that follows them, on white; the sums stay below 65,536."""
    colors, alpha = picture[..., :-1], picture[..., -1:].astype(np.uint16)
    return ((colors * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _block_means(picture: Pixels, side: int) -> npt.NDArray[np.float32]:
    """Means over blocks of about `side` pixels a side, which cover the picture (height, width, channels) evenly."""
    height, width, _ = picture.shape
    rows = np.arange(height // side + 1) * height // (height // side)
    columns = np.arange(width // side + 1) * width // (width // side)
    bands = [picture[top:bottom].mean(axis=0, dtype=np.float32) for top, bottom in pairwise(rows)]
    sums = np.add.reduceat(np.stack(bands), columns[:-1], axis=1)
    return np.asarray(sums / np.diff(columns)[:, None], np.float32)


_TURNS: Mapping[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda gray: np.rot90(gray, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda gray: np.rot90(gray, -1),
    7: lambda gray: np.rot90(gray, 2).T,
    8: np.rot90,
}


def _upright(gray: Pixels, orientation: int) -> Pixels:
    """Turns and mirrors a picture (height, width) as EXIF's orientation says."""
    return np.ascontiguousarray(_TURNS[orientation](gray)) if orientation in _TURNS else gray
