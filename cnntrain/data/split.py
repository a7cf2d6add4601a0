"""Splits pictures into training, validation and test, the same way on every machine."""

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from cnntrain.data.archives import extract_zip
from cnntrain.data.examples import SPLITS, Example, class_names, in_split, manifest_text
from cnntrain.data.sources import MANIFEST, find_examples, is_folder, nfc
from cnntrain.errors import DataError, UsageError, WriteError
from cnntrain.files import new_folder, sha256, write_text

DEFAULT_RATIOS = (0.8, 0.1, 0.1)
METHODS = ("copy", "hardlink", "symlink")

_PLACE: Mapping[str, Callable[[Path, Path], object]] = {
    "copy": shutil.copyfile,
    "hardlink": os.link,
    "symlink": os.symlink,
    "move": os.replace,
}
_MANIFEST_COLUMNS = {"path", "label", "split", "sha256", "source"}


@dataclass(frozen=True)
class SplitResult:
    """What a split did.

    Args:
        dest: The folder that was written.
        counts: Pictures of each class in each of train, validation and test.
        seed: The seed it was done with.
        left_out: Pictures of the source that are in no part.
    """

    dest: Path
    counts: Mapping[str, Mapping[str, int]]
    seed: int
    left_out: int


def assign(
    examples: Sequence[Example],
    *,
    counts: Mapping[str, int] | None = None,
    ratios: Sequence[float] | None = None,
    seed: int,
) -> dict[str, tuple[Example, ...]]:
    """Assigns pictures to train, validation and test, each class for itself (stratified).

    Within a class pictures are ordered by the SHA-256 of "seed:path" (path in NFC); the first go to train, the next to
    validation, then to test. There is no random generator: the result depends on seed, paths and labels alone.

    Args:
        examples: Pictures with a path relative to their source, in any order.
        counts: Pictures a class of each part; a part that is absent gets none.
        ratios: Shares of train, validation and test, which sum to 1. Every picture is used; what is left over after
            rounding down goes to the parts with the largest remainders, of equal ones to the earlier.
        seed: Any integer.

    Returns:
        The examples of each of train, validation and test, with `split` set, sorted by path.

    Raises:
        UsageError: Not exactly one of `counts` and `ratios` is given, they are impossible, or train gets nothing.
        DataError: A class has too few pictures.
    """
    check_sizes(counts, ratios)
    members: dict[str, list[Example]] = {label: [] for label in class_names(examples)}
    for example in examples:
        members[example.label].append(example)
    have = {label: len(found) for label, found in members.items()}
    sizes = _by_counts(have, counts) if counts is not None else _by_ratios(have, ratios or ())
    parts: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for label, found in members.items():
        ordered = iter(sorted(found, key=lambda example: (_rank(seed, example.path), example.path)))
        for split, size in zip(SPLITS, sizes[label], strict=True):
            parts[split] += [replace(next(ordered), split=split) for _ in range(size)]
    return {
        split: tuple(sorted(chosen, key=lambda example: (nfc(example.path), example.path)))
        for split, chosen in parts.items()
    }


def check_sizes(counts: Mapping[str, int] | None, ratios: Sequence[float] | None) -> None:
    """Checks the sizes asked for, without looking at any picture. Raises UsageError."""
    if (counts is None) == (ratios is None):
        raise UsageError("a split takes either counts a class or ratios, not both; give one of them")
    if counts is not None:
        if unknown := sorted(set(counts) - set(SPLITS)):
            raise UsageError(f"a split has the parts {', '.join(SPLITS)}; got: {', '.join(unknown)}")
        if min(counts.values(), default=0) < 0:
            raise UsageError(f"counts cannot be negative; got: {_shown(counts)}")
        if counts.get("train", 0) == 0:
            raise UsageError(f"train needs at least one picture a class; got: {_shown(counts) or 'nothing'}")
    if ratios is not None:
        shown = ", ".join(map(str, ratios))
        if len(ratios) != len(SPLITS) or not all(0 <= ratio <= 1 for ratio in ratios) or abs(sum(ratios) - 1) > 1e-6:
            raise UsageError(f"ratios are three numbers from 0 to 1 that sum to 1, as 0.8, 0.1, 0.1; got: {shown}")
        if ratios[0] == 0:
            raise UsageError(f"train needs a ratio above 0; got: {shown}")


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {count}" for split, count in counts.items())


