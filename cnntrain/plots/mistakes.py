"""The most confidently wrong pictures as a grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnntrain.plots import style

_COLUMNS = 5
_WIDTH = 1.75  # inches of a cell
_WRITTEN = 0.62  # inches above a picture
_SHAPES = (0.4, 2.0)  # height of a cell's picture by its width
_SMALL = 100  # pixels: below that single pixels are shown as squares
_NAME = 24  # columns of letters of 6.5 points
_CLASS = 11  # of 8 points, twice on a line


@dataclass(frozen=True, slots=True)
class Mistake:
    """A picture that a model takes for something else.

    Args:
        picture: uint8 array of shape (height, width, 1 or 3).
        truth: Name of its class.
        predicted: Name of what it is taken for.
        confidence: Probability of that.
        name: Of its file.
    """

    picture: NDArray[np.uint8]
    truth: str
    predicted: str
    confidence: float
    name: str


@style.look()
def draw_mistakes(mistakes: Sequence[Mistake]) -> Figure:
    """Draws pictures in rows of five; above each its class, what it is taken for, how confidently, and its name.

    Args:
        mistakes: At least one, in the order they are shown in.
    """
    columns = min(_COLUMNS, len(mistakes))
    rows = math.ceil(len(mistakes) / columns)
    shape = float(np.clip(max(each.picture.shape[0] / each.picture.shape[1] for each in mistakes), *_SHAPES))
    figure = Figure(figsize=(columns * _WIDTH, rows * (_WIDTH * shape + _WRITTEN)), layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, mistake in zip(grid.flat, mistakes, strict=False):
        _draw(axes, mistake)
    style.settle_texts(figure)
    return figure


def _draw(axes: Axes, mistake: Mistake) -> None:
    gray = mistake.picture.shape[2] == 1
    shown = mistake.picture[..., 0] if gray else mistake.picture
    smooth = min(shown.shape[:2]) >= _SMALL
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="antialiased" if smooth else "nearest")
    names = [_fitted(name, _CLASS) for name in (mistake.truth, mistake.predicted)]
    axes.set_title(f"is {names[0]}\nsaid {names[1]} {mistake.confidence:.4f}", fontsize=8.0, pad=13)
    axes.text(
        0.5, 1.02, _fitted(mistake.name, _NAME), transform=axes.transAxes, ha="center", va="bottom", fontsize=6.5,
        color=style.MUTED,
    )  # fmt: skip


def _fitted(name: str, width: int) -> str:
    """A name of at most so many columns."""
    longest = width
    while style.columns(style.shorten(name, longest)) > width and longest > 2:
        longest -= 1
    return style.shorten(name, longest)
