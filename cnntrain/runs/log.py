"""`log.txt`: what was said while a run ran, with the time."""

import errno
import io
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cnntrain.files import reported


def now() -> str:
    """The present time, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append_line(path: Path, text: str) -> None:
    """Adds a line with the present time to a log, the whole of it or nothing.

    Where a killed process or a power cut has left half a line, the new one begins below it.

    Raises:
        WriteError: The log cannot be written.
    """
    line = f"{now()} {text}\n".encode()
    with reported(path), path.open("ab+", buffering=0) as stream:
        end = stream.seek(0, os.SEEK_END)
        try:
            _append(stream, line if _ends_whole(stream, end) else b"\n" + line)
        except OSError:
            with suppress(OSError):
                stream.truncate(end)
            raise


def _ends_whole(stream: io.FileIO, end: int) -> bool:
    if end == 0:
        return True
    stream.seek(end - 1)
    return stream.read(1) == b"\n"


def _append(stream: io.FileIO, line: bytes) -> None:
    """Writes at the end of a file; a disk that takes only a part of a line is full."""
    if stream.write(line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