def _rank(seed: int, path: str) -> str:
    return hashlib.sha256(f"{seed}:{nfc(path)}".encode()).hexdigest()


def _by_counts(have: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The same sizes for each class, when each has enough."""
    sizes = tuple(counts.get(split, 0) for split in SPLITS)
    if short := [f"{label} has {number}" for label, number in have.items() if number < sum(sizes)]:
        raise DataError(
            f"too few pictures for {sum(sizes)} a class ({_shown(counts)}): {', '.join(short)}; ask for fewer"
        )
    return dict.fromkeys(have, sizes)


def _by_ratios(have: Mapping[str, int], ratios: Sequence[float]) -> dict[str, tuple[int, ...]]:
    """Sizes by largest remainder, a class at a time."""
    exact = [Fraction(repr(float(ratio))) for ratio in ratios]  # the decimal fraction that was typed
    sizes = {label: _largest_remainder(number, exact) for label, number in have.items()}
    short = [
        f"{label} has {have[label]} and would get none in {split}"
        for label, size in sizes.items()
        for split, got, share in zip(SPLITS, size, exact, strict=True)
        if share and not got
    ]
    if short:
        raise DataError(
            f"too few pictures for the ratios {', '.join(map(str, ratios))}: {', '.join(short)}; "
            "set the ratio of that part to 0 or add pictures"
        )
    return sizes


def _largest_remainder(number: int, shares: Sequence[Fraction]) -> tuple[int, ...]:
    """Whole numbers in proportion to `shares` that sum to `number` (the method of Hamilton)."""
    quotas = [number * share / sum(shares) for share in shares]
    sizes = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda part: sizes[part] - quotas[part])
    for part in by_remainder[: number - sum(sizes)]:
        sizes[part] += 1
    return tuple(sizes)


def split_source(
    source: Path,
    dest: Path,
    *,
    counts: Mapping[str, int] | None = None,
    ratios: Sequence[float] | None = None,
    seed: int = 1337,
    method: str = "copy",
    overwrite: bool = False,
) -> SplitResult:
    """Writes `dest/SPLIT/CLASS/NAME` and `dest/manifest.csv` from a folder or a zip; all of it appears or nothing.

    Args:
        source: A folder or a `.zip` of pictures, as `find_examples` takes them.
        dest: The folder to make.
        counts: Pictures a class of train, validation and test, as `assign` takes them.
        ratios: Shares instead of counts; when neither is given, 0.8, 0.1, 0.1.
        seed: Decides which picture goes where.
        method: `copy`, `hardlink` or `symlink` (absolute); a zip can only be copied.
        overwrite: Whether an earlier split at `dest` is replaced.

    Raises:
        UsageError: The arguments contradict each other, or one of `source` and `dest` lies inside the other.
        DataError: The source is missing, damaged, unfit (see `find_examples`) or too small.
        WriteError: `dest` exists and is not to be replaced, or cannot be written.
    """
    ratios = DEFAULT_RATIOS if counts is None and ratios is None else ratios
    check_sizes(counts, ratios)
    _check_method(source, method)
    _check_apart(source, dest)
    _check_free(dest, overwrite=overwrite)
    with _opened(source, dest) as folder:
        found = find_examples(folder, name=str(source))
        start = folder.as_posix() + "/"
        inside = [replace(example, path=example.path.removeprefix(start)) for example in found]
        parts = assign(inside, counts=counts, ratios=ratios, seed=seed)
        chosen = [example for split in SPLITS for example in parts[split]]
        names = _file_names(inside)
        with new_folder(dest, overwrite=overwrite) as made:
            place = "move" if _is_zip(source) else method
            rows = [_placed(example, folder, source, made, names[example.path], place) for example in chosen]
            write_text(made / MANIFEST, manifest_text(rows, [example.path for example in chosen]))
    return SplitResult(dest, _table(rows, class_names(found)), seed, len(found) - len(rows))


def _is_zip(source: Path) -> bool:
    return source.suffix.lower() == ".zip" and not is_folder(source)


def _check_method(source: Path, method: str) -> None:
    if method not in METHODS:
        raise UsageError(f"the method is one of {', '.join(METHODS)}; got: {method}")
    if _is_zip(source) and method != "copy":
        raise UsageError(f"a zip can only be copied; got: {method} for {source}; unpack it first, or use --method copy")


def _check_apart(source: Path, dest: Path) -> None:
    """A split inside its own source would find itself the next time; a source inside the split would be overwritten."""
    real_source, real_dest = Path(os.path.realpath(source)), Path(os.path.realpath(dest))  # resolve() dies of loops
    if real_dest.is_relative_to(real_source) or real_source.is_relative_to(real_dest):
        raise UsageError(f"source and destination lie inside each other: {source}, {dest}; choose another destination")


def _check_free(dest: Path, *, overwrite: bool) -> None:
    """What stands at `dest` is nothing, an empty folder, or an earlier split that may be replaced."""
    entries = _entries(dest)
    if not entries:
        return
    if not overwrite:
        raise WriteError(f"{dest} exists already; choose another place, or --overwrite if it is an earlier split")
    foreign = sorted(entries - {*SPLITS, MANIFEST})
    if foreign or not _is_manifest(dest / MANIFEST):
        reason = f"it holds {foreign[0]}" if foreign else f"it lacks the {MANIFEST} of one"
        raise WriteError(f"{dest} is not replaced, since it is not an earlier split: {reason}; choose another place")


def _entries(dest: Path) -> set[str]:
    """What stands at `dest`: the names in the folder, or that of the file."""
    try:
        if dest.is_dir():
            return {entry.name for entry in dest.iterdir()}
        return {dest.name} if dest.exists() else set()
    except OSError as error:
        raise WriteError(f"cannot write {dest}: {error.strerror or error}; choose another place") from error


def _is_manifest(path: Path) -> bool:
    """Whether the file begins like the manifest of a split."""
    try:
        with path.open(encoding="utf-8") as stream:
            return set(stream.readline().strip().split(",")) >= _MANIFEST_COLUMNS
    except (OSError, UnicodeDecodeError):
        return False


@contextmanager
def _opened(source: Path, dest: Path) -> Iterator[Path]:
    """The absolute folder with the pictures: the source, or for a while what its zip holds, unpacked beside `dest`."""
    if is_folder(source):
        yield source.resolve()
        return
    if not source.exists():
        raise DataError(f"there is no {source}; give a folder or a .zip with pictures")
    if not _is_zip(source):
        raise DataError(f"{source} is neither a folder nor a .zip; give one with pictures")
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        unpacked = Path(tempfile.mkdtemp(prefix=f".{dest.name}.zip.", dir=dest.parent))
    except OSError as error:
        raise WriteError(f"cannot write {dest}: {error.strerror or error}; choose another place") from error
    try:
        extract_zip(source, unpacked)
        yield unpacked.resolve()
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _file_names(examples: Iterable[Example]) -> dict[str, str]:
    """A name for each path that no other picture of its class has, not even on a file system that ignores case."""
    names: dict[str, str] = {}
    taken: set[tuple[str, str]] = set()
    copies: Counter[tuple[str, str]] = Counter()
    for example in examples:
        name = nfc(example.path.rpartition("/")[2])
        stem, dot, suffix = name.rpartition(".")
        key = first = (example.label, name.casefold())
        while key in taken:
            copies[first] += 1
            name = f"{stem}_{copies[first] + 1}{dot}{suffix}"
            key = (example.label, name.casefold())
        taken.add(key)
        names[example.path] = name
    return names


def _placed(example: Example, folder: Path, source: Path, made: Path, name: str, place: str) -> Example:
    """Puts one picture into the new folder and returns its row of the manifest."""
    original = folder / example.path
    path = f"{example.split}/{example.label}/{name}"
    digest = _digest(original, source / example.path)
    target = made / path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _PLACE[place](original.resolve() if original.is_symlink() else original, target)
    except OSError as error:
        if place in ("copy", "move"):
            raise
        reason = error.strerror or error
        raise WriteError(f"cannot {place} {source / example.path} to {path}: {reason}; use --method copy") from error
    return replace(example, path=path, sha256=digest)


def _digest(path: Path, shown: Path) -> str:
    """The checksum of a picture; `shown` is what a message calls it."""
    try:
        if not path.is_file():
            raise DataError(f"{shown} is not a readable file, maybe a broken link; take it out")
        return sha256(path)
    except OSError as error:
        raise DataError(f"cannot read {shown}: {error.strerror or error}; mend it or take it out") from error


def _table(rows: Sequence[Example], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Pictures of each class in each part."""
    counted = {split: Counter(row.label for row in in_split(rows, split)) for split in SPLITS}
    return {split: {label: counted[split][label] for label in labels} for split in SPLITS}
