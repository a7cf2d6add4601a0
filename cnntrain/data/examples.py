"""The table of pictures that everything works on: one row a picture, with its label and its part of the data."""

import csv
import io
from collections.abc import Iterable, Sequence
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
    """

    path: str
    label: str
    split: str = ""
    group: str = ""
    fold: str = ""
    sha256: str = ""


COLUMNS = tuple(field.name for field in fields(Example))


def class_names(examples: Iterable[Example]) -> tuple[str, ...]:
    """The labels that occur, sorted by code point."""
    return tuple(sorted({example.label for example in examples}))


def in_split(examples: Iterable[Example], split: str) -> tuple[Example, ...]:
    """The examples of one split, in their order."""
    return tuple(example for example in examples if example.split == split)


def write_examples(path: Path, examples: Sequence[Example], sources: Sequence[str] | None = None) -> None:
    """Writes a table of examples as CSV (UTF-8, a header, a row a picture).

    Args:
        path: The file to write.
        examples: Its rows.
        sources: Where each picture came from: one more column, which a manifest has.

    Raises:
        WriteError: The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "source"] if sources is not None else COLUMNS)
    for row, example in enumerate(examples):
        values = [getattr(example, column) for column in COLUMNS]
        writer.writerow([*values, sources[row]] if sources is not None else values)
    write_text(path, text.getvalue())


def read_examples(path: Path) -> tuple[Example, ...]:
    """Reads a table that `write_examples` wrote; a manifest's `source` column is passed over.

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
    examples = tuple(Example(**{name: row.get(name) or "" for name in COLUMNS}) for row in rows)
    for number, example in enumerate(examples, start=1):
        if not example.path or not example.label:
            raise DataError(f"{path}: picture {number} lacks its path or its label; mend or remove that row")
    return examples
