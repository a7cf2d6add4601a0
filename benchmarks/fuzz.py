"""Mutated pictures in six formats against the look at a file, in processes of their own so that a crash is seen."""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from cnntrain.runtime import prepare
from tests.mutations import judge, mutated

SECONDS = 600  # for one process
MAX_PIXELS = 50_000_000


def _work(seed: int, start: int, stop: int, place: Path) -> None:
    """Judges mutations `start` to `stop`, and prints how often each verdict was given; `place` holds the number."""
    prepare("cpu")
    warnings.simplefilter("ignore")
    found: Counter[tuple[str, str]] = Counter()
    for number in range(start, stop):
        place.write_text(str(number), encoding="utf-8")
        kind, _, content = mutated(seed, number)
        verdict = judge(content, max_pixels=MAX_PIXELS)
        found[kind, verdict.fault or "good"] += 1
        found[kind, "missed"] += not verdict.fault and verdict.is_decoded is False
        found[kind, "wronged"] += verdict.fault == "undecodable" and verdict.is_decoded is True
        found[kind, "rejected"] += bool(verdict.is_rejected)
        found[kind, "rejected and flagged"] += bool(verdict.is_rejected and verdict.fault)
    print(json.dumps([[*key, count] for key, count in found.items()]))


def _child(seed: int, start: int, stop: int, place: Path) -> Counter[tuple[str, str]]:
    """What a process of its own counts; a crash, a hang or a traceback ends the whole."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.fuzz",
        "--seed",
        str(seed),
        "--part",
        str(start),
        str(stop),
        str(place),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"hangs at mutation {place.read_text('utf-8')} of seed {seed}") from None
    if done.returncode:
        number = place.read_text("utf-8")
        raise SystemExit(f"ends with {done.returncode} at mutation {number} of seed {seed}:\n{done.stderr[-2000:]}")
    if "Traceback" in done.stderr:
        raise SystemExit(f"says on stderr, between mutations {start} and {stop} of seed {seed}: {done.stderr[-2000:]}")
    return Counter({(kind, what): count for kind, what, count in json.loads(done.stdout)})


def _show(found: Counter[tuple[str, str]]) -> None:
    kinds = sorted({kind for kind, _ in found})
    last = ["missed", "wronged", "rejected", "rejected and flagged"]
    whats = sorted({what for _, what in found} - set(last)) + last
    print(f"{'':<22}" + "".join(f"{kind:>18}" for kind in kinds) + f"{'all':>10}")
    for what in whats:
        counts = [found[kind, what] for kind in kinds]
        print(f"{what:<22}" + "".join(f"{count:>18}" for count in counts) + f"{sum(counts):>10}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="mutations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--together", type=int, default=1000, help="mutations a process")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        _work(given.seed, int(given.part[0]), int(given.part[1]), Path(given.part[2]))
        return
    found: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, given.count, given.together):
            stop = min(start + given.together, given.count)
            found += _child(given.seed, start, stop, Path(folder) / "number")
    _show(found)
    print("missed: not flagged, yet training cannot decode it; wronged: called undecodable, yet it can;")
    print("rejected: by a strict JPEG decoder")


if __name__ == "__main__":
    main()
