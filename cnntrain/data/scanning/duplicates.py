"""Which pictures are the same, to the byte or to the eye."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cnntrain.data.scanning.look import Look
from cnntrain.data.scanning.remembered import FORMAT
from cnntrain.data.scanning.similarity import near_pairs, sets_of
from cnntrain.errors import WriteError
from cnntrain.files import cache_folder, write_json

_MANY = 5000  # pictures; fewer are compared in a moment

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


def alike_among(looks: Sequence[Look]) -> Sets:
    """Sets of pictures that are near-duplicates of one another: the same picture, but not all the same bytes.

    Chains count: what is like a picture that is like a third one is in its set. Byte-identical files are in the set of
    any of them; sets of nothing else are left out. The answer for many pictures, which takes seconds to minutes, is
    remembered in the cache folder.
    """
    if len(looks) < _MANY:
        return _searched(looks)
    contents = hashlib.sha256("".join(f"{look.sha256} " for look in looks).encode()).hexdigest()
    remembered = Path("alike", f"{FORMAT}_{contents}.json")
    try:
        found = json.loads((cache_folder() / remembered).read_text(encoding="utf-8"))
        return tuple(tuple(members) for members in found)
    except (OSError, WriteError, ValueError, TypeError):
        found = _searched(looks)
    with suppress(WriteError):
        write_json(cache_folder() / remembered, found)
    return found


def _searched(looks: Sequence[Look]) -> Sets:
    first: dict[str, int] = {}
    for index, look in enumerate(looks):
        first.setdefault(look.sha256, index)
    contents = [index for checksum, index in first.items() if checksum]
    pairs = near_pairs([looks[index].signature for index in contents])
    copies = [(first[look.sha256], index) for index, look in enumerate(looks) if first[look.sha256] != index]
    chained = sets_of(len(looks), [*((contents[i], contents[j]) for i, j in pairs), *copies])
    return tuple(found for found in chained if len({looks[index].sha256 for index in found}) > 1)
