"""What must stay on one side of a split: the user's groups and duplicates, merged where they meet."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from cnntrain.data.examples import Example
from cnntrain.data.scanning.duplicates import Sets
from cnntrain.data.scanning.similarity import sets_of
from cnntrain.data.sources import nfc
from cnntrain.errors import DataError, UsageError

_NAME_DIGITS = 12  # of a made-up group's name: one clash in a million data sets of 25,000 groups


def check_pattern(pattern: str | None) -> None:
    """Raises UsageError where a regular expression for groups is none."""
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise UsageError(f"--group-by takes a regular expression; got: {pattern} ({error})") from error


def user_groups(examples: Sequence[Example], pattern: str | None, *, source: str) -> tuple[str, ...]:
    """The group of each picture as the user sees it: what the pattern captures, or else the source's own column.

    Args:
        examples: Pictures with a path below their source.
        pattern: A regular expression, searched in the path; its first group counts, or all of the match.
        source: What messages call the source.

    Raises:
        DataError: A path does not match, or the group in it is empty.
    """
    if pattern is None:
        return tuple(example.group for example in examples)
    compiled = re.compile(pattern)
    return tuple(_captured(compiled, example.path, source) for example in examples)


def _captured(pattern: re.Pattern[str], path: str, source: str) -> str:
    found = pattern.search(nfc(path))
    if not found or not found[min(1, pattern.groups)]:
        raise DataError(f"--group-by {pattern.pattern} finds no group in {path} of {source}; every picture needs one")
    return found[min(1, pattern.groups)]


def merged(names: Sequence[str], duplicates: Iterable[Sequence[int]]) -> Sets:
    """Positions of pictures that belong together, by a group's name or as duplicates; sets of two at least.

    Args:
        names: The user's group of each picture, empty for none.
        duplicates: Positions of pictures that are the same.
    """
    named: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        if name:
            named[name].append(index)
    chains = [*named.values(), *duplicates]
    return tuple(sets_of(len(names), [pair for chain in chains for pair in pairwise(chain)]))


def group_names(examples: Sequence[Example], names: Sequence[str], groups: Sets) -> tuple[str, ...]:
    """What the manifest calls each picture's group; nothing for pictures that stand alone.

    A user's group keeps its name unless duplicates merged it with something else. Other groups are named after the
    SHA-256 of their first path, so that the same source gives the same names.
    """
    found = list(names)
    for group in groups:
        inside = {names[index] for index in group}
        name = inside.pop() if len(inside) == 1 else ""
        name = name or _name_of(min(nfc(examples[index].path) for index in group))
        for index in group:
            found[index] = name
    return tuple(found)


def _name_of(path: str) -> str:
    return "set-" + hashlib.sha256(path.encode()).hexdigest()[:_NAME_DIGITS]
