"""Looks that outlive the process: a store in the cache folder, by the content of a file."""

import re
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from threading import Lock
from typing import Any

from cnntrain.data.rules import rules
from cnntrain.data.scanning.look import Look
from cnntrain.errors import WriteError
from cnntrain.files import cache_folder

FILE = "looks.sqlite"
_MODULES = (
    "scanning/header.py",
    "scanning/look.py",
    "scanning/not_a_picture.py",
    "scanning/similarity.py",
    "decoder.py",
)
_LIBRARIES = ("tensorflow", "simplejpeg", "pillow", "numpy")
_SHA256 = re.compile("[0-9a-f]{64}")
_PATIENCE = 2.0  # seconds to wait for another process that writes
_ASKED_TOGETHER = 500  # checksums; SQLite may take no more than 999 values
_MAKE = """CREATE TABLE IF NOT EXISTS {table} (
    sha256 BLOB NOT NULL, max_pixels INTEGER NOT NULL, kind TEXT NOT NULL, height INTEGER NOT NULL,
    width INTEGER NOT NULL, orientation INTEGER NOT NULL, traits TEXT NOT NULL, fault TEXT NOT NULL,
    problem TEXT NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (sha256, max_pixels)) WITHOUT ROWID"""
_OTHERS = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'looks%' AND name != ?"
_FIND = """SELECT sha256, kind, height, width, orientation, traits, fault, problem, signature
    FROM {table} WHERE max_pixels = ? AND sha256 IN ({marks})"""
_KEEP = "INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class RememberedLooks:
    """The store of looks, which several processes, and threads of each, use at once.

    Whatever is wrong with it (damaged, locked, not to be written), it is from then on as if it were empty, and never
    an error. A damaged one is removed, so that the next to come starts a new one.

    What other versions of cnntrain or of the libraries have seen is removed when the store is opened.
    """

    def __init__(self, *, max_pixels: int) -> None:
        """Opens the store, or makes it. A look depends on `max_pixels`, so looks with another one are not found."""
        self._max_pixels = max_pixels
        self._table = f"looks_{rules(_MODULES, _LIBRARIES)[:16]}"
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        with self._lock, suppress(WriteError):
            path = cache_folder() / FILE
            try:
                self._connection = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
                for (other,) in self._connection.execute(_OTHERS, (self._table,)).fetchall():
                    self._connection.execute(f'DROP TABLE IF EXISTS "{other}"')
                self._connection.execute(_MAKE.format(table=self._table))
            except sqlite3.Error as error:
                self._give_up(error)

    def find_many(self, checksums: Iterable[str]) -> dict[str, Look]:
        """The looks at files with these SHA-256, by them; what nobody looked at before and what is none is left out."""
        asked = [bytes.fromhex(checksum) for checksum in checksums if _SHA256.fullmatch(checksum)]
        rows: list[tuple[Any, ...]] = []
        with self._lock:
            for start in range(0, len(asked), _ASKED_TOGETHER):
                rows += self._rows(asked[start : start + _ASKED_TOGETHER])
        return {row[0].hex(): _as_look(row) for row in rows}

    def _rows(self, checksums: list[bytes]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            return []
        query = _FIND.format(table=self._table, marks=",".join("?" * len(checksums)))
        try:
            return self._connection.execute(query, (self._max_pixels, *checksums)).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def keep(self, looks: Iterable[Look]) -> None:
        """Remembers looks for later; those at unreadable files are left out."""
        rows = [_as_row(look, self._max_pixels) for look in looks if look.sha256]
        with self._lock:
            if self._connection is None:
                return
            try:
                with self._connection:
                    self._connection.executemany(_KEEP.format(table=self._table), rows)
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


def _as_row(look: Look, max_pixels: int) -> tuple[Any, ...]:
    size = (look.height, look.width, look.orientation)
    words = (" ".join(look.traits), look.fault, look.problem)
    return (bytes.fromhex(look.sha256), max_pixels, look.kind, *size, *words, look.signature)


def _as_look(row: tuple[Any, ...]) -> Look:
    sha256, kind, height, width, orientation, traits, fault, problem, signature = row
    return Look(sha256.hex(), kind, height, width, orientation, tuple(traits.split()), fault, problem, signature)
