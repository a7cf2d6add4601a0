"""Runs of the command line in processes that begin with TensorFlow imported, so that hundreds of them start quickly."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

TIMED = {"seconds", "images_per_second"}
DIGITS = Path(__file__).parent.parent / "configs" / "digits.yaml"
_POLL = 0.005  # seconds


def load() -> None:
    """Imports what a training needs. No operation of TensorFlow runs here: its threads would not survive a fork."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import cnntrain.api
    import cnntrain.plots.curves
    import cnntrain.training.preparing
    import cnntrain.training.session

    _ = cnntrain.plots.curves, cnntrain.training.preparing, cnntrain.training.session


@dataclass
class Child:
    """A process that runs a command.

    Args:
        pid: Its number.
        output: The file with its stdout and stderr.
        code: How it ended, as `subprocess` tells it; nothing while it runs.
    """

    pid: int
    output: Path
    code: int | None = None

    def poll(self) -> int | None:
        """How it ended; nothing while it runs."""
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code

    def wait(self, seconds: float) -> int | None:
        """How it ended; nothing if it still runs after so many seconds."""
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end:
            time.sleep(_POLL)
        return self.code

    def send(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def end(self, seconds: float) -> int:
        """How it ended. One that still runs after so many seconds tells where it hangs, and is killed."""
        if self.wait(seconds) is None:
            self.send(signal.SIGUSR2)
            self.wait(5.0)
            self.send(signal.SIGKILL)
            self.wait(60.0)
        return self.code if self.code is not None else -signal.SIGKILL

    def said(self) -> str:
        """What it has printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def start(arguments: Sequence[str], output: Path, *, before: Callable[[], None] = lambda: None) -> Child:
    """Runs the command line in a fork of this process.

    Args:
        arguments: What follows `cnntrain`.
        output: The file for its stdout and stderr.
        before: Called in the new process first.
    """
    pid = os.fork()
    if pid:
        return Child(pid, output)
    code = 1
    try:
        _redirect(output)
        before()
        from cnntrain.cli import main

        main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(output: Path) -> None:
    """As a shell would begin a process: signals as they are by default, output into a file."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(written, 1)
    os.dup2(written, 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def run(arguments: Sequence[str], output: Path, *, before: Callable[[], None] = lambda: None) -> None:
    """Runs a command to its end. Raises SystemExit with what it said if that is not a good one."""
    child = start(arguments, output, before=before)
    if child.end(600) != 0:
        raise SystemExit(f"cnntrain {' '.join(arguments)} ends with {child.code}: {child.said()[-2000:]}")


def digits(folder: Path) -> Path:
    """The handwritten digits, split as the head of their configuration says; made where they are missing."""
    made = folder / "digits"
    if not made.is_dir():
        cnntrain = [sys.executable, "-m", "cnntrain"]
        subprocess.run([*cnntrain, "data", "digits", str(folder / "raw")], check=True, stdout=subprocess.DEVNULL)
        ratios = ["--ratios", "0.7,0.15,0.15"]
        command = [*cnntrain, "split", str(folder / "raw"), str(made), *ratios]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return made


def outcome(run_dir: Path) -> dict[str, bytes]:
    """What must be the same however often a run was ended: all variables of its model, and its history without times.

    What must not be left behind in the directory is a part of it too.
    """
    with zipfile.ZipFile(run_dir / "model.keras") as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    found: dict[str, bytes] = {}
    with h5py.File(weights) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
        )
    rows = csv.DictReader((run_dir / "history.csv").read_text(encoding="utf-8").splitlines())
    kept = [[value for name, value in row.items() if name not in TIMED] for row in rows]
    names = sorted(path.name for path in run_dir.iterdir())
    return {**found, "history.csv": repr(kept).encode(), "files": " ".join(names).encode()}


def difference(found: dict[str, bytes], expected: dict[str, bytes]) -> str:
    """What differs; empty where nothing does."""
    names = sorted(name for name in found.keys() | expected if found.get(name) != expected.get(name))
    lies, should_lie = (set(one["files"].decode().split()) for one in (found, expected))
    files = (
        f" (too many: {sorted(lies - should_lie)}, missing: {sorted(should_lie - lies)})" if "files" in names else ""
    )
    return ", ".join(names) + files
