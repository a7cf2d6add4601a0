"""Makes an archive readable: for a while, or for good in the cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnntrain.data.sources.archives import is_archive, unpack
from cnntrain.errors import DataError, WriteError
from cnntrain.files import cache_folder, needed_folder, reported, sha256, temporary_folder


@contextmanager
def unpacked(place: Path, beside: Path) -> Iterator[Path]:
    """Gives a folder or table that can be read: the place itself, or for a while what an archive holds.

    Args:
        place: A folder, a table or an archive.
        beside: An archive is unpacked into a temporary folder beside this path, so on the same file system.

    Raises:
        DataError: The archive is missing, damaged or refused.
        WriteError: There is no room for what it holds.
    """
    if not is_archive(place):
        yield place
        return
    with reported(beside.parent), needed_folder(beside.parent), temporary_folder(beside.parent) as temporary:
        unpack(place, temporary)
        yield temporary.resolve()


def kept_unpacked(place: Path) -> Path:
    """The folder in the cache that an archive is unpacked into, once for all; other places are given back as they are.

    It is named by the archive's checksum, and is whole or not there, even where several processes make it at once.

    Raises:
        DataError: The archive is missing, damaged or refused.
        WriteError: The cache cannot be written.
    """
    if not is_archive(place):
        return place
    folder = cache_folder() / "archives" / _checksum(place)
    if not folder.is_dir():
        _keep(place, folder)
    return folder


def _checksum(archive: Path) -> str:
    try:
        return sha256(archive)
    except OSError as error:
        raise DataError(f"cannot read {archive}: {error.strerror or error}; give a readable archive") from error


def _keep(archive: Path, folder: Path) -> None:
    """Unpacks into a temporary folder and renames it; whoever comes second finds the place taken, which is as well."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot write {folder}: {error.strerror or error}; free some room") from error
    with temporary_folder(folder.parent) as temporary:
        whole = temporary / folder.name
        whole.mkdir()
        unpack(archive, whole)
        try:
            whole.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
