"""A bank: the features of one table of pictures, in as many views as were ever asked for."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.training.bank.shards import (
    Shard,
    Stored,
    allow_open_files,
    find_shards,
    is_whole,
    mapped,
    remove,
    shard_rows,
    write_shard,
)

_RESIDENT = 128 << 20  # bytes of files that may stay in memory
KEY = re.compile("[0-9a-f]{64}")


class IncompleteBankError(Exception):
    """A bank was opened though shards of it are missing, or are gone since they were looked for."""


@dataclass(frozen=True)
class Contents:
    """What a bank holds.

    Args:
        key: 64 hexadecimal digits that stand for everything the features depend on, except the number of views.
        shape: Of the features of one picture.
        count: Number of pictures.
        description: What `cnntrain cache list` shows; plain JSON values.
    """

    key: str
    shape: tuple[int, ...]
    count: int
    description: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not KEY.fullmatch(self.key):
            raise ValueError(f"a key has 64 hexadecimal digits; got: {self.key!r}")

    @property
    def row_bytes(self) -> int:
        """Bytes of one picture's features in float16."""
        return 2 * math.prod(self.shape)

    @property
    def shards(self) -> list[range]:
        """The pictures of each shard of a view."""
        rows = shard_rows(self.shape)
        return [range(first, min(first + rows, self.count)) for first in range(0, self.count, rows)]


class StoredFeatures:
    """The features of all pictures in all views: an array on disk that gives copies of the rows it is asked for.

    Row `view * count + picture` is that view of that picture. Memory does not grow with the bank: of one above
    128 MB nothing stays in it that was read, which may be 2 MB around each row where the system works with large pages.
    """

    def __init__(self, shards: Sequence[Shard], *, contents: Contents, views: int) -> None:
        """Takes the shards of the first view, then of the second, and so on."""
        self._shards = shards
        self._features = [shard.features for shard in shards]
        self._count = contents.count
        self._rows = shard_rows(contents.shape)
        self._shards_a_view = len(contents.shards)
        self.shape = (views * contents.count, *contents.shape)
        self._is_large = sum(features.nbytes for features in self._features) > _RESIDENT
        wide = any(features.dtype == np.float32 for features in self._features)
        self.dtype: np.dtype[Any] = np.dtype(np.float32 if wide else np.float16)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> Stored:
        """Copies rows, in the order asked for.

        Args:
            rows: (n,), each from 0 to below `len`.

        Returns:
            (n, *shape) of `dtype`.

        Raises:
            IndexError: There is no such row.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows are 0 to {len(self) - 1}; got: {rows.min()} to {rows.max()}")
        view, picture = np.divmod(rows, max(1, self._count))
        shard, place = np.divmod(picture, self._rows)
        numbers = (shard + view * self._shards_a_view).tolist()
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for target, (number, source) in enumerate(zip(numbers, place.tolist(), strict=True)):
            found[target] = self._features[number][source]
        if self._is_large:
            for number in set(numbers):
                self._shards[number].let_go()
        return found


class Bank:
    """A bank on disk, of which more and more shards get written. `Shelf.open` gives one."""

    def __init__(self, folder: Path, contents: Contents) -> None:
        self.contents = contents
        self._folder = folder
        self._whole: set[Path] = set()  # shards that were read or written here, and were in order

    def missing(self, view: int) -> list[range]:
        """The pictures of each shard of a view that is still to be written, in order.

        Every shard that is there is read once, and removed if it is damaged.

        Args:
            view: From 0.
        """
        found = find_shards(self._place(view))
        return [
            pictures
            for number, pictures in enumerate(self.contents.shards)
            if number not in found or not self._is_whole(found[number], len(pictures))
        ]

    def write(self, view: int, first: int, features: NDArray[np.float32]) -> None:
        """Writes one shard, whole or not at all, as float16 unless a number of it is too large for that.

        Args:
            view: From 0.
            first: The first picture of the shard.
            features: (pictures of the shard, *shape).

        Raises:
            WriteError: It cannot be written. Other shards are as they were.
        """
        number = first // shard_rows(self.contents.shape)
        pictures = self.contents.shards[number]
        if first != pictures.start or features.shape != (len(pictures), *self.contents.shape):
            raise ValueError(f"{features.shape} from picture {first} on is no shard of {self.contents}")
        self._whole.add(write_shard(self._place(view), number, features))

    def open(self, views: int) -> StoredFeatures:
        """The features of the first `views` views, of which no shard may be missing.

        They can be read for as long as they are held, whatever happens to the files (except on Windows, where
        nobody can remove them meanwhile).

        Raises:
            IncompleteBankError: Shards are missing, or were damaged.
            OSError: They cannot be read.
        """
        if any(self.missing(view) for view in range(views)):
            raise IncompleteBankError(f"shards of {self.contents.key} are missing")
        paths = [path for view in range(views) for _, path in sorted(find_shards(self._place(view)).items())]
        allow_open_files(len(paths))
        return StoredFeatures([mapped(path) for path in paths], contents=self.contents, views=views)

    def _place(self, view: int) -> Path:
        return self._folder / f"view_{view}"

    def _is_whole(self, path: Path, rows: int) -> bool:
        """Whether a shard is in order, which is looked at once; a damaged one is removed."""
        if path not in self._whole:
            if not is_whole(path, (rows, *self.contents.shape)):
                remove(path)
                return False
            self._whole.add(path)
        return True
