"""Puts pictures into the folders of a split, under names that no two of a class share."""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cnntrain.data.examples import Example
from cnntrain.data.sources import nfc
from cnntrain.errors import WriteError

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}  # these, copying meets too
_PLACE: Mapping[str, Callable[[str, str], object]] = {
    "copy": shutil.copyfile,
    "hardlink": os.link,
    "symlink": os.symlink,
    "move": os.replace,
}


def file_names(examples: Sequence[Example]) -> list[str]:
    """A name for each picture that no other of its class has, not even on a file system that ignores case."""
    taken: set[tuple[str, str]] = set()
    copies: Counter[tuple[str, str]] = Counter()
    names = []
    for example in examples:
        name = nfc(example.path.rpartition("/")[2])
        stem, dot, suffix = name.rpartition(".")
        key = first = (example.label, name.casefold())
        while key in taken:
            copies[first] += 1
            name = f"{stem}_{copies[first] + 1}{dot}{suffix}"
            key = (example.label, name.casefold())
        taken.add(key)
        names.append(name)
    return names


def place_pictures(folder: Path, rows: Sequence[Example], originals: Sequence[str], *, how: str, shown: str) -> None:
    """Puts every picture where its row says.

    Args:
        folder: The empty folder of the split.
        rows: Where each picture goes, relative to `folder`.
        originals: Absolute paths of the pictures.
        how: `copy`, `hardlink`, `symlink` or `move`.
        shown: What messages call the folder with the originals.

    Raises:
        WriteError: Pictures cannot be linked.
        OSError: They cannot be copied, or the disk is full or fails.
    """
    start = str(folder)
    for inner in sorted({row.path.rpartition("/")[0] for row in rows}):
        os.makedirs(f"{start}/{inner}", exist_ok=True)  # noqa: PTH103
    put = _PLACE[how]
    for row, original in zip(rows, originals, strict=True):
        try:
            # A path in a string: making a Path of each takes longer than the link itself.
            put(os.path.realpath(original) if os.path.islink(original) else original, f"{start}/{row.path}")  # noqa: PTH114
        except OSError as error:
            if how in ("copy", "move") or error.errno in _OF_THE_DISK:
                raise
            reason = error.strerror or error
            raise WriteError(f"cannot {how} {original} of {shown}: {reason}; use --method copy") from error
