"""`log.txt`: what was said while a run ran, with the time."""

from datetime import UTC, datetime
from pathlib import Path

from cnntrain.errors import WriteError


def now() -> str:
    """The present time, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append_line(path: Path, text: str) -> None:
    """Adds a line with the present time to a log. Raises WriteError."""
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{now()} {text}\n")
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}; free some room or choose another place") from error
