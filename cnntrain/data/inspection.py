"""A look at every picture before anything is trained on it: can it be read and decoded, and what is its checksum."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import tensorflow as tf

from cnntrain.data.decoder import decode_as_stored, is_animated_webp
from cnntrain.data.examples import Example
from cnntrain.errors import DataError

_NAMED = 20


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one file.

    Args:
        sha256: Checksum of its bytes, empty when it cannot be read.
        problem: Why it cannot be used, empty when it can.
    """

    sha256: str
    problem: str


def inspect(path: Path) -> Inspection:
    """Reads and decodes one picture."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return Inspection(sha256="", problem=error.strerror or str(error))
    checksum = hashlib.sha256(content).hexdigest()
    if not content:
        return Inspection(checksum, "the file is empty")
    if is_animated_webp(content):
        return Inspection(checksum, "an animated WebP; save one frame of it as a picture")
    try:
        decode_as_stored(content)
    except (tf.errors.OpError, ValueError) as error:
        return Inspection(checksum, _reason(error))
    return Inspection(checksum, "")


def _reason(error: Exception) -> str:
    """The part of TensorFlow's message that says what is wrong with the bytes."""
    text = " ".join(str(getattr(error, "message", error)).split())
    return text.split("}} ")[-1].split(" [Op:")[0][:120]


def inspect_all(
    examples: Sequence[Example], *, on_picture: Callable[[int], None] = lambda _: None
) -> tuple[Example, ...]:
    """Inspects every picture, on all cores, and gives the examples back with their checksums.

    Args:
        examples: What is inspected.
        on_picture: Told the number of pictures that are done.

    Raises:
        DataError: Some cannot be read or decoded; the message names them.
    """
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        found = []
        for seen in pool.map(inspect, (Path(example.path) for example in examples)):
            found.append(seen)
            on_picture(len(found))
    bad = [(example, seen.problem) for example, seen in zip(examples, found, strict=True) if seen.problem]
    if bad:
        names = ", ".join(f"{example.path} ({problem})" for example, problem in bad[:_NAMED])
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise DataError(f"{len(bad)} of {len(examples)} pictures cannot be decoded, remove or mend them: {names}{more}")
    return tuple(replace(example, sha256=seen.sha256) for example, seen in zip(examples, found, strict=True))


def fingerprint(examples: Sequence[Example]) -> str:
    """SHA-256 of what a data set holds: split, label and checksum of every picture, whatever their names and order."""
    rows = sorted(f"{example.split}\t{example.label}\t{example.sha256}\n" for example in examples)
    return hashlib.sha256("".join(rows).encode()).hexdigest()
