"""What is in the files to be split: their checksums, and which of them are the same."""

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cnntrain.config.sections import MAX_PIXELS
from cnntrain.data.scanning.duplicates import Sets, alike_among, all_sets, copies_among
from cnntrain.data.scanning.look import Look
from cnntrain.data.scanning.look_at import look_at_all
from cnntrain.files import sha256

_FILES_A_TASK = 64


@dataclass(frozen=True)
class Contents:
    """The files of a source, by position.

    Args:
        checksums: SHA-256 of each in hexadecimal, empty where it cannot be read.
        copies: Sets of byte-identical files.
        alike: Sets of near-duplicates; none where they were not looked for.
        bad: Positions and problems of what is no good picture; none where nobody looked.
    """

    checksums: tuple[str, ...]
    copies: Sets
    alike: Sets = ()
    bad: tuple[tuple[int, str], ...] = ()

    @property
    def duplicates(self) -> Sets:
        """Sets of pictures that are the same, near-duplicates or copies, no picture in two of them."""
        return all_sets(self.copies, self.alike)

    def without(self, positions: Collection[int]) -> "Contents":
        """The same without some files; those after them move up."""
        kept = [index for index in range(len(self.checksums)) if index not in positions]
        new = {old: number for number, old in enumerate(kept)}
        copies, alike = (
            tuple(left for members in sets if len(left := tuple(new[index] for index in members if index in new)) > 1)
            for sets in (self.copies, self.alike)
        )
        return Contents(tuple(self.checksums[index] for index in kept), copies, alike)


def read_contents(paths: Sequence[str]) -> Contents:
    """Reads the files for their checksums alone."""
    digests = checksums(paths)
    return Contents(digests, copies_among(digests))


def look_for_duplicates(paths: Sequence[str], *, on_picture: Callable[[int], None]) -> Contents:
    """Decodes the files too; `on_picture` is told how many are done. TensorFlow must be ready for use."""
    looks = look_at_all(paths, max_pixels=MAX_PIXELS, on_picture=on_picture)
    digests = tuple(look.sha256 for look in looks)
    return Contents(digests, copies_among(digests), alike_among(looks), _bad(looks))


def _bad(looks: Sequence[Look]) -> tuple[tuple[int, str], ...]:
    return tuple((index, look.problem or look.fault) for index, look in enumerate(looks) if look.fault)


def checksums(paths: Sequence[str]) -> tuple[str, ...]:
    """The SHA-256 of each file in hexadecimal, or nothing for what is missing, no file or unreadable."""
    tasks = [paths[start : start + _FILES_A_TASK] for start in range(0, len(paths), _FILES_A_TASK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return tuple(digest for found in pool.map(_checksums_of_some, tasks) for digest in found)


def _checksums_of_some(paths: Sequence[str]) -> list[str]:
    return [_checksum(path) for path in paths]


def _checksum(path: str) -> str:
    try:
        return sha256(path) if os.path.isfile(path) else ""  # noqa: PTH113 - a Path a picture takes longer than that
    except OSError:
        return ""
