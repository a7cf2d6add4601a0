"""The features pass of `cnntrain fit` against the bare forward pass of the same base on a batch in memory.

Both in one process, and each traces its function before or within a pass of half a minute. Then the same pictures are
fitted again with another head: how long it takes to get features that are stored already. 2 minutes a round on two
cores.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.setting import (
    CONFIGS,
    Side,
    alternate,
    median,
    options,
    photos,
    ratio,
    results_of,
    show,
    with_weights,
)
from cnntrain.runtime import prepare

CONFIG = CONFIGS / "vgg16_features.yaml"
ANOTHER_HEAD = "model.head={pooling: global_average, layers: [{dense: 64}]}"


def _overrides(given: argparse.Namespace) -> list[str]:
    return [f"model.weights={given.weights}", f"data.image_size=[{given.size}, {given.size}]", "train.epochs=1"]


def _fit_seconds(given: argparse.Namespace, source: Path) -> dict[str, float]:
    """Seconds that getting the features took, of a first run and of one with another head after it."""
    import cnntrain

    overrides = [f"data.source={source}", *_overrides(given)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CNNTRAIN_CACHE_DIR"] = str(folder / "cache")
        first = cnntrain.fit(CONFIG, run_dir=folder / "first", overrides=overrides)
        again = cnntrain.fit(CONFIG, run_dir=folder / "again", overrides=[*overrides, ANOTHER_HEAD])
        return {"first": first.record.timings["features"], "again": again.record.timings["features"]}


def _extractor(given: argparse.Namespace) -> Any:
    from cnntrain.config import load_config
    from cnntrain.models.network import build_network

    return build_network(load_config(CONFIG, overrides=_overrides(given)).config, 2).extractor()


def _bare_seconds(extractor: Any, batch: int, count: int) -> float:
    """Seconds of as many whole batches as there are among `count` pictures, for all of them."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (batch, *extractor.input_shape[1:])).astype(np.float32))
    extractor.predict_on_batch(images)  # traces
    start = time.perf_counter()
    for _ in range(count // batch):
        extractor.predict_on_batch(images)
    return (time.perf_counter() - start) * count / (count // batch * batch)


def main() -> None:
    parser = with_weights(options(__doc__, rounds=3))
    parser.add_argument("--images", type=int, default=1000, help="pictures; default 1000")
    parser.add_argument("--size", type=int, default=150, help="their height and width; default 150")
    given = parser.parse_args()
    results = results_of("feature_pass", given, reads=[CONFIG])
    prepare("auto")
    from cnntrain.config import load_config

    batch = load_config(CONFIG).config.data.batch_size
    extractor = _extractor(given)
    with tempfile.TemporaryDirectory() as folder:
        source = photos(Path(folder), train=given.images // 2)
        sides: dict[str, Side] = {
            "fit": lambda: _fit_seconds(given, source),
            "bare": lambda: _bare_seconds(extractor, batch, given.images),
        }
        rounds = alternate(results, sides, given.rounds)
    show(
        f"VGG16's base over {given.images} pictures of {given.size}x{given.size}",
        [
            ("features pass, decoding and storing included", given.images / median(rounds, "fit first"), "images/s"),
            ("bare forward pass", given.images / median(rounds, "bare"), "images/s"),
            ("share of the bare rate", 1 / ratio(rounds, "fit first", "bare"), "(goal: 0.95 at least)"),
            ("features of a second run, with another head", median(rounds, "fit again"), "s"),
            ("of the first pass", ratio(rounds, "fit again", "fit first"), "(goal: 0.02 at most)"),
        ],
        results=results,
    )


if __name__ == "__main__":
    main()
