"""Ends the own process before the Nth change of a folder, and counts these: every boundary between two writes."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}


def kill_before(number: int, folder: Path, *, count: Callable[[int, str], None] = lambda *_: None) -> None:
    """From now on counts what changes files below `folder`, and kills this process with SIGKILL before change `number`.

    A change is the opening of a file to write, its fsync, a rename, removal, link or new folder: what has been written
    in between lies on this or that side of one of them.

    Args:
        number: From 1; 0 kills never.
        folder: What counts.
        count: Told the number and the name of every change before it is made.
    """
    place, seen = folder.absolute(), 0

    def change(name: str) -> None:
        nonlocal seen
        seen += 1
        count(seen, name)
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and not arguments[2] & _WRITES:
            return
        if event in _CHANGES | {"open"} and _is_inside(event, arguments, place):
            change(event)

    synced = os.fsync

    def fsync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if _lies_in(Path(f"/proc/self/fd/{number}").readlink(), place):
            change("os.fsync")
        synced(descriptor)

    os.fsync = fsync
    sys.addaudithook(audit)


def _is_inside(event: str, arguments: tuple[Any, ...], place: Path) -> bool:
    """Whether an event is about a path in a folder; shutil removes what is in one by names in an open folder."""
    name = arguments[0]
    if not isinstance(name, str | bytes | os.PathLike):
        return False
    path = os.fsdecode(name)
    is_in_open_folder = event in ("os.remove", "os.rmdir") and arguments[1] != -1
    return is_in_open_folder or _lies_in(Path(path), place)


def _lies_in(path: Path, place: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(place)  # noqa: PTH100 - links are not followed


def main() -> None:
    """`python -m benchmarks.writes NUMBER FOLDER ARGUMENT...`: the command line, killed before a change of a folder."""
    from cnntrain.cli import main as command_line

    number, folder, *arguments = sys.argv[1:]
    kill_before(int(number), Path(folder))
    command_line(arguments)


if __name__ == "__main__":
    main()
