"""An epoch of `cnntrain fit configs/dogs_vs_cats_180.yaml` against the plain Keras script and bare `train_on_batch`.

Each side is a process of its own, so that none meets another's network, data pipeline or used-up memory. The first
epoch of each, which traces, is not counted; of the others the median is. `steps` are the training steps alone: from the
beginning of the epoch to the beginning of its validation. `epoch` is from the end of an epoch to the end of the next,
so validation and what is saved are in it. About 5 minutes a round with 320 pictures on two cores, 20 with 2,000.
"""

import argparse
import itertools
import json
import statistics
import tempfile
from pathlib import Path

from benchmarks.setting import (
    CONFIGS,
    Side,
    alternate,
    median,
    options,
    ratio,
    read_log,
    results_of,
    run_python,
    show,
    training_data,
    with_device,
    with_pictures,
)

CONFIG = CONFIGS / "dogs_vs_cats_180.yaml"


def _fit(given: argparse.Namespace, data: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = [f"data.source={data}", f"train.epochs={given.epochs + 1}"]
        chosen += ["train.mixed_precision=true"] * given.mixed_precision
        overrides = [word for key in [*chosen, *given.set] for word in ("--set", key)]
        command = ["fit", str(CONFIG), "--run-dir", str(folder / "run"), "--device", given.device, *overrides]
        log = folder / "log"
        run_python(["-m", "benchmarks.watched_fit", str(log), *command], folder, device=given.device)
        return _medians(log, _count(data))


def _plain(given: argparse.Namespace, data: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = ["--log", str(folder / "log"), "--checkpoint", str(folder / "best.keras")]
        command = [str(data), "--epochs", str(given.epochs + 1), *places, *_precision(given)]
        run_python(["-m", "benchmarks.plain.dogs_vs_cats_180", *command], folder, device=given.device)
        return _medians(folder / "log", _count(data))


def _bare(given: argparse.Namespace, data: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = ["--images", str(_count(data)), "--epochs", str(given.epochs), *_precision(given)]
        run_python(["-m", "benchmarks.plain.ready_batches", *command], Path(folder), device=given.device)
        told = (Path(folder) / "stdout").read_text(encoding="utf-8").splitlines()[-1]
        return {"steps": statistics.median(json.loads(told))}


def _precision(given: argparse.Namespace) -> list[str]:
    return ["--mixed-precision"] * given.mixed_precision


def _count(data: Path) -> int:
    return sum(1 for path in (data / "train").glob("*/*") if path.is_file())


def _medians(log: Path, images: int) -> dict[str, float]:
    """Seconds of the steps of an epoch, and from one end to the next; of all epochs but the first."""
    lines = read_log(log)
    pairs = list(itertools.pairwise(lines))
    return {
        "steps": statistics.median(images / later["images_per_second"] for _, later in pairs),
        "epoch": statistics.median(later["wall"] - earlier["wall"] for earlier, later in pairs),
    }


def _parse() -> argparse.Namespace:
    parser = with_device(with_pictures(options(__doc__, rounds=3), 2000, "training pictures, and half as many more"))
    parser.add_argument("--epochs", type=int, default=1, help="that count, a process; default 1")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for cnntrain fit")
    return parser.parse_args()


def main() -> None:
    given = _parse()
    results = results_of("epoch", given, reads=[CONFIG])
    with tempfile.TemporaryDirectory() as folder:
        data = training_data(given, Path(folder))
        sides: dict[str, Side] = {
            "fit": lambda: _fit(given, data),
            "plain": lambda: _plain(given, data),
            "bare": lambda: _bare(given, data),
        }
        rounds = alternate(results, sides, given.rounds)
        count = _count(data)
    names = {"fit": "fit", "plain": "plain script", "bare": "bare train_on_batch"}
    rates = [(f"{name}, steps", count / median(rounds, f"{side} steps"), "images/s") for side, name in names.items()]
    times = [(f"{names[side]}, epoch", median(rounds, f"{side} epoch"), "s") for side in ("fit", "plain")]
    ratios = [
        ("steps: time of fit to plain script", ratio(rounds, "fit steps", "plain steps"), "(goal: 0.85 at most)"),
        ("steps: time of fit to bare", ratio(rounds, "fit steps", "bare steps"), "(goal: 1.05 at most)"),
        ("epoch: time of fit to plain script", ratio(rounds, "fit epoch", "plain epoch"), "(goal: 0.85 at most)"),
    ]
    precision = "mixed precision" if given.mixed_precision else "float32"
    title = f"an epoch over {count} pictures of 180x180, batch 32, {precision}, device {given.device}"
    show(title, [*rates, *times, *ratios], results=results)


if __name__ == "__main__":
    main()
