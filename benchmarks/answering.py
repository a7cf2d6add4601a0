"""`evaluate` and `predict` over files of 180x180 pixels, start-up excluded, against the bare forward pass; peak memory.

The time of a call on few pictures is taken off that of a call on many: what is left is what the others took, looked at,
decoded, asked about and written. Imports, loading the model and tracing are in both and so in neither. `evaluate`
remembers what was seen when the run was fitted; for `predict` all pictures are new: it gets copies of the test photos,
each with a comment of its own. The bare side is `predict_on_batch` of the same model on a batch that is ready, for as
many pictures as `evaluate` answers. All in one process: a call leaves no pipeline behind, and start-up anew would only
add noise to the difference. Memory is the peak of a process of its own, `predict --jsonl` on few pictures and on all.
About 5 minutes on two cores.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
    run_python,
    show,
    with_device,
)
from cnntrain.runtime import prepare

CONFIG = CONFIGS / "dogs_vs_cats_180.yaml"
BATCH = 32
FEW = 64
EVALUATED = 960
_WITH_PEAK = """
import pathlib, sys
from cnntrain.cli import main
try:
    main(sys.argv[1:])
finally:
    print(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


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


def _copies(photos: Sequence[Path], count: int, folder: Path) -> Path:
    """As many files as asked for in a new folder; JPEG files all have other bytes, so that no look is remembered."""
    folder.mkdir()
    for number in range(count):
        photo = photos[number % len(photos)]
        content = photo.read_bytes()
        if content.startswith(b"\xff\xd8"):
            content = content[:2] + b"\xff\xfe\x00\x0a" + f"{number:08d}".encode() + content[2:]
        (folder / f"{number:06d}{photo.suffix}").write_bytes(content)
    return folder


def _evaluate_seconds(run: Any, device: Any) -> float:
    """A picture, of those that the test split has more than the validation split."""
    import cnntrain

    many, few = (
        _seconds(lambda split=split: cnntrain.evaluate(run, split=split, device=device))  # type: ignore[misc]
        for split in ("test", "validation")
    )
    return (many - few) / EVALUATED


def _predict_seconds(run: Any, many: Path, few: Path, count: int, device: Any) -> float:
    """A picture, of the `count` that `many` has more than `few`."""
    import cnntrain

    with _nothing_remembered():
        seconds = [_seconds(lambda place=place: cnntrain.predict(run, place, device=device)) for place in (many, few)]  # type: ignore[misc]
    return (seconds[0] - seconds[1]) / count


def _bare_seconds(model: Any) -> float:
    """A picture."""
    import numpy as np
    import tensorflow as tf

    images = tf.constant(np.random.default_rng(0).integers(0, 256, (BATCH, 180, 180, 3)).astype(np.float32))
    model.predict_on_batch(images)  # traces
    steps = EVALUATED // BATCH
    return _seconds(lambda: [model.predict_on_batch(images) for _ in range(steps)]) / (steps * BATCH)


def _peak_mib(run: Any, place: Path, folder: Path, device: str) -> float:
    """The largest memory of `predict --jsonl`, a process of its own, on Linux, which counts in KiB."""
    run_python(
        ["-c", _WITH_PEAK, "predict", str(run.path), str(place), "--jsonl", "--device", device], folder, device=device
    )
    return float((folder / "stderr").read_text(encoding="utf-8").split()[-1]) / 1024


def _fitted(data: Path, folder: Path, device: Any) -> Any:
    """A run whose network has seen two batches."""
    import cnntrain

    overrides = [f"data.source={data}", "train.epochs=1"]
    return cnntrain.fit(CONFIG, run_dir=folder / "run", overrides=overrides, device=device)


def main() -> None:
    parser = with_device(options(__doc__, rounds=5))
    parser.add_argument("--images", type=int, default=4000, help="that predict answers; default 4000")
    given = parser.parse_args()
    results = results_of("answering", given, reads=[CONFIG])
    prepare(given.device)
    from cnntrain.runs.model_file import load_model

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CNNTRAIN_CACHE_DIR"] = str(folder / "cache")
        data = photos(folder, train=BATCH, validation=FEW // 2, test=(EVALUATED + FEW) // 2)
        run = _fitted(data, folder, given.device)
        model = load_model(run.directory.model)
        pictures = sorted(path for path in (data / "test").rglob("*") if path.is_file())
        many = _copies(pictures, given.images + FEW, folder / "many")
        few = _copies(pictures[::-1], FEW, folder / "few")
        sides: dict[str, Side] = {
            "evaluate": lambda: _evaluate_seconds(run, given.device),
            "bare": lambda: _bare_seconds(model),
            "predict": lambda: _predict_seconds(run, many, few, given.images, given.device),
            "peak": lambda: {
                "few": _peak_mib(run, few, folder, given.device),
                "many": _peak_mib(run, many, folder, given.device),
            },
        }
        rounds = alternate(results, sides, given.rounds)
    rates = [(name, 1 / median(rounds, name), "images/s") for name in ("evaluate", "bare", "predict")]
    shares = [
        (f"{name}: share of the bare rate", 1 / ratio(rounds, name, "bare"), "(goal: 0.9 at least)")
        for name in ("evaluate", "predict")
    ]
    peaks = [
        (f"predict: peak memory, {count} pictures", median(rounds, f"peak {name}"), "MiB")
        for name, count in (("few", FEW), ("many", given.images + FEW))
    ]
    title = f"evaluate on {EVALUATED} and predict on {given.images} pictures of 180x180, device {given.device}"
    show(title, [*rates, *shares, *peaks], results=results)


if __name__ == "__main__":
    main()
