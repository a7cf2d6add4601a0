"""`cnntrain split` against `sha256sum` over the same files, and with near-duplicate search against bare decoding.

In one process: a split leaves nothing behind that works. About 2 minutes on two cores.
"""

import io
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.setting import alternate, median, options, photos, ratio, results_of, show
from cnntrain.data.splitting.split import split_source
from cnntrain.data.splitting.wishes import Wishes
from cnntrain.runtime import prepare

_SIDE = 180  # pixels of a picture that is made from a part of another
_JPEG_END = b"\xff\xd9"


def _originals(folder: Path) -> list[Path]:
    """The photos, or generated pictures where there are none."""
    return sorted(path for path in photos(folder, train=2000).rglob("*") if path.suffix in (".jpg", ".png"))


def _copies(originals: list[Path], count: int) -> Iterator[tuple[str, bytes]]:
    """Each original several times, with other bytes behind its end: other files, the same pictures."""
    for number in range(count):
        path = originals[number % len(originals)]
        yield f"{path.parent.name}/{number}{path.suffix}", path.read_bytes() + b"%d" % number + _JPEG_END


def _parts(originals: list[Path], count: int) -> Iterator[tuple[str, bytes]]:
    """Of each original the whole, its quarters, and mirrored versions of these: other pictures."""
    with ThreadPoolExecutor() as pool:
        yield from pool.map(lambda number: _part(originals, number), range(count))


def _part(originals: list[Path], number: int) -> tuple[str, bytes]:
    from PIL import Image, ImageOps

    path, version = originals[number % len(originals)], number // len(originals)
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    which, is_mirrored = divmod(version, 2)
    width, height = picture.size[0] // 2, picture.size[1] // 2
    left, top = (which - 1) % 2 * width, (which - 1) // 2 * height
    box = (left, top, left + width, top + height) if which else (0, 0, *picture.size)
    picture = picture.resize((_SIDE, _SIDE), box=box)
    content = io.BytesIO()
    (ImageOps.mirror(picture) if is_mirrored else picture).save(content, "JPEG", quality=90)
    return f"{path.parent.name}/{number}.jpg", content.getvalue()


def _write(folder: Path, pictures: Iterator[tuple[str, bytes]]) -> Path:
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
    for name, content in pictures:
        (folder / name).write_bytes(content)
    return folder


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _sha256sum(names: bytes) -> None:
    """On one core, as it is used. `names` end with zero bytes."""
    subprocess.run(["xargs", "-0", "sha256sum"], input=names, stdout=subprocess.DEVNULL, check=True)


def _split_seconds(source: Path, near_duplicates: str) -> float:
    """With nothing remembered from before."""
    with tempfile.TemporaryDirectory(dir=source.parent) as place:
        os.environ["CNNTRAIN_CACHE_DIR"] = f"{place}/cache"
        wishes = Wishes(method="hardlink", near_duplicates=near_duplicates)
        return _seconds(lambda: split_source(source, Path(place) / "split", wishes))


def _decode(source: Path) -> None:
    """All files through TensorFlow's decoder, on all cores, and nothing else."""
    import tensorflow as tf

    paths = tf.data.Dataset.from_tensor_slices([str(path) for path in source.rglob("*.*")])
    decoded = paths.map(
        lambda path: tf.shape(tf.io.decode_image(tf.io.read_file(path), 3, expand_animations=False)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=False,
    )
    for _ in decoded:
        pass


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=25_000)
    given = parser.parse_args()
    results = results_of("splitting", given)
    prepare("cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals = _originals(folder)
        copies = _write(folder / "copies", _copies(originals, given.images))
        parts = _write(folder / "parts", _parts(originals, given.images))
        names = b"".join(os.fsencode(path) + b"\0" for path in copies.rglob("*.*"))
        _sha256sum(names)  # so that all is in the memory of the operating system
        _decode(parts)
        sides = {
            "split": lambda: _split_seconds(copies, "ignore"),
            "sha256sum": lambda: _seconds(lambda: _sha256sum(names)),
            "searched": lambda: _split_seconds(parts, "together"),
            "decoding": lambda: _seconds(lambda: _decode(parts)),
        }
        rounds = alternate(results, sides, given.rounds)
    show(
        f"splitting {given.images} pictures",
        [
            ("split --method hardlink --near-duplicates ignore", median(rounds, "split"), "s"),
            ("sha256sum", median(rounds, "sha256sum"), "s"),
            ("ratio", ratio(rounds, "split", "sha256sum"), "(goal: 3 at most)"),
            ("split --method hardlink, near-duplicates searched", median(rounds, "searched"), "s"),
            ("decoding once", median(rounds, "decoding"), "s"),
            ("ratio", ratio(rounds, "searched", "decoding"), "(goal: 2 at most)"),
        ],
        results=results,
    )


if __name__ == "__main__":
    main()
