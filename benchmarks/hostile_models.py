"""Hostile model files and mutants of a good one, each kind in a process of its own, with the memory that it takes."""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cnntrain.runtime import prepare
from tests.hostile_models import HOSTILE, judge, peak_memory, read_members, save_good, watched, write_mutant

SECONDS = 1800  # for one process
MUTANTS = "mutants"
MOST_MEMORY = 2**30  # bytes that files may take beyond what a good one takes
MOST_SECONDS = 10.0  # for one file


@contextmanager
def _written(kind: str) -> Iterator[Path]:
    """Gives a folder with a good model and the hostile files of a kind; what these point to is watched meanwhile."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as watching:
        folder = Path(name)
        save_good(folder / "good.keras")
        for number, make in enumerate(HOSTILE.get(kind, {}).values()):
            place = folder / f"{number:03d}"
            (place / "run").mkdir(parents=True)
            outside = watching.enter_context(watched(place))
            make(read_members(folder / "good.keras"), place / "run" / "model.keras", outside)
        yield folder


def _hostile(folder: Path) -> Iterator[dict[str, Any]]:
    """What comes of the hostile files in a folder, none of which may be loaded."""
    for place in sorted(folder.glob("*/run")):
        verdict = judge(place / "model.keras")
        yield {"name": place.parts[-2], "refused": bool(verdict.message), "kept": False, "seconds": verdict.seconds}


def _mutants(folder: Path, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """What comes of mutants; those that do not lie about their checksums must be refused, or predict the same."""
    expected = judge(folder / "good.keras").predictions
    for number in range(count):
        is_lying = write_mutant(folder / "good.keras", folder / "model.keras", seed, number)
        verdict = judge(folder / "model.keras")
        kept = is_lying or verdict.predictions == expected
        yield {"name": f"{number}", "refused": bool(verdict.message), "kept": kept, "seconds": verdict.seconds}


def _work(folder: Path, seed: int, count: int) -> None:
    """Judges the files in a folder, or that many mutants, and prints what was found."""
    prepare("cpu")
    warnings.simplefilter("ignore")
    judge(folder / "good.keras")
    before = peak_memory()
    rows = list(_mutants(folder, seed, count) if count else _hostile(folder))
    broken = [row["name"] for row in rows if not row["refused"] and not row["kept"]]
    refused, slowest = sum(row["refused"] for row in rows), max(row["seconds"] for row in rows)
    found = {"files": len(rows), "refused": refused, "broken": broken, "slowest": slowest}
    print(json.dumps({**found, "before": before, "peak": peak_memory()}))


def judged(kind: str, *, seed: int, count: int) -> dict[str, Any]:
    """What a process of its own finds; a crash, a hang or a traceback ends the whole.

    Args:
        kind: Key of `HOSTILE`, or `mutants`.
        seed: Of the mutants.
        count: Number of mutants.

    Returns:
        Numbers of `files` and of those `refused`, names of those that are `broken` promises, the seconds of the
        `slowest`, and the memory of the process in bytes: its `peak`, and what it was `before` the first of them.
    """
    with _written(kind) as folder:
        options = ["--seed", str(seed), "--count", str(count if kind == MUTANTS else 0), "--folder", str(folder)]
        command = [sys.executable, "-m", "benchmarks.hostile_models", *options]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            raise SystemExit(f"hangs: {kind}") from None
    if done.returncode or "Traceback" in done.stderr:
        raise SystemExit(f"{kind} ends with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _row(kind: str, found: dict[str, Any]) -> str:
    numbers = (found["files"], found["refused"], found["files"] - found["refused"], f"{found['slowest']:.2f} s")
    memory = (f"{found['peak'] / 2**20:,.0f} MiB", f"{(found['peak'] - found['before']) / 2**20:,.0f} MiB")
    return f"| {' | '.join(map(str, (kind, *numbers, *memory)))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        _work(given.folder, given.seed, given.count)
        return
    prepare("cpu")
    print("| files | count | refused | loaded | slowest | peak memory | beyond a good model |")
    print("|---|---|---|---|---|---|---|")
    broken = []
    for kind in (*HOSTILE, MUTANTS):
        found = judged(kind, seed=given.seed, count=given.count)
        print(_row(kind, found), flush=True)
        broken += [f"{kind} {name}" for name in found["broken"]]
        broken += [kind] * (found["peak"] - found["before"] > MOST_MEMORY or found["slowest"] > MOST_SECONDS)
    print("\nloaded: mutants that predict the same, or whose checksums were made right; peak memory: with TensorFlow")
    if broken:
        raise SystemExit(f"broken promises: {', '.join(broken)}")


if __name__ == "__main__":
    main()
