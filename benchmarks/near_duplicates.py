"""How many planted near-duplicates are found among photos, how many false ones, and how long the search takes.

About 2 minutes on two cores.
"""

import io
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.setting import Side, alternate, median, options, photos, results_of, show
from cnntrain.runtime import prepare

Cut = tuple[float, float, float, float]  # shares of the width or height: left, top, right, bottom
_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)
_MOST_CUT = 0.03
_SIGNATURE = 196  # bytes
_VARIATION = 0.35  # amplitude to that of the scene


def _resized(picture: Image.Image, factor: float, random: np.random.Generator) -> Image.Image:
    size = (round(picture.width * factor), round(picture.height * factor))
    return picture.resize(size, _FILTERS[random.integers(len(_FILTERS))])


def _cut(picture: Image.Image, cut: Cut) -> Image.Image:
    width, height = picture.size
    left, top, right, bottom = cut
    return picture.crop(
        (int(left * width), int(top * height), width - int(right * width), height - int(bottom * height))
    )


def _any_cut(random: np.random.Generator) -> Cut:
    left, top, right, bottom = random.uniform(0, _MOST_CUT, 4)
    return left, top, right, bottom


def _one_side(random: np.random.Generator) -> Cut:
    left, top, right, bottom = _MOST_CUT * np.eye(4)[random.integers(4)]
    return left, top, right, bottom


def _corner(random: np.random.Generator) -> Cut:
    left, top = _MOST_CUT * random.integers(0, 2, 2)
    return left, top, _MOST_CUT - left, _MOST_CUT - top


def _encoded(picture: Image.Image, kind: str, quality: int = 75) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, quality=quality)
    return stream.getvalue()


def _in_some_format(picture: Image.Image, random: np.random.Generator) -> bytes:
    return _encoded(picture, ("JPEG", "PNG", "WEBP")[random.integers(3)], int(random.integers(30, 96)))


Leak = Callable[[Image.Image, np.random.Generator], bytes]
KINDS: Mapping[str, Leak] = {
    "saved again as PNG": lambda picture, _: _encoded(picture, "PNG"),
    "saved again as JPEG, quality 95": lambda picture, _: _encoded(picture, "JPEG", 95),
    "JPEG, quality 30": lambda picture, _: _encoded(picture, "JPEG", 30),
    "WebP, quality 30": lambda picture, _: _encoded(picture, "WEBP", 30),
    "half the size": lambda picture, random: _encoded(_resized(picture, 0.5, random), "JPEG", 90),
    "double the size": lambda picture, random: _encoded(_resized(picture, 2.0, random), "JPEG", 90),
    "50 to 200 % of the size": lambda picture, random: _in_some_format(
        _resized(picture, random.uniform(0.5, 2.0), random), random
    ),
    "0 to 3 % cut off each side": lambda picture, random: _encoded(_cut(picture, _any_cut(random)), "JPEG", 90),
    "3 % cut off one side": lambda picture, random: _encoded(_cut(picture, _one_side(random)), "JPEG", 90),
    "3 % cut off two sides at a corner": lambda picture, random: _encoded(_cut(picture, _corner(random)), "JPEG", 90),
    "3 % cut off all sides": lambda picture, _: _encoded(_cut(picture, (_MOST_CUT,) * 4), "JPEG", 90),
    "cut, resized and saved in some format": lambda picture, random: _in_some_format(
        _resized(_cut(picture, _any_cut(random)), random.uniform(0.5, 2.0), random), random
    ),
    "corner cut, half the size, JPEG quality 30": lambda picture, random: _encoded(
        _resized(_cut(picture, _corner(random)), 0.5, random), "JPEG", 30
    ),
}


def plant(sources: Sequence[Path], place: Path, *, of_each: int, seed: int) -> list[tuple[str, int, Path]]:
    """Writes changed copies of photos.

    Returns:
        For each copy its kind, the number of the photo it was made from, and where it lies.
    """
    random = np.random.default_rng(seed)
    planted = []
    for number, (kind, leak) in enumerate(KINDS.items()):
        for source in random.choice(len(sources), min(of_each, len(sources)), replace=False).tolist():
            with Image.open(sources[source]) as picture:
                path = place / f"{number}-{source}"  # the content tells the format
                path.write_bytes(leak(picture.convert("RGB"), random))
            planted.append((kind, source, path))
    return planted


