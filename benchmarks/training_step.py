"""The training steps of an epoch of `fit`, unaugmented, against bare `train_on_batch` on batches in memory."""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.setting import median_ratio, photos, show
from cnntrain.runtime import prepare

BATCH = 20


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
        config = Path(__file__).parent.parent / "configs" / "dogs_vs_cats_scratch.yaml"
        run = cnntrain.fit(config, run_dir=Path(folder) / "run", overrides=overrides)
        return run.record.data["images"]["train"] / run.history[1].images_per_second


def _bare_seconds(count: int, size: int) -> float:
    """Seconds of the same number of steps of the same network, each on a batch that is a tensor already."""
    import numpy as np
    import tensorflow as tf

    from cnntrain.config import load_config
    from cnntrain.config.stages import plan_stages
    from cnntrain.models.network import build_network
    from cnntrain.training.compiling import compile_stage

    config = load_config(Path(__file__).parent.parent / "configs" / "dogs_vs_cats_scratch.yaml").config
    data = config.data.model_copy(update={"image_size": (size, size)})
    model: Any = build_network(config.model_copy(update={"data": data}), 2).logits()
    steps = -(-count // BATCH)
    compile_stage(model, config.train, plan_stages(config)[0], steps_per_epoch=steps, class_count=2)
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="training pictures; a multiple of 20")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=150)
    given = parser.parse_args()
    prepare("auto")
    seconds: dict[str, list[float]] = {"memory": [], "none": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        source = photos(Path(folder), train=given.images // 2)
        for _ in range(given.rounds):
            seconds["memory"].append(_fit_seconds(source, "memory", given.size))
            seconds["bare"].append(_bare_seconds(given.images, given.size))
            seconds["none"].append(_fit_seconds(source, "none", given.size))
    show(
        f"training steps over {given.images} pictures of {given.size}x{given.size}, batch {BATCH} (goal: 1.10)",
        [
            ("fit, decoded pictures in memory", statistics.median(seconds["memory"]), "s"),
            ("fit, decoded every epoch", statistics.median(seconds["none"]), "s"),
            ("bare train_on_batch", statistics.median(seconds["bare"]), "s"),
            ("ratio, in memory", median_ratio(seconds["memory"], seconds["bare"]), ""),
            ("ratio, decoded every epoch", median_ratio(seconds["none"], seconds["bare"]), ""),
        ],
    )


if __name__ == "__main__":
    main()
