"""The training steps of an epoch of `fit`, unaugmented, against bare `train_on_batch` on batches in memory.

In one process: `fit` leaves no pipeline behind, and imports are not measured. About 3 minutes on two cores.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.setting import CONFIGS, Side, alternate, median, options, photos, ratio, results_of, show
from cnntrain.runtime import prepare

BATCH = 20
CONFIG = CONFIGS / "dogs_vs_cats_scratch.yaml"


def _fit_seconds(source: Path, cache: str, size: int) -> float:
    """Seconds of the training steps of the second epoch; the first also traces."""
    import cnntrain

    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            f"data.source={source}",
            f"data.cache={cache}",
            f"data.image_size=[{size}, {size}]",
            f"data.batch_size={BATCH}",
            "train.epochs=2",
        ]
        run = cnntrain.fit(CONFIG, run_dir=Path(folder) / "run", overrides=overrides)
        return float(run.record.data["images"]["train"] / run.history[1].images_per_second)


def _bare_seconds(count: int, size: int) -> float:
    """Seconds of the same number of steps of the same network, each on a batch that is a tensor already."""
    import keras
    import numpy as np
    import tensorflow as tf

    from cnntrain.config import load_config
    from cnntrain.models.network import build_network

    config = load_config(CONFIG).config
    data = config.data.model_copy(update={"image_size": (size, size)})
    model: Any = build_network(config.model_copy(update={"data": data}), 2).logits()
    model.compile("rmsprop", keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (BATCH, size, size, 3)).astype(np.float32))
    targets = tf.constant(random.integers(0, 2, (BATCH, 1)).astype(np.float32))
    for _ in range(3):
        model.train_on_batch(images, targets)
    start = time.perf_counter()
    for _ in range(count // BATCH):
        model.train_on_batch(images, targets)
    return time.perf_counter() - start


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=1000, help="training pictures; a multiple of 20")
    parser.add_argument("--size", type=int, default=150)
    given = parser.parse_args()
    results = results_of("training_step", given, reads=[CONFIG])
    prepare("auto")
    with tempfile.TemporaryDirectory() as folder:
        source = photos(Path(folder), train=given.images // 2)
        sides: dict[str, Side] = {
            "memory": lambda: _fit_seconds(source, "memory", given.size),
            "bare": lambda: _bare_seconds(given.images, given.size),
            "none": lambda: _fit_seconds(source, "none", given.size),
        }
        rounds = alternate(results, sides, given.rounds)
    show(
        f"training steps over {given.images} pictures of {given.size}x{given.size}, batch {BATCH} (goal: 1.10)",
        [
            ("fit, decoded pictures in memory", median(rounds, "memory"), "s"),
            ("fit, decoded every epoch", median(rounds, "none"), "s"),
            ("bare train_on_batch", median(rounds, "bare"), "s"),
            ("ratio, in memory", ratio(rounds, "memory", "bare"), ""),
            ("ratio, decoded every epoch", ratio(rounds, "none", "bare"), ""),
        ],
        results=results,
    )


if __name__ == "__main__":
    main()