def _signatures(paths: Sequence[Path]) -> list[bytes]:
    from cnntrain.data.scanning.look_at import look_at_all

    with tempfile.TemporaryDirectory() as cache:
        os.environ["CNNTRAIN_CACHE_DIR"] = cache
        return [look.signature for look in look_at_all([str(path) for path in paths], max_pixels=50_000_000)]


def _report_found(sources: Sequence[Path], planted: Sequence[tuple[str, int, Path]]) -> None:
    """Prints for each kind how many copies are paired with their photo, and the pairs that nobody planted."""
    from cnntrain.data.scanning.similarity import near_pairs

    signatures = _signatures([*sources, *(path for _, _, path in planted)])
    origins = [*range(len(sources)), *(source for _, source, _ in planted)]
    found = dict.fromkeys(KINDS, 0)
    for source, (kind, origin, _) in enumerate(planted, start=len(sources)):
        found[kind] += bool(near_pairs([signatures[origin], signatures[source]]))
    rows = [(kind, float(count), f"of {sum(kind == each for each, _, _ in planted)}") for kind, count in found.items()]
    others = {(origins[i], origins[j]) for i, j in near_pairs(signatures)}
    others = {(min(pair), max(pair)) for pair in others if pair[0] != pair[1]}
    show(f"found of the copies planted among {len(sources)} photos", rows)
    print(f"  pairs that nobody planted: {len(others)}")
    for one, other in sorted(others):
        print(f"    {sources[one].name}  {sources[other].name}")


def _search_seconds(signatures: Sequence[bytes]) -> float:
    from cnntrain.data.scanning.similarity import near_pairs

    start = time.perf_counter()
    near_pairs(signatures)
    return time.perf_counter() - start


def _searching(make: Callable[[int], list[bytes]], count: int) -> Side:
    return lambda: _search_seconds(make(count))


def _unlike(count: int) -> list[bytes]:
    """Random signatures: pictures that have nothing in common, as photos."""
    noise = np.random.default_rng(1).normal(0, 40, (count, _SIGNATURE)).clip(-127, 127).astype(np.int8)
    return [row.tobytes() for row in noise]


def _one_scene(count: int) -> list[bytes]:
    """Signatures of pictures of one scene with variation: all are coarsely alike, none are near-duplicates."""
    from cnntrain.data.scanning.similarity import signature

    random = np.random.default_rng(2)
    radius = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64))
    radius[0, 0] = np.inf

    def field() -> NDArray[np.float64]:
        waves = np.fft.irfft2(np.fft.rfft2(random.normal(size=(64, 64))) / radius, s=(64, 64))
        return np.asarray(waves / waves.std())

    scene = field()
    grays = (np.clip(128 + 40 * (scene + _VARIATION * field()), 0, 255) for _ in range(count))
    return [signature(gray.astype(np.uint8)) for gray in grays]


def _signature_microseconds() -> float:
    from cnntrain.data.scanning.similarity import signature

    gray = np.random.default_rng(1).integers(0, 256, (45, 45), np.uint8)
    start = time.perf_counter()
    for _ in range(5_000):
        signature(gray)
    return (time.perf_counter() - start) / 5_000 * 1e6


def main() -> None:
    parser = options(__doc__, rounds=1)
    parser.add_argument("--photos", type=Path, help="a folder of JPEG files instead of the usual ones")
    parser.add_argument("--of-each", type=int, default=100, help="copies of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--counts", type=int, nargs="*", default=[4_000, 25_000], help="numbers of pictures to time")
    given = parser.parse_args()
    results = results_of("near_duplicates", given)
    prepare("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "planted"
        place.mkdir()
        folder = given.photos or photos(Path(scratch), train=2000)
        sources = sorted(folder.rglob("*.jpg"))
        _report_found(sources, plant(sources, place, of_each=given.of_each, seed=given.seed))
    sets = {"pictures of all kinds": _unlike, "pictures of one scene": _one_scene}
    sides: dict[str, Side] = {
        f"search among {count} {kind}": _searching(make, count) for count in given.counts for kind, make in sets.items()
    }
    rounds = alternate(results, {"a signature": _signature_microseconds, **sides}, given.rounds)
    rows = [(name, median(rounds, name), "s") for name in sides]
    show("time", [("a signature", median(rounds, "a signature"), "µs"), *rows], results=results)


if __name__ == "__main__":
    main()
