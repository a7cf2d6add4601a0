"""A look at every file of a data set, on all cores; at content that was seen before, none."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from stat import S_ISREG
from threading import Event

from cnntrain.data.scanning.look import Look, look_closer
from cnntrain.data.scanning.remembered import RememberedLooks
from cnntrain.files import sha256

_TOGETHER = 32  # pictures a task: to hand over a task costs as much as a look at a small picture
_KEPT_TOGETHER = 2048  # looks a transaction
_MOST_THREADS = 16  # more would wait for the interpreter's lock, and each may hold the largest picture
_LARGEST_FILE = 1 << 30  # bytes; no picture within the limit of pixels needs more

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer opens, too

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
    return [_look_at(path, store, max_pixels) for path in paths if not stop.is_set()]


def _look_at(path: str, store: RememberedLooks, max_pixels: int) -> _Seen:
    try:
        content = _content(path)
        if content is None:
            size = Path(path).stat().st_size / 2**30
            return Look(sha256(Path(path)), fault="too_large", problem=f"a file of {size:.1f} GiB"), False
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        return _unreadable(str(getattr(error, "strerror", None) or error))
    checksum = hashlib.sha256(content).hexdigest()
    if known := store.find(checksum):
        return known, False
    return look_closer(content, checksum, max_pixels=max_pixels), True


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


def _unreadable(problem: str) -> _Seen:
    return Look("", fault="unreadable", problem=problem), False
