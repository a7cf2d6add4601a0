"""Looks that outlive the process: a store in the cache folder, by the content of a file."""

import hashlib
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from threading import Lock
from typing import Any

from cnntrain.data.scanning.look import Look
from cnntrain.errors import WriteError
from cnntrain.files import cache_folder

FILE = "looks.sqlite"
FORMAT = 1  # raise it when the same bytes may give another look: rules of look.py, header.py, similarity.py, decoder.py
_DECIDING = ("tensorflow", "simplejpeg", "pillow", "numpy")
_PATIENCE = 2.0  # seconds to wait for another process that writes
_MAKE = f"""CREATE TABLE IF NOT EXISTS looks_{FORMAT} (
    sha256 BLOB NOT NULL, key BLOB NOT NULL, kind TEXT NOT NULL, height INTEGER NOT NULL, width INTEGER NOT NULL,
    orientation INTEGER NOT NULL, traits TEXT NOT NULL, fault TEXT NOT NULL, problem TEXT NOT NULL,
    signature BLOB NOT NULL, PRIMARY KEY (sha256, key)) WITHOUT ROWID"""
_FIND = f"""SELECT kind, height, width, orientation, traits, fault, problem, signature
    FROM looks_{FORMAT} WHERE sha256 = ? AND key = ?"""  # noqa: S608
_KNOWN = f"SELECT sha256 FROM looks_{FORMAT} WHERE key = ?"  # noqa: S608
_KEEP = f"INSERT OR REPLACE INTO looks_{FORMAT} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


class RememberedLooks:
    """The store of looks, which several processes, and threads of each, use at once.

    Whatever is wrong with it (damaged, locked, not to be written), it is from then on as if it were empty, and never
    an error. A damaged one is removed, so that the next to come starts a new one. Checksums of all that is remembered
    are in memory, about 100 bytes each, since asking the database about every new picture slows all threads down.
    """

    def __init__(self, *, max_pixels: int) -> None:
        """Opens the store, or makes it. A look depends on `max_pixels`, so looks with another one are not found."""
        self._key = _key(max_pixels)
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._known: set[bytes] = set()
        with self._lock, suppress(WriteError):
            path = cache_folder() / FILE
            try:
                self._connection = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
                self._connection.execute(_MAKE)
                self._known = {checksum for (checksum,) in self._connection.execute(_KNOWN, (self._key,))}
            except sqlite3.Error as error:
                self._give_up(error)

    def find(self, sha256: str) -> Look | None:
        """The look at a file with this checksum, if there was one before."""
        checksum = bytes.fromhex(sha256)
        if checksum not in self._known:
            return None
        with self._lock:
            if self._connection is None:
                return None
            try:
                row = self._connection.execute(_FIND, (checksum, self._key)).fetchone()
            except sqlite3.Error as error:
                self._give_up(error)
                return None
        return _as_look(sha256, row) if row else None

    def keep(self, looks: Iterable[Look]) -> None:
        """Remembers looks for later; those at unreadable files are left out."""
        rows = [_as_row(look, self._key) for look in looks if look.sha256]
        with self._lock:
            if self._connection is None:
                return
            try:
                with self._connection:
                    self._connection.executemany(_KEEP, rows)
                self._known.update(checksum for checksum, *_ in rows)
            except sqlite3.Error as error:
                self._give_up(error)

    def close(self) -> None:
        """Lets go of the file; nothing is found after that."""
        with self._lock, suppress(sqlite3.Error):
            connection, self._connection = self._connection, None
            if connection:
                connection.close()

    def _give_up(self, error: sqlite3.Error) -> None:
        """Does without the store, and removes one that is damaged."""
        connection, self._connection = self._connection, None
        with suppress(sqlite3.Error):
            if connection:
                connection.close()
        if type(error) is sqlite3.DatabaseError:  # that itself means damage; troubles with the file are below it
            with suppress(WriteError, OSError):
                (cache_folder() / f"{FILE}-journal").unlink(missing_ok=True)
                (cache_folder() / FILE).unlink()


def _key(max_pixels: int) -> bytes:
    """Eight bytes that stand for everything besides the content that decides about a look."""
    text = " ".join([str(max_pixels), *(version(library) for library in _DECIDING)])
    return hashlib.sha256(text.encode()).digest()[:8]


def _as_row(look: Look, key: bytes) -> tuple[Any, ...]:
    size = (look.height, look.width, look.orientation)
    words = (" ".join(look.traits), look.fault, look.problem)
    return (bytes.fromhex(look.sha256), key, look.kind, *size, *words, look.signature)


def _as_look(sha256: str, row: tuple[Any, ...]) -> Look:
    kind, height, width, orientation, traits, fault, problem, signature = row
    return Look(sha256, kind, height, width, orientation, tuple(traits.split()), fault, problem, signature)
