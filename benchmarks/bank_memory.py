"""Peak memory of `cnntrain fit` on the feature bank of some pictures and on that of four times as many. Linux only.

Counted is what a process has for itself (RssAnon); the files of the bank, which are mapped, are the system's and can be
dropped at any time. Of each size two processes run: the first makes the bank and trains on it, the second finds it. The
backbone is MobileNetV2, frozen up to an early layer whose outputs are large. 6 minutes on two cores.
"""

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.setting import Side, alternate, median, options, photos, results_of, run_python, show

FIT = """
import json, pathlib, sys, threading, time

def kilobytes(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))

peak = 0

def watch():
    global peak
    while True:
        peak = max(peak, kilobytes("RssAnon:"))
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
import cnntrain
cnntrain.fit(json.loads(sys.argv[1]), run_dir=sys.argv[2], device="cpu")
print(json.dumps([peak / 1024, kilobytes("VmHWM:") / 1024]))
"""
TIMES = 4


def _config(given: argparse.Namespace, source: Path) -> str:
    """The configuration as JSON, which is YAML, too."""
    return json.dumps(
        {
            "data": {"source": str(source), "image_size": [given.size, given.size], "cache": "none"},
            "augment": {"rotation": 40, "flip": "horizontal"},
            "model": {
                "kind": "pretrained",
                "backbone": "mobilenetv2",
                "weights": "none",
                "head": {"pooling": "global_average"},
            },
            "train": {
                "features": {"views": given.views},
                "stages": [{"name": "memory", "unfreeze": "block_3_expand", "epochs": 2}],
            },
        }
    )


def _peaks(given: argparse.Namespace, images: int) -> dict[str, float]:
    """Megabytes of both processes, and of the bank."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = _config(given, photos(folder, train=images // 2))
        found = {}
        for process in ("making", "training"):
            run_python(["-c", FIT, config, str(folder / process)], folder)
            told = (folder / "stdout").read_text(encoding="utf-8").splitlines()[-1]
            found[process], found[f"{process} with files"] = json.loads(told)
        shards = (folder / "cache" / "features").rglob("*.npy")
        return {**found, "bank": sum(path.stat().st_size for path in shards) / 1e6}


def main() -> None:
    parser = options(__doc__, rounds=1)
    parser.add_argument("--images", type=int, default=1000, help=f"pictures, and {TIMES} times as many; default 1000")
    parser.add_argument("--size", type=int, default=150, help="their height and width; default 150")
    parser.add_argument("--views", type=int, default=4, help="of each picture; default 4")
    given = parser.parse_args()
    if not Path("/proc/self/status").exists():
        raise SystemExit("bank_memory reads /proc/self/status, which Linux alone has")
    results = results_of("bank_memory", given)
    sizes = {"small": given.images, "large": TIMES * given.images}
    sides: dict[str, Side] = {side: partial(_peaks, given, count) for side, count in sizes.items()}
    rounds = alternate(results, sides, given.rounds)
    rows = [(f"bank of {count} pictures", median(rounds, f"{side} bank"), "MB") for side, count in sizes.items()]
    for what in ("making", "training", "making with files", "training with files"):
        small, large = (median(rounds, f"{side} {what}") for side in sizes)
        rows += [(f"{what}, {given.images} pictures", small, "MB"), (f"{what}, growth", large - small, "MB")]
    show(f"peak memory of fit, {given.views} views (goal: no growth)", rows, results=results)


if __name__ == "__main__":
    main()
