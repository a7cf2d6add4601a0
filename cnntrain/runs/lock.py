"""One run directory, one process: a lock that the operating system takes from whoever holds it when he dies."""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from cnntrain.errors import WriteError
from cnntrain.files import make_folder, needed_folder, write_json
from cnntrain.runs.log import now

LOCK = ".cnntrain.lock"
HOLDER = ".cnntrain.lock.json"
_PATIENCE = 0.5  # seconds for a holder to let go who is about to
_ATTEMPTS = 20  # to find the folder in which a holder who is about to leave removes what he has made
_LOOKS = 20  # at the file that says who holds the lock, one every twentieth of a second
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps every other process, and every other thread of this one, out of a run directory while the block runs.

    Makes the folder if it is missing, and removes it at the end if nothing was put into it. The lock is on a file in
    it, which stays behind when the process is killed, and is then no obstacle. A file system that has no locks keeps
    nobody out.

    Args:
        path: The run directory.

    Raises:
        WriteError: Another process has it, or the lock cannot be written.
    """
    with ExitStack() as leaving:
        with _told(path):
            leaving.enter_context(needed_folder(path))
            lock = _acquired(path)
            leaving.callback(_let_go, path, lock)
            _write_holder(path)
        yield


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}; choose another --run-dir") from error


def is_lock(name: str) -> bool:
    """Whether a file in a run directory belongs to its lock."""
    return name.startswith(LOCK)


def _acquired(path: Path) -> BaseFileLock:
    """The lock of a folder, held unless the file system has none. Raises WriteError and OSError."""
    for attempt in range(1, _ATTEMPTS + 1):
        lock = FileLock(path / LOCK)
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise WriteError(f"{path} is in use by {_holder(path)}; wait for it, or choose another --run-dir") from None
        except FileNotFoundError:  # whoever made the folder has just removed it
            if attempt == _ATTEMPTS:
                raise
            make_folder(path)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            break
        else:
            break
    return lock


def _write_holder(path: Path) -> None:
    """Says who holds the lock. What a killed holder has left goes first, lest anybody reads it now."""
    (path / HOLDER).unlink(missing_ok=True)
    held = {"format": 1, "host": socket.gethostname(), "process": os.getpid(), "since": now()}
    write_json(path / HOLDER, held)


def _holder(path: Path) -> str:
    """Who holds the lock, in words. One that has only just got it is given time to say so."""
    for _ in range(_LOOKS):
        try:
            held = json.loads((path / HOLDER).read_text(encoding="utf-8"))
            return f"process {int(held['process'])} on host {_word(held['host'])} since {_word(held['since'])}"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(1 / _LOOKS)
    return "another process"


def _word(text: str) -> str:
    """A text of somebody else's in one line."""
    return "".join(letter for letter in text if letter.isprintable())


def _let_go(path: Path, lock: BaseFileLock) -> None:
    """Releases the lock and removes its files.

    The file of the lock goes while it is still locked: whoever has opened it by then finds, once he gets the lock,
    that the file has no name any more, and tries again (`filelock` does). Removed afterwards, it might already be
    another's. Windows removes no open file, nor one that another has opened meanwhile, so there it goes afterwards.
    """
    with suppress(OSError):
        (path / HOLDER).unlink()
    if os.name != "nt":
        with suppress(OSError):
            (path / LOCK).unlink()
    lock.release()
    if os.name == "nt":
        with suppress(OSError):
            (path / LOCK).unlink()
