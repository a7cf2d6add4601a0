"""`fit` killed again and again, at random times and before every change of its files, against a run left in peace."""

import argparse
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.forking import DIGITS, Child, difference, digits, load, outcome, run, start
from benchmarks.writes import kill_before

SHORT = ["--set", "train.epochs=2", "--set", "train.save_every=20"]  # for the boundaries: every kind of write in 3 s
AGAIN = 50  # the run that goes on is killed too, before one of its first so many changes
WHILE_TRAINING = 0.8  # part of the random kills after the first state
LIMIT = 300.0  # seconds of a process
Outcome = dict[str, bytes]


@dataclass
class Result:
    """What became of one run that was killed until it was through.

    Args:
        name: Which one.
        kills: How often it was killed, by where it was.
        broken: What went wrong; empty where nothing did.
    """

    name: str
    kills: Counter[str] = field(default_factory=Counter)
    broken: str = ""


@dataclass(frozen=True)
class Timing:
    """Seconds from the start of a process to its first state, and to its end."""

    begin: float
    end: float

    def moment(self, draw: random.Random) -> float:
        """When a process is killed."""
        is_training = draw.random() < WHILE_TRAINING
        return draw.uniform(self.begin, self.end) if is_training else draw.uniform(0.0, self.begin)


def fit(run_dir: Path, *more: str) -> list[str]:
    """The command that trains, or goes on."""
    return ["fit", str(DIGITS), "--run-dir", str(run_dir), "--device", "cpu", "--resume", *more]


def _phase(run_dir: Path) -> str:
    """Where a killed run was, by what it has left."""
    if not (run_dir / "run.json").is_file():
        return "before the run was begun"
    if '"status": "finished"' in (run_dir / "run.json").read_text(encoding="utf-8"):
        return "after it was finished"
    if not any((run_dir / "state").glob("[0-9]*")):
        return "before its first state"
    return "while it finished" if (run_dir / "model.keras").exists() else "while it trained"


def _killed(child: Child, run_dir: Path, found: Result) -> bool:
    """Whether a process was killed; what else than a good end befell it is noted."""
    if "most recent call first" in child.said():
        found.broken = f"hangs after {found.kills.total()} kills: {child.said()[-3000:]}"
    elif child.code == -signal.SIGKILL:
        found.kills[_phase(run_dir)] += 1
    elif child.code != 0:
        found.broken = f"ends with {child.code} after {found.kills.total()} kills: {child.said()[-1000:]}"
    return child.code == -signal.SIGKILL and not found.broken


def _finished(run_dir: Path, expected: Outcome, found: Result) -> Result:
    """The result, with what differs from the run in peace."""
    if not found.broken:
        differing = difference(outcome(run_dir), expected)
        found.broken = f"differs in {differing}" if differing else ""
    return found


def random_kills(seed: int, number: int, timing: Timing, expected: Outcome) -> Result:
    """Trains; kills it at random times until one process gets to the end."""
    draw, name = random.Random(f"{seed} {number}"), f"run {number} at random times"
    found, run_dir = Result(name), Path("runs") / f"random_{number}"
    while True:
        child = start(fit(run_dir), Path("runs") / f"random_{number}.txt")
        if child.wait(timing.moment(draw)) is None:
            child.send(signal.SIGKILL)
            child.wait(LIMIT)
        if not _killed(child, run_dir, found):
            return _finished(run_dir, expected, found)


def boundary_kill(number: int, expected: Outcome) -> Result:
    """Trains; kills it before change `number` of its files, and once more when it goes on."""
    found, run_dir = Result(f"run killed before change {number}"), Path("runs") / f"boundary_{number}"
    for change in (number, number % AGAIN + 1, 0):
        output = Path("runs") / f"boundary_{number}.txt"
        child = start(fit(run_dir, *SHORT), output, before=lambda change=change: kill_before(change, run_dir))
        child.end(LIMIT)
        if not _killed(child, run_dir, found):
            break
    return _finished(run_dir, expected, found)


def _in_peace(name: str, *more: str) -> tuple[Outcome, int]:
    """What a run that nobody kills gives, and the number of its changes."""
    run_dir, counted = Path("runs") / name, Path("runs") / f"{name}.count"
    told = lambda number, _: counted.write_text(str(number), encoding="utf-8")  # noqa: E731
    run(fit(run_dir, *more), run_dir.with_suffix(".txt"), before=lambda: kill_before(0, run_dir, count=told))
    return outcome(run_dir), int(counted.read_text(encoding="utf-8"))


def _timing() -> Timing:
    """How long a run takes when nothing else is done."""
    run_dir, begun = Path("runs") / "timing", time.monotonic()
    child = start(fit(run_dir), Path("runs") / "timing.txt")
    while not (run_dir / "state").is_dir() and child.poll() is None:
        time.sleep(0.01)
    begin = time.monotonic() - begun
    child.wait(LIMIT)
    return Timing(begin, time.monotonic() - begun)


def _prepare(folder: str) -> None:
    load()
    os.chdir(folder)


def _random_results(pool: ProcessPoolExecutor, given: argparse.Namespace) -> Iterator[Result]:
    """Runs until there were so many kills."""
    expected, _ = pool.submit(_in_peace, "peace").result()
    timing, kills, number = pool.submit(_timing).result(), 0, 0
    waiting = set()
    while kills < given.count or waiting:
        while kills < given.count and len(waiting) < given.jobs:
            waiting.add(pool.submit(random_kills, given.seed, number, timing, expected))
            number += 1
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for one in done:
            kills += one.result().kills.total()
            yield one.result()


def _boundary_results(pool: ProcessPoolExecutor, given: argparse.Namespace) -> Iterator[Result]:
    """A run for each change, or for every so many."""
    expected, changes = pool.submit(_in_peace, "short", *SHORT).result()
    numbers = range(1, changes + 1, given.every)
    yield from pool.map(boundary_kill, numbers, [expected] * len(numbers))


def _show(what: str, results: Iterator[Result]) -> bool:
    """A table of what became of the runs; tells whether all went well."""
    kills, runs, broken = Counter[str](), 0, 0
    for result in results:
        kills, runs, broken = kills + result.kills, runs + 1, broken + bool(result.broken)
        if result.broken:
            print(f"{result.name} {result.broken}", flush=True)
    places = ", ".join(f"{count} {place}" for place, count in kills.most_common())
    print(f"| {what} | {kills.total()} | {places} | {runs} | {runs - broken} |", flush=True)
    return not broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="kills at random times")
    parser.add_argument("--every", type=int, default=1, help="only every so many boundaries; 0 for none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNNTRAIN_CACHE_DIR"] = str(Path(folder) / "cache")
        (Path(folder) / "runs").mkdir()
        digits(Path(folder) / "data")
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(given.jobs, spawning, initializer=_prepare, initargs=(folder,)) as pool:
            print("| kills | number | where | runs | identical to a run in peace |\n|---|---|---|---|---|", flush=True)
            is_well = not given.count or _show("at random times", _random_results(pool, given))
            is_well &= not given.every or _show("before a change of the files", _boundary_results(pool, given))
    if not is_well:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
