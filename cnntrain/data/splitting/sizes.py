"""How many pictures of each class each part of a split gets."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from cnntrain.data.examples import SPLITS
from cnntrain.errors import DataError, UsageError

Sizes = tuple[int, ...]  # pictures in each of train, validation and test


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


def sizes_by_counts(have: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, Sizes]:
    """The same sizes for each class, when each has enough.

    Args:
        have: Pictures of each class.
        counts: Pictures a class of each part; a part that is absent gets none.

    Raises:
        DataError: A class has too few pictures.
    """
    sizes = tuple(counts.get(split, 0) for split in SPLITS)
    if short := [f"{label} has {number}" for label, number in have.items() if number < sum(sizes)]:
        raise DataError(
            f"too few pictures for {sum(sizes)} a class ({_shown(counts)}): {', '.join(short)}; ask for fewer"
        )
    return dict.fromkeys(have, sizes)


def sizes_by_ratios(have: Mapping[str, int], ratios: Sequence[float]) -> dict[str, Sizes]:
    """Sizes by largest remainder, a class at a time; every picture is used.

    Args:
        have: Pictures of each class.
        ratios: Shares of train, validation and test, which sum to 1.

    Raises:
        DataError: A part with a share above 0 would get no picture of a class.
    """
    exact = [Fraction(repr(float(ratio))) for ratio in ratios]  # the decimal fraction that was typed
    sizes = {label: largest_remainder(number, exact) for label, number in have.items()}
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


def largest_remainder(number: int, shares: Sequence[Fraction | int]) -> Sizes:
    """Whole numbers in proportion to `shares` that sum to `number` (the method of Hamilton); equal: the earlier."""
    whole = Fraction(sum(shares))
    quotas = [number * share / whole for share in shares]
    sizes = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda part: sizes[part] - quotas[part])
    for part in by_remainder[: number - sum(sizes)]:
        sizes[part] += 1
    return tuple(sizes)
