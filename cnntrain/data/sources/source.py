"""Anything that pictures come from, read as a table of examples."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from cnntrain.data.examples import SPLITS, Example, class_names, in_split
from cnntrain.data.sources.folders import Layout, check_folder, layout_of, read_folder, top_tables
from cnntrain.data.sources.manifests import MANIFEST, with_manifest
from cnntrain.data.sources.tables import TABLE_SUFFIXES, is_table, read_table, tells_labels
from cnntrain.data.sources.walking import PICTURE_SUFFIXES, Walk, check_place, is_folder, walk
from cnntrain.errors import DataError, UsageError


@dataclass(frozen=True)
class Source:
    """Pictures that were found.

    Args:
        root: The folder that paths are relative to, real and absolute.
        name: What messages call the source: the user's own words.
        examples: A row a picture, its path relative to `root` in POSIX form; sorted by path, or in a table's order.
        passed_over: Numbers of pictures of kinds that are not read, by suffix, such as `{".tiff": 3}`.
        notes: Sentences on pictures that were found and are left out.
    """

    root: Path
    name: str
    examples: tuple[Example, ...]
    passed_over: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_split(self) -> bool:
        """Whether the pictures are divided into train, validation and test (of which some may be missing) already."""
        return any(example.split for example in self.examples)

    @property
    def absolute(self) -> tuple[Example, ...]:
        """The examples with absolute paths."""
        top = os.fspath(self.root)
        return tuple(replace(example, path=_joined(top, example.path)) for example in self.examples)


def _joined(top: str, path: str) -> str:
    return os.path.normpath(os.path.join(top, path)).replace(os.sep, "/")  # noqa: PTH118 - a Path a picture is slow


def find_source(place: Path, *, name: str | None = None, label_regex: str | None = None) -> Source:
    """Finds pictures and their classes in a folder or a table; for an archive see `unpacked` and `kept_unpacked`.

    A folder holds a folder a class, with pictures at any depth; or all pictures, whose names tell the class
    (`cat.0.jpg`, or all of them like `cat_0.jpg`, `cat-0.jpg` or `cat (0).jpg`); or beside pictures without class
    folders one table that tells them and names nothing outside; or `train`, `validation` (or `val`, `valid`) and
    `test`, and each of these a folder a class or pictures whose names tell it. In the last case a `manifest.csv` beside
    them adds group, fold and checksum. Labels are in Unicode's form NFC. See `walk` for what counts as a picture,
    `read_table` for tables.

    Args:
        place: A folder or table.
        name: What messages call it; the place itself when absent.
        label_regex: Searched in each path below the folder; its group named `label`, or else its first group, is the
            class, and folders and names do not tell it.

    Raises:
        DataError: There is no such place, no picture in it or one class only; the class of a picture is not told; a
            later part of the data has a class that `train` has not; manifest and folders disagree; a name cannot be
            written down.
        UsageError: `label_regex` is no regular expression with a group, or comes with a table.
    """
    source = find_labelled(place, name=name, label_regex=label_regex)
    _check_classes(source)
    return source


def find_labelled(
    place: Path, *, name: str | None = None, label_regex: str | None = None, known: Collection[str] = ()
) -> Source:
    """Finds pictures and their classes as `find_source` does, where one class is enough.

    Args:
        place: A folder or table.
        name: What messages call it; the place itself when absent.
        label_regex: What finds the class in a path.
        known: Names of classes; a folder called so is a class, never a wrapping or a part of the data.

    Raises:
        DataError: As `find_source` does, but for what it says about classes that are too few or unknown.
        UsageError: `label_regex` is no regular expression with a group, or comes with a table.
    """
    name = name or str(place)
    check_place(place, name)
    if is_table(place):
        return _of_table(place, name, label_regex)
    root, found = _walked(place, name)
    layout = layout_of(found.paths, known)
    table = _label_table(root, found, layout, name) if label_regex is None else None
    if table:
        return _of_inner_table(table, root, found, name)
    examples = read_folder(found, layout, label_regex=label_regex)
    check_folder(found, layout, examples, name, label_regex=label_regex)
    if not layout.splits:
        return Source(root, name, examples, found.passed_over)
    below = "".join(f"{folder}/" for folder in layout.base)
    inside = [example for example in examples if example.split]
    examples, notes = with_manifest(inside, root / below / MANIFEST, below=below, name=name), _beside(examples)
    return Source(root, name, examples, found.passed_over, notes)


def _of_inner_table(table: Path, root: Path, found: Walk, name: str) -> Source:
    """The pictures of a folder that a table in it lists; whoever made the folder may have made the table."""
    rows = read_table(table, name=f"{table.name} of {name}", is_confined=True)
    source = Source(table.parent, name, rows, found.passed_over)
    listed = {example.path for example in source.absolute}
    top = os.fspath(root)
    unlisted = [path for parts in found.paths if _joined(top, path := "/".join(parts)) not in listed]
    return replace(source, notes=_left_out(unlisted, f"not listed in {table.name}"))


def _beside(examples: Sequence[Example]) -> tuple[str, ...]:
    """A note on the pictures of a split data set that belong to no part of it, if there are any."""
    return _left_out([example.path for example in examples if not example.split], "outside train, validation and test")


def _left_out(paths: Sequence[str], where: str) -> tuple[str, ...]:
    if not paths:
        return ()
    if len(paths) == 1:
        return (f"1 picture is {where}, {paths[0]}; split, fit and evaluate leave it out",)
    return (f"{len(paths):,} pictures are {where}, {paths[0]} first; split, fit and evaluate leave them out",)


def find_unlabelled(place: Path, *, name: str | None = None, label_regex: str | None = None) -> Source:
    """Finds pictures, whatever is told about them: labels and splits are empty where they are not.

    Args:
        place: A folder with pictures at any depth, a table with at least their paths, or a single picture.
        name: What messages call it; the place itself when absent.
        label_regex: What finds the class in a path.

    Raises:
        DataError: There is no such place or no picture in it, a table is damaged, or a name cannot be written down.
        UsageError: `label_regex` is no regular expression with a group, or comes with a table.
    """
    name = name or str(place)
    if is_table(place):
        return _of_table(place, name, label_regex, required=("path",))
    if not is_folder(place) and place.is_file():
        return Source(place.parent.resolve(), name, (Example(place.name, ""),))
    root, found = _walked(place, name)
    layout = layout_of(found.paths)
    examples = read_folder(found, layout, label_regex=label_regex)
    tables = [table for table in top_tables(root, found, layout, TABLE_SUFFIXES) if tells_labels(table)]
    if len(tables) == 1 and label_regex is None:
        told = _of_inner_table(tables[0], root, found, name)
        return Source(root, name, _told_by(told, examples, root), found.passed_over, told.notes)
    return Source(root, name, examples, found.passed_over, _beside(examples) if layout.splits else ())


def _told_by(listing: Source, examples: Sequence[Example], root: Path) -> tuple[Example, ...]:
    """All examples of a folder, with what a table in it says of those that it lists."""
    listed = {row.path: row for row in listing.absolute}
    top = os.fspath(root)
    return tuple(
        replace(listed[path], path=example.path) if (path := _joined(top, example.path)) in listed else example
        for example in examples
    )


def _of_table(table: Path, name: str, label_regex: str | None, required: Sequence[str] = ("path", "label")) -> Source:
    if label_regex is not None:
        raise UsageError(f"--label-regex is for folders; the table {name} tells the classes itself; leave it out")
    return Source(table.parent.resolve(), name, read_table(table, name=name, required=required))


def _walked(place: Path, name: str) -> tuple[Path, Walk]:
    """The folder's real, absolute path, and the pictures below it, of which there are some."""
    if not is_folder(place):
        if place.exists():
            raise DataError(
                f"{name} is a file, where pictures are needed; give a folder, a .csv or .tsv, or an archive"
            )
        raise DataError(f"there is no folder {name}; give the folder that holds the pictures")
    root = place.resolve()
    found = walk(root, name)
    if not found.paths:
        _no_pictures(root, name, found)
    return root, found


