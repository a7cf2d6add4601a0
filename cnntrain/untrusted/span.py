"""Stretches of files that others made, read within their bounds."""

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_LARGEST_READ = 1 << 24  # bytes; only arrays are larger, and they have a reader of their own
_CHUNK = 1 << 20
_LONGEST_LINE = 300  # letters


def told(error: Exception) -> str:
    """What an error says, on one line that a terminal can show; strangers' names may be in it."""
    text = (error.strerror or "") if isinstance(error, OSError) else str(error)
    line = " ".join(text.split()) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:_LONGEST_LINE]


@contextmanager
def open_regular(path: Path) -> Iterator["Span"]:
    """Opens a regular file, or a link to one; a pipe or a device is not waited for.

    Raises:
        OSError: It is missing or cannot be read.
        ValueError: It is no regular file.
    """
    with open(path, "rb", opener=_without_waiting) as stream:  # a Path's own takes no opener
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        yield Span(stream, 0, status.st_size)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@dataclass(frozen=True)
class Span:
    """A stretch of an open file.

    Args:
        stream: The file.
        start: Where the stretch begins, bytes from the start of the file.
        size: Its length in bytes.
    """

    stream: BinaryIO
    start: int
    size: int

    def part(self, offset: int, size: int) -> "Span":
        """A stretch of this one. Raises ValueError where it reaches beyond."""
        if min(offset, size) < 0 or offset + size > self.size:
            raise ValueError(f"it ends at byte {self.size:,}, yet {size:,} bytes are to stand at {offset:,}")
        return Span(self.stream, self.start + offset, size)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of it, at most 16 MiB. Raises ValueError where they reach beyond, or are more."""
        if size > _LARGEST_READ:
            raise ValueError(f"{size:,} bytes at {offset:,} are too many for what they are to be")
        content = bytearray(size)
        self.part(offset, size)._read_into(content)
        return bytes(content)

    def array(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Numbers of it, in C order. Raises ValueError where they reach beyond."""
        content: NDArray[Any] = np.empty(shape, dtype)
        self.part(offset, content.nbytes)._read_into(content.reshape(-1).view(np.uint8))
        return content

    def checksum(self) -> int:
        """The CRC-32 of all its bytes."""
        found = 0
        for offset in range(0, self.size, _CHUNK):
            found = zlib.crc32(self.read(offset, min(_CHUNK, self.size - offset)), found)
        return found

    def _read_into(self, content: Any) -> None:
        self.stream.seek(self.start)
        if self.stream.readinto(content) != self.size:  # type: ignore[attr-defined]
            raise ValueError("it became shorter while it was read")
