"""The features pass over files against the bare forward pass of the same base on batches in memory.

In one process: the pass leaves no pipeline behind, and imports are not measured. About 3 minutes on two cores.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.setting import CONFIGS, Side, alternate, median, options, photos, ratio, results_of, show
from cnntrain.runtime import prepare

BATCH = 20
CONFIG = CONFIGS / "vgg16_features.yaml"


def _network(size: int) -> Any:
    from cnntrain.config import load_config
    from cnntrain.models.network import build_network

    overrides = ["model.weights=none", f"data.image_size=[{size}, {size}]"]
    config = load_config(CONFIG, overrides=overrides).config
    return build_network(config, 2)


def _pass_seconds(network: Any, extractor: Any, source: Path, size: int, cache: Any) -> float:
    from cnntrain.data.decoder import Preprocessing
    from cnntrain.data.pipeline import open_pictures
    from cnntrain.data.sources import find_source
    from cnntrain.training.features import extract_split

    network.thaw("none")
    examples = find_source(source).absolute
    start = time.perf_counter()
    pictures = open_pictures(examples, ("cat", "dog"), Preprocessing(size, size, 3), cache=cache)
    extract_split(extractor, pictures, batch_size=BATCH, task="features", on_event=lambda _: None)
    return time.perf_counter() - start


def _bare_seconds(extractor: Any, count: int, size: int) -> float:
    import numpy as np
    import tensorflow as tf

    images = tf.constant(np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3)).astype(np.float32))
    start = time.perf_counter()
    for _ in range(count // BATCH):
        extractor.predict_on_batch(images)
    return time.perf_counter() - start


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--images", type=int, default=200, help="pictures; a multiple of 20")
    parser.add_argument("--size", type=int, default=150)
    given = parser.parse_args()
    results = results_of("feature_pass", given, reads=[CONFIG])
    prepare("auto")
    network = _network(given.size)
    extractor = network.extractor()
    _bare_seconds(extractor, BATCH, given.size)  # traces
    with tempfile.TemporaryDirectory() as folder:
        source = photos(Path(folder), train=given.images // 2)
        sides: dict[str, Side] = {
            "pass": lambda: _pass_seconds(network, extractor, source, given.size, "none"),
            "bare": lambda: _bare_seconds(extractor, given.images, given.size),
        }
        rounds = alternate(results, sides, given.rounds)
    show(
        f"VGG16's base over {given.images} pictures of {given.size}x{given.size} (goal for the share: 0.95)",
        [
            ("features pass, decoding included", given.images / median(rounds, "pass"), "images/s"),
            ("bare forward pass", given.images / median(rounds, "bare"), "images/s"),
            ("share of the bare rate", 1 / ratio(rounds, "pass", "bare"), ""),
        ],
        results=results,
    )


if __name__ == "__main__":
    main()
