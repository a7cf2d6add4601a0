"""Peak memory of an epoch over 4,000 pictures with `data.cache: none`, against steps on one batch. 3 minutes."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.setting import CONFIGS, Side, alternate, median, options, photos, results_of, show

CONFIG = CONFIGS / "dogs_vs_cats_scratch.yaml"

OURS = """
import resource, sys, cnntrain
cnntrain.fit(sys.argv[1], run_dir=sys.argv[3], device="cpu",
             overrides=["data.source=" + sys.argv[2], "data.cache=none", "train.epochs=1"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
BARE = """
import resource, sys
import numpy as np
from cnntrain.runtime import prepare
prepare("cpu")
import keras
from cnntrain.config import load_config
from cnntrain.models.network import build_network
config = load_config(sys.argv[1]).config
model = build_network(config, 2).logits()
model.compile("rmsprop", keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
size = config.data.batch_size
images = np.zeros((size, *config.data.image_size, 3), np.float32)
for _ in range(10):
    model.train_on_batch(images, np.zeros((size, 1), np.float32))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def _peak(code: str, *arguments: str) -> float:
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = options(__doc__, rounds=1)
    parser.add_argument("--images", type=int, default=4000)
    given = parser.parse_args()
    results = results_of("memory", given, reads=[CONFIG])
    with tempfile.TemporaryDirectory() as folder:
        source = photos(Path(folder), train=given.images // 2)
        sides: dict[str, Side] = {
            "fit": lambda: _peak(OURS, str(CONFIG), str(source), tempfile.mkdtemp(dir=folder) + "/run"),
            "bare": lambda: _peak(BARE, str(CONFIG)),
        }
        rounds = alternate(results, sides, given.rounds)
    ours, bare = median(rounds, "fit"), median(rounds, "bare")
    show(
        f"peak memory, an epoch over {given.images} pictures, nothing cached (goal for the difference: 300 MB)",
        [("fit", ours, "MB"), ("the same network on one batch", bare, "MB"), ("difference", ours - bare, "MB")],
        results=results,
    )


if __name__ == "__main__":
    main()
