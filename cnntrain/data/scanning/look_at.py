"""A look at every file of a data set, on all cores; at content that was seen before, none."""

import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from stat import S_ISREG
from threading import Event
from typing import NamedTuple

from cnntrain.data.scanning.look import Look, look_closer
from cnntrain.data.scanning.remembered import RememberedLooks
from cnntrain.files import sha256

_TOGETHER = 32  # pictures a task: to hand over a task costs as much as a look at a small picture
_READ_TOGETHER = 8 << 20  # bytes of files that a thread holds, and the last of them
_KEPT_TOGETHER = 2048  # looks a transaction
_MOST_THREADS = 16  # more would wait for the interpreter's lock, and each may hold the largest picture
_TURN = 1e-4  # seconds
_LARGEST_FILE = 1 << 30  # bytes; no picture within the limit of pixels needs more

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer opens, too


class _File(NamedTuple):
    content: bytes
    sha256: str


_Seen = tuple[Look, bool]  # whether it is new, so that it should be remembered


def look_at_all(
    paths: Sequence[str], *, max_pixels: int, on_picture: Callable[[int], None] = lambda _: None
) -> tuple[Look, ...]:
    """Reads every file and looks at it, on all cores. Looks are remembered in the cache folder by content.

    The caller has prepared TensorFlow (`runtime.prepare`). Ctrl-C ends it when the pictures at hand are done, one a
    thread, and loses nothing of what was seen.

    Args:
        paths: Files, which may be anything or missing.
        max_pixels: Largest height times width of a picture that is decoded.
        on_picture: Told the number of files that are done.

    Returns:
        A look for each path, in their order.
    """
    stop = Event()
    with (
        closing(RememberedLooks(max_pixels=max_pixels)) as store,
        _quick_turns(),
        warnings.catch_warnings(),  # not for each picture: the filters are the whole process's
        ThreadPoolExecutor(min(os.cpu_count() or 2, _MOST_THREADS)) as pool,
    ):
        warnings.simplefilter("ignore")
        tasks = [
            pool.submit(_look_at_some, paths[start : start + _TOGETHER], store, max_pixels, stop)
            for start in range(0, len(paths), _TOGETHER)
        ]
        try:
            return tuple(_gathered(tasks, store, on_picture))
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Lets threads take turns more often: most of a look needs no lock, and waiting 5 ms for it idles a core."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def _gathered(
    tasks: Sequence[Future[list[_Seen]]], store: RememberedLooks, on_picture: Callable[[int], None]
) -> Iterator[Look]:
    """The looks of all tasks in their order; new ones are remembered now and then, and at the end whatever happens."""
    new: list[Look] = []
    done = 0
    try:
        for task in tasks:
            seen = task.result()
            yield from (look for look, _ in seen)
            new += [look for look, is_new in seen if is_new]
            if len(new) >= _KEPT_TOGETHER:
                store.keep(new)
                new.clear()
            done += len(seen)
            on_picture(done)
    finally:
        store.keep(new)


def _look_at_some(paths: Sequence[str], store: RememberedLooks, max_pixels: int, stop: Event) -> list[_Seen]:
    """A task; it breaks off between two pictures when nobody waits for it any more."""
    seen: list[_Seen] = []
    waiting = iter(paths)
    while files := _read_some(waiting, stop):
        known = store.find_many(file.sha256 for file in files if isinstance(file, _File))
        seen += [_look_at(file, known, max_pixels) for file in files if not stop.is_set()]
    return seen


def _read_some(paths: Iterator[str], stop: Event) -> list[_File | Look]:
    """The next files, until they hold much together; the store is asked for all of them at once."""
    files: list[_File | Look] = []
    size = 0
    for path in paths:
        if stop.is_set():
            break
        files.append(file := _read(path))
        size += len(file.content) if isinstance(file, _File) else 0
        if size >= _READ_TOGETHER:
            break
    return files


def _read(path: str) -> _File | Look:
    """A file, or the look at what is none or too large."""
    try:
        content = _content(path)
        if content is None:
            size = Path(path).stat().st_size / 2**30
            return Look(sha256(Path(path)), fault="too_large", problem=f"a file of {size:.1f} GiB")
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        return Look("", fault="unreadable", problem=str(getattr(error, "strerror", None) or error))
    return _File(content, hashlib.sha256(content).hexdigest())


def _look_at(file: _File | Look, known: Mapping[str, Look], max_pixels: int) -> _Seen:
    if isinstance(file, Look):
        return file, False
    if found := known.get(file.sha256):
        return found, False
    return look_closer(file.content, file.sha256, max_pixels=max_pixels), True


def _content(path: str) -> bytes | None:
    """The bytes of a file, or None for a huge one. Raises OSError or ValueError.

    By few calls of the system: after each of them a thread waits for the interpreter's lock, which `pathlib` makes
    longer than decoding takes.
    """
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise OSError(0, "it is a folder or a device, not a file")
        if status.st_size > _LARGEST_FILE:
            return None
        content = os.read(descriptor, status.st_size)
        while len(content) < status.st_size and (more := os.read(descriptor, status.st_size - len(content))):
            content += more
        return content
    finally:
        os.close(descriptor)
