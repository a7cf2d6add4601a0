"""`cnntrain cache`: what is kept for later runs, and how to be rid of it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cnntrain.errors import UsageError, WriteError
from cnntrain.files import cache_folder
from cnntrain.training.bank.shelf import Shelved, open_shelf

_LOOKS = ("looks.sqlite", "looks.sqlite-journal")


@dataclass(frozen=True)
class CacheContents:
    """What the cache folder holds.

    Args:
        folder: The cache folder.
        limit: Bytes that all banks together may take.
        banks: The feature banks, the one used last first.
        looks_bytes: Size of what is remembered of looks at pictures.
    """

    folder: Path
    limit: int
    banks: tuple[Shelved, ...]
    looks_bytes: int

    @property
    def bytes(self) -> int:
        """Size of all banks."""
        return sum(bank.bytes for bank in self.banks)

    def to_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {
            "format": 1,
            "folder": str(self.folder),
            "limit": self.limit,
            "bytes": self.bytes,
            "banks": [_as_json(bank) for bank in self.banks],
            "looks_bytes": self.looks_bytes,
        }


@dataclass(frozen=True)
class ClearedCache:
    """What was removed from the cache folder.

    Args:
        removed: Banks that are gone.
        kept: Banks that should have gone, but a run makes them at the moment or they cannot be removed.
        looks_bytes: Size of the remembered looks that are gone.
    """

    removed: tuple[Shelved, ...]
    kept: tuple[Shelved, ...]
    looks_bytes: int

    @property
    def bytes(self) -> int:
        """Size of all that is gone."""
        return sum(bank.bytes for bank in self.removed) + self.looks_bytes

    def to_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {
            "format": 1,
            "bytes": self.bytes,
            "removed": [bank.key for bank in self.removed],
            "kept": [bank.key for bank in self.kept],
            "looks_bytes": self.looks_bytes,
        }


def list_cache() -> CacheContents:
    """Looks at what the cache folder holds.

    Raises:
        UsageError: `CNNTRAIN_CACHE_LIMIT` is no size.
        WriteError: There is no cache folder, and none can be made.
    """
    shelf = open_shelf()
    return CacheContents(cache_folder(), shelf.limit, tuple(shelf.banks()), _looks_bytes())


def clear_cache(keys: Sequence[str] = ()) -> ClearedCache:
    """Removes feature banks, and with all of them what is remembered of pictures.

    A run that has a bank open goes on with it; one that makes a bank keeps it.

    Args:
        keys: How the keys of the banks begin that shall go; absent: everything goes.

    Raises:
        UsageError: A key is no bank's, and then nothing is removed; or `CNNTRAIN_CACHE_LIMIT` is no size.
        WriteError: What is remembered cannot be removed.
    """
    shelf = open_shelf()
    meant = _meant(shelf.banks(), keys)
    removed = [bank for bank in meant if shelf.remove(bank.key)]
    kept = [bank for bank in meant if bank not in removed]
    return ClearedCache(tuple(removed), tuple(kept), 0 if keys else _remove_looks())


def _meant(banks: Sequence[Shelved], keys: Sequence[str]) -> list[Shelved]:
    """The banks whose keys begin like one of those given; all if none are."""
    for key in keys:
        if not key or not any(bank.key.startswith(key.lower()) for bank in banks):
            raise UsageError(f"no feature bank has a key that begins with {key!r}; `cnntrain cache list` shows them")
    return [bank for bank in banks if not keys or bank.key.startswith(tuple(key.lower() for key in keys))]


def _looks_bytes() -> int:
    size = 0
    for name in _LOOKS:
        with suppress(OSError):
            size += (cache_folder() / name).stat().st_size
    return size


def _remove_looks() -> int:
    """Removes what is remembered of looks at pictures; gives its size."""
    size = _looks_bytes()
    for name in reversed(_LOOKS):
        path = cache_folder() / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(f"cannot remove {path}: {error.strerror or error}; remove it yourself") from error
    return size


def _as_json(bank: Shelved) -> dict[str, Any]:
    return {**asdict(bank), "last_used": datetime.fromtimestamp(bank.last_used, UTC).isoformat(timespec="seconds")}
