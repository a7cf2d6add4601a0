"""Which files below a folder are pictures, told by their content where the name does not."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cnntrain.errors import DataError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and bytes that are not UTF-8

_JUNK = frozenset({"@eadir", "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"})
_UNREAD = re.compile(  # pictures of kinds that no decoder here takes
    r"\.(tiff?|hei[cf]|avif|jp2|j2k|jxl|jxr|psd|tga|pcx|ico|svg|p[bgp]m|exr|cr[23]|nef|arw|dng|orf|rw2|raf)"
)
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})  # sizes of the headers that follow a BMP's first 14 bytes

Parts = tuple[str, ...]  # a path below a folder, folder by folder


@dataclass(frozen=True)
class Walk:
    """What lies below a folder.

    Args:
        paths: Where the pictures lie, sorted.
        passed_over: Numbers of pictures of kinds that are not read, by their suffix.
    """

    paths: tuple[Parts, ...]
    passed_over: Mapping[str, int]


def nfc(text: str) -> str:
    """`text` in Unicode's composed form: file systems write the same name in different ways."""
    return unicodedata.normalize("NFC", text)


def is_junk(name: str) -> bool:
    """Whether a file or folder of that name is hidden or what an operating system leaves behind."""
    return name.startswith(".") or name.lower() in _JUNK


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder. Raises DataError where even that cannot be found out."""
    try:
        return path.is_dir()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; give a readable place") from error


def check_name(path: str, name: str) -> None:
    """Makes sure that a path below what is called `name` can be written down. Raises DataError."""
    if UNPRINTABLE.search(path):
        raise DataError(f"the name {path!a} in {name} is not UTF-8 or holds control characters; rename it")


def check_place(place: Path, name: str) -> None:
    """Makes sure that a source's real, absolute path and what it is called can be written down. Raises DataError."""
    real = os.path.realpath(place)  # a Path would raise for a link to itself
    for text in (real, name):
        if UNPRINTABLE.search(text):
            raise DataError(f"the path {text!a} is not UTF-8 or holds control characters; rename it")


def begins_like_a_picture(head: bytes) -> bool:
    """Whether a file with these first bytes (18 are enough) is a JPEG, PNG, GIF, WebP or BMP."""
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")):
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    return head.startswith(b"BM") and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BMP_HEADERS


def walk(root: Path, name: str) -> Walk:
    """Finds the pictures at any depth below a folder.

    A file counts by its suffix, or else by its first bytes. Hidden files and the leavings of operating systems do not
    count, nor do pipes and devices. A link to a folder is followed once, unless it leads to what is visited anyhow.

    Args:
        root: The folder, real and absolute.
        name: What messages call it.

    Raises:
        DataError: A folder cannot be listed, or the name of a picture cannot be written down.
    """
    found: list[Parts] = []
    passed_over: Counter[str] = Counter()
    for parts, entry in _files(root, _listed):
        if _is_picture(entry):
            check_name("/".join(parts), name)
            found.append(parts)
        elif (suffix := os.path.splitext(entry.name)[1].lower()) and _UNREAD.fullmatch(suffix):  # noqa: PTH122
            passed_over[suffix] += 1
    return Walk(_in_order(found), dict(passed_over))


def pictures_within_reach(root: Path) -> tuple[Parts, ...]:
    """The pictures that `walk` finds, without those whose folder cannot be listed or whose name not be written down."""
    paths = (parts for parts, entry in _files(root, _listed_if_possible) if _is_picture(entry))
    return _in_order(parts for parts in paths if not UNPRINTABLE.search("/".join(parts)))


def _in_order(paths: Iterable[Parts]) -> tuple[Parts, ...]:
    return tuple(sorted(paths, key=lambda parts: (nfc("/".join(parts)), parts)))


def _files(root: Path, listed: Callable[[str], list[os.DirEntry[str]]]) -> Iterator[tuple[Parts, os.DirEntry[str]]]:
    """All that is no folder and no junk, with its path below `root`."""
    visited, waiting = [root], [(os.fspath(root), Parts())]
    while waiting:
        folder, above = waiting.pop()
        deeper = []
        for entry in listed(folder):
            parts = (*above, entry.name)
            if not _surely(entry.is_dir):
                yield parts, entry
            elif _leads_on(entry, visited):
                deeper.append((entry.path, parts))
        waiting += reversed(deeper)


def _listed(folder: str) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted, whatever order the file system lists it in."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not is_junk(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot list the folder {folder}: {error.strerror}; make it readable") from error


def _listed_if_possible(folder: str) -> list[os.DirEntry[str]]:
    try:
        return _listed(folder)
    except DataError:
        return []


def _surely(check: Callable[[], bool]) -> bool:
    """What a check says; no where it cannot be made, as of a link to itself."""
    try:
        return check()
    except OSError:
        return False


def _leads_on(folder: os.DirEntry[str], visited: list[Path]) -> bool:
    """Whether to descend: into every real folder, and through links to places not visited; notes those in `visited`."""
    if not folder.is_symlink():
        return True
    target = Path(folder.path).resolve()
    if visited[0].is_relative_to(target) or any(target.is_relative_to(place) for place in visited):
        return False
    visited.append(target)
    return True


def _is_picture(entry: os.DirEntry[str]) -> bool:
    """By its suffix, a broken link too, so that it is named when it is read; or by its first bytes."""
    if entry.name.lower().endswith(PICTURE_SUFFIXES):
        return _surely(entry.is_file) or (entry.is_symlink() and not _surely(Path(entry.path).exists))
    return _surely(entry.is_file) and holds_picture(entry.path)


def holds_picture(path: str) -> bool:
    """Whether a regular file begins like a picture; no where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - a Path a file is slow
            return begins_like_a_picture(stream.read(18))
    except OSError:
        return False
