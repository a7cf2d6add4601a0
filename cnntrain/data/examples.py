"""The table of pictures that everything works on: one row a picture, with its label and its part of the data."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from cnntrain.errors import DataError
from cnntrain.files import write_text

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Example:
    """One picture.

    Args:
        path: Where the file lies, in POSIX form; absolute in a run, relative to the manifest in a data set.
        label: Name of its class.
        split: `train`, `validation`, `test`, or empty where the data is not split.
        group: What must stay on one side of a split, or empty.
        fold: Number of the cross-validation fold, or empty.
        sha256: Checksum of the file's bytes, or empty.
        orientation: How the stored picture is turned to stand upright, 1 to 8 as EXIF counts; 1 is as it is.
    """

    path: str
    label: str
    split: str = ""
    group: str = ""
    fold: str = ""
    sha256: str = ""
    orientation: int = 1


COLUMNS = tuple(field.name for field in fields(Example))[:-1]  # of a manifest; a run's table has the orientation too


def class_names(examples: Iterable[Example]) -> tuple[str, ...]:
    """The labels that occur, sorted by code point."""
    return tuple(sorted({example.label for example in examples}))


def in_split(examples: Iterable[Example], split: str) -> tuple[Example, ...]:
    """The examples of one split, in their order."""
    return tuple(example for example in examples if example.split == split)


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Writes the table of a run as CSV (UTF-8, a header, a row a picture), orientation included.

    Raises:
        WriteError: The file cannot be written.
    """
    write_text(path, _as_csv(examples, "orientation", [str(example.orientation) for example in examples]))


def manifest_text(examples: Sequence[Example], sources: Sequence[str]) -> str:
    """The manifest of a split as CSV: a header, a row a picture, and in the column `source` where each came from."""
    return _as_csv(examples, "source", sources)


def _as_csv(examples: Sequence[Example], column: str, values: Sequence[str]) -> str:
    """The agreed columns and one more."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, column])
    for example, value in zip(examples, values, strict=True):
        writer.writerow([*(getattr(example, name) for name in COLUMNS), value])
    return text.getvalue()


def read_examples(path: Path) -> tuple[Example, ...]:
    """Reads the table of a run or the manifest of a split, whose column `source` is passed over.

    Raises:
        DataError: The file is missing, is not such a table, or a row of it is not.
    """
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        columns, rows = reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}; it should be a CSV file with a row a picture") from error
    missing = {"path", "label"} - set(columns)
    if missing:
        raise DataError(f"{path} lacks the column {min(missing)}; it needs at least path and label")
    return tuple(_example(row, f"{path}: picture {number}") for number, row in enumerate(rows, start=1))


def _example(row: Mapping[str, str | None], name: str) -> Example:
    """A row of the table; `name` is what a message calls it."""
    values = {column: row.get(column) or "" for column in COLUMNS}
    if not values["path"] or not values["label"]:
        raise DataError(f"{name} lacks its path or its label; mend or remove that row")
    orientation = row.get("orientation") or "1"
    if orientation not in "12345678" or len(orientation) != 1:
        raise DataError(f"{name} has an orientation that is no number from 1 to 8: {orientation}; mend that row")
    return Example(**values, orientation=int(orientation))
