"""Unpacks archives that strangers made, and trusts nothing in them."""

import errno
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from cnntrain.data.sources.bounded import opened_tar
from cnntrain.data.sources.walking import Parts, is_folder, is_junk
from cnntrain.errors import DataError, WriteError

_CHUNK = 1 << 20
_SMALL = 100 * 2**20  # bytes; what unpacks to less than this does no harm, however well it was packed
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack a chunk to any size in one go
_UTF8_NAME = 0x800
_ENCRYPTED = 0x1
_UNICODE_PATH = 0x7075
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


@dataclass(frozen=True)
class _Limits:
    """What an archive may unpack to.

    Args:
        archive: The file.
        max_bytes: Largest size of all files together.
        max_ratio: Largest size over that of the archive, looked at from 100 MiB upwards.
        max_members: Largest number of files and folders.
    """

    archive: Path
    max_bytes: int
    max_ratio: int
    max_members: int

    def check(self, total: int, members: int) -> None:
        """Raises DataError where a size in bytes or a number of members is too large."""
        if members > self.max_members:
            self._refuse(f"it holds more than {self.max_members:,} members")
        if total > self.max_bytes:
            self._refuse(f"it unpacks to {total:,} bytes, more than {self.max_bytes:,}")
        # The size on disk, not the sum that a zip declares: members that overlap declare the same bytes many times.
        if total > max(_SMALL, self.max_ratio * self.archive.stat().st_size):
            self._refuse(
                f"it unpacks to more than {self.max_ratio} times its size, as if it were made to fill the disk"
            )

    def _refuse(self, reason: str) -> None:
        raise DataError(f"{self.archive} is refused: {reason}; unpack it yourself")


def is_archive(path: Path) -> bool:
    """Whether `path` is an archive by its suffix: .zip, .tar, .tar.gz, .tgz, .tar.bz2, .tbz2, .tar.xz or .txz."""
    return path.name.lower().endswith(_SUFFIXES) and not is_folder(path)


def unpack(
    archive: Path,
    into: Path,
    *,
    max_bytes: int = 20 * 2**30,
    max_ratio: int = 200,
    max_members: int = 1_000_000,
) -> None:
    """Unpacks the files of a zip or tar into a folder.

    Of a zip and of a tar that is not compressed everything is checked before the first file is written, of a compressed
    tar while it is read. Hidden files, the leavings of operating systems and empty folders are left out. When it fails,
    files may be left in `into`: give it a temporary folder.

    Args:
        archive: The file; a tar may be compressed by gzip, bzip2 or xz, whatever its suffix says of that.
        into: The folder to unpack into; it exists.
        max_bytes: Largest size of all files together, unpacked, in bytes.
        max_ratio: Largest size unpacked over size of the archive, looked at from 100 MiB upwards.
        max_members: Largest number of files and folders.

    Raises:
        DataError: The archive cannot be read, is damaged, encrypted or packed by an uncommon method, holds links or
            paths that lead outside, or is larger than the limits.
        WriteError: A file cannot be written.
    """
    limits = _Limits(archive, max_bytes, max_ratio, max_members)
    with _reading(archive):
        (_unpack_zip if archive.suffix.lower() == ".zip" else _unpack_tar)(archive, into, limits)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turns what the libraries raise into an error that names the archive."""
    kind = "zip" if archive.suffix.lower() == ".zip" else "tar"
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(archive, kind, error) from error
    except OSError as error:
        if error.errno is None:  # a checksum of gzip or bzip2
            raise _damaged(archive, kind, error) from error
        raise DataError(f"cannot read {archive}: {error.strerror or error}; give a readable {kind} file") from error


def _damaged(archive: Path, kind: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{archive} is damaged or no {kind} file ({reason}); get it again")


def _unpack_zip(archive: Path, into: Path, limits: _Limits) -> None:
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        limits.check(0, len(infos))
        members = [(info, parts) for info in infos if (parts := _zip_parts(info, archive))]
        limits.check(sum(info.file_size for info, _ in members), len(members))
        for info, parts in members:
            with opened.open(info) as stream:  # zipfile itself stops at the size that the member declares
                _write(into.joinpath(*parts), iter(lambda: stream.read(_CHUNK), b""), archive)


def _zip_parts(info: zipfile.ZipInfo, archive: Path) -> Parts:
    """Where a member goes; nothing for what is left out."""
    name = _zip_name(info).replace("\\", "/")
    parts = _safe_parts(name, archive)
    if name.endswith("/") or any(map(is_junk, parts)):
        return ()
    fault = ""
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        fault = "is a link or another special file"
    elif info.flag_bits & _ENCRYPTED:
        fault = "is encrypted"
    elif info.compress_type not in _METHODS:
        fault = "is packed by an uncommon method"
    if fault:
        raise _refused(archive, name, fault)
    return parts


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The member's name, from its bytes: what zipfile makes of them depends on the version of Python.

    Some programs write UTF-8 without saying so, which zipfile then reads as code page 437.
    """
    raw = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_NAME else "cp437")
    name = _unicode_path(info.extra, raw)
    if not name:
        try:
            name = raw.decode("utf-8")
        except UnicodeError:
            name = info.orig_filename
    return name.partition("\0")[0]


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """The name that Info-ZIP's extra field 0x7075 gives beside an old one; nothing where there is none that counts.

    It holds its version, 1; the CRC-32 of the old name, or else that was changed since; and the new name in UTF-8
    (PKWARE, APPNOTE 4.6.9). Raises what `_reading` takes for damage where it is cut off or no UTF-8.
    """
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and struct.unpack_from("<BL", field) == (1, zlib.crc32(raw)):
            return field[5:].decode("utf-8")
    return ""


