"""A look at every picture before anything is done with it: which are good, and what each of them is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cnntrain.data.examples import Example
from cnntrain.data.scanning.look import Look
from cnntrain.data.scanning.look_at import look_at_all
from cnntrain.data.wording import listed
from cnntrain.errors import DataError
from cnntrain.files import sha256

_NAMED = 100


@dataclass(frozen=True, slots=True)
class Skipped:
    """A bad picture that was left out.

    Args:
        path: Where it lies.
        split: What it would have been in.
        problem: What is wrong with it.
    """

    path: str
    split: str
    problem: str


@dataclass(frozen=True)
class Inspected:
    """Pictures that can be used.

    Args:
        examples: With their checksums and orientations.
        looks: What each of them holds, in the same order.
        skipped: The others.
    """

    examples: tuple[Example, ...]
    looks: tuple[Look, ...]
    skipped: tuple[Skipped, ...] = ()


def inspect(
    examples: Sequence[Example],
    *,
    max_pixels: int,
    bad_images: Literal["error", "skip"],
    advice: str = "mend them, set data.bad_images: skip, or take them out of the source and split again",
    on_picture: Callable[[int], None] = lambda _: None,
) -> Inspected:
    """Looks at every picture, on all cores; what was looked at before is remembered by its content.

    Args:
        examples: With absolute paths.
        max_pixels: Largest height times width of a picture that is decoded.
        bad_images: Whether bad ones are an error or are left out.
        advice: What the error says to do.
        on_picture: Told the number of pictures that are done.

    Raises:
        DataError: There are bad pictures and they are not to be left out; the message names them.
    """
    looks = look_at_all([example.path for example in examples], max_pixels=max_pixels, on_picture=on_picture)
    seen = list(zip(examples, looks, strict=True))
    skipped = tuple(Skipped(example.path, example.split, look.problem) for example, look in seen if look.fault)
    if skipped and bad_images == "error":
        raise DataError(f"{len(skipped)} of {len(examples)} pictures are bad; {advice}: {_all_named(skipped)}")
    good = [(example, look) for example, look in seen if not look.fault]
    return Inspected(
        tuple(replace(example, sha256=look.sha256, orientation=look.orientation) for example, look in good),
        tuple(look for _, look in good),
        skipped,
    )


def changed_files(examples: Sequence[Example]) -> list[str]:
    """Paths of the pictures whose files are gone or hold other bytes than when they were looked at."""
    return [example.path for example in examples if checksum(example.path) != example.sha256]


def checksum(path: str) -> str:
    """The SHA-256 of a file; nothing where it cannot be read."""
    try:
        return sha256(Path(path))
    except OSError:
        return ""


def _all_named(bad: Sequence[Skipped]) -> str:
    names = listed([f"{picture.path} ({picture.problem})" for picture in bad], most=_NAMED)
    return f"{names}, which cnntrain scan names" if len(bad) > _NAMED else names
