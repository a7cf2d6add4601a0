"""Signals while a network trains: noted at once, obeyed at the end of a batch; a second one ends the process."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_STOPS = (signal.SIGINT, signal.SIGTERM)


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

    def note(self, number: int) -> None:
        """Takes a signal. The second that asks for the end ends the process at once."""
        if number not in _STOPS:
            self._wants_state = True
        elif self._stop is None:
            self._stop = number
            self._on_stop(number)
        else:
            os._exit(128 + number)


@contextmanager
def noted(signals: Signals) -> Iterator[None]:
    """Lets SIGINT, SIGTERM and SIGUSR1 be noted while the block runs; only the main thread can do that.

    A signal that whoever started the process lets it ignore, as a shell does with Ctrl-C for what runs behind it, stays
    ignored, and one that is handled outside of Python is left alone.

    Python's own handlers run between two of its instructions, so they would have to wait for a batch in TensorFlow to
    end. What `set_wakeup_fd` writes is read by a thread, which waits for nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = [*_STOPS, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
    numbers = [number for number in known if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before: dict[int, Any] = {number: signal.signal(number, _do_nothing) for number in numbers}
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reader, signals, numbers), daemon=True)
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


def _listen(reader: socket.socket, signals: Signals, numbers: list[int]) -> None:
    with suppress(OSError):
        while received := reader.recv(64):
            for number in received:
                if number in numbers:
                    signals.note(number)


def _do_nothing(number: int, frame: Any) -> None:
    """A handler has to be there, so that the signal is written to the socket instead of ending the process."""
