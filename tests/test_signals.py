"""Signals while a network trains."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from cnntrain.training.signals import Interrupted, Signals, noted

ON_POSIX = os.name == "posix"

pytestmark = pytest.mark.usefixtures("heard_ctrl_c")


def _wait(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_told_and_obeyed_where_that_is_asked_for(number: int) -> None:
    told: list[int] = []
    signals = Signals(told.append)
    signals.obey()
    with noted(signals):
        signal.raise_signal(number)
        assert _wait(lambda: bool(told))
        assert told == [number]
        assert signals.stops
        with pytest.raises(Interrupted) as caught:
            signals.obey()
    assert caught.value.signal_number == number


@pytest.mark.skipif(not ON_POSIX, reason="Windows has no SIGUSR1")
def test_a_wish_for_a_state_is_taken_once_and_ends_nothing() -> None:
    signals = Signals()
    with noted(signals):
        signal.raise_signal(signal.SIGUSR1)
        assert _wait(lambda: signals._wants_state)
    assert signals.take_wish()
    assert not signals.take_wish()
    signals.obey()


def test_handlers_are_those_of_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with noted(Signals()):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_that_is_to_be_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals = Signals()
    try:
        with noted(signals):
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert not signals.stops


def test_another_thread_trains_without_signals() -> None:
    done: list[bool] = []

    def train() -> None:
        with noted(Signals()):
            done.append(True)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert done == [True]


BUSY = """
import hashlib, os, signal, sys, threading, time
from cnntrain.training.signals import Signals, noted
def twice():
    for _ in range(2):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.5)
signal.signal(signal.SIGINT, signal.default_int_handler)
with noted(Signals()):
    threading.Thread(target=twice, daemon=True).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in C, as a long batch is
"""


def test_a_signal_that_is_passed_on_at_once_is_the_same_wish() -> None:
    told: list[int] = []
    signals = Signals(told.append)
    for _ in range(3):
        signals.note(signal.SIGTERM)
    assert told == [signal.SIGTERM]


@pytest.mark.skipif(not ON_POSIX, reason="os.kill ends the process at once on Windows")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_second_signal_ends_the_process_at_once_in_the_middle_of_a_batch(name: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", BUSY.format(name=name)], timeout=30, capture_output=True, check=False)
    assert done.returncode == code
    assert done.stderr == b""