def _unpack_tar(archive: Path, into: Path, limits: _Limits) -> None:
    with opened_tar(archive) as (opened, is_compressed):
        found = _tar_members(opened.members(), archive, limits)
        for member, parts in found if is_compressed else list(found):  # to look twice is to decompress twice
            _write(into.joinpath(*parts), opened.content(member, _CHUNK), archive)
        opened.check_end()


def _tar_members(
    members: Iterable[tarfile.TarInfo], archive: Path, limits: _Limits
) -> Iterator[tuple[tarfile.TarInfo, Parts]]:
    """The files of a tar and where they go, as far as they are found harmless."""
    total = 0
    for count, member in enumerate(members, start=1):
        name = member.name.replace("\\", "/")
        parts = _safe_parts(name, archive)
        if member.size < 0:
            raise tarfile.ReadError("a member has a negative size")
        total += 0 if member.isdir() else member.size
        limits.check(total, count)
        if member.isdir() or any(map(is_junk, parts)):
            continue
        if not member.isreg() or member.issparse():
            raise _refused(archive, name, "is a link or another special file")
        yield member, parts


def _safe_parts(name: str, archive: Path) -> Parts:
    """The parts of a member's path. Raises DataError where it leads outside."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or any(PureWindowsPath(part).drive for part in parts):
        raise _refused(archive, name, "leads outside the folder it is unpacked into")
    return parts


def _refused(archive: Path, name: str, fault: str) -> DataError:
    return DataError(f"{archive} is refused: its member {name!a} {fault}; pack the pictures anew as plain files")


def _write(target: Path, pieces: Iterable[bytes], archive: Path) -> None:
    """Writes one file that is not there yet."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        out = target.open("xb")
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            fault = f"two of its members are called {target.name!a}; pack it anew"
            raise DataError(f"{archive} is refused: {fault}") from error
        if error.errno in _BAD_NAME:
            raise _refused(archive, target.name, "has a name that no file can have here") from error
        raise _unwritable(target, error) from error
    try:
        for piece in pieces:
            with _writing(target):
                out.write(piece)
    finally:
        with _writing(target):  # what is small reaches the disk only now
            out.close()


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: OSError) -> WriteError:
    return WriteError(f"cannot write {target}: {error.strerror or error}; free some room")
