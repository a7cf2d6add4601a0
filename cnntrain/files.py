"""Files that are written whole or not at all, folders likewise, checksums, and the cache folder."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cnntrain.errors import WriteError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}  # some network file systems, for folders
_ATTEMPTS = 20  # to make a folder that somebody else removes
_DIGITS = 16  # of a checksum, in the name of a file
_KEPT_OF_NAME = 40  # characters: with what makes a name temporary it stays below the 255 bytes of file systems
_TEMPORARY = re.compile(r"\.\d+\.[a-z0-9_]{8}\..+", re.DOTALL | re.ASCII)  # process, chance, what it becomes


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turns an operating-system error into one that names the file the user knows.

    Raises:
        WriteError: The block has met such an error.
    """
    try:
        yield
    except OSError as error:
        advice = "free some room or choose another place" if error.errno in _FULL else "choose another place"
        raise WriteError(f"cannot write {path}: {error.strerror or error}; {advice}") from error


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it where they are missing, also while somebody else removes them.

    Raises:
        OSError: It cannot be made.
    """
    for _ in range(_ATTEMPTS):
        with suppress(FileExistsError, FileNotFoundError):  # it was there a moment ago, or that above it
            folder.mkdir(parents=True, exist_ok=True)
            return
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def needed_folder(folder: Path) -> Iterator[None]:
    """Makes a folder and those above it where they are missing; those of them that are empty at the end are removed.

    Raises:
        OSError: They cannot be made.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        make_folder(folder)
        for place in made:
            sync_folder(place.parent)
        yield
    finally:
        for place in made:
            with suppress(OSError):
                place.rmdir()


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder last through a power cut, where the system can: Windows cannot and need not.

    Raises:
        OSError: The disk fails.
    """
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def temporary_beside(path: Path) -> Path:
    """A name beside `path` that nobody else takes, no thread of this process and no other host; it ends like `path`."""
    return path.with_name(f".{os.getpid()}.{secrets.token_hex(4)}.{path.name[-_KEPT_OF_NAME:]}")


def is_temporary(name: str) -> bool:
    """Whether a file or folder is called like one of those that a killed process leaves half-written."""
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the name of a temporary file beside `path` to write to, and moves it into place at the end.

    The temporary name keeps the suffixes of `path`, since some writers choose their format by them. When the block
    fails, the temporary file is removed and what stood at `path` is untouched. Missing parent folders are made.

    Raises:
        WriteError: The file or its folder cannot be written.
    """
    with _replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def _replacing_all(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The same for several files: all of them change or none. Errors of the block name the last of them."""
    temporaries = [temporary_beside(path) for path in paths]
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(reported(path))
            stack.enter_context(needed_folder(path.parent))
        try:
            yield temporaries
            for temporary, path in zip(temporaries, paths, strict=True):
                with reported(path), temporary.open("rb+") as written:
                    os.fsync(written.fileno())
            _move_into_place(temporaries, paths)
        finally:
            for temporary in temporaries:
                with suppress(OSError):
                    temporary.unlink()


def _move_into_place(temporaries: Sequence[Path], paths: Sequence[Path]) -> None:
    """Gives written files their names; when that fails for one of them, what stood there before is put back."""
    moved: list[tuple[Path, Path | None]] = []
    earlier = [_second_name(path) for path in paths]
    try:
        for temporary, path, before in zip(temporaries, paths, earlier, strict=True):
            with reported(path):
                temporary.replace(path)
                moved.append((path, before))
                sync_folder(path.parent)
    except BaseException:
        for path, before in moved:
            with suppress(OSError):
                _put_back(path, before)
        raise
    finally:
        for name in filter(None, earlier):
            with suppress(OSError):
                name.unlink()


def _second_name(path: Path) -> Path | None:
    """A hard link to what stands at `path`; None where there is nothing, or the file system has no such links."""
    second = temporary_beside(path)
    try:
        os.link(path, second)
    except (OSError, NotImplementedError):
        return None
    return second


def _put_back(path: Path, before: Path | None) -> None:
    if before is None:
        path.unlink()
    else:
        before.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` whole or not at all. Raises WriteError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 with line feeds, whole or not at all. Raises WriteError."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all. Raises WriteError."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """`value` as indented JSON in UTF-8, as all JSON files of a run are written."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Writes files that belong together: when one of them cannot be written, all are as they were before.

    Raises:
        WriteError: Names the file that cannot be written.
    """
    with _replacing_all(list(contents)) as temporaries:
        for temporary, (path, content) in zip(temporaries, contents.items(), strict=True):
            with reported(path):
                temporary.write_bytes(content)


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
    place = Path(os.path.realpath(path))  # resolve() dies of loops
    temporary = temporary_beside(place)
    with reported(path):
        if not overwrite and path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise WriteError(f"{path} exists already and is not overwritten; choose another place")
        with needed_folder(place.parent):
            try:
                temporary.mkdir()
                yield temporary
                _exchange(temporary, place)
            except WriteError as error:
                raise WriteError(str(error).replace(str(temporary), str(path))) from error
            finally:
                shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: Path) -> None:
    """The working folder cannot be replaced: whoever is in it would be left in a folder that is gone.

    Raises:
        WriteError: `path` is the working folder or holds it.
    """
    with reported(path):
        if Path.cwd().is_relative_to(os.path.realpath(path)):
            raise WriteError(f"{path} is or holds the working folder, which cannot be replaced; run this from outside")


def _exchange(new: Path, path: Path) -> None:
    """Moves a folder to `path` and removes what stood there, or puts that back."""
    old = new.with_name(new.name + ".old")
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
        sync_folder(path.parent)
    except BaseException:
        if path.exists():
            path.rename(new)
        if old.exists():
            old.rename(path)
        raise
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Gives an empty folder inside `parent` that is removed at the end. Raises WriteError, also for writes in it."""
    with reported(parent):
        prefix = f".{os.getpid()}."
        with tempfile.TemporaryDirectory(".tmp", prefix, dir=parent, ignore_cleanup_errors=True) as name:
            yield Path(name)


def short_checksum(content: bytes | memoryview) -> str:
    """What files carry in their names: the first 16 hexadecimal digits of the SHA-256 of their bytes."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def named_checksum(path: Path) -> str:
    """The checksum that a file `NAME-CHECKSUM.SUFFIX` should have by its name."""
    return path.stem.rpartition("-")[2]


def has_named_checksum(path: Path) -> bool:
    """Whether a file has the checksum of its name. Reads all of it, in pieces; false where it cannot be read."""
    try:
        return sha256(path)[:_DIGITS] == named_checksum(path)
    except OSError:
        return False


def nearest_folder(path: Path) -> Path:
    """What stands already of a path: itself, or else the nearest folder above it."""
    return next(place for place in (path, *path.parents) if place.exists())


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder, of which some may go meanwhile; 0 where there is no folder."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size if path.is_file() else 0
    return size


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
