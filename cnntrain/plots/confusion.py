"""The confusion matrix as a picture: counts in the cells, coloured by the share of each true class."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from cnntrain.plots import style

_MOST_WITH_COUNTS = 25  # classes; with more, the counts could not be read
_DIGIT = 0.64  # width of a digit in DejaVu Sans, as a share of the font's size
_LETTER = 0.6  # width of a letter, likewise, on average
_POINTS = 72  # in an inch
_LINE = 0.12  # inches that a name in small print takes
_LARGEST = 14.0  # inches, side of the matrix of many classes
_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)


@style.look()
def draw_confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Draws a confusion matrix; the figure grows with the number of classes.

    A row of a class without pictures stays blank. Counts are written into the cells for up to 25 classes. Above 116
    classes the figure grows no more, and only every second, third, … class is named.

    Args:
        matrix: Whole-numbered counts of shape (C, C): row the true class, column the predicted one.
        classes: C names.

    Raises:
        ValueError: The shape does not fit the names.
    """
    count = len(classes)
    if not count or matrix.shape != (count, count):
        raise ValueError(f"the matrix must have the shape {(count, count)}, the number of names; has {matrix.shape}")
    names = [style.shorten(name, 28) for name in classes]
    cell, font_size = _cell_size(count), 10.0 if count <= _MOST_WITH_COUNTS else 6.5
    labels = max(map(style.columns, names)) * _LETTER * font_size / _POINTS
    figure = Figure(figsize=(count * cell + labels + 1.7, count * cell + labels + 0.8), layout="compressed")
    axes = figure.add_subplot()
    shares = _shares(matrix)
    _draw_cells(figure, axes, shares)
    _name_classes(axes, names, font_size=font_size, tilted=labels > cell)
    if count <= _MOST_WITH_COUNTS:
        _write_counts(axes, matrix, shares, cell)
    style.settle_texts(figure)
    return figure


def _cell_size(count: int) -> float:
    """Side of a cell in inches."""
    if count > _MOST_WITH_COUNTS:
        return min(_LINE, _LARGEST / count)
    return max(0.42, min(1.3, 4.6 / count))


def _shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row divided by its sum; not a number where that is zero."""
    sums = matrix.sum(axis=1, keepdims=True).astype(np.float64)
    shares = np.full(matrix.shape, np.nan)
    np.divide(matrix, sums, out=shares, where=sums > 0)
    return shares


def _draw_cells(figure: Figure, axes: Axes, shares: NDArray[np.float64]) -> None:
    """Colours the cells and says what the colours mean."""
    square_root = PowerNorm(0.5, vmin=0, vmax=1)  # or a class's few mistakes could not be seen
    image = axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", norm=square_root, interpolation="nearest")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    if len(shares) <= _MOST_WITH_COUNTS:
        borders = np.arange(1, len(shares)) - 0.5
        axes.hlines(borders, -0.5, len(shares) - 0.5, color="white", linewidth=1.0)
        axes.vlines(borders, -0.5, len(shares) - 0.5, color="white", linewidth=1.0)
    bar = figure.colorbar(image, ax=axes, ticks=_TICKS, format=PercentFormatter(1.0), aspect=30, pad=0.02)
    bar.minorticks_off()
    bar.set_label("share of the true class")
    bar.outline.set_edgecolor(style.MUTED)


def _name_classes(axes: Axes, names: Sequence[str], *, font_size: float, tilted: bool) -> None:
    """Writes the classes' names along both sides."""
    step = math.ceil(_LINE / _cell_size(len(names)))
    places = range(0, len(names), step)
    axes.set_yticks(places, names[::step], fontsize=font_size)
    axes.set_xticks(places, names[::step], fontsize=font_size)
    if tilted:
        turn = 90 if len(names) > _MOST_WITH_COUNTS else 40
        for label in axes.get_xticklabels():
            label.set(rotation=turn, rotation_mode="anchor", horizontalalignment="right")
            label.set_verticalalignment("center" if turn == 90 else "top")
    axes.tick_params(length=2)
    axes.set_ylabel("true class")
    axes.set_xlabel("predicted class")


def _write_counts(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64], cell: float) -> None:
    """Writes each count in a colour that stands out from its cell; a zero is muted."""
    digits = len(str(int(matrix.max())))
    font_size = min(12.0, 0.9 * cell * _POINTS / (_DIGIT * digits), 0.45 * cell * _POINTS)
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            axes.text(
                column,
                row,
                str(int(matrix[row, column])),
                color="white" if share > 0.3 else style.INK if share else "#B5B5B5",
                fontsize=font_size,
                horizontalalignment="center",
                verticalalignment="center",
            )
