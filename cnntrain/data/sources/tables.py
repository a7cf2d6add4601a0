"""A table of pictures (CSV or TSV) read as a data set."""

import csv
import io
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cnntrain.data.examples import Example
from cnntrain.data.sources.folders import SPLIT_NAMES
from cnntrain.data.sources.labels import check_labels
from cnntrain.data.sources.walking import Parts, check_name, is_folder, nfc, walk
from cnntrain.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv")

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
Columns = Mapping[str, int]


def is_table(place: Path) -> bool:
    """Whether `place` is a table by its suffix."""
    return place.suffix.lower() in TABLE_SUFFIXES and not is_folder(place)


def tells_labels(table: Path) -> bool:
    """Whether a file is a table of pictures with their classes; a sample of a submission to Kaggle is none."""
    if table.stem.lower().replace("_", "").startswith("samplesubmission"):
        return False
    try:
        header, _ = _parsed(table, "")
        _columns(header, ("path", "label"), "")
    except DataError:
        return False
    return True


def read_table(table: Path, *, name: str, required: Sequence[str] = ("path", "label")) -> tuple[Example, ...]:
    """Reads a table with a header and a row a picture.

    Columns are `path` and `label`, and if wanted `split`, `group`, `fold` and `sha256`; others are passed over. Capital
    letters do not matter, and usual names such as `filename` or `class` do as well. A comma, semicolon or tab separates
    cells in `.csv`, a tab in `.tsv`. A path is absolute or relative to the table's folder; where there is no such file,
    it stands for the only picture below that folder whose path ends so, with or without its suffix.

    Args:
        table: The file, in UTF-8.
        name: What messages call it.
        required: The columns that it must have.

    Returns:
        Examples in the order of the rows, paths relative to the table's folder (with `..` where they lie outside).

    Raises:
        DataError: It cannot be read, has no rows, lacks a column, or something is wrong with a row, which is named.
    """
    header, rows = _parsed(table, name)
    columns = _columns(header, required, name)
    places, examples, seen = _Places(table.parent.resolve(), name), list[Example](), dict[str, int]()
    for number, row in rows:
        try:
            example = _example(row, len(header), columns, places, required)
            if example.path in seen:
                raise DataError(f"the picture {example.path} stands in row {seen[example.path]} already; remove one")
        except DataError as error:
            raise DataError(f"{name}, row {number}: {error}") from error
        seen[example.path] = number
        examples.append(example)
    if not examples:
        raise DataError(f"{name} has no rows; it needs one a picture")
    _check_splits(examples, seen, name)
    check_labels((example.label for example in examples), name)
    return tuple(examples)


def _parsed(table: Path, name: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the rows that are not empty with their numbers as a spreadsheet shows them."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        rows = [*csv.reader(io.StringIO(text), delimiter=_delimiter(table, text), strict=True)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read the table {name}: {reason}; it should be CSV in UTF-8") from error
    numbered = [(number, row) for number, row in enumerate(rows, start=1) if any(cell.strip() for cell in row)]
    if not numbered:
        raise DataError(f"the table {name} is empty; it needs a header and a row a picture")
    return [_plain(cell) for cell in numbered[0][1]], numbered[1:]


def _delimiter(table: Path, text: str) -> str:
    """A tab in .tsv; in .csv what the first line has most of: Excel writes semicolons in many countries."""
    if table.suffix.lower() == ".tsv":
        return "\t"
    first = text.lstrip().partition("\n")[0]
    return max(",;\t", key=first.count)


def _plain(column: str) -> str:
    return column.strip().lower().replace(" ", "_").replace("-", "_")


def _columns(header: Sequence[str], required: Sequence[str], name: str) -> dict[str, int]:
    """Where each column stands."""
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


def _fitting(header: Sequence[str], names: Sequence[str]) -> list[int]:
    return [place for place, column in enumerate(header) if column in names]


def _example(row: Sequence[str], width: int, columns: Columns, places: "_Places", required: Sequence[str]) -> Example:
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
        path=places.resolve(row[columns["path"]]),
        label=nfc(cells.get("label", "")),
        split=SPLIT_NAMES.get(split.lower(), ""),
        group=cells.get("group", ""),
        fold=cells.get("fold", ""),
        sha256=cells.get("sha256", ""),
    )


def _check_splits(examples: Sequence[Example], rows: Mapping[str, int], name: str) -> None:
    """All pictures belong to a part of the data, or none does."""
    without = [example for example in examples if not example.split]
    if without and len(without) < len(examples):
        raise DataError(f"{name}, row {rows[without[0].path]}: the split is empty, that of others is not; mend it")


@dataclass(frozen=True)
class _Places:
    """Finds the files that a table names.

    Args:
        root: The table's folder, real and absolute.
        name: What messages call the table.
    """

    root: Path
    name: str
    _top: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_top", os.fspath(self.root))

    def resolve(self, text: str) -> str:
        """The path of a picture relative to the root, in POSIX form. Raises DataError where it is not there."""
        for candidate in dict.fromkeys((text, text.strip(), text.strip().replace("\\", "/"))):
            if os.path.isfile(os.path.join(self._top, candidate)):  # noqa: PTH113, PTH118 - a Path a row is slow
                path = self._relative(candidate)
                check_name(path, self.name)
                return path
        return self._only_one(text.strip().replace("\\", "/"))

    def _relative(self, text: str) -> str:
        if not os.path.isabs(text) and ".." not in text:  # noqa: PTH117
            return os.path.normpath(text).replace(os.sep, "/")
        folder, name = os.path.split(os.path.join(self._top, text))  # noqa: PTH118
        real = os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 - what stands before .. may be a link
        try:
            return os.path.relpath(real, self._top).replace(os.sep, "/")
        except ValueError:  # another drive of Windows
            return real.replace(os.sep, "/")

    def _only_one(self, text: str) -> str:
        """The only picture whose path ends so, with or without its suffix."""
        found = self._endings.get(nfc(text.removeprefix("./")), ())
        if len(found) == 1:
            return "/".join(found[0])
        if found:
            shown = " and ".join("/".join(parts) for parts in found[:2])
            raise DataError(f"{text} may be any of {len(found)} pictures, such as {shown}; write the whole path")
        raise DataError(f"there is no picture {text!a}; paths are relative to the table's folder")

    @cached_property
    def _endings(self) -> Mapping[str, Sequence[Parts]]:
        """Every ending of every path below the root, with and without suffix."""
        endings: dict[str, list[Parts]] = defaultdict(list)
        for parts in walk(self.root, self.name).paths:
            for ending in _endings_of(parts):
                endings[nfc(ending)].append(parts)
        return endings


def _endings_of(parts: Parts) -> Iterator[str]:
    for start in range(len(parts)):
        ending = "/".join(parts[start:])
        yield ending
        stem = os.path.splitext(ending)[0]  # noqa: PTH122
        if stem != ending:
            yield stem
