"""Unpacks archives that strangers made, and trusts nothing in them."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

from cnntrain.errors import DataError, WriteError

_CHUNK = 1 << 20
_SMALL = 100 * 2**20  # bytes; what unpacks to less than this does no harm, however well it was packed
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack a chunk to any size in one go
_UTF8_NAME = 0x800
_ENCRYPTED = 0x1
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OverflowError, ValueError)

Member = tuple[zipfile.ZipInfo, tuple[str, ...]]


def extract_zip(archive: Path, into: Path, *, max_bytes: int = 20 * 2**30, max_ratio: int = 200) -> None:
    """Unpacks the files of a zip into a folder.

    Everything is checked before the first file is written. `__MACOSX` and empty folders are left out. When it fails,
    files may be left in `into`: give it a temporary folder.

    Args:
        archive: The zip file.
        into: The folder to unpack into; it exists.
        max_bytes: Largest size of all files together, unpacked, in bytes.
        max_ratio: Largest size unpacked over size of the archive, looked at from 100 MiB upwards.

    Raises:
        DataError: The archive cannot be read, is damaged, encrypted or packed by an uncommon method, holds links or
            paths that lead outside, or is larger than the limits.
        WriteError: A file cannot be written.
    """
    with _reading(archive), zipfile.ZipFile(archive) as opened:
        members = list(_members(opened, archive))
        _check_size(members, archive, max_bytes, max_ratio)
        for info, parts in members:
            with opened.open(info) as stream:
                _write(into.joinpath(*parts), iter(lambda: stream.read(_CHUNK), b""), archive)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turns what the zip library raises into an error that names the archive."""
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{archive} is damaged or no zip file ({reason}); get it again") from error
    except OSError as error:
        raise DataError(f"cannot read {archive}: {error.strerror or error}; give a readable zip file") from error


def _members(opened: zipfile.ZipFile, archive: Path) -> Iterator[Member]:
    """The files of the archive with the parts of their paths, each of them found harmless."""
    for info in opened.infolist():
        name = _name(info).replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.endswith("/") or not parts or parts[0] == "__MACOSX":
            continue
        if fault := _fault(info, name, parts):
            raise DataError(f"{archive} is refused: its member {name!r} {fault}; pack the pictures anew as plain files")
        yield info, parts


def _name(info: zipfile.ZipInfo) -> str:
    """The member's name; some programs write UTF-8 without saying so, which zipfile then reads as code page 437."""
    if info.flag_bits & _UTF8_NAME:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _fault(info: zipfile.ZipInfo, name: str, parts: tuple[str, ...]) -> str:
    """What is wrong with a member, or nothing."""
    if name.startswith("/") or ".." in parts or any(PureWindowsPath(part).drive for part in parts):
        return "leads outside the folder it is unpacked into"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link or another special file"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in _METHODS:
        return "is packed by an uncommon method"
    return ""


def _check_size(members: Iterable[Member], archive: Path, max_bytes: int, max_ratio: int) -> None:
    """Refuses archives that unpack to too much; zipfile itself stops a member at the size that it declares."""
    total = sum(info.file_size for info, _ in members)
    if total > max_bytes:
        raise DataError(
            f"{archive} is refused: it unpacks to {total:,} bytes, more than {max_bytes:,}; unpack it yourself"
        )
    # The size on disk, not the sum that the archive declares: members that overlap declare the same bytes many times.
    if total > max(_SMALL, max_ratio * archive.stat().st_size):
        raise DataError(
            f"{archive} is refused: it unpacks to more than {max_ratio} times its size, as if it were made to fill "
            "the disk; unpack it yourself"
        )


def _write(target: Path, pieces: Iterable[bytes], archive: Path) -> None:
    """Writes one file that is not there yet."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            for piece in pieces:
                out.write(piece)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{archive} is refused: two of its members are called {target.name!r}; pack it anew") from error
    except OSError as error:
        raise WriteError(f"cannot write {target}: {error.strerror or error}; free some room") from error
