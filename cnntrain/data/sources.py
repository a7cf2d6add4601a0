"""Finds pictures and their classes in folders, be they split already or not."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from cnntrain.data.examples import SPLITS, Example, class_names, read_examples
from cnntrain.errors import DataError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
MANIFEST = "manifest.csv"

_JUNK = frozenset({"@eaDir", "__MACOSX"})
_SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
_SPLIT_LIKE = re.compile(r"(train|training|val|valid|validation|test|testing)\d*", re.IGNORECASE)
_UNUSABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and bytes that are not UTF-8

Parts = tuple[str, ...]  # a path below the source, folder by folder


def find_examples(folder: Path, *, name: str | None = None) -> tuple[Example, ...]:
    """Finds the pictures of a data set that is not split.

    Either every class is a folder with pictures anywhere below it, or all pictures lie in one folder and the class is
    what stands before the first dot of their names (`cat.0.jpg`). While a folder holds pictures in one sub-folder only,
    that sub-folder is looked at instead. Hidden files, the leavings of operating systems and empty folders do not
    count. A link to a folder is followed once, unless it leads to what is visited anyhow. Labels are in Unicode's
    form NFC.

    Args:
        folder: Where the pictures lie.
        name: What messages call it; the folder itself when absent.

    Returns:
        Examples with absolute path and label, sorted by the path below `folder`.

    Raises:
        DataError: There is no such folder, no picture in it or one class only; pictures lie beside class folders; a
            name tells no class or cannot be written down; or the data set is split already.
    """
    root, name = _real_folder(folder), name or str(folder)
    paths = _pictures(root)
    if not paths:
        _no_pictures(name)
    shared = _shared_folders(paths)
    labels = _labels([parts[len(shared) :] for parts in paths], shared, name)
    return tuple(Example(root.joinpath(*parts).as_posix(), label) for parts, label in zip(paths, labels, strict=True))


def find_split_examples(folder: Path) -> tuple[Example, ...]:
    """Finds the pictures of a data set that is split already.

    `folder` holds `train` and, where there are any, `validation` (or `val`, or `valid`) and `test`, and each of them a
    folder a class. Where a `manifest.csv` lies beside them, its columns group, fold and sha256 are taken over.

    Returns:
        Examples with absolute path, label and split, sorted by the path below `folder`.

    Raises:
        DataError: There is no such folder, it is not split, has no training pictures or one class only, names a part
            twice, holds pictures outside class folders or, in a later part, a class that training has not.
    """
    root = _real_folder(folder)
    paths = _pictures(root)
    if not paths:
        _no_pictures(folder)
    splits = _split_folders(root, folder, paths)
    chosen = [parts for parts in paths if len(parts) > 1 and parts[0] in splits]
    for parts in chosen:
        if len(parts) == 2:
            raise DataError(
                f"{folder / parts[0]} holds pictures outside class folders, such as {parts[1]}; "
                f"run `cnntrain split {folder / parts[0]} DEST` first"
            )
    examples = [Example("/".join(parts), nfc(parts[1]), splits[parts[0]]) for parts in chosen]
    _check_classes(examples, folder)
    noted = _manifest_rows(root / MANIFEST)
    return tuple(_absolute(example, root, noted) for example in examples)


def find_class_folders(folder: Path) -> tuple[Example, ...]:
    """Finds the pictures in the class folders directly below `folder`, one class being enough.

    Returns:
        Examples with absolute path and label, sorted by the path below `folder`.

    Raises:
        DataError: There is no such folder, or no picture in a folder below it.
    """
    root = _real_folder(folder)
    paths = [parts for parts in _pictures(root) if len(parts) > 1]
    if not paths:
        raise DataError(f"{folder} holds no folder with pictures; give a folder that holds a folder for each class")
    return tuple(Example(root.joinpath(*parts).as_posix(), nfc(parts[0])) for parts in paths)


def nfc(text: str) -> str:
    """`text` in Unicode's composed form: file systems write the same name in different ways."""
    return unicodedata.normalize("NFC", text)


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder. Raises DataError where even that cannot be found out."""
    try:
        return path.is_dir()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; give a readable place") from error


def _real_folder(folder: Path) -> Path:
    """The folder's real, absolute path."""
    if is_folder(folder):
        return folder.resolve()
    if folder.exists():
        raise DataError(f"{folder} is a file, where a folder with pictures is needed; give the folder")
    raise DataError(f"there is no folder {folder}; give the folder that holds the pictures")


def _no_pictures(name: str | Path) -> NoReturn:
    raise DataError(f"{name} holds no pictures; files that end in {', '.join(PICTURE_SUFFIXES)} count")


