"""`explain filters`, 64 filters of VGG16 in one pass, against the bare gradient steps that it cannot do without.

In one process. The bare side has the layers up to the one that is looked at as a compiled function, which gives
the gradient of one filter a picture for 64 pictures in memory, and calls it as often as there are steps; ours is all
from the network in memory to the finished pictures: cutting and resizing it, compiling, noise, jitter, steps. 2
minutes on two cores.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.setting import Side, alternate, median, options, ratio, results_of, show, with_weights
from cnntrain.runtime import prepare

FILTERS = 64


def _ours(model: Any, given: argparse.Namespace) -> float:
    from cnntrain.interpretation.filters import excite

    start = time.perf_counter()
    excite(model, given.layer, range(FILTERS), steps=given.steps, size=given.size)
    return time.perf_counter() - start


def _bare_side(model: Any, given: argparse.Namespace) -> Side:
    """A side that takes the gradients of all steps; it is traced already."""
    import keras
    import numpy as np
    import tensorflow as tf

    pictures = keras.Input((given.size, given.size, 3))
    names = [layer.name for layer in model.layers]
    x = pictures
    for name in names[1 : names.index(given.layer) + 1]:  # a chain, as VGG16 is
        x = model.get_layer(name)(x)
    part = keras.Model(pictures, x)
    chosen = tf.constant(np.eye(x.shape[-1], dtype=np.float32)[:FILTERS])

    @tf.function
    def gradients(images: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            score = tf.reduce_sum(tf.reduce_mean(part(images, training=False), axis=[1, 2]) * chosen)
        return tape.gradient(score, images)

    noise = np.random.default_rng(0).uniform(118, 138, (FILTERS, given.size, given.size, 3))
    images = tf.constant(noise, tf.float32)
    gradients(images)

    def measured() -> float:
        start = time.perf_counter()
        for _ in range(given.steps):
            gradients(images).numpy()
        return time.perf_counter() - start

    return measured


def _network(given: argparse.Namespace) -> Any:
    """VGG16 without its top, as Keras builds it: a chain."""
    import keras

    from cnntrain.models.weights import load_weights

    model = keras.applications.VGG16(include_top=False, weights=None, input_shape=(224, 224, 3))
    if given.weights != "none":
        load_weights(model, Path(given.weights), "vgg16")
    return model


def _parse() -> argparse.Namespace:
    parser = with_weights(options(__doc__, rounds=3))
    parser.add_argument("--layer", default="block3_conv1", metavar="NAME", help="default block3_conv1")
    parser.add_argument("--size", type=int, default=128, help="height and width of the pictures; default 128")
    parser.add_argument("--steps", type=int, default=30, help="of gradient ascent; default 30")
    return parser.parse_args()


def main() -> None:
    given = _parse()
    results = results_of("filters", given)
    prepare("auto")
    sides: dict[str, Side] = {}
    if given.rounds:
        model = _network(given)
        sides = {"ours": lambda: _ours(model, given), "bare": _bare_side(model, given)}
    rounds = alternate(results, sides, given.rounds)
    show(
        f"{FILTERS} filters of {given.layer} at {given.size}x{given.size}, {given.steps} steps",
        [
            ("explain filters", median(rounds, "ours"), "s"),
            ("bare gradient steps", median(rounds, "bare"), "s"),
            ("ratio", ratio(rounds, "ours", "bare"), "(goal: 1.5 at most)"),
        ],
        results=results,
    )


if __name__ == "__main__":
    main()
