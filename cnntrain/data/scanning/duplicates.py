"""Which pictures are the same, to the byte or to the eye."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cnntrain.data.rules import rules
from cnntrain.data.scanning.look import Look
from cnntrain.data.scanning.similarity import near_pairs, sets_of
from cnntrain.errors import WriteError
from cnntrain.files import cache_folder, write_json

_MANY = 5000  # pictures; fewer are compared in a moment
_MOST_SEARCHES = 20  # that are remembered
_MODULES, _LIBRARIES = ("scanning/similarity.py", "scanning/duplicates.py"), ("numpy",)

Sets = tuple[tuple[int, ...], ...]  # indices of pictures, each set sorted and of two at least


def copies_among(checksums: Sequence[str]) -> Sets:
    """Sets of byte-identical files.

    Args:
        checksums: SHA-256 of each file; empty ones equal nothing.
    """
    found: dict[str, list[int]] = defaultdict(list)
    for index, checksum in enumerate(checksums):
        found[checksum].append(index)
    return tuple(tuple(same) for checksum, same in found.items() if checksum and len(same) > 1)


def all_sets(copies: Sets, alike: Sets) -> Sets:
    """Sets of pictures that are the same, near-duplicates or copies, no picture in two of them.

    Args:
        copies: As `copies_among` gives them.
        alike: As `alike_among` gives them; they have the copies of their pictures in them.
    """
    inside = {index for members in alike for index in members}
    return (*alike, *(members for members in copies if members[0] not in inside))


def alike_among(looks: Sequence[Look]) -> Sets:
    """Sets of pictures that are near-duplicates of one another: the same picture, but not all the same bytes.

    Chains count: what is like a picture that is like a third one is in its set. Byte-identical files are in the set of
    any of them; sets of nothing else are left out. The answer for many pictures, which takes seconds to minutes, is
    remembered in the cache folder, under a hash of all that it depends on.
    """
    if len(looks) < _MANY:
        return _searched(looks)
    remembered = Path("alike", f"{_key(looks)}.json")
    found = _remembered(remembered, len(looks))
    if found is None:
        found = _searched(looks)
        with suppress(WriteError, OSError):
            write_json(cache_folder() / remembered, {"format": 1, "sets": found})
            _forget_oldest(cache_folder() / remembered.parent)
    return found


def _key(looks: Sequence[Look]) -> str:
    digest = hashlib.sha256(rules(_MODULES, _LIBRARIES).encode())
    for look in looks:
        digest.update(f"{look.sha256} {look.signature.hex()}\n".encode())
    return digest.hexdigest()


def _remembered(name: Path, count: int) -> Sets | None:
    """What an earlier search among `count` pictures has found; None without one, or where it cannot be so."""
    try:
        read = json.loads((cache_folder() / name).read_text(encoding="utf-8"))
        found = tuple(tuple(members) for members in read["sets"])
    except (OSError, WriteError, ValueError, TypeError, KeyError, RecursionError):
        return None
    flat = [index for members in found for index in members]
    if not all(type(index) is int and 0 <= index < count for index in flat) or len(set(flat)) < len(flat):
        return None
    return found if all(len(members) > 1 and list(members) == sorted(members) for members in found) else None


def _forget_oldest(folder: Path) -> None:
    """Removes all but the newest searches. Raises OSError."""
    searches = sorted(folder.glob("[!.]*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in searches[_MOST_SEARCHES:]:
        path.unlink(missing_ok=True)


def _searched(looks: Sequence[Look]) -> Sets:
    first: dict[str, int] = {}
    for index, look in enumerate(looks):
        first.setdefault(look.sha256, index)
    contents = [index for checksum, index in first.items() if checksum]
    pairs = near_pairs([looks[index].signature for index in contents])
    copies = [(first[look.sha256], index) for index, look in enumerate(looks) if first[look.sha256] != index]
    chained = sets_of(len(looks), [*((contents[i], contents[j]) for i, j in pairs), *copies])
    return tuple(found for found in chained if len({looks[index].sha256 for index in found}) > 1)
