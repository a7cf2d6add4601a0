"""Pictures that are in two parts of the data, so that a measurement would be of what was learnt by heart."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from cnntrain.data.examples import SPLITS, Example, in_split

Leak = tuple[Example, Example]


def shared(known: Iterable[Example], others: Iterable[Example]) -> tuple[Leak, ...]:
    """Pairs of a picture of `known` and one of `others` with the same bytes, one for each of `others` that has any.

    Pictures without a checksum are like no other.
    """
    by_checksum = {example.sha256: example for example in known if example.sha256}
    return tuple((by_checksum[other.sha256], other) for other in others if other.sha256 in by_checksum)


def leaks_between_splits(examples: Sequence[Example]) -> tuple[Leak, ...]:
    """Pairs of pictures with the same bytes in two splits, the earlier split first."""
    train, validation, test = (in_split(examples, split) for split in SPLITS)
    return (*shared(train, validation), *shared((*validation, *train), test))


def groups_across_splits(examples: Iterable[Example]) -> tuple[str, ...]:
    """Names of the groups that have pictures in more than one split, sorted."""
    splits: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        if example.group:
            splits[example.group].add(example.split)
    return tuple(sorted(group for group, found in splits.items() if len(found) > 1))


def described(leaks: Sequence[Leak]) -> str:
    """How many there are, and the first, in a phrase."""
    known, other = leaks[0]
    count = f"{len(leaks)} pictures are" if len(leaks) > 1 else "1 picture is"
    what = {"": "the data given", **{split: f"the {split} pictures" for split in SPLITS}}
    return (
        f"{count} in {what[known.split]} and in {what[other.split]} alike, "
        f"{other.path} (the same bytes as {known.path}) first"
    )
