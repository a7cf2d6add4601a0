"""A table of pictures (CSV or TSV) read as a data set."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from cnntrain.data.examples import Example
from cnntrain.data.sources.labels import check_labels
from cnntrain.data.sources.rows import column_places, in_row, read_header, read_rows
from cnntrain.data.sources.walking import (
    PICTURE_SUFFIXES,
    Parts,
    check_name,
    holds_picture,
    is_folder,
    nfc,
    pictures_within_reach,
)
from cnntrain.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv")


def is_table(place: Path) -> bool:
    """Whether `place` is a table by its suffix."""
    return place.suffix.lower() in TABLE_SUFFIXES and not is_folder(place)


def tells_labels(table: Path) -> bool:
    """Whether a file is a table of pictures with their classes; a sample of a submission to Kaggle is none."""
    if table.stem.lower().replace("_", "").startswith("samplesubmission"):
        return False
    try:
        column_places(read_header(table, name=""), ("path", "label"), "")
    except DataError:
        return False
    return True


def read_table(
    table: Path, *, name: str, required: Sequence[str] = ("path", "label"), is_confined: bool = False
) -> tuple[Example, ...]:
    """Reads a table with a header and a row a picture.

    Columns are `path` and `label`, and if wanted `split`, `group`, `fold` and `sha256`; others are passed over. Capital
    letters do not matter, and usual names such as `filename` or `class` do as well. See `read_rows` for how they are
    separated. A path is absolute or relative to the table's folder; where there is no such file, it stands for the only
    picture below that folder whose path ends so, with or without its suffix.

    Args:
        table: The file, in UTF-8.
        name: What messages call it.
        required: The columns that it must have.
        is_confined: Whether only pictures below the table's folder may be named: somebody else may have written it.

    Returns:
        Examples in the order of the rows, paths relative to the table's folder (with `..` where they lie outside).

    Raises:
        DataError: It cannot be read, has no rows, lacks a column, or something is wrong with a row, which is named.
    """
    places, examples, seen = _Places(table.parent.resolve(), name, is_confined), list[Example](), dict[str, int]()
    for number, row in read_rows(table, name=name, required=required):
        with in_row(name, number):
            path = places.resolve(row.path)
            if path in seen:
                raise DataError(f"the picture {path} stands in row {seen[path]} already; remove one")
        seen[path] = number
        examples.append(replace(row, path=path))
    if not examples:
        raise DataError(f"{name} has no rows; it needs one a picture")
    _check_splits(examples, seen, name)
    check_labels((example.label for example in examples), name)
    return tuple(examples)


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
        is_confined: Whether nothing outside the root is as much as touched.
    """

    root: Path
    name: str
    is_confined: bool
    _top: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_top", os.fspath(self.root))

    def resolve(self, text: str) -> str:
        """The path of a picture relative to the root, in POSIX form. Raises DataError where it is not there."""
        for candidate in dict.fromkeys((text, text.strip(), text.strip().replace("\\", "/"))):
            if self.is_confined:
                self._check_inside(candidate)
            file = os.path.join(self._top, candidate)  # noqa: PTH118 - a Path a row is slow
            if os.path.isfile(file):  # noqa: PTH113
                path = self._relative(candidate)
                check_name(path, self.name)
                _check_picture(file, path)
                return path
        return self._only_one(text.strip().replace("\\", "/"))

    def _check_inside(self, text: str) -> None:
        """Raises DataError where a path leads out of the root; the file is not looked for."""
        inside = os.path.normpath(os.path.join(self._top, text)) + os.sep  # noqa: PTH118
        if not inside.startswith(os.path.join(self._top, "")):  # noqa: PTH118
            raise DataError(
                f"{text!a} lies outside the folder of the table, and a table found in a folder or an archive tells of "
                "what lies there alone; remove that row, or give the table itself"
            )

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
        is_ending = not os.path.isabs(text) and ".." not in text.split("/")  # noqa: PTH117
        found = self._endings.get(nfc(text.removeprefix("./")), ()) if is_ending else ()
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
        for parts in pictures_within_reach(self.root):
            for ending in _endings_of(parts):
                endings[nfc(ending)].append(parts)
        return endings


def _check_picture(file: str, path: str) -> None:
    """Raises DataError for a file that is a picture neither by its suffix nor by its first bytes."""
    if not path.lower().endswith(PICTURE_SUFFIXES) and not holds_picture(file):
        raise DataError(f"{path} is no picture that can be read; give JPEG, PNG, BMP, GIF or WebP")


def _endings_of(parts: Parts) -> Iterator[str]:
    for start in range(len(parts)):
        ending = "/".join(parts[start:])
        yield ending
        stem = os.path.splitext(ending)[0]  # noqa: PTH122
        if stem != ending:
            yield stem
