"""The training steps of the same network on batches that are tensors already: no files, no augmentation."""

import argparse
import json
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.plain.dogs_vs_cats_180 import BATCH, SIZE, network


def seconds_of_epoch(model: Any, images: Any, targets: Any, count: int) -> float:
    """Seconds of the steps over `count` pictures, the last batch perhaps smaller."""
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        size = min(BATCH, count - first)
        model.train_on_batch(images[:size], targets[:size])
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=2, help="the last of them is told")
    parser.add_argument("--mixed-precision", action="store_true")
    given = parser.parse_args()
    keras.utils.set_random_seed(1337)
    if given.mixed_precision:
        keras.mixed_precision.set_global_policy("mixed_float16")
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (BATCH, *SIZE, 3)).astype(np.float32))
    targets = tf.constant(random.integers(0, 2, (BATCH, 1)).astype(np.float32))
    model = network(augmented=False)
    for size in {BATCH, given.images % BATCH} - {0}:  # traces
        model.train_on_batch(images[:size], targets[:size])
    print(json.dumps([seconds_of_epoch(model, images, targets, given.images) for _ in range(given.epochs)]))


if __name__ == "__main__":
    main()
