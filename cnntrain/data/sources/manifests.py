"""What the manifest of a split adds to its folders, and whether the two agree."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cnntrain.data.examples import Example
from cnntrain.data.sources.rows import read_header, read_rows
from cnntrain.data.sources.walking import nfc
from cnntrain.errors import DataError

MANIFEST = "manifest.csv"
_COLUMNS = ("path", "label", "split")
_ADVICE = "put it right, or split again with --overwrite"


def with_manifest(examples: Sequence[Example], manifest: Path, *, below: str, name: str) -> tuple[Example, ...]:
    """Takes group, fold and checksum over from a manifest.

    Args:
        examples: The pictures of a data set that is split already, as its folders tell them.
        manifest: A file that may be missing, or be another's that lacks the columns path, label and split; then
            nothing changes.
        below: What stands before the manifest's paths in those of the examples: empty, or folders with a slash.
        name: What messages call the data set.

    Raises:
        DataError: It cannot be read, or disagrees with the folders: other pictures, another split or label.
    """
    called = f"{MANIFEST} of {name}"
    if not manifest.is_file() or not set(_COLUMNS) <= set(read_header(manifest, name=called)):
        return tuple(examples)
    rows = [row for _, row in read_rows(manifest, name=called, required=_COLUMNS)]
    noted = {nfc(below + row.path): row for row in rows}
    if len(noted) < len(rows):
        raise DataError(f"{MANIFEST} of {name} lists a picture twice; {_ADVICE}")
    _check_same_pictures(examples, noted, name)
    return tuple(_merged(example, noted[nfc(example.path)], name) for example in examples)


def _check_same_pictures(examples: Sequence[Example], noted: Mapping[str, Example], name: str) -> None:
    there = {nfc(example.path) for example in examples}
    if gone := sorted(noted.keys() - there):
        raise DataError(f"{MANIFEST} of {name} lists {_some(gone)} that {_be(gone)} not there; {_ADVICE}")
    if new := sorted(there - noted.keys()):
        raise DataError(f"{MANIFEST} of {name} does not list {_some(new)} that {_be(new)} there; {_ADVICE}")


def _some(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} pictures, such as {paths[0]},"


def _be(paths: Sequence[str]) -> str:
    return "is" if len(paths) == 1 else "are"


def _merged(example: Example, row: Example, name: str) -> Example:
    """The example with what the manifest notes about it."""
    agree: tuple[tuple[Callable[[Example], str], str], ...] = (
        (lambda either: either.split, "split"),
        (lambda either: nfc(either.label), "class"),
    )
    for value, what in agree:
        if value(row) and value(row) != value(example):
            raise DataError(
                f"{MANIFEST} of {name} says that the {what} of {example.path} is {value(row)}, its folder says "
                f"{value(example)}; {_ADVICE}"
            )
    return replace(example, group=row.group, fold=row.fold, sha256=row.sha256)
