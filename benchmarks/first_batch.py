"""From the start of the process to the end of the first training batch: `cnntrain fit` against the plain Keras script.

Both are processes, from their start to their end, which the first batch brings about; what it takes to import, to find
and look at the pictures, to build and to trace is in it. One run of each that is not counted comes first: after it the
pictures are in the operating system's memory, and in cnntrain's cache what it saw when it looked at them. Half a minute
a round on two cores.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.setting import (
    CONFIGS,
    Side,
    alternate,
    median,
    options,
    ratio,
    results_of,
    run_python,
    show,
    training_data,
    with_device,
    with_pictures,
)

CONFIG = CONFIGS / "dogs_vs_cats_180.yaml"
PLAIN = """
import os, keras
from benchmarks.plain import dogs_vs_cats_180

class Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])
        os._exit(0)

dogs_vs_cats_180.main([Stop()])
"""


def _fit_seconds(given: argparse.Namespace, data: Path, folder: Path) -> float:
    precision = ["--set", "train.mixed_precision=true"] * given.mixed_precision
    chosen = ["--run-dir", str(folder / "run"), "--overwrite", "--device", given.device]
    command = ["fit", str(CONFIG), "--set", f"data.source={data}", *precision, *chosen]
    watched = ["-m", "benchmarks.watched_fit", "--first-batch", str(folder / "log"), *command]
    return run_python(watched, folder, device=given.device)


def _plain_seconds(given: argparse.Namespace, data: Path, folder: Path) -> float:
    command = [str(data), "--log", str(folder / "log"), *["--mixed-precision"] * given.mixed_precision]
    return run_python(["-c", PLAIN, *command], folder, device=given.device)


def main() -> None:
    given = with_device(
        with_pictures(options(__doc__, rounds=7), 2000, "training pictures, half as many more")
    ).parse_args()
    results = results_of("first_batch", given, reads=[CONFIG])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = training_data(given, folder)
        sides: dict[str, Side] = {
            "fit": lambda: _fit_seconds(given, data, folder),
            "plain": lambda: _plain_seconds(given, data, folder),
        }
        for side in sides.values() if given.rounds else ():
            side()
        rounds = alternate(results, sides, given.rounds)
    show(
        f"from the start of the process to the end of the first batch, {given.data or given.images} training pictures",
        [
            ("cnntrain fit", median(rounds, "fit"), "s"),
            ("plain script", median(rounds, "plain"), "s"),
            ("ratio", ratio(rounds, "fit", "plain"), "(goal: 1.2 at most)"),
        ],
        results=results,
    )


if __name__ == "__main__":
    main()
