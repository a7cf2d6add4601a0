"""`fit` sent signals at random times: when it ends and how, and whether what was done is lost."""

import argparse
import mmap
import multiprocessing
import os
import random
import signal
import struct
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.forking import DIGITS, Child, difference, digits, load, outcome, start

SECONDS = 5.0  # from a signal to the end
LIMIT = 120.0  # seconds of a process
GAP = (0.35, 0.6)  # seconds between two signals; what follows sooner counts as the same
WISHES = 3  # for a state, a run
Outcome = dict[str, bytes]


class Batches:
    """When the batches of a training in another process were done, in memory that both share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1 << 20)

    def follow(self) -> None:
        """From now on notes every training batch of this process."""
        import keras

        told = keras.callbacks.CallbackList.on_train_batch_end

        def note(callbacks: Any, *arguments: Any, **options: Any) -> None:
            count = self.count
            struct.pack_into("d", self._memory, 8 + 8 * count, time.monotonic())
            struct.pack_into("q", self._memory, 0, count + 1)
            told(callbacks, *arguments, **options)

        keras.callbacks.CallbackList.on_train_batch_end = note

    @property
    def count(self) -> int:
        """How many there were."""
        return int(struct.unpack_from("q", self._memory)[0])

    def after(self, moment: float) -> int:
        """How many were done later than a moment."""
        return sum(when > moment for when in struct.unpack_from(f"{self.count}d", self._memory, 8))


@dataclass
class Result:
    """What became of runs that were sent signals.

    Args:
        signals: How many were sent while it trained.
        seconds: From each of them to the end of the process, or to the state.
        batches: For each of them, how many batches were still done.
        runs: How many got to their end.
        broken: What went wrong.
    """

    signals: int = 0
    seconds: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    runs: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        """Takes in what became of others."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def demand(self, is_kept: bool, promise: str, child: Child) -> None:
        """Notes a promise that is broken."""
        if not is_kept:
            self.broken.append(f"{promise}: {child.said()[-1500:]}")


@dataclass(frozen=True)
class Peace:
    """A run that is sent nothing: what it gives, its training steps, and the seconds that these take."""

    outcome: Outcome
    steps: int
    seconds: float


def _begun(run_dir: Path, batches: Batches) -> Child:
    """A process that trains, or goes on, once its first step is done."""
    command = ["fit", str(DIGITS), "--run-dir", str(run_dir), "--device", "cpu", "--resume"]
    child = start(command, run_dir.with_suffix(".txt"), before=batches.follow)
    begin = time.monotonic()
    while not batches.count and child.poll() is None and time.monotonic() - begin < LIMIT:
        time.sleep(0.001)
    return child


def in_peace() -> Peace:
    """Trains without being disturbed."""
    batches, run_dir = Batches(), Path("runs") / "peace"
    child, begin = _begun(run_dir, batches), time.monotonic()
    if child.end(LIMIT) != 0:
        raise SystemExit(f"a run in peace ends with {child.code}: {child.said()[-2000:]}")
    return Peace(outcome(run_dir), batches.count, time.monotonic() - begin)


def stopped(name: str, number: int, count: int, seed: str, peace: Peace) -> Result:
    """Sends a signal that ends a run, goes on, and so forth until it is through; then another run, as often as asked.

    Args:
        name: Of the signals and of the runs.
        number: Of the signal.
        count: How many are sent.
        seed: Of the moments.
        peace: What must come out.
    """
    draw, found = random.Random(seed), Result()
    while found.signals < count:
        run_dir, steps, is_over = Path("runs") / f"{name}_{seed}_{found.runs}".replace(" ", "_"), 0, False
        while not is_over:
            batches = Batches()
            child = _begun(run_dir, batches)
            if found.signals >= count:
                child.end(LIMIT)
            if child.wait(draw.uniform(0.0, peace.seconds)) is None:
                _stop(child, number, batches, found, twice=draw.uniform(*GAP) if name == "twice" else None)
            else:
                found.demand(child.code == 0, f"ends by itself with {child.code}", child)
            steps += batches.count
            is_over = child.code == 0
            if found.broken:
                return found
        found.runs += 1
        differing = difference(outcome(run_dir), peace.outcome)
        found.demand(not differing, f"the run differs in {differing}", child)
        found.demand(name == "twice" or steps == peace.steps, f"{steps} steps instead of {peace.steps}", child)
    return found


