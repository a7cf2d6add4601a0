"""Signals while a network trains: noted at once, obeyed at the end of a batch; a second one ends the process."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_STOPS = (signal.SIGINT, signal.SIGTERM)
_MOMENT = 0.3  # seconds


class Interrupted(KeyboardInterrupt):
    """A signal asked for the end, and the training has come to a place where it can end."""

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.signal_number = signal_number


class Signals:
    """What signals have asked for so far.

    Args:
        on_stop: Called in a thread of its own when the first signal asks for the end.
    """

    def __init__(self, on_stop: Callable[[int], None] = lambda _: None) -> None:
        self._on_stop = on_stop
        self._stop: int | None = None
        self._stopped_at = 0.0
        self._is_told = False
        self._wants_state = False

    @property
    def stops(self) -> bool:
        """Whether the training is to end."""
        return self._stop is not None

    def obey(self) -> None:
        """Ends the training here if that was asked for. Raises Interrupted."""
        if self._stop is not None:
            raise Interrupted(self._stop)

    def take_wish(self) -> bool:
        """Whether a state was asked for since this was last called."""
        wish, self._wants_state = self._wants_state, False
        return wish

    def mark(self, number: int) -> None:
        """Takes a signal where the training stands still: does no more than what a handler may do."""
        if number not in _STOPS:
            self._wants_state = True
        elif self._stop is None:
            self._stop, self._stopped_at = number, time.monotonic()

    def note(self, number: int) -> None:
        """Takes a signal in another thread: tells the first that asks for the end, a second ends the process at once.

        One that follows within a moment is the same wish: `timeout`, `make` and their like pass on what the terminal or
        the process group has sent already.
        """
        self.mark(number)
        if number not in _STOPS:
            return
        if not self._is_told:
            self._is_told = True
            self._on_stop(number)
        elif time.monotonic() - self._stopped_at > _MOMENT:
            _leave(128 + number)


@contextmanager
def noted(signals: Signals) -> Iterator[None]:
    """Lets SIGINT, SIGTERM and SIGUSR1 be noted while the block runs; only the main thread can do that.

    A signal that whoever started the process lets it ignore, as a shell does with Ctrl-C for what runs behind it, stays
    ignored, and one that is handled outside of Python is left alone.

    Python's own handlers run between two of its instructions: they wait for a batch in TensorFlow to end, and come in
    time for what is done then. What `set_wakeup_fd` writes is read by a thread, which waits for nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = [*_STOPS, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
    numbers = [number for number in known if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before: dict[int, Any] = {
        number: signal.signal(number, lambda number, frame: signals.mark(number))  # noqa: ARG005
        for number in numbers
    }
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reader, signals), daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        writer.close()
        listener.join()
        reader.close()


def _listen(reader: socket.socket, signals: Signals) -> None:
    with suppress(OSError):
        while received := reader.recv(64):
            for number in received:
                if number in _STOPS:
                    signals.note(number)


def _leave(code: int) -> None:
    """Ends the process, with the cursor shown that a progress bar has hidden."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\nstopped at once; --resume goes on from the last state\n")
    os._exit(code)
