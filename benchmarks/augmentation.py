"""Augmenting a batch of 32 pictures: one warp against layers of Keras, and what each other change costs.

In one process; about a minute on two cores.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.setting import Side, alternate, median, options, ratio, results_of, show
from cnntrain.runtime import prepare

BATCH, SIZES, CALLS = 32, (150, 180), 5
FIVE: dict[str, Any] = {"rotation": 40.0, "shift": 0.2, "shear": 0.2, "zoom": 0.2, "flip": "horizontal"}
THREE: dict[str, Any] = {"rotation": 36.0, "zoom": 0.2, "flip": "horizontal"}
OTHERS: dict[str, dict[str, Any]] = {
    "brightness": {"brightness": 0.2},
    "brightness, contrast, saturation, hue": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
    "erasing": {"erasing": 0.5},
    "rand_augment": {"rand_augment": {}},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
}


def _ours(options: dict[str, Any], size: int) -> Callable[[Any], Any]:
    """What cnntrain's pipeline does with a batch of uint8 pictures."""
    import tensorflow as tf

    from cnntrain.config.sections import Augment
    from cnntrain.data.augmentation import draw_changes, draw_mixtures, mix

    augment = Augment(**options)
    changes = draw_changes(augment, seed=1, epoch=1, count=BATCH, shape=(size, size, 3))
    row = draw_mixtures(augment, seed=1, epoch=1, steps=1, size=(size, size))[0]

    def change(pictures: Any) -> Any:
        for one in changes:
            pictures = one.apply(pictures, tf.constant(one.rows))
        return mix(tf.constant(row), pictures, tf.zeros((BATCH, 1))) if augment.mixes else pictures

    return _traced(change)


def _traced(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """As it runs in a pipeline: as a graph."""
    import tensorflow as tf

    traced: Callable[[Any], Any] = tf.function(change)
    return traced


def _keras(layers: Any) -> Callable[[Any], Any]:
    """What layers of Keras do with it inside of a model that trains."""
    import tensorflow as tf

    def change(pictures: Any) -> Any:
        pictures = tf.cast(pictures, tf.float32)
        for layer in layers:
            pictures = layer(pictures, training=True)
        return pictures

    return _traced(change)


def _layers(ranges: str) -> list[Any]:
    """The layers of a script with all five changes, or with the three of most scripts."""
    from keras import layers

    if ranges == "three":
        return [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.2)]
    return [
        layers.RandomRotation(40 / 360),
        layers.RandomTranslation(0.2, 0.2),
        layers.RandomShear(0.2, 0.2),
        layers.RandomZoom(0.2, 0.2),
        layers.RandomFlip("horizontal"),
    ]


def _timed(change: Callable[[Any], Any], pictures: Any) -> Side:
    """The median of a few calls in milliseconds; one before them traces."""
    import tensorflow as tf

    def call() -> float:
        start = time.perf_counter()
        tf.nest.map_structure(lambda tensor: tensor[0, 0].numpy(), change(pictures))
        return (time.perf_counter() - start) * 1e3

    call()
    return lambda: statistics.median(call() for _ in range(CALLS))


def _sides(size: int) -> dict[str, Side]:
    import numpy as np
    import tensorflow as tf

    pictures = tf.constant(np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8))
    changes = {
        "warp for five": _ours(FIVE, size),
        "five layers": _keras(_layers("five")),
        "warp for three": _ours(THREE, size),
        "three layers": _keras(_layers("three")),
        **{name: _ours(ranges, size) for name, ranges in OTHERS.items()},
    }
    return {f"{name}, {size}x{size}": _timed(change, pictures) for name, change in changes.items()}


def main() -> None:
    parser = options(__doc__, rounds=7)
    given = parser.parse_args()
    results = results_of("augmentation", given)
    prepare("cpu")
    sides = {name: side for size in SIZES for name, side in _sides(size).items()}
    rounds = alternate(results, sides, given.rounds)
    ratios = [
        (
            f"ratio, warp to {count} layers of Keras, {size}x{size}",
            ratio(rounds, f"warp for {count}, {size}x{size}", f"{count} layers, {size}x{size}"),
            "",
        )
        for size in SIZES
        for count in ("five", "three")
    ]
    rows = [(name, median(rounds, name), "ms") for name in sides]
    show(f"augmenting {BATCH} pictures", rows + ratios, results=results)


if __name__ == "__main__":
    main()
