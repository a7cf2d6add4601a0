"""Last words: what is told when the memory is nearly used up, since the system kills without a word."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cnntrain.config import Config
from cnntrain.data.memory import machine_memory, memory_left
from cnntrain.training.failures import nearly_out_of_memory

_SECONDS = 0.2  # between two looks
_LITTLE = 0.05  # part of the memory that is left


@contextmanager
def memory_watched(config: Config, tell: Callable[[str], None]) -> Iterator[None]:
    """Tells once when less than a twentieth of the memory is left while the block runs; nothing else is done.

    Linux gives memory that it does not have and kills a process later; nothing can be said then.

    Args:
        config: What is trained.
        tell: Called with one line in a thread of its own.
    """
    if memory_left() is None:
        yield
        return
    is_over = threading.Event()
    watch = threading.Thread(target=_watch, args=(is_over, config, tell), daemon=True)
    watch.start()
    try:
        yield
    finally:
        is_over.set()
        watch.join()


def _watch(is_over: threading.Event, config: Config, tell: Callable[[str], None]) -> None:
    little = _LITTLE * machine_memory()
    while not is_over.wait(_SECONDS):
        left = memory_left()
        if left is not None and left < little:
            tell(nearly_out_of_memory(config))
            return
