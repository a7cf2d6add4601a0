"""`scan` against the bare decoding rate of tf.data, and the memory it needs for each picture.

In one process: a look leaves nothing behind that works. About a minute on two cores.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.setting import Side, alternate, median, options, photos, ratio, results_of, show
from cnntrain.runtime import prepare

PEAK = """
import sys, tracemalloc
from pathlib import Path
from cnntrain.runtime import prepare
prepare("cpu")
from cnntrain.data.scanning.duplicates import alike_among
from cnntrain.data.scanning.look_at import look_at_all
paths = sorted(str(path) for path in Path(sys.argv[1]).rglob("*.jpg"))
paths = (paths * (int(sys.argv[2]) // len(paths) + 1))[: int(sys.argv[2])]
tracemalloc.start()
looks = look_at_all(paths, max_pixels=50_000_000)
alike_among(looks)
print(tracemalloc.get_traced_memory()[1])
"""


def _scan_seconds(paths: list[str]) -> float:
    """Seconds of a look at every picture with nothing remembered."""
    from cnntrain.data.scanning.look_at import look_at_all

    with tempfile.TemporaryDirectory() as cache:
        os.environ["CNNTRAIN_CACHE_DIR"] = cache
        start = time.perf_counter()
        look_at_all(paths, max_pixels=50_000_000)
        return time.perf_counter() - start


def _bare_seconds(paths: list[str]) -> float:
    """Seconds of reading and decoding alone."""
    import tensorflow as tf

    def decoded(path: tf.Tensor) -> tf.Tensor:
        return tf.shape(tf.io.decode_jpeg(tf.io.read_file(path), channels=3))

    data = tf.data.Dataset.from_tensor_slices(paths).map(decoded, num_parallel_calls=tf.data.AUTOTUNE).batch(64)
    start = time.perf_counter()
    for _ in data:
        pass
    return time.perf_counter() - start


def _peak_bytes(folder: Path, count: int) -> float:
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "CNNTRAIN_CACHE_DIR": cache}
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(folder), str(count)], check=True, capture_output=True, env=environment
        )
        return float(done.stdout.split()[-1])


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--photos", type=Path, help="a folder of JPEG files instead of the usual ones")
    given = parser.parse_args()
    results = results_of("scanning", given)
    prepare("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.photos or photos(Path(scratch), train=2000)
        paths = sorted(str(path) for path in folder.rglob("*.jpg"))
        _scan_seconds(paths[:100]), _bare_seconds(paths[:100])
        sides: dict[str, Side] = {
            "look": lambda: _scan_seconds(paths),
            "bare": lambda: _bare_seconds(paths),
        }
        rounds = alternate(results, sides, given.rounds)
        few, many = (_peak_bytes(folder, count) for count in (5_000, 25_000))  # of Python and numpy
    show(
        f"a look at each of {len(paths)} pictures",
        [
            ("rate", len(paths) / median(rounds, "look"), "pictures/s"),
            ("its time to that of bare decoding", ratio(rounds, "look", "bare"), "(goal: 1.25 at most)"),
            (
                "peak of memory a picture more, search for near-duplicates included",
                (many - few) / 20_000,
                "bytes (goal: 1000)",
            ),
        ],
        results=results,
    )


if __name__ == "__main__":
    main()
