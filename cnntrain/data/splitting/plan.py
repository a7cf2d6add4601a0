"""Decides for every picture of a source: its part, its group and its fold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cnntrain.data.examples import SPLITS, Example, in_split
from cnntrain.data.scanning.duplicates import Sets
from cnntrain.data.sources import nfc
from cnntrain.data.splitting.assignment import assign
from cnntrain.data.splitting.contents import Contents
from cnntrain.data.splitting.folds import assign_folds
from cnntrain.data.splitting.groups import group_names, merged, user_groups
from cnntrain.data.splitting.wishes import Wishes
from cnntrain.data.wording import counted
from cnntrain.errors import DataError

_ANEW = "give sizes, as --ratios 0.8,0.1,0.1, to split it anew"


@dataclass(frozen=True)
class Plan:
    """What is to be done with the pictures of a source.

    Args:
        examples: All pictures but the dropped ones, with checksum, part, group and fold; the path is that below the
            source, the part empty for those that are left over.
        dropped: Positions of the pictures that are taken out, as duplicates.
    """

    examples: tuple[Example, ...]
    dropped: frozenset[int]


def make_plan(examples: Sequence[Example], contents: Contents, wishes: Wishes, *, is_split: bool, source: str) -> Plan:
    """Decides.

    Args:
        examples: The pictures of the source.
        contents: What is in their files.
        wishes: What was asked for.
        is_split: Whether the source is split already; without sizes its parts are kept.
        source: What messages call it.

    Raises:
        UsageError: See `assign`.
        DataError: A class has too few pictures, or groups leave a part without any; a path has no group; or duplicates
            or a group lie in two parts that are to be kept.
    """
    keeps_parts = is_split and not wishes.has_sizes
    drops = wishes.near_duplicates == "drop"
    dropped = frozenset(_to_drop(examples, contents.duplicates, keeps_parts=keeps_parts)) if drops else frozenset()
    kept = [index for index in range(len(examples)) if index not in dropped]
    rows = [examples[index] for index in kept]
    names = user_groups(rows, wishes.group_by, source=source)
    groups = merged(names, () if drops else contents.duplicates)
    if keeps_parts:
        _check_kept(examples, rows, source)
        if not drops:
            _demand_no_duplicates_across(rows, contents, source)
        _demand_whole_groups(rows, groups, source)
        splits: Sequence[str] = [row.split for row in rows]
    else:
        splits = assign(rows, groups=groups, counts=wishes.counts, ratios=wishes.ratios_or_default, seed=wishes.seed)
    called = group_names(rows, names, groups)
    old_folds = keeps_parts and wishes.folds is None
    placed = [
        replace(row, split=split, group=group, fold=row.fold if old_folds else "", sha256=contents.checksums[index])
        for index, row, split, group in zip(kept, rows, splits, called, strict=True)
    ]
    if wishes.folds:
        placed = list(_with_folds(placed, wishes.folds, wishes.seed, source))
    return Plan(tuple(placed), dropped)


def _to_drop(examples: Sequence[Example], duplicates: Sets, *, keeps_parts: bool) -> Iterator[int]:
    """All of each set but the first path, of a set with several labels all; of kept parts the last one's first path."""

    def rank(index: int) -> tuple[int, str]:
        part = SPLITS.index(examples[index].split) if keeps_parts else 0
        return -part, nfc(examples[index].path)

    for members in duplicates:
        in_order = sorted(members, key=rank)
        has_conflict = len({examples[index].label for index in members}) > 1
        yield from in_order if has_conflict else in_order[1:]


def _check_kept(before: Sequence[Example], after: Sequence[Example], source: str) -> None:
    """Taking duplicates out of parts that are kept must leave something of every class."""
    emptied = {(row.split, row.label) for row in before} - {(row.split, row.label) for row in after}
    if emptied:
        split, label = min(emptied)
        raise DataError(f"without duplicates {source} has no pictures of {label} in {split}; {_ANEW}")


def _demand_no_duplicates_across(rows: Sequence[Example], contents: Contents, source: str) -> None:
    """Parts that are kept share no duplicates."""
    if across := _across(rows, contents.duplicates):
        are_near = set(across) <= set(contents.alike)
        ignore = "leave them with --near-duplicates ignore, " if are_near else ""
        raise DataError(
            f"{_places(rows, across, 'duplicate set', source)}; "
            f"take them out of the earlier part with --near-duplicates drop, {ignore}or {_ANEW}"
        )


def _demand_whole_groups(rows: Sequence[Example], groups: Sets, source: str) -> None:
    """Parts that are kept share no groups."""
    if across := _across(rows, groups):
        raise DataError(f"{_places(rows, across, 'group', source)}; {_ANEW}")


def _across(rows: Sequence[Example], sets: Sets) -> Sets:
    """The sets that lie in more than one part."""
    return tuple(members for members in sets if len({rows[index].split for index in members}) > 1)


def _places(rows: Sequence[Example], across: Sets, what: str, source: str) -> str:
    """How many sets lie in several parts, and two pictures of the first."""
    first = rows[across[0][0]]
    other = next(rows[index] for index in across[0] if rows[index].split != first.split)
    verb = "lies" if len(across) == 1 else "lie"
    return f"{counted(len(across), what)} {verb} in several parts of {source}, such as {first.path} and {other.path}"


def _with_folds(rows: Sequence[Example], folds: int, seed: int, source: str) -> Iterator[Example]:
    """The same with the number of the fold for training pictures."""
    train = in_split(rows, "train")
    if in_split(rows, "validation"):
        raise DataError(
            f"with folds each of them is the validation part in turn, and {source} has validation pictures already; "
            "give sizes, as --ratios 0.9,0,0.1, to split it anew"
        )
    numbers = assign_folds(
        [row.label for row in train],
        [row.group for row in train],
        paths=[nfc(row.path) for row in train],
        folds=folds,
        seed=seed,
    )
    following = iter(numbers)
    for row in rows:
        yield replace(row, fold=str(next(following))) if row.split == "train" else row
