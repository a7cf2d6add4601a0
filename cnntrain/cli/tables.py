"""Plain tables on a terminal or in a pipe."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines: the first column to the left, the others to the right; wide letters count two."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]

    def padding(cell: str, width: int) -> str:
        return " " * (width - cell_len(cell))

    lines = []
    for name, *cells in rows:
        right = [padding(cell, width) + cell for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([name + padding(name, widths[0]), *right]).rstrip())
    return "\n".join(lines)