def _stop(child: Child, number: int, batches: Batches, found: Result, *, twice: float | None) -> None:
    """Sends a signal, or two of them, and notes how the process ends."""
    moment = time.monotonic()
    child.send(number)
    if twice is not None:
        time.sleep(twice)
        child.send(number)
    if child.end(LIMIT) == 0:
        return  # it was about to end anyway
    found.signals += 1
    found.seconds.append(time.monotonic() - moment)
    found.batches.append(batches.after(moment))
    found.demand(child.code == 128 + number, f"ends with {child.code}", child)
    found.demand(found.seconds[-1] <= SECONDS, f"ends after {found.seconds[-1]:.1f} s", child)
    if twice is None and "interrupted at" in child.said():
        found.demand(child.said().rstrip().endswith("--resume"), "does not say how to go on", child)


def asked(name: str, number: int, count: int, seed: str, peace: Peace) -> Result:
    """Asks runs for a state several times; they are to go on."""
    draw, found = random.Random(seed), Result()
    while found.signals < count and not found.broken:
        batches, run_dir = Batches(), Path("runs") / f"{name}_{seed}_{found.runs}".replace(" ", "_")
        child = _begun(run_dir, batches)
        for _ in range(WISHES):
            if child.wait(draw.uniform(0.0, peace.seconds / WISHES)) is None:
                _ask(child, number, run_dir / "state", batches, found)
        found.demand(child.end(LIMIT) == 0, f"ends with {child.code}", child)
        found.runs += 1
        differing = "" if found.broken else difference(outcome(run_dir), peace.outcome)
        found.demand(not differing, f"the run differs in {differing}", child)
        found.demand(batches.count == peace.steps, f"{batches.count} steps instead of {peace.steps}", child)
    return found


def _ask(child: Child, number: int, states: Path, batches: Batches, found: Result) -> None:
    """Sends the signal, and waits for a new state."""
    before, moment = _newest(states), time.monotonic()
    child.send(number)
    while _newest(states) == before and child.poll() is None and time.monotonic() - moment < SECONDS:
        time.sleep(0.001)
    if child.poll() is None and states.is_dir():
        found.signals += 1
        found.seconds.append(time.monotonic() - moment)
        found.batches.append(batches.after(moment))
        found.demand(_newest(states) != before, "no state is saved", child)


def _newest(states: Path) -> str:
    return max((path.name for path in states.glob("[0-9]*")), default="")


KINDS: dict[str, tuple[Callable[..., Result], int, str]] = {
    "SIGTERM": (stopped, signal.SIGTERM, "ends with 143, goes on"),
    "SIGINT": (stopped, signal.SIGINT, "ends with 130, goes on"),
    "twice": (stopped, signal.SIGTERM, "SIGTERM twice within 10 ms: ends with 143, goes on from the last state"),
    "SIGUSR1": (asked, signal.SIGUSR1, "saves a state, trains on"),
}


def _prepare(folder: str) -> None:
    load()
    os.chdir(folder)


def _show(promise: str, results: Iterable[Result]) -> bool:
    """A row of the table; tells whether all went well."""
    found = Result()
    for result in results:
        found.add(result)
    for broken in found.broken:
        print(broken, flush=True)
    slowest, most = max(found.seconds, default=0.0), max(found.batches, default=0)
    row = (promise, found.signals, f"{slowest:.2f}", most, found.runs, len(found.broken))
    print(f"| {' | '.join(map(str, row))} |", flush=True)
    return not found.broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="SIGTERMs; of the other kinds a fifth each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    given = parser.parse_args()
    is_well = True
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNNTRAIN_CACHE_DIR"] = str(Path(folder) / "cache")
        (Path(folder) / "runs").mkdir()
        digits(Path(folder) / "data")
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(given.jobs, spawning, initializer=_prepare, initargs=(folder,)) as pool:
            peace = pool.submit(in_peace).result()
            print("| signal | sent | slowest in s | most batches after it | runs, all identical | broken promises |")
            print("|---|---|---|---|---|---|", flush=True)
            for name in given.kinds:
                kind, number, promise = KINDS[name]
                count = given.count if name == "SIGTERM" else -(-given.count // 5)
                seeds = [f"{given.seed} {job}" for job in range(given.jobs)]
                each = -(-count // given.jobs)
                waiting = [pool.submit(kind, name, number, each, seed, peace) for seed in seeds]
                is_well &= _show(f"{name}: {promise}", (one.result() for one in waiting))
    if not is_well:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
