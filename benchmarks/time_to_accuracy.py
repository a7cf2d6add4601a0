"""Time to a validation accuracy from scratch: `cnntrain fit CONFIG` against the plain script of dogs_vs_cats_180.

Counted from the start of the process to the end of the first epoch whose validation accuracy is at least the target.
Each run is a process of its own, and ends there or after `--minutes`; its curve goes to the results file, so that the
sides can be gathered singly over several sittings. The table takes the median of the runs of each side. Where the plain
script did not reach the target, both are compared at the best accuracy that it reached (of several runs, the median).
An hour or more for the plain script on two cores.
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT, Results, Round
from benchmarks.setting import (
    CONFIGS,
    options,
    read_log,
    results_of,
    run_python,
    show,
    training_data,
    with_device,
    with_pictures,
)

ENDLESS = 1000  # epochs; the target or the time ends the plain script
SEEDS = {"plain": [1], "cnntrain": [1, 2, 3]}


def _plain_run(given: argparse.Namespace, seed: int, data: Path, folder: Path) -> None:
    chosen = ["--epochs", str(ENDLESS), "--seed", str(seed), "--target", str(given.target)]
    places = ["--log", str(folder / "log"), "--checkpoint", str(folder / "best.keras")]
    command = [str(data), *chosen, *places, *["--mixed-precision"] * given.mixed_precision]
    script = "benchmarks.plain.dogs_vs_cats_180"
    run_python(["-m", script, *command], folder, device=given.device, seconds=given.minutes * 60)


def _cnntrain_run(given: argparse.Namespace, seed: int, data: Path, folder: Path) -> None:
    chosen = [f"data.source={data}", f"seed={seed}", *["train.mixed_precision=true"] * given.mixed_precision]
    overrides = [word for key in chosen for word in ("--set", key)]
    command = ["fit", str(given.config), "--run-dir", str(folder / "run"), "--device", given.device, *overrides]
    watched = ["-m", "benchmarks.watched_fit", "--target", str(given.target), str(folder / "log"), *command]
    run_python(watched, folder, device=given.device, seconds=given.minutes * 60)


RUNS = {"plain": _plain_run, "cnntrain": _cnntrain_run}


def _gather(given: argparse.Namespace, side: str, results: Results) -> None:
    """Adds a run a seed, or the one whose log is given."""
    if given.log:
        results.add({"seed": None, "curve": read_log(given.log)})
        return
    for seed in given.seeds or SEEDS[side]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            RUNS[side](given, seed, training_data(given, folder), folder)
            results.add({"seed": seed, "curve": read_log(folder / "log")})


def best_of(run: Round) -> float:
    """The highest validation accuracy of a run; 0 when no epoch was over."""
    return max((float(line["val_accuracy"]) for line in run["curve"]), default=0.0)


def first_at(run: Round, level: float) -> dict[str, Any]:
    """The first epoch of a run whose validation accuracy is at least `level`; endless where there is none."""
    endless = {"epoch": math.inf, "wall": math.inf, "cpu": math.inf}
    return next((line for line in run["curve"] if line["val_accuracy"] >= level), endless)


def level_of(plain: Sequence[Round], target: float) -> float:
    """The target, or the best that the plain script reached when that is less."""
    return min(target, statistics.median(best_of(run) for run in plain)) if plain else target


def rows(runs: dict[str, list[Round]], target: float) -> list[tuple[str, float, str]]:
    """The table: every run, the median of each side, and their ratios."""
    level = level_of(runs["plain"], target)
    found: list[tuple[str, float, str]] = [("validation accuracy compared at", level, "")]
    medians = {}
    for side, of_side in runs.items():
        reached = [first_at(run, level) for run in of_side]
        for run, line in zip(of_side, reached, strict=True):
            unit = f"s (epoch {line['epoch']} of {len(run['curve'])}; best accuracy {best_of(run):.3f})"
            found.append((f"{side}, seed {run['seed']}", line["wall"], unit))
        for clock in ("wall", "cpu"):
            medians[side, clock] = statistics.median(line[clock] for line in reached) if reached else math.nan
            found.append((f"{side}, median of {len(reached)}, {clock} time", medians[side, clock], "s"))
    for clock, goal in (("wall", "(goal: 0.4 at most)"), ("cpu", "")):
        found.append((f"ratio, {clock} time", medians["cnntrain", clock] / medians["plain", clock], goal))
    return found


def _parse() -> argparse.Namespace:
    parser = with_device(with_pictures(options(__doc__, rounds=None), 2000, "training pictures, and half as many more"))
    parser.add_argument("--target", type=float, default=0.8, help="validation accuracy; default 0.8")
    parser.add_argument("--config", type=Path, default=CONFIGS / "dogs_vs_cats_fast.yaml", help="of cnntrain")
    parser.add_argument("--side", choices=["plain", "cnntrain", "both", "none"], default="both", help="what is run now")
    parser.add_argument("--seeds", type=int, nargs="+", help="a run each; default 1 for plain, 1 2 3 for cnntrain")
    parser.add_argument("--minutes", type=float, default=90, help="after which a run is ended; default 90")
    parser.add_argument("--log", type=Path, help="what --side logged in a run before, instead of a run")
    given = parser.parse_args()
    if given.log and given.side not in RUNS:
        parser.error("--log is of one side; name it with --side")
    return given


def _results(given: argparse.Namespace, side: str) -> Results:
    """The runs of a side; they depend on what that side runs alone."""
    asked = {"images": given.images, "data": given.data, "target": given.target, "device": given.device}
    asked |= {"mixed_precision": given.mixed_precision, "results": given.results, "any_source": given.any_source}
    config = given.config.resolve()
    if side == "plain":
        code = [ROOT / "benchmarks" / "plain"]
    else:
        code = [ROOT / "cnntrain", config]
        asked["config"] = config.name
    return results_of(f"time_to_accuracy {side}", argparse.Namespace(**asked), code=code)


def main() -> None:
    given = _parse()
    if not given.config.exists():
        raise SystemExit(f"{given.config} is not there; name a configuration with --config")
    results = {side: _results(given, side) for side in RUNS}
    for side in RUNS if given.side == "both" else [given.side] if given.side in RUNS else []:
        _gather(given, side, results[side])
    runs = {side: results[side].rounds() for side in RUNS}
    title = f"time to validation accuracy {given.target}: cnntrain fit {given.config.name} against the plain script"
    show(title, rows(runs, given.target))


if __name__ == "__main__":
    main()
