"""`evaluate` and `predict` over files of 180x180 pixels, start-up excluded, against the bare forward pass.

The time of a call on few pictures is taken off that of a call on many: what is left is what the others took, looked at,
decoded, asked about and written. Imports, loading the model and tracing are in both and so in neither. `evaluate`
remembers what was seen when the run was fitted; for `predict` all pictures are new. The bare side is `predict_on_batch`
of the same model on a batch that is ready, for as many pictures. All in one process: a call leaves no pipeline behind,
and start-up anew would only add noise to the difference. About 2 minutes on two cores.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    with_device,
)
from cnntrain.runtime import prepare

CONFIG = CONFIGS / "dogs_vs_cats_180.yaml"
BATCH = 32
FEW = 64


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def _nothing_remembered() -> Iterator[None]:
    kept = os.environ["CNNTRAIN_CACHE_DIR"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNNTRAIN_CACHE_DIR"] = folder
        try:
            yield
        finally:
            os.environ["CNNTRAIN_CACHE_DIR"] = kept


def _evaluate_seconds(run: Any, device: Any) -> float:
    """Of the pictures that the test split has more than the validation split."""
    import cnntrain

    many, few = (
        _seconds(lambda split=split: cnntrain.evaluate(run, split=split, device=device))  # type: ignore[misc]
        for split in ("test", "validation")
    )
    return many - few


def _predict_seconds(run: Any, data: Path, device: Any) -> float:
    import cnntrain

    with _nothing_remembered():
        many, few = (
            _seconds(lambda split=split: cnntrain.predict(run, data / split, device=device))  # type: ignore[misc]
            for split in ("test", "validation")
        )
    return many - few


def _bare_seconds(model: Any, count: int) -> float:
    import numpy as np
    import tensorflow as tf

    images = tf.constant(np.random.default_rng(0).integers(0, 256, (BATCH, 180, 180, 3)).astype(np.float32))
    model.predict_on_batch(images)  # traces
    return (
        _seconds(lambda: [model.predict_on_batch(images) for _ in range(count // BATCH)])
        * count
        / (count // BATCH * BATCH)
    )


def _fitted(data: Path, folder: Path, device: Any) -> Any:
    """A run whose network has seen two batches."""
    import cnntrain

    overrides = [f"data.source={data}", "train.epochs=1"]
    return cnntrain.fit(CONFIG, run_dir=folder / "run", overrides=overrides, device=device)


def main() -> None:
    parser = with_device(options(__doc__, rounds=5))
    parser.add_argument("--images", type=int, default=960, help="that are answered; default 960")
    given = parser.parse_args()
    results = results_of("answering", given, reads=[CONFIG])
    prepare(given.device)
    from cnntrain.runs.model_file import load_model

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CNNTRAIN_CACHE_DIR"] = str(folder / "cache")
        data = photos(folder, train=BATCH, validation=FEW // 2, test=(given.images + FEW) // 2)
        run = _fitted(data, folder, given.device)
        model = load_model(run.directory.model)
        sides: dict[str, Side] = {
            "evaluate": lambda: _evaluate_seconds(run, given.device),
            "bare": lambda: _bare_seconds(model, given.images),
            "predict": lambda: _predict_seconds(run, data, given.device),
        }
        rounds = alternate(results, sides, given.rounds)
    rates = [(name, given.images / median(rounds, name), "images/s") for name in sides]
    shares = [
        (f"{name}: share of the bare rate", 1 / ratio(rounds, name, "bare"), "(goal: 0.9 at least)")
        for name in ("evaluate", "predict")
    ]
    show(f"answers about {given.images} pictures of 180x180, device {given.device}", [*rates, *shares], results=results)


if __name__ == "__main__":
    main()
