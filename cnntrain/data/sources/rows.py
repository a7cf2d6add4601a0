"""The rows of a CSV or TSV, as many programs write them."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cnntrain.data.examples import Example
from cnntrain.data.sources.folders import SPLIT_NAMES
from cnntrain.data.sources.walking import nfc
from cnntrain.errors import DataError

# For each column the names it goes by: of the first row that the table has any of, it may have one only.
_NAMES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "path": (
        ("path",),
        ("file", "filename", "filepath", "filepaths", "file_path", "file_name", "image", "image_name", "image_path"),
        ("id", "image_id"),
    ),
    "label": (("label",), ("labels", "class", "class_name", "category", "breed", "species", "target")),
    "split": (("split",), ("subset", "partition", "data_set")),
    "group": (("group",), ("group_id",)),
    "fold": (("fold",),),
    "sha256": (("sha256",),),
}
_SEPARATOR = re.compile(
    '"?sep=([^\\w\\s"]|\\t)"?(?:\\n|$)', re.IGNORECASE
)  # a first line that Excel obeys and does not show
_HEAD = 1 << 16  # characters, which hold the header of any table
Numbered = Iterator[tuple[int, list[str]]]


def read_header(table: Path, *, name: str) -> list[str]:
    """The names of a table's columns, in small letters and with underscores; the rest of it is not read.

    Raises:
        DataError: It cannot be read or is empty.
    """
    return _header(_numbered(_text(table, name, _HEAD), table, name), name)


def column_places(header: Sequence[str], required: Sequence[str], name: str) -> dict[str, int]:
    """Where each known column stands in a header.

    Raises:
        DataError: A required column is missing, or there is more than one for the same.
    """
    found = {}
    for column, choices in _NAMES.items():
        fitting = next((fit for names in choices if (fit := _fitting(header, names))), [])
        if len(fitting) > 1 or (column in required and not fitting):
            problem = "more than one column" if fitting else "no column"
            raise DataError(
                f"the table {name} has {problem} for the {column} ({', '.join(header[:20])}); name one {column}"
            )
        if fitting:
            found[column] = fitting[0]
    return found


def read_rows(table: Path, *, name: str, required: Sequence[str]) -> Iterator[tuple[int, Example]]:
    """The rows that are not empty, with their numbers as a spreadsheet shows them; paths are as they are written.

    Args:
        table: The file, in UTF-8. A comma, semicolon or tab separates cells in `.csv`, a tab in `.tsv`, and in both
            what a first line such as `sep=;` says.
        name: What messages call it.
        required: The columns that it must have, filled in every row.

    Raises:
        DataError: It cannot be read, lacks a column, or something is wrong with a row, which is named.
    """
    numbered = _numbered(_text(table, name), table, name)
    header = _header(numbered, name)
    columns = column_places(header, required, name)
    for number, cells in numbered:
        with in_row(name, number):
            example = _example(cells, len(header), columns, required)
        yield number, example


@contextmanager
def in_row(name: str, number: int) -> Iterator[None]:
    """Makes messages say in which row of a table the fault is."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{name}, row {number}: {error}") from error


def _text(table: Path, name: str, size: int = -1) -> str:
    try:
        with table.open(encoding="utf-8-sig") as stream:
            return stream.read(size)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or error
    return DataError(f"cannot read the table {name}: {reason}; it should be CSV in UTF-8")


def _numbered(text: str, table: Path, name: str) -> Numbered:
    """The rows that are not empty, the header among them."""
    told = _SEPARATOR.match(text)
    text = text[told.end() :] if told else text
    delimiter = told[1] if told else _delimiter(table, text)
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True), start=1):
            if any(cell.strip() for cell in row):
                yield number, row
    except csv.Error as error:
        raise _unreadable(name, error) from error


def _delimiter(table: Path, text: str) -> str:
    """A tab in .tsv; in .csv what the first line has most of: Excel writes semicolons in many countries."""
    if table.suffix.lower() == ".tsv":
        return "\t"
    first = text.lstrip().partition("\n")[0]
    return max(",;\t", key=first.count)


def _header(numbered: Numbered, name: str) -> list[str]:
    for _, cells in numbered:
        return [cell.strip().lower().replace(" ", "_").replace("-", "_") for cell in cells]
    raise DataError(f"the table {name} is empty; it needs a header and a row a picture")


def _fitting(header: Sequence[str], names: Sequence[str]) -> list[int]:
    return [place for place, column in enumerate(header) if column in names]


def _example(row: Sequence[str], width: int, columns: Mapping[str, int], required: Sequence[str]) -> Example:
    """The picture of a row. Raises DataError without the row's number."""
    if len(row) != width:
        raise DataError(f"it has {len(row)} cells, the header has {width}; mend it")
    cells = {column: row[place].strip() for column, place in columns.items()}
    for column in required:
        if not cells[column]:
            raise DataError(f"the {column} is empty; mend or remove that row")
    split = cells.get("split", "")
    if split and split.lower() not in SPLIT_NAMES:
        raise DataError(f"the split is one of {', '.join(SPLIT_NAMES)}; got: {split}")
    return Example(
        path=row[columns["path"]],
        label=nfc(cells.get("label", "")),
        split=SPLIT_NAMES.get(split.lower(), ""),
        group=cells.get("group", ""),
        fold=cells.get("fold", ""),
        sha256=cells.get("sha256", ""),
    )
