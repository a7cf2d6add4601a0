"""Reads a tar from front to back without ever holding more of it in memory than a bound."""

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

_MAX_HEADER = 4 << 20  # bytes; a member's name and attributes, which tarfile reads in one go
_BLOCK = 512
_OPENERS: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


class _Forward:
    """A file that is read forwards in pieces of at most 4 MiB.

    Args:
        stream: What is read.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        """Bytes from where it stands. Raises ReadError where too many are asked for at once."""
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError("a header is too large")
        self.last = self._stream.read(size)
        return self.last

    def seek(self, position: int) -> int:
        """Goes to a position in bytes from the beginning."""
        return self._stream.seek(position)

    def tell(self) -> int:
        """Where it stands."""
        return self._stream.tell()


@contextmanager
def _few_headers() -> Iterator[None]:
    """Raises ReadError where too many headers come before a member: `tarfile` calls itself for each of them."""
    try:
        yield
    except RecursionError as error:
        raise tarfile.ReadError("too many headers belong to one member") from error


class BoundedTar:
    """The members of a tar, one after the other.

    Args:
        stream: The tar, not compressed.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = _Forward(stream)
        with _few_headers():
            self._tar: Any = tarfile.TarFile(fileobj=cast(IO[bytes], self._stream), encoding="utf-8")

    def members(self) -> Iterator[tarfile.TarInfo]:
        """Each member's header. Raises what `tarfile` does where one is damaged."""
        while member := self._following():
            self._tar.members.clear()  # it would keep all of them
            yield member
        # tarfile takes a damaged header for the end
        if self._stream.last != bytes(_BLOCK):
            raise tarfile.ReadError("it ends too early")

    def _following(self) -> tarfile.TarInfo | None:
        with _few_headers():
            return cast(tarfile.TarInfo | None, self._tar.next())

    def content(self, member: tarfile.TarInfo, piece: int) -> Iterator[bytes]:
        """The bytes of a member in pieces of that size. Raises ReadError where some are missing."""
        self._stream.seek(member.offset_data)
        left = member.size
        while left:
            found = self._stream.read(min(piece, left))
            if not found:
                raise tarfile.ReadError("it ends within a member")
            left -= len(found)
            yield found

    def check_end(self) -> None:
        """Reads on to where a compressed file has its checksum, but not further than a bound."""
        self._stream.read(_MAX_HEADER)


@contextmanager
def opened_tar(archive: Path) -> Iterator[tuple[BoundedTar, bool]]:
    """Opens a tar for reading; gives it and whether it is compressed, by gzip, bzip2 or xz, as its content says.

    Raises:
        OSError, tarfile.TarError and what the compression raises: It cannot be read.
    """
    with archive.open("rb") as stream:
        head = stream.read(6)
    opener = next((found for magic, found in _OPENERS.items() if head.startswith(magic)), None)
    with opener(archive) if opener else archive.open("rb") as opened:
        yield BoundedTar(opened), opener is not None
