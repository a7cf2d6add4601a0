"""The shelf of all banks: found or begun by key, locked while made, and removed when room is short."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from cnntrain.errors import UsageError, WriteError
from cnntrain.files import cache_folder, folder_size, nearest_folder, write_json
from cnntrain.training.bank.bank import KEY, Bank, Contents
from cnntrain.training.bank.shards import RESERVE

FOLDER = "features"
_DESCRIPTION = "bank.json"
_FORMAT = 1
_REMOVED = ".removed-"
_ABANDONED = 3600.0  # seconds after which a half-written shard belongs to nobody
_POLL = 0.5  # seconds between two looks at a lock that another process holds
_DEFAULT_LIMIT = "20GB"
_LIMIT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([KMGT])(I?)B", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Shelved:
    """A bank as it stands on the shelf.

    Args:
        key: 64 hexadecimal digits.
        description: What it holds, see `Contents`; empty where that cannot be read.
        count: Pictures; 0 where that cannot be read.
        views: Views begun.
        bytes: Size of all its files.
        last_used: Seconds since 1970.
    """

    key: str
    description: Mapping[str, Any]
    count: int
    views: int
    bytes: int
    last_used: float


class Shelf:
    """All banks of a folder, shared by any number of processes.

    A bank is a folder named by its key. It stays what it is until it is removed, so that only making one wants a lock.

    Args:
        folder: Where they are; made when the first is.
        limit: Bytes that all of them together may take.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._sweep()

    def open(self, contents: Contents) -> Bank:
        """Finds the bank with these contents, or begins it, and notes that it is used now.

        One that does not fit what its key stands for is damaged, and is begun anew.

        Raises:
            WriteError: It cannot be begun.
        """
        place = self.folder / contents.key
        if not _fits(_described(place), contents):
            if (place / _DESCRIPTION).exists():
                self._discard(contents.key)
            asked = {"shape": list(contents.shape), "count": contents.count}
            write_json(place / _DESCRIPTION, {"format": _FORMAT, "description": dict(contents.description), **asked})
        self.touch([contents.key])
        return Bank(place, contents)

    def touch(self, keys: Iterable[str]) -> None:
        """Notes that banks are used now; a shelf that can only be read is still good for reading."""
        for key in keys:
            with suppress(OSError):
                os.utime(self.folder / key / _DESCRIPTION)

    @contextmanager
    def lock(self, key: str, *, waiting: Callable[[], None]) -> Iterator[None]:
        """Keeps other processes from making the same bank meanwhile, and from removing it.

        Where the file system has no locks it goes on without: two makers of a bank do the same work, and no harm.

        Args:
            key: Of the bank.
            waiting: Called once if another process has the lock, before waiting for it.
        """
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock_file(key), poll_interval=_POLL)
        if not _taken(lock, timeout=0):
            waiting()
            _taken(lock, timeout=-1)
        try:
            yield
        finally:
            lock.release()

    def banks(self) -> list[Shelved]:
        """All banks, the one used last first."""
        found = [_shelved(self.folder / name) for name in self._names() if KEY.fullmatch(name)]
        return sorted(found, key=lambda bank: bank.last_used, reverse=True)

    def remove(self, key: str) -> bool:
        """Removes a bank, unless a process makes it at the moment or it cannot be removed. Tells whether it is gone.

        Whoever has it open can go on reading it. On Windows such a bank cannot be removed.
        """
        lock = FileLock(self._lock_file(key))
        if not _taken(lock, timeout=0):
            return False
        try:
            self._discard(key)
            with suppress(OSError):
                self._lock_file(key).unlink()
        finally:
            lock.release()
        return not (self.folder / key).exists()

    def capacity(self) -> int:
        """Bytes that a bank may take if all others go."""
        return min(self.limit, _free(self.folder) + sum(bank.bytes for bank in self.banks()))

    def make_room(self, needed: int, *, keep: Collection[str]) -> bool:
        """Removes the banks that were not used for longest until there is room, below the limit and on the disk.

        Args:
            needed: Bytes that are going to be written.
            keep: Keys of banks that stay.

        Returns:
            Whether there is room now. Where there cannot be, nothing is removed.
        """
        banks = self.banks()
        room = min(self.limit - sum(bank.bytes for bank in banks), _free(self.folder))
        others = [bank for bank in reversed(banks) if bank.key not in keep]
        if room + sum(bank.bytes for bank in others) < needed:
            return False
        for bank in others:
            if room >= needed:
                break
            if self.remove(bank.key):
                room += bank.bytes
        return room >= needed

    def _discard(self, key: str) -> None:
        """Takes a bank off the shelf at once, then removes its files, which may take a while."""
        aside = self.folder / f"{_REMOVED}{key[:12]}-{os.getpid()}-{time.monotonic_ns()}"
        with suppress(OSError):
            (self.folder / key).rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def _sweep(self) -> None:
        """Removes what killed processes have left."""
        for name in self._names():
            if name.startswith(_REMOVED):
                shutil.rmtree(self.folder / name, ignore_errors=True)
        for pattern in ("*/.*.json", "*/view_*/.*.npy"):
            for path in self.folder.glob(pattern):
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _ABANDONED:
                        path.unlink()

    def _names(self) -> list[str]:
        try:
            return [path.name for path in self.folder.iterdir()]
        except OSError:
            return []

    def _lock_file(self, key: str) -> Path:
        return self.folder / f"{key}.lock"


