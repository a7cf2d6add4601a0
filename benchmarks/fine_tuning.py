"""Epochs of `cnntrain fit` on stored features, the head's and fine-tuning's, against the plain script's on pictures.

The recipe is that of vgg16_fine_tune.yaml, one stage of it at a time. Each run is a process of its own; cnntrain's
begins with an empty cache, so that it makes its bank. A few epochs of each side are measured and extended: the first,
which traces, counts as it is, each further one as the median of the others; the making of the bank counts in full.
Validation is in an epoch, start-up is not: what is left of a process (imports, the look at the pictures, saving) stands
in the table for itself. The runs of the two sides are paired in the order in which they were gathered, and a ratio is
the median of the pairs' ratios. With 2,000 photos on two cores a round takes an hour or two.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import ROOT, Results, Round
from benchmarks.setting import (
    CONFIGS,
    median,
    options,
    read_log,
    results_of,
    run_python,
    show,
    training_data,
    with_pictures,
    with_weights,
)

CONFIG = CONFIGS / "vgg16_fine_tune.yaml"
STAGES = {
    "head": "{name: head, unfreeze: none}",
    "fine_tune": "{name: fine_tune, unfreeze: block5_conv1, learning_rate: 1.0e-5}",
}
GOALS = {"head": {30: 0.20}, "fine_tune": {30: 0.35, 100: 0.25}}  # of the plain script's time for so many epochs
EPOCH_GOAL = 0.22


def _plain_run(given: argparse.Namespace, stage: str, data: Path, folder: Path) -> Round:
    chosen = ["--stage", stage, "--epochs", str(given.plain_epochs), "--size", str(given.size)]
    places = ["--weights", given.weights, "--log", str(folder / "log"), "--checkpoint", str(folder / "best.keras")]
    script = "benchmarks.plain.vgg16_augmented"
    wall = run_python(["-m", script, str(data), *chosen, *places], folder, device=given.device)
    return _measured([line["seconds"] for line in read_log(folder / "log")], features=0.0, wall=wall)


def _cnntrain_run(given: argparse.Namespace, stage: str, data: Path, folder: Path) -> Round:
    from cnntrain import load_run

    chosen = [f"data.source={data}", f"data.image_size=[{given.size}, {given.size}]", f"model.weights={given.weights}"]
    chosen += [f"train.stages=[{STAGES[stage]}]", f"train.epochs={given.epochs}", f"train.features.views={given.views}"]
    overrides = [word for key in chosen for word in ("--set", key)]
    command = ["fit", str(CONFIG), "--run-dir", str(folder / "run"), "--device", given.device, *overrides]
    wall = run_python(["-m", "cnntrain", *command], folder, device=given.device)
    run = load_run(folder / "run")
    return _measured([row.seconds for row in run.history], features=run.record.timings["features"], wall=wall)


RUNS = {"plain": _plain_run, "cnntrain": _cnntrain_run}


def _measured(seconds: Sequence[float], *, features: float, wall: float) -> Round:
    """What is kept of a run, from the seconds of its epochs, of its bank's making, and of the whole process."""
    return {
        "features": features,
        "first": seconds[0],
        "epoch": statistics.median(seconds[1:]),
        "rest": wall - features - sum(seconds),
    }


def seconds_of(run: Round, epochs: int) -> float:
    """Seconds of a stage of so many epochs, with the making of the bank, by what was measured of a run."""
    return float(run["features"] + run["first"] + (epochs - 1) * run["epoch"])


def _gather(given: argparse.Namespace, stage: str, results: dict[str, Results]) -> None:
    """Adds rounds, the sides in the opposite order every other one."""
    for _ in range(given.rounds):
        done = max(len(results[side].rounds()) for side in RUNS)
        sides = list(RUNS)[:: -1 if done % 2 else 1] if given.side == "both" else [given.side]
        for side in sides:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                results[side].add(RUNS[side](given, stage, training_data(given, folder), folder))


def rows(stage: str, runs: dict[str, list[Round]]) -> list[tuple[str, float, str]]:
    """The table of a stage: what each side took, and the ratios of the pairs."""
    parts = {"features": "the bank's making", "first": "first epoch", "epoch": "a further epoch", "rest": "all else"}
    found = [
        (f"{side}, {what}", median(of_side, part), "s")
        for side, of_side in runs.items()
        for part, what in parts.items()
        if of_side and (side, part) != ("plain", "features")
    ]
    pairs = list(zip(runs["plain"], runs["cnntrain"], strict=False))
    if not pairs:
        return found
    if stage == "fine_tune":
        epoch = statistics.median(ours["epoch"] / plain["epoch"] for plain, ours in pairs)
        found.append(("ratio, a further epoch", epoch, f"(goal: {EPOCH_GOAL} at most)"))
    for epochs, goal in GOALS[stage].items():
        whole = statistics.median(seconds_of(ours, epochs) / seconds_of(plain, epochs) for plain, ours in pairs)
        found.append((f"ratio, {epochs} epochs with the bank's making", whole, f"(goal: {goal:.2f} at most)"))
    return found


def _parse() -> argparse.Namespace:
    parser = with_pictures(options(__doc__, rounds=1), 2000, "training pictures, and half as many more")
    parser.add_argument("--stage", choices=list(STAGES), nargs="+", default=list(STAGES), help="default both")
    parser.add_argument("--side", choices=[*RUNS, "both"], default="both", help="what is run now; --rounds 0: nothing")
    parser.add_argument("--epochs", type=int, default=8, help="of cnntrain, measured; default 8")
    parser.add_argument("--plain-epochs", type=int, default=3, help="of the plain script, measured; default 3")
    parser.add_argument("--views", type=int, default=4, help="of each training picture; default 4")
    parser.add_argument("--size", type=int, default=150, help="height and width of the pictures; default 150")
    parser.add_argument("--device", choices=["auto", "cpu", "gpu"], default="cpu", help="default cpu")
    given = with_weights(parser).parse_args()
    if min(given.epochs, given.plain_epochs) < 2:
        parser.error("the first epoch traces; measure at least two")
    return given


def _results(given: argparse.Namespace, stage: str, side: str) -> Results:
    """The runs of a side; they depend on what that side runs alone."""
    names = ["images", "data", "weights", "size", "device", "results", "any_source"]
    names += ["plain_epochs"] if side == "plain" else ["epochs", "views"]
    asked = argparse.Namespace(**{name: getattr(given, name) for name in names})
    code = [ROOT / "benchmarks" / "plain"] if side == "plain" else [ROOT / "cnntrain", CONFIG]
    return results_of(f"fine_tuning {stage} {side}", asked, code=code)


def main() -> None:
    given = _parse()
    results = {stage: {side: _results(given, stage, side) for side in RUNS} for stage in given.stage}
    for stage, of_stage in results.items():
        _gather(given, stage, of_stage)
        runs = {side: of_side.rounds() for side, of_side in of_stage.items()}
        counts = " and ".join(f"{len(of_side)} of {side}" for side, of_side in runs.items())
        title = f"{stage}: {given.data or given.images} training pictures of {given.size}x{given.size}, "
        title += f"{given.views} views; runs: {counts}"
        table = rows(stage, runs)
        if not table:
            raise SystemExit(f"{given.results} holds no run of fine_tuning {stage} with these parameters; measure some")
        show(title, table)


if __name__ == "__main__":
    main()
