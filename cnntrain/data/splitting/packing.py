"""A search for places of groups that meet all sizes, for where taking one group after the other has failed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cnntrain.data.splitting.sizes import Sizes

STEPS = 20_000  # half a second

Room = tuple[tuple[int, ...], ...]  # what each class lacks in each part


@dataclass(frozen=True)
class _Node:
    """Some groups are placed.

    Args:
        room: What each class still lacks in each part.
        slack: How many more pictures of each class may find no room.
        count: How many groups are placed.
        part: The part of the last of them.
        before: The same without the last.
    """

    room: Room
    slack: tuple[int, ...]
    count: int = 0
    part: int = 0
    before: "_Node | None" = None

    @property
    def parts(self) -> list[int]:
        """The part of each group that is placed."""
        found, node = [], self
        while node.before:
            found.append(node.part)
            node = node.before
        return found[::-1]


def packed(
    needs: Sequence[Mapping[str, int]],
    sizes: Mapping[str, Sizes],
    slack: Mapping[str, int],
    *,
    wanted: Sequence[int],
    steps: int = STEPS,
) -> list[int] | None:
    """Finds a part for each group such that no more pictures of a class find no room in theirs than its slack.

    A depth-first search that goes on from the same room once only. It is complete where `steps` suffice.

    Args:
        needs: Pictures of each class in each group.
        sizes: What each class is to have in each part.
        slack: How many pictures of each class may find no room.
        wanted: The part that each group goes to, all else being equal.
        steps: How many groups may be placed on trial, besides one trial of each.

    Returns:
        The part of each group, or nothing where none were found.
    """
    room = tuple(tuple(size) for size in sizes.values())
    number = {label: position for position, label in enumerate(sizes)}
    numbered = [{number[label]: count for label, count in need.items()} for need in needs]
    waiting = [_Node(room, tuple(slack[label] for label in sizes))]
    seen: set[tuple[int, Room]] = set()
    for _ in range(steps + len(needs)):
        if not waiting:
            return None
        node = waiting.pop()
        if node.count == len(needs):
            return node.parts
        for following in _in_order(node, numbered[node.count], wanted[node.count], room):
            if (following.count, following.room) not in seen:
                seen.add((following.count, following.room))
                waiting.append(following)
    return None


def _in_order(node: _Node, need: Mapping[int, int], wanted: int, sizes: Room) -> list[_Node]:
    """What may come next, the best last: least without room, then the wanted part, then the largest share of room."""

    def goodness(following: _Node) -> tuple[int, bool, float]:
        part = following.part
        share = sum(node.room[label][part] for label in need) / max(1, sum(sizes[label][part] for label in need))
        return sum(following.slack), part == wanted, share

    return sorted(_following(node, need), key=goodness)


def _following(node: _Node, need: Mapping[int, int]) -> Iterator[_Node]:
    """The next group in each part where the slack allows it, in the earliest part last."""
    for part in reversed(range(len(node.room[0]))):
        room, slack = list(node.room), list(node.slack)
        for label, number in need.items():
            used = min(number, room[label][part])
            room[label] = (*room[label][:part], room[label][part] - used, *room[label][part + 1 :])
            slack[label] -= number - used
        if min(slack) >= 0:
            yield _Node(tuple(room), tuple(slack), node.count + 1, part, node)
