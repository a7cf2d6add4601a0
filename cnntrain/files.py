"""Files that are written whole or not at all, folders likewise, checksums, and the cache folder."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cnntrain.errors import WriteError


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turns an operating-system error into one that names the file the user knows."""
    try:
        yield
    except OSError as error:
        advice = "free some room or choose another place" if error.errno == errno.ENOSPC else "choose another place"
        raise WriteError(f"cannot write {path}: {error.strerror or error}; {advice}") from error


def _sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` last through a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the name of a temporary file beside `path` to write to, and moves it into place at the end.

    The temporary name keeps the suffixes of `path`, since some writers choose their format by them. When the block
    fails, the temporary file is removed and what stood at `path` is untouched. Missing parent folders are made.

    Raises:
        WriteError: The file or its folder cannot be written.
    """
    with _reported(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with _reported(path):
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` whole or not at all. Raises WriteError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 with line feeds, whole or not at all. Raises WriteError."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all. Raises WriteError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Gives an empty temporary folder beside `path`, which becomes `path` when the block ends well.

    When the block fails nothing is left of it, and what stood at `path` is untouched.

    Args:
        path: The folder to make. An empty folder there is taken as absent; a link is followed and stays.
        overwrite: Whether what stands at `path` is replaced. The caller has made sure that it may be.

    Raises:
        WriteError: `path` exists and is not to be replaced, holds the working folder, or cannot be written.
    """
    check_replaceable(path)
    with _reported(path):
        if not overwrite and path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise WriteError(f"{path} exists already and is not overwritten; choose another place")
        place = Path(os.path.realpath(path))  # resolve() dies of loops
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        with _reported(path):
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            _exchange(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: Path) -> None:
    """The working folder cannot be replaced: whoever is in it would be left in a folder that is gone.

    Raises:
        WriteError: `path` is the working folder or holds it.
    """
    with _reported(path):
        if Path.cwd().is_relative_to(os.path.realpath(path)):
            raise WriteError(f"{path} is or holds the working folder, which cannot be replaced; run this from outside")


def _exchange(new: Path, path: Path) -> None:
    """Moves a folder to `path` and removes what stood there, or puts that back."""
    old = new.with_name(new.name + ".old")
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
    _sync_folder(path.parent)
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Gives an empty folder inside `parent` that is removed at the end. Raises WriteError, also for writes in it."""
    with _reported(parent), tempfile.TemporaryDirectory(prefix=".tmp-", dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name)


def _umask() -> int:
    """The process's mask of permissions, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes in hexadecimal. Raises OSError."""
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - a Path a picture is slow
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_folder() -> Path:
    """The folder for what can be made again: `CNNTRAIN_CACHE_DIR`, or else the user's cache folder. Made if missing.

    Raises:
        WriteError: It cannot be made.
    """
    from platformdirs import user_cache_path

    named = os.environ.get("CNNTRAIN_CACHE_DIR")
    folder = Path(named).expanduser() if named else user_cache_path("cnntrain", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"cannot make the cache folder {folder}: {error.strerror or error}; name another in CNNTRAIN_CACHE_DIR"
        ) from error
    return folder
