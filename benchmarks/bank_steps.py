"""The training steps of `cnntrain fit` on its feature bank against bare `train_on_batch` on features in memory.

In one process. The bank, four views of each training picture, is made once, before anything is measured; the bare side
has the features of the pictures as they are, in batches that are tensors already. 5 minutes on two cores.
"""

import argparse
import os
import statistics
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

CONFIG = CONFIGS / "vgg16_fine_tune.yaml"
RATE = 1e-5


def _overrides(given: argparse.Namespace) -> list[str]:
    stage = f"{{name: steps, unfreeze: {given.unfreeze}, learning_rate: {RATE}}}"
    size, views = f"data.image_size=[{given.size}, {given.size}]", f"train.features.views={given.views}"
    return [f"model.weights={given.weights}", size, views, f"train.stages=[{stage}]"]


def _fit_seconds(given: argparse.Namespace, source: Path, epochs: int) -> float:
    """Seconds of the training steps of an epoch: the median of all but the first, which traces."""
    import cnntrain

    overrides = [f"data.source={source}", *_overrides(given), f"train.epochs={epochs}"]
    with tempfile.TemporaryDirectory() as folder:
        history = cnntrain.fit(CONFIG, run_dir=Path(folder) / "run", overrides=overrides).history
    return statistics.median(int(given.images) / row.images_per_second for row in history[min(1, epochs - 1) :])


def _network(given: argparse.Namespace) -> tuple[Any, str]:
    """The network, thawed, and where it is cut."""
    from cnntrain.config import load_config
    from cnntrain.models.cutting import frozen_cut
    from cnntrain.models.network import build_network

    network = build_network(load_config(CONFIG, overrides=_overrides(given)).config, 2)
    network.thaw(given.unfreeze)
    cut = frozen_cut(network, given.unfreeze)
    if cut is None:
        raise SystemExit(f"with --unfreeze {given.unfreeze} no layer is frozen; name a later one")
    return network, cut


def _ready_batches(extractor: Any, source: Path, batch: int) -> list[tuple[Any, Any]]:
    """Features and targets of all training pictures, in batches in memory."""
    import numpy as np
    import tensorflow as tf

    from cnntrain.data.decoder import Preprocessing
    from cnntrain.data.pipeline import image_batches, open_pictures
    from cnntrain.data.sources import find_source

    preprocessing = Preprocessing(*extractor.input_shape[1:])
    pictures = open_pictures(find_source(source).absolute, ("cat", "dog"), preprocessing)
    features = [extractor.predict_on_batch(images) for images in image_batches(pictures, batch)]
    targets = np.random.default_rng(0).integers(0, 2, (len(pictures), 1)).astype(np.float32)
    return [
        (tf.constant(found), tf.constant(targets[number * batch :][: len(found)]))
        for number, found in enumerate(features)
    ]


def _bare_seconds(model: Any, batches: list[tuple[Any, Any]]) -> float:
    start = time.perf_counter()
    for features, targets in batches:
        model.train_on_batch(features, targets)
    return time.perf_counter() - start


def _bare_side(given: argparse.Namespace, source: Path) -> Side:
    """A side that trains what follows the cut, once over all batches; it is traced already."""
    import keras

    from cnntrain.config import load_config

    network, cut = _network(given)
    batches = _ready_batches(network.extractor(cut), source, load_config(CONFIG).config.data.batch_size)
    model = network.logits(cut)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.RMSprop(RATE), loss, metrics=["accuracy"])
    _bare_seconds(model, batches)
    return lambda: statistics.median(_bare_seconds(model, batches) for _ in range(given.epochs))


def _parse() -> argparse.Namespace:
    parser = with_weights(options(__doc__, rounds=5))
    parser.add_argument("--images", type=int, default=400, help="training pictures; default 400")
    parser.add_argument("--size", type=int, default=150, help="their height and width; default 150")
    parser.add_argument("--views", type=int, default=4, help="of each picture; default 4")
    parser.add_argument("--epochs", type=int, default=3, help="that count, a round and side; default 3")
    parser.add_argument("--unfreeze", default="block5_conv1", metavar="LAYER", help="first layer that trains, or none")
    return parser.parse_args()


def main() -> None:
    given = _parse()
    results = results_of("bank_steps", given, reads=[CONFIG])
    prepare("auto")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CNNTRAIN_CACHE_DIR"] = str(folder / "cache")
        source = photos(folder, train=given.images // 2)
        if given.rounds:
            bare = _bare_side(given, source)
            _fit_seconds(given, source, 1)  # makes the bank
        sides: dict[str, Side] = {
            "bank": lambda: _fit_seconds(given, source, given.epochs + 1),
            "bare": lambda: bare(),
        }
        rounds = alternate(results, sides, given.rounds)
    show(
        f"steps over {given.images} pictures of {given.size}x{given.size}, {given.views} views, from {given.unfreeze}",
        [
            ("fit on the bank", given.images / median(rounds, "bank"), "images/s"),
            ("bare train_on_batch, features in memory", given.images / median(rounds, "bare"), "images/s"),
            ("share of the bare rate", 1 / ratio(rounds, "bank", "bare"), "(goal: 0.9 at least)"),
        ],
        results=results,
    )


if __name__ == "__main__":
    main()
