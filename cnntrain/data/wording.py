"""Numbers and lists in sentences."""

from collections.abc import Sequence


def counted(count: int, unit: str) -> str:
    """`1 set`, `2 sets`."""
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def listed(names: Sequence[str], *, most: int) -> str:
    """The first names, and how many there are besides: `a, b and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
