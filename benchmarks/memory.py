"""Peak memory of an epoch over 4,000 pictures with `data.cache: none`, against the same steps on one batch."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.setting import photos, show

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
from cnntrain.config import load_config
from cnntrain.config.stages import plan_stages
from cnntrain.models.network import build_network
from cnntrain.training.compiling import compile_stage
config = load_config(sys.argv[1]).config
model = build_network(config, 2).logits()
compile_stage(model, config.train, plan_stages(config)[0], steps_per_epoch=1, class_count=2)
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4000)
    given = parser.parse_args()
    config = str(Path(__file__).parent.parent / "configs" / "dogs_vs_cats_scratch.yaml")
    with tempfile.TemporaryDirectory() as folder:
        source = photos(Path(folder), train=given.images // 2)
        ours = _peak(OURS, config, str(source), str(Path(folder) / "run"))
        bare = _peak(BARE, config)
    show(
        f"peak memory, an epoch over {given.images} pictures, nothing cached (goal for the difference: 300 MB)",
        [("fit", ours, "MB"), ("the same network on one batch", bare, "MB"), ("difference", ours - bare, "MB")],
    )


if __name__ == "__main__":
    main()