def open_shelf() -> Shelf:
    """The user's shelf, in the cache folder.

    Raises:
        UsageError: `CNNTRAIN_CACHE_LIMIT` is no size.
        WriteError: There is no cache folder, and none can be made.
    """
    return Shelf(cache_folder() / FOLDER, cache_limit())


def room_for_features(otherwise: Path) -> int:
    """Bytes that stored features may take: on the user's shelf, else in a folder, where there is no shelf."""
    try:
        return open_shelf().capacity()
    except WriteError:
        return min(cache_limit(), _free(otherwise))


def cache_limit() -> int:
    """Bytes that all banks together may take: `CNNTRAIN_CACHE_LIMIT`, or else 20 GB.

    Raises:
        UsageError: It is no size.
    """
    text = os.environ.get("CNNTRAIN_CACHE_LIMIT", "").strip() or _DEFAULT_LIMIT
    match = _LIMIT.fullmatch(text)
    if text == "0":
        return 0
    if not match:
        raise UsageError(
            f"CNNTRAIN_CACHE_LIMIT is a number with KB, MB, GB or TB after it, as 20GB, or 0 for no bank; got: {text}"
        )
    number, unit, binary = match.groups()
    return round(float(number) * (1024.0 if binary else 1000.0) ** ("KMGT".index(unit.upper()) + 1))


def _taken(lock: BaseFileLock, *, timeout: float) -> bool:
    """Waits for a lock, for ever if `timeout` is -1, not at all where there are no locks. Tells whether it came."""
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        return False
    except (OSError, NotImplementedError):
        return True
    return True


def _described(place: Path) -> dict[str, Any]:
    """What a bank says about itself; empty where it says nothing that can be read."""
    try:
        read = json.loads((place / _DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _fits(described: Mapping[str, Any], contents: Contents) -> bool:
    wanted = (_FORMAT, list(contents.shape), contents.count)
    return (described.get("format"), described.get("shape"), described.get("count")) == wanted


def _shelved(place: Path) -> Shelved:
    described = _described(place)
    description, count = described.get("description"), described.get("count")
    return Shelved(
        key=place.name,
        description=description if isinstance(description, dict) else {},
        count=count if isinstance(count, int) else 0,
        views=sum(1 for _ in place.glob("view_*")),
        bytes=folder_size(place),
        last_used=_last_used(place),
    )


def _last_used(place: Path) -> float:
    for path in (place / _DESCRIPTION, place):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _free(folder: Path) -> int:
    """Bytes that banks may take of the disk that a folder is on, or will be."""
    return max(shutil.disk_usage(nearest_folder(folder)).free - RESERVE, 0)
