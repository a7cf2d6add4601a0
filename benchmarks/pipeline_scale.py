"""Cost of a picture in the input pipeline: an epoch over 25,000 pictures against 25 epochs over 1,000."""

import argparse
import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.setting import median_ratio, photos, show
from cnntrain.runtime import prepare

SMALL, LARGE, BATCH = 1000, 25_000, 32


def _seconds(pictures: Any, epochs: int) -> tuple[float, float]:
    """Seconds of augmented training epochs, nothing done with the batches: up to the first of each, and after it."""
    from cnntrain.config.sections import Augment
    from cnntrain.data.pipeline import training_batches

    augment = Augment(rotation=40.0, shift=0.2, flip="horizontal")
    first, others = 0.0, 0.0
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        batches = iter(
            training_batches(pictures, class_count=2, batch_size=BATCH, seed=1, epoch=epoch, augment=augment)
        )
        next(batches)
        begun = time.perf_counter()
        for _ in batches:
            pass
        first, others = first + begun - start, others + time.perf_counter() - begun
    return first, others


def _measure(examples: Sequence[Any], cache: Any, size: int, pairs: int) -> tuple[float, float, float]:
    """Seconds to the first batch of an epoch; then microseconds a picture, and the median ratio of the large to it."""
    from cnntrain.data.decoder import Preprocessing
    from cnntrain.data.pipeline import open_pictures

    small, large = (
        open_pictures(examples[:count], ("cat", "dog"), Preprocessing(size, size, 3), cache=cache)
        for count in (SMALL, LARGE)
    )
    _seconds(small, 1)
    starts, few, many = [], [], []
    for _ in range(pairs):
        start, seconds = _seconds(small, LARGE // SMALL)
        starts.append(start * SMALL / LARGE)
        few.append(seconds / (LARGE - LARGE // SMALL * BATCH))
        many.append(_seconds(large, 1)[1] / (LARGE - BATCH))
    return min(starts), min(few) * 1e6, median_ratio(many, few)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    prepare("cpu")
    from cnntrain.data.sources import find_source

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = find_source(photos(Path(folder), train=1000))
        found = [_at(source.root, example) for example in source.examples]
        examples = list(itertools.islice(itertools.cycle(found), LARGE))
        for cache, size in (("none", 150), ("memory", 64)):
            start, micros, ratio = _measure(examples, cache, size, given.pairs)
            rows.append((f"cache {cache}, {size}x{size}: to the first batch of an epoch", start, "s"))
            rows.append((f"cache {cache}, {size}x{size}: a picture among {SMALL}", micros, "us"))
            rows.append((f"cache {cache}, {size}x{size}: among {LARGE}, to that", ratio, "times (goal: 0.95 to 1.05)"))
    show("the input pipeline, augmentation included", rows)


def _at(root: Path, example: Any) -> Any:
    from dataclasses import replace

    return replace(example, path=str(root / example.path))


if __name__ == "__main__":
    main()
