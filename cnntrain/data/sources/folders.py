"""A folder of pictures read as a data set: class folders or flat, split already or not."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from cnntrain.data.examples import Example
from cnntrain.data.sources.labels import check_labels, compiled, labels_below, labels_by_pattern
from cnntrain.data.sources.walking import Parts, Walk, is_junk, nfc
from cnntrain.errors import DataError

SPLIT_NAMES: Mapping[str, str] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
_SPLIT_LIKE = re.compile(
    r"(train|training|val|valid|validation|test|testing)\d*([ _-]?(images?|imgs?|data|set))?", re.IGNORECASE
)


@dataclass(frozen=True)
class Layout:
    """How the pictures of a folder are arranged.

    Args:
        base: The folders, from the top, that wrap everything.
        splits: The part of the data that each folder below `base` stands for; empty when it is not split.
        unclear: Folders below `base` that sound like parts of a data set and are not in `splits`.
    """

    base: Parts
    splits: Mapping[str, str]
    unclear: tuple[str, ...]

    def split_of(self, parts: Parts) -> str:
        """The part of the data that a picture belongs to, or nothing."""
        depth = len(self.base)
        return self.splits.get(parts[depth], "") if len(parts) > depth + 1 else ""

    def inside(self, parts: Parts) -> Parts:
        """A picture's path below the folder that holds its class folders."""
        return parts[len(self.base) + bool(self.split_of(parts)) :]


def layout_of(paths: Sequence[Parts], known: Collection[str] = ()) -> Layout:
    """Finds out how pictures are arranged.

    While there is one sub-folder only, that one is looked at instead. The data is split when there is a folder `train`
    and beside it `validation` (or `val`, or `valid`) or `test`, in capital letters or not; or when `train` is the only
    folder and holds folders.

    Args:
        paths: Where the pictures lie; at least one.
        known: Names of classes; folders called so are classes and nothing else.
    """
    base = _wrapping(paths, known)
    depth = len(base)
    tops = sorted({parts[depth] for parts in paths if len(parts) > depth + 1})
    if tops and base and base[-1].lower() == "train":
        return Layout(base[:-1], {base[-1]: "train"}, ())
    splits = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    if "train" not in splits.values() or len(splits) < 2:
        splits = {}
    like = [top for top in tops if _SPLIT_LIKE.fullmatch(top)]
    if any(nfc(top) in known for top in tops):
        splits, like = {}, []
    is_unclear = len(like) > 1 and any(top.lower().startswith("train") for top in like)
    return Layout(base, splits, tuple(top for top in like if top not in splits) if is_unclear else ())


def _wrapping(paths: Iterable[Parts], known: Collection[str]) -> Parts:
    """The folders, from the top, that all pictures lie in, down to the first that is a class."""
    folders = {parts[:-1] for parts in paths}
    pairs = zip(min(folders), max(folders), strict=False)  # in sorted order the ends differ the most
    shared = tuple(first for first, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    classes = [place for place, folder in enumerate(shared) if nfc(folder) in known]
    return shared[: classes[0]] if classes else shared


def read_folder(found: Walk, layout: Layout, *, label_regex: str | None) -> tuple[Example, ...]:
    """All pictures of a folder, with label and split where they can be told.

    Args:
        found: The pictures.
        layout: How they are arranged.
        label_regex: What finds the class in a path instead of folders and names.

    Raises:
        UsageError: The pattern is none.
    """
    labels = _labels(found.paths, layout, label_regex)
    return tuple(
        Example("/".join(parts), label, layout.split_of(parts))
        for parts, label in zip(found.paths, labels, strict=True)
    )


def _labels(paths: Sequence[Parts], layout: Layout, label_regex: str | None) -> list[str]:
    if label_regex is not None:
        return labels_by_pattern(paths, compiled(label_regex))
    labels = [""] * len(paths)
    for top in layout.splits or ("",):
        mine = [index for index, parts in enumerate(paths) if not top or _is_in(top, parts, layout)]
        told = labels_below([layout.inside(paths[index]) for index in mine])
        for index, label in zip(mine, told, strict=True):
            labels[index] = label
    if layout.base and not layout.splits and not any(labels):
        return [nfc(layout.base[-1])] * len(paths)  # all of them in the folder of one class
    return labels


def _is_in(top: str, parts: Parts, layout: Layout) -> bool:
    return bool(layout.split_of(parts)) and parts[len(layout.base)] == top


def check_folder(
    found: Walk, layout: Layout, examples: Sequence[Example], name: str, *, label_regex: str | None
) -> None:
    """Makes sure that every picture that counts has a label, and that it is clear which counts.

    Raises:
        DataError: Folders sound like parts of the data but are not, a part is there twice, pictures lie beside class
            folders, or nothing tells the class of one.
    """
    _check_splits(layout, name)
    for parts, example in zip(found.paths, examples, strict=True):
        if not example.label and (example.split or not layout.splits):
            raise _unlabelled(parts, found, layout, name, label_regex)
    check_labels((example.label for example in examples), name)


def _check_splits(layout: Layout, name: str) -> None:
    if layout.unclear:
        names = ", ".join(sorted({*layout.unclear, *layout.splits}))
        raise DataError(
            f"{name} is split already, into {names}, of which cnntrain knows train, validation and test; "
            "rename them, or give one of these"
        )
    taken: dict[str, str] = {}
    for top, split in layout.splits.items():
        if split in taken:
            raise DataError(f"{name} holds {split} pictures twice, in {taken[split]} and in {top}; keep one of them")
        taken[split] = top


def _unlabelled(parts: Parts, found: Walk, layout: Layout, name: str, label_regex: str | None) -> DataError:
    """Why a picture has no label, and what to do."""
    path = "/".join(parts)
    if label_regex is not None:
        return DataError(f"--label-regex {label_regex} finds no class in {path} of {name}; every picture needs one")
    split = layout.split_of(parts)
    beside = [layout.inside(other) for other in found.paths if layout.split_of(other) == split]
    folders = sorted(other[0] for other in beside if len(other) > 1)
    if folders:
        return DataError(
            f"{name} holds pictures beside class folders: {path} beside {folders[0]}/; "
            "put every picture into the folder of its class"
        )
    puzzling = next((other for (other,) in beside if other.count(".") < 2), parts[-1])
    return DataError(
        f"the name of {puzzling} in {name} does not tell its class; expected CLASS.NUMBER.jpg (as in cat.0.jpg), "
        "a folder a class, a table, or --label-regex"
    )


def top_tables(root: Path, found: Walk, layout: Layout, suffixes: Collection[str]) -> tuple[Path, ...]:
    """The tables at the top of a folder whose pictures lie in no class folders; else none.

    The folders of a data set that is split already, or sounds like it, are no class folders.
    """
    for parts in found.paths:
        inside = parts[len(layout.base) :]
        if len(inside) > 2 or (len(inside) == 2 and not _SPLIT_LIKE.fullmatch(inside[0])):
            return ()
    tops = [root.joinpath(*layout.base[:depth]) for depth in range(len(layout.base) + 1)]
    return tuple(
        entry
        for top in tops
        for entry in sorted(top.iterdir())
        if entry.suffix.lower() in suffixes and not is_junk(entry.name) and entry.is_file()
    )
