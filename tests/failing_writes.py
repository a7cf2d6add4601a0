"""Makes one write of a command fail, as a full or a failing disk would; nothing in cnntrain knows of it.

Python's own calls for files are wrapped, and only those below certain folders count. What C code writes by itself does
not: of all that cnntrain writes that is SQLite, which remembers looks at pictures and can be done without.
"""

import builtins
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

# A file that never gets a name is opened as the folder that it lies in, on Linux.
_NEEDS_ROOM = {"open", "nameless", "write", "sendfile", "mkdir", "link", "symlink", "posix_fallocate", "ftruncate"}
_BY_PATH = ("mkdir", "link", "symlink", "rename", "replace")  # the last argument that is a path counts
_BY_DESCRIPTOR = ("fsync", "sendfile", "ftruncate", "posix_fallocate")


@dataclass
class Disk:
    """What fails, and what has been written so far.

    Args:
        places: Folders whose files count.
        failing: The write that fails, the first being 1; none if 0.
        code: What it fails with.
        stays_full: Whether whatever takes room fails from then on, too.
        writes: Every write so far: the call, and the path.
    """

    places: tuple[Path, ...]
    failing: int = 0
    code: int = 0
    stays_full: bool = False
    writes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def struck(self) -> tuple[str, str] | None:
        """The write that failed, if there were so many."""
        return self.writes[self.failing - 1] if 0 < self.failing <= len(self.writes) else None

    def take(self, call: str, path: str) -> None:
        """Notes a write. Raises OSError if it fails."""
        place = Path(os.path.realpath(Path(path).parent), Path(path).name)
        if not any(place.is_relative_to(folder) for folder in self.places):
            return
        self.writes.append((call, str(place)))
        if len(self.writes) == self.failing or (self.struck and self.stays_full and call in _NEEDS_ROOM):
            raise OSError(self.code, os.strerror(self.code), path)


class _File(io.FileIO):
    """A file whose every write is told."""

    def __init__(self, disk: Disk, name: Any, mode: str, opener: Any) -> None:
        super().__init__(name, mode, opener=opener)
        self._disk = disk

    def write(self, content: Any) -> int:
        self._disk.take("write", str(self.name))
        return super().write(content)


def _opening(disk: Disk, real: Callable[..., Any]) -> Callable[..., Any]:
    """`open` that gives files whose writes are told."""

    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if isinstance(file, int) or not set(mode) & set("wxa+"):
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        name = os.fsdecode(file)
        disk.take("nameless" if Path(name).is_dir() else "open", name)
        raw = _File(disk, name, mode.replace("b", "").replace("t", ""), opener)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    return opened


def _by_path(disk: Disk, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def done(*arguments: Any, **options: Any) -> Any:
        paths = [argument for argument in arguments if isinstance(argument, str | bytes | os.PathLike)]
        is_there = call == "mkdir" and Path(os.fsdecode(paths[-1])).exists()
        if not is_there:  # what is there is not made
            disk.take(call, os.fsdecode(paths[-1]))
        return real(*arguments, **options)

    return done


def _by_descriptor(disk: Disk, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def done(descriptor: int, *arguments: Any) -> Any:
        disk.take(call, _path_of(descriptor) or str(disk.places[0]))
        return real(descriptor, *arguments)

    return done


def _path_of(descriptor: int) -> str | None:
    """The file that is open; only Linux tells."""
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return None


def _os_open(disk: Disk, real: Callable[..., int]) -> Callable[..., int]:
    def opened(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        if flags & os.O_CREAT and not isinstance(path, int):
            disk.take("open", os.fsdecode(path))
        return real(path, flags, mode, **options)

    return opened


@contextmanager
def failing(disk: Disk) -> Iterator[Disk]:
    """Wraps Python's calls for files while the block runs."""
    opened = _opening(disk, io.open)
    wrapped: dict[tuple[Any, str], Any] = {(io, "open"): opened, (builtins, "open"): opened}
    wrapped[os, "open"] = _os_open(disk, os.open)
    for names, wrap in ((_BY_PATH, _by_path), (_BY_DESCRIPTOR, _by_descriptor)):
        wrapped |= {(os, name): wrap(disk, name, getattr(os, name)) for name in names if hasattr(os, name)}
    patches = [mock.patch.object(holder, name, new) for (holder, name), new in wrapped.items()]
    for patch in patches:
        patch.start()
    try:
        yield disk
    finally:
        for patch in reversed(patches):
            patch.stop()


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Args:
        code: Its exit code.
        said: What it said on stderr.
        writes: How many there were.
        struck: The one that failed: call and path.
    """

    code: int
    said: str
    writes: int
    struck: tuple[str, str] | None


def run(arguments: list[str], disk: Disk, said: Path) -> Outcome:
    """Runs a command line in a child of this process, in which everything is imported and nothing was computed.

    Args:
        arguments: What follows `cnntrain`.
        disk: What fails.
        said: A file outside of all places that count, for stderr.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _work(arguments, disk, said, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as told:  # noqa: PTH123 - a pipe
        count, call, path = told.read().split("\n")
    _, status = os.waitpid(child, 0)
    struck = (call, path) if call else None
    return Outcome(os.waitstatus_to_exitcode(status), said.read_text(encoding="utf-8"), int(count), struck)


def _work(arguments: list[str], disk: Disk, said: Path, writer: int) -> None:
    """What the child does; it does not come back."""
    from cnntrain.cli import main

    code = 70
    try:
        for number, target in ((1, os.devnull), (2, said)):
            os.dup2(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        with failing(disk):
            try:
                main(arguments)
            except SystemExit as left:
                code = int(left.code or 0)
        call, path = disk.struck or ("", "")
        os.write(writer, f"{len(disk.writes)}\n{call}\n{path}".encode())
        sys.stderr.flush()
    finally:
        os._exit(code)
