"""Every network of `keras.applications` with random weights: built, run, saved and loaded, and cut in two."""

import argparse
import gc
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnntrain.runtime import prepare

CLASSES = ("a", "b", "c")
TOLERANCE = 1e-5
STORED = 2.0**-8  # rounding to float16 moves a number by 2^-11 of it at most; what comes after may move by more


def _network(name: str, size: int, weights: str) -> Any:
    from cnntrain.config import load_config
    from cnntrain.models.network import build_network

    head = {"pooling": "global_average"}
    model = {"kind": "pretrained", "backbone": name, "weights": weights, "head": head}
    config = load_config({"data": {"source": "none", "image_size": [size, size]}, "model": model}).config
    return build_network(config, len(CLASSES))


def _demand_equal(found: Any, expected: Any, what: str, *, tolerance: float = TOLERANCE) -> None:
    """Raises ValueError where two arrays differ, relative to the largest number of the second."""
    import numpy as np

    largest = float(np.abs(expected).max())
    difference = float(np.abs(np.asarray(found) - np.asarray(expected)).max())
    if not 0.0 < largest < float("inf") or not difference <= tolerance * largest:
        raise ValueError(f"{what}: differ by {difference:.2g} where the largest number is {largest:.2g}")


def _check_cut(network: Any, cut: str, images: Any) -> None:
    """Compares the part after a cut with the whole model: on the features as they are, and as a bank stores them."""
    import keras
    import numpy as np

    whole, part = np.asarray(network.model(images)), network.logits(cut)
    features = np.asarray(network.extractor(cut)(images))
    _demand_equal(keras.ops.softmax(part(features)), whole, f"answers after the cut at {cut}")
    with np.errstate(over="ignore"):
        stored = features.astype(np.float16)
    if np.isfinite(stored).all():  # a bank keeps other features in float32
        _demand_equal(keras.ops.softmax(part(stored)), whole, f"answers after float16 at {cut}", tolerance=STORED)


def _check(name: str, size: int, folder: Path) -> None:
    """Raises whatever goes wrong with one network."""
    import numpy as np

    from cnntrain.models.backbones import backbones
    from cnntrain.models.cutting import cuts
    from cnntrain.runs.model_file import load_model, save_model

    builder, preprocess = backbones()[name]
    images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    plain = builder(include_top=False, weights=None, input_shape=(size, size, 3))
    plain.save_weights(folder / "base.weights.h5")
    network = _network(name, size, str(folder / "base.weights.h5"))
    network.thaw("all")
    extractor = network.extractor()
    features = np.asarray(extractor(images))
    _demand_equal(features, plain(preprocess(images.copy())), "features against the plain network")
    _demand_equal(extractor(images, training=True), features, "features in training against those in use")
    found = cuts(network)
    for cut in (found[0], found[len(found) // 2], found[-1]):
        _check_cut(network, cut, images)
    save_model(folder / "model.keras", network.model, CLASSES)
    _demand_equal(load_model(folder / "model.keras")(images), network.model(images), "answers after loading")
    if _network(name, size, "none").base != network.base:
        raise ValueError("the layers have other names when it is built again")


def _row(name: str, size: int) -> tuple[str, float]:
    """What came of one network, in a line, and the seconds that it took."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            _check(name, size, Path(folder))
            result = "ok"
        except Exception as error:  # whatever it is belongs into the table
            result = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    gc.collect()
    return result, time.perf_counter() - start


def _chosen(given: Sequence[str]) -> list[str]:
    from cnntrain.models.backbones import backbones

    unknown = sorted(set(given) - set(backbones()))
    if unknown:
        raise SystemExit(f"keras.applications has no {', '.join(unknown)}; it has {', '.join(backbones())}")
    return list(given) or list(backbones())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=96, help="side of the pictures in pixels; inceptionv3 needs 75")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these networks alone")
    given = parser.parse_args()
    prepare("cpu")
    failures = 0
    for name in _chosen(given.only):
        result, seconds = _row(name, given.size)
        failures += result != "ok"
        print(f"{name:<18} {seconds:>7.1f} s  {result}", flush=True)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