def _pictures(root: Path) -> list[Parts]:
    """Where the pictures lie below `root`, sorted by path, whatever order the file system lists them in."""
    walked, found = [root], []
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_unreadable):
        here = Path(folder)
        folders[:] = [name for name in sorted(folders) if not _is_junk(name) and _leads_on(here / name, walked)]
        parts = here.relative_to(root).parts
        found += [(*parts, name) for name in files if not _is_junk(name) and _is_picture(name)]
    for path in map("/".join, found):
        if _UNUSABLE.search(path):
            raise DataError(f"the name {path!a} in {root} is not UTF-8 or holds control characters; rename it")
    return sorted(found, key=lambda parts: (nfc("/".join(parts)), parts))


def _unreadable(error: OSError) -> NoReturn:
    raise DataError(f"cannot list the folder {error.filename}: {error.strerror}; make it readable") from error


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name in _JUNK


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURE_SUFFIXES)


def _leads_on(folder: Path, walked: list[Path]) -> bool:
    """Whether to descend: into every real folder, and through links to places not visited; notes those in `walked`."""
    if not folder.is_symlink():
        return True
    target = folder.resolve()
    if walked[0].is_relative_to(target) or any(target.is_relative_to(place) for place in walked):
        return False
    walked.append(target)
    return True


def _shared_folders(paths: Iterable[Parts]) -> Parts:
    """The folders, from the top, that all pictures lie in."""
    folders = [parts[:-1] for parts in paths]
    shared = folders[0]
    for parts in folders:
        while parts[: len(shared)] != shared:
            shared = shared[:-1]
    return shared


def _labels(paths: Sequence[Parts], shared: Parts, name: str) -> list[str]:
    """The class of each picture. `paths` are relative to the folder `shared`, where more than one thing lies."""
    loose = [parts[0] for parts in paths if len(parts) == 1]
    folders = sorted({parts[0] for parts in paths if len(parts) > 1})
    if loose and folders:
        raise DataError(
            f"{name} holds pictures beside class folders: {loose[0]} beside {folders[0]}/; "
            "put every picture into the folder of its class"
        )
    parts_of_data = [folder for folder in folders if _SPLIT_LIKE.fullmatch(folder)]
    if len(parts_of_data) > 1 and any(folder.lower().startswith("train") for folder in parts_of_data):
        raise DataError(
            f"{name} is split already, into {', '.join(parts_of_data)}; train on it as it is, or give one of these"
        )
    labels = [nfc(folder) for folder, *_ in paths] if folders else _labels_from_names(loose, shared, name)
    if len(set(labels)) < 2:
        _one_class(labels[0], name)
    return labels


def _labels_from_names(names: Sequence[str], shared: Parts, folder: str) -> list[str]:
    """The classes of pictures called CLASS.NUMBER.SUFFIX."""
    for name in names:
        if name.count(".") < 2:
            if shared:
                _one_class("/".join(shared), folder)
            raise DataError(
                f"the name of {name} in {folder} does not tell its class; "
                "expected CLASS.NUMBER.jpg (as in cat.0.jpg), or a folder a class"
            )
    return [nfc(name.partition(".")[0]) for name in names]


def _one_class(label: str, name: str | Path) -> NoReturn:
    raise DataError(f"{name} holds one class only ({label}); a classifier needs at least two")


def _split_folders(root: Path, folder: Path, paths: Iterable[Parts]) -> dict[str, str]:
    """The part of the data that each top folder with pictures stands for; others are left out."""
    found: dict[str, str] = {}
    for name in sorted({parts[0] for parts in paths if len(parts) > 1}):
        split = _SPLIT_FOLDERS.get(name.lower())
        if split in found.values():
            twin = next(other for other, taken in found.items() if taken == split)
            raise DataError(f"{folder} holds {split} pictures twice, in {twin} and in {name}; keep one of them")
        if split:
            found[name] = split
    if "train" not in found.values():
        for child in sorted(root.iterdir()):
            if child.name.lower() == "train" and child.is_dir():
                _no_pictures(folder / child.name)
        raise DataError(f"{folder} is not split: it has no folder train; run `cnntrain split {folder} DEST` first")
    return found


def _check_classes(examples: Sequence[Example], folder: Path) -> None:
    """Two classes at least, and none that training does not know."""
    classes = {split: class_names(example for example in examples if example.split == split) for split in SPLITS}
    if len(classes["train"]) < 2:
        _one_class(classes["train"][0], f"{folder}: train")
    for split in SPLITS:
        for label in classes[split]:
            if label not in classes["train"]:
                raise DataError(
                    f"{folder}: {split} holds pictures of the class {label}, train does not; "
                    "put some into train or take it out"
                )


def _manifest_rows(manifest: Path) -> Mapping[str, Example]:
    """The rows of a manifest by path; none where there is no manifest."""
    if not manifest.exists():
        return {}
    return {nfc(row.path): row for row in read_examples(manifest)}


def _absolute(example: Example, root: Path, noted: Mapping[str, Example]) -> Example:
    """The example with an absolute path and what the manifest notes about it."""
    row = noted.get(nfc(example.path), example)
    path = (root / example.path).as_posix()
    return replace(example, path=path, group=row.group, fold=row.fold, sha256=row.sha256)