def _no_pictures(root: Path, name: str, found: Walk) -> NoReturn:
    inner = next((file for file in sorted(root.rglob("*")) if file.suffix.lower() in (".zip", ".tar", ".tgz")), None)
    if found.passed_over:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.passed_over.items()))
        raise DataError(f"{name} holds no pictures that can be read, only {counts}; convert them to JPEG or PNG")
    hint = f"; it holds {inner.relative_to(root).as_posix()!a}: take that out and give it" if inner else ""
    raise DataError(f"{name} holds no pictures; files that end in {', '.join(PICTURE_SUFFIXES)} count{hint}")


def _label_table(root: Path, found: Walk, layout: Layout, name: str) -> Path | None:
    """The one table that tells the classes of pictures that lie in no class folders, if there is one."""
    tables = [table for table in top_tables(root, found, layout, TABLE_SUFFIXES) if tells_labels(table)]
    if len(tables) > 1:
        raise DataError(
            f"{name} holds more than one table of pictures: {tables[0].name}, {tables[1].name}; give the one that "
            "tells the classes itself, or take the others away"
        )
    return tables[0] if tables else None


def _check_classes(source: Source) -> None:
    """Two classes at least, and none that training does not know."""
    known = class_names(in_split(source.examples, "train") if source.is_split else source.examples)
    if not known:
        raise DataError(f"{source.name} is split and has no train pictures; it needs some")
    if len(known) < 2:
        where = f"{source.name}: train" if source.is_split else source.name
        raise DataError(f"{where} holds one class only ({known[0]}); a classifier needs at least two")
    for split in SPLITS if source.is_split else ():
        for label in class_names(in_split(source.examples, split)):
            if label not in known:
                raise DataError(
                    f"{source.name}: {split} holds pictures of the class {label}, train does not; "
                    "put some into train or take it out"
                )
