"""The class of a picture, told by its folder, by its name or by a pattern."""

import re
from collections.abc import Iterable, Sequence

from cnntrain.data.sources.walking import Parts, is_junk, nfc
from cnntrain.errors import DataError, UsageError

# Letters, maybe several words, then a number in one of the three usual ways. The number tells where the class ends.
_WORDS = r"(?P<label>[^\W\d_]+(?:[ _-][^\W\d_]+)*)"
_NUMBERED = tuple(re.compile(_WORDS + number) for number in (r"_\d+", r"-\d+", r" ?\(\d+\)"))
_DEVICE_NAMES = re.compile(  # what cameras, phones and programs begin file names with
    r"dcim|downloads?|dsc[fn]?|file|frame|gopr|images?|img|mvi|photos?|pic(ture)?s?|pxl|sam|scan|screenshot|unnamed|"
    r"untitled|video|wp",
    re.IGNORECASE,
)
_UNFIT = re.compile(r"^\.|[/\\\x00-\x1f\x7f\ud800-\udfff]")


def labels_below(paths: Sequence[Parts]) -> list[str]:
    """The class of each picture by its top folder, or, where there are no folders at all, by its name.

    Args:
        paths: Relative to the folder that holds the class folders or the pictures.

    Returns:
        Labels in Unicode's form NFC; an empty one where nothing tells the class.
    """
    if any(len(parts) > 1 for parts in paths):
        return [nfc(parts[0]) if len(parts) > 1 else "" for parts in paths]
    return _labels_from_names([parts[0] for parts in paths])


def _labels_from_names(names: Sequence[str]) -> list[str]:
    """Of `CLASS.NUMBER.jpg`, or where all names are of one kind, `CLASS_1.jpg`, `CLASS-1.jpg` or `CLASS (1).jpg`."""
    if all(name.count(".") >= 2 for name in names):
        return [nfc(name.partition(".")[0]) for name in names]
    stems = [nfc(name.rpartition(".")[0] or name) for name in names]
    for pattern in _NUMBERED:
        labels = [found["label"] for stem in stems if (found := pattern.fullmatch(stem))]
        if len(labels) == len(stems) and not any(map(_DEVICE_NAMES.fullmatch, labels)):
            return labels
    return [""] * len(names)


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern that finds classes in paths.

    Raises:
        UsageError: It is no regular expression, or has no group.
    """
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--label-regex takes a regular expression; got: {pattern} ({error})") from error
    if not found.groups:
        raise UsageError(f"--label-regex needs parentheses around the class, as in ^([a-z]+)_; got: {pattern}")
    return found


def labels_by_pattern(paths: Iterable[Parts], pattern: re.Pattern[str]) -> list[str]:
    """What the group named `label`, or else the first group, captures in each path; empty where it does not match."""
    group = "label" if "label" in pattern.groupindex else 1
    found = [pattern.search(nfc("/".join(parts))) for parts in paths]
    return [match[group] or "" if match else "" for match in found]


def check_labels(labels: Iterable[str], name: str) -> None:
    """Makes sure that every label can be a folder of its own; empty ones are passed over. Raises DataError."""
    seen: dict[str, str] = {}
    for label in sorted(set(labels)):
        if _UNFIT.search(label):
            raise DataError(
                f"{name} has the class {label!a}; classes are named like folders: no dot in front, no slashes, "
                "no line breaks; rename it"
            )
        if is_junk(label):
            raise DataError(
                f"{name} has the class {label}, which is what operating systems call their own leavings; rename it"
            )
        other = seen.setdefault(label.casefold(), label)
        if other != label:
            raise DataError(
                f"{name} has the classes {other} and {label}, which are one folder on file systems that ignore "
                "capital letters; give them one name, or two that differ more"
            )
