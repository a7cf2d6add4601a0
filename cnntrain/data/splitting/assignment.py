"""Which picture goes to which part: stratified, the same on every machine, and no group on two sides."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise

from cnntrain.data.examples import SPLITS, Example
from cnntrain.data.scanning.similarity import sets_of
from cnntrain.data.sources import nfc
from cnntrain.data.splitting.packing import packed
from cnntrain.data.splitting.sizes import Sizes, check_sizes, largest_remainder, sizes_by_counts, sizes_by_ratios
from cnntrain.errors import DataError

Group = Sequence[int]  # positions of examples
_OUT = -1  # in no part; parts are 0, 1, 2


def assign(
    examples: Sequence[Example],
    *,
    groups: Sequence[Group] = (),
    counts: Mapping[str, int] | None = None,
    ratios: Sequence[float] | None = None,
    seed: int,
) -> tuple[str, ...]:
    """Assigns pictures to train, validation and test, each class for itself (stratified).

    Within a class pictures are ordered by the SHA-256 of "seed:path" (path in NFC); the first go to train, the next to
    validation, then to test. There is no random generator: the result depends on seed, paths, labels and groups alone.

    Where groups lie in several parts after that, they are placed anew, the largest first: into the part of their first
    picture if there is room, else into the part with the largest share of room left. If no part has room, the one that
    becomes too large by the least takes it; with counts the group is left out, but for as many of it in one part as the
    other pictures are too few. These fill what room is left, in the order above. Classes that miss their sizes then are
    placed once more, after a search for places that meet all sizes (see `packed`). So sizes are exact where groups let
    them, unless groups are so many and other pictures so few that the search is given up.

    Args:
        examples: Pictures with a path relative to their source, in any order.
        groups: Positions of pictures that must be in one part; no position is in two groups.
        counts: Pictures a class of each part; a part that is absent gets none.
        ratios: Shares of train, validation and test, which sum to 1. Every picture is used; what is left over after
            rounding down goes to the parts with the largest remainders, of equal ones to the earlier.
        seed: Any integer.

    Returns:
        `train`, `validation` or `test` for each example, or nothing for those that are in no part.

    Raises:
        UsageError: Not exactly one of `counts` and `ratios` is given, they are impossible, or train gets nothing.
        DataError: A class has too few pictures, or groups leave a part without any.
    """
    check_sizes(counts, ratios)
    labels = [example.label for example in examples]
    have = dict(sorted(Counter(labels).items()))
    sizes = sizes_by_counts(have, counts) if counts is not None else sizes_by_ratios(have, ratios or ())
    ranks = [_rank(seed, example.path) for example in examples]
    order = sorted(range(len(examples)), key=lambda index: (ranks[index], examples[index].path))
    desk = _Desk(labels, order, sizes, [_OUT] * len(labels), {label: list(size) for label, size in sizes.items()})
    _fill(desk, order)
    if any(len({desk.places[index] for index in group} - {_OUT}) > 1 for group in groups):
        sorted_groups = [_by_path(group, examples) for group in groups]
        plain, desk = desk, _placed_anew(desk, sorted_groups, use_all=counts is None)
        _meet_sizes(desk, plain, sorted_groups)
        _demand_no_empty_part(desk)
    return tuple("" if place == _OUT else SPLITS[place] for place in desk.places)


def _rank(seed: int, path: str) -> bytes:
    return hashlib.sha256(f"{seed}:{nfc(path)}".encode()).digest()


def _by_path(group: Group, examples: Sequence[Example]) -> list[int]:
    return sorted(group, key=lambda index: (nfc(examples[index].path), examples[index].path))


@dataclass(frozen=True)
class _Desk:
    """What is being worked on.

    Args:
        labels: Of each picture.
        order: Positions of all pictures in the order of their ranks.
        sizes: What each class should have in each part.
        places: The part of each picture so far.
        room: What each class still lacks in each part; negative where it has too many.
    """

    labels: Sequence[str]
    order: Sequence[int]
    sizes: Mapping[str, Sizes]
    places: list[int]
    room: Mapping[str, list[int]]

    def put(self, index: int, part: int) -> None:
        """Moves a picture."""
        room = self.room[self.labels[index]]
        if self.places[index] != _OUT:
            room[self.places[index]] += 1
        room[part] -= 1
        self.places[index] = part

    def clear(self, labels: Collection[str]) -> None:
        """Takes all pictures of some classes out again."""
        for index, label in enumerate(self.labels):
            if label in labels:
                self.places[index] = _OUT
        for label in labels:
            self.room[label][:] = self.sizes[label]

    @property
    def asked(self) -> tuple[int, ...]:
        """The parts that are to hold pictures; they are the same for every class."""
        return tuple(part for part, size in enumerate(next(iter(self.sizes.values()))) if size)


def _fill(desk: _Desk, free: Iterable[int]) -> None:
    """Gives the room that is left to pictures without a group; where they are too few, in proportion to the room."""
    waiting: dict[str, list[int]] = {label: [] for label in desk.sizes}
    for index in free:
        waiting[desk.labels[index]].append(index)
    for label, indices in waiting.items():
        numbers: Sequence[int] = [max(0, number) for number in desk.room[label]]
        if sum(numbers) > len(indices):
            numbers = largest_remainder(len(indices), numbers)
        following = iter(indices)
        for part, number in enumerate(numbers):
            for index in islice(following, number):
                desk.put(index, part)


def _placed_anew(plain: _Desk, groups: Sequence[Group], *, use_all: bool) -> _Desk:
    """Everything again, the groups first. `use_all` is whether every picture must be in a part."""
    room = {label: list(size) for label, size in plain.sizes.items()}
    desk = _Desk(plain.labels, plain.order, plain.sizes, [_OUT] * len(plain.places), room)
    position = {index: number for number, index in enumerate(plain.order)}
    used = {group[0]: [index for index in group if plain.places[index] != _OUT] for group in groups}
    by_size = sorted(groups, key=lambda group: (-len(used[group[0]]), position[group[0]]))
    for group in by_size:
        members = used[group[0]]
        part = _part_for(desk, members, plain.places[members[0]], use_all=use_all) if members else _OUT
        for index in members if part != _OUT else ():
            desk.put(index, part)
    grouped = set(chain.from_iterable(groups))
    singles = [index for index in plain.order if index not in grouped]
    if not use_all:
        _make_up_for_few(desk, Counter(desk.labels[index] for index in singles), by_size)
    _fill(desk, singles)
    if use_all:
        _fill_empty_parts(desk, [*([index] for index in singles), *reversed(by_size)])
    return desk


def _part_for(desk: _Desk, members: Group, wanted: int, *, use_all: bool) -> int:
    """Where a group goes: the wanted part, another with room, the one that it hurts least, or none."""
    need = Counter(desk.labels[index] for index in members)

    def overshoot(part: int) -> int:
        return sum(max(0, number - desk.room[label][part]) for label, number in need.items())

    def share_left(part: int) -> float:
        return sum(desk.room[label][part] for label in need) / sum(desk.sizes[label][part] for label in need)

    fitting = [part for part in desk.asked if overshoot(part) == 0]
    if wanted in fitting:
        return wanted
    if fitting:
        return max(fitting, key=share_left)  # of equal ones the earlier
    return min(desk.asked, key=overshoot) if use_all else _OUT


def _make_up_for_few(desk: _Desk, singles: Mapping[str, int], groups: Sequence[Group]) -> None:
    """Uses as many more pictures of groups as the others are too few, of each group in one part."""
    lack = {label: sum(room) - singles[label] for label, room in desk.room.items()}
    for group in groups:
        waiting = [index for index in group if desk.places[index] == _OUT]
        need = Counter(desk.labels[index] for index in waiting)
        homes = {desk.places[index] for index in group} - {_OUT} or set(desk.asked)
        home = max(sorted(homes), key=lambda part: sum(min(desk.room[label][part], need[label]) for label in need))
        for index in waiting:
            label = desk.labels[index]
            if lack[label] > 0 and desk.room[label][home] > 0:
                desk.put(index, home)
                lack[label] -= 1


def _fill_empty_parts(desk: _Desk, units: Iterable[Group]) -> None:
    """Where a class has nothing in a part, moves the first unit there that can be spared where it is."""
    held = Counter((desk.labels[index], place) for index, place in enumerate(desk.places))
    empty = [(label, part) for label in desk.sizes for part in desk.asked if not held[label, part]]
    if not empty:
        return
    needs = [(unit, Counter(desk.labels[index] for index in unit)) for unit in units]
    for label, part in empty:
        for unit, need in needs:
            origin = desk.places[unit[0]]
            if need[label] and not held[label, part] and all(held[name, origin] > need[name] for name in need):
                for index in unit:
                    desk.put(index, part)
                held.update({(name, part): number for name, number in need.items()})
                held.subtract({(name, origin): number for name, number in need.items()})


def _meet_sizes(desk: _Desk, plain: _Desk, groups: Sequence[Group]) -> None:
    """Places the classes that miss their sizes once more, where a search finds how they can be met."""
    have = Counter(desk.labels)
    rank = {index: number for number, index in enumerate(desk.order)}
    by_size = sorted(groups, key=lambda group: (-len(group), rank[group[0]]))
    needs = [Counter(desk.labels[index] for index in group) for group in by_size]
    grouped = set(chain.from_iterable(groups))
    for linked in _linked(desk.sizes, needs):
        mine = [number for number, need in enumerate(needs) if linked & need.keys()]
        if not mine or not any(any(desk.room[label]) for label in linked):
            continue
        parts = packed(
            [needs[number] for number in mine],
            {label: desk.sizes[label] for label in sorted(linked)},
            {label: have[label] - sum(desk.sizes[label]) for label in linked},
            wanted=[_first_part(plain, by_size[number]) for number in mine],
        )
        if parts is None:
            continue
        desk.clear(linked)
        for number, part in zip(mine, parts, strict=True):
            for index in by_size[number]:
                if desk.room[desk.labels[index]][part]:
                    desk.put(index, part)
        _fill(desk, [index for index in desk.order if desk.labels[index] in linked and index not in grouped])


def _first_part(plain: _Desk, group: Group) -> int:
    """Where the first picture of a group lies that is in a part."""
    return next((plain.places[index] for index in group if plain.places[index] != _OUT), 0)


def _linked(labels: Iterable[str], needs: Iterable[Iterable[str]]) -> Iterator[set[str]]:
    """Sets of classes that share groups, directly or through others; most classes are alone."""
    names = list(labels)
    number = {label: position for position, label in enumerate(names)}
    pairs = {(number[one], number[other]) for need in needs for one, other in pairwise(sorted(need))}
    sets = sets_of(len(names), sorted(pairs))
    alone = set(range(len(names))) - set(chain.from_iterable(sets))
    yield from ({names[position] for position in members} for members in [*sets, *([each] for each in sorted(alone))])


def _demand_no_empty_part(desk: _Desk) -> None:
    held = set(zip(desk.labels, desk.places, strict=True))
    empty = [f"{label} in {SPLITS[part]}" for label in desk.sizes for part in desk.asked if (label, part) not in held]
    if empty:
        raise DataError(
            f"groups and duplicates, which stay on one side, leave nothing for {', '.join(empty)}; "
            "ask for other sizes or fewer parts, or for smaller groups"
        )
