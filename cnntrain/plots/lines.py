"""Curves of classes in a square of shares, with their areas in the legend."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from cnntrain.plots import style

Curve = tuple[str, float, NDArray[np.float64], NDArray[np.float64]]
"""Name, area, and the points: two arrays of one shape from 0 to 1."""

_LONGEST = 24  # letters of a name
_STYLES = [(color, dashes) for dashes, color in product(("-", (0, (4, 1.5))), style.COLORS[:-1])]
_SIDE = 4.2  # inches
_LETTER = 0.085  # inches, the width of a letter
_MARGIN = 0.02  # so that lines on the border are seen whole


def draw_square(curves: Sequence[Curve], *, x_label: str, y_label: str, area: str, stepped: bool = False) -> Figure:
    """Draws curves; where there are several, the first is their mean and drawn in black.

    Args:
        curves: At least one, at most twelve and their mean.
        x_label: What goes to the right.
        y_label: What goes up.
        area: What the number after each name is.
        stepped: Whether the value between two points is that of the right one, instead of on a line between them.
    """
    labels = [f"{style.shorten(name, _LONGEST)}  {value:.4f}" for name, value, *_ in curves]
    widest = max(map(style.columns, [area, *labels])) * _LETTER
    is_alone = len(curves) == 1
    figure = Figure(figsize=(_SIDE + (0.8 if is_alone else 1.6 + widest), _SIDE + 0.7), layout="compressed")
    axes = figure.add_subplot()
    for label, ((*_, x, y), (color, dashes), width) in zip(labels, _styled(curves), strict=True):
        way = "steps-pre" if stepped else "default"
        axes.plot(x, y, color=color, linestyle=dashes, linewidth=width, label=label, drawstyle=way, zorder=2 + width)
    _set_square(axes)
    axes.set(xlabel=x_label, ylabel=y_label)
    if is_alone:
        axes.legend(title=area, alignment="left", loc="lower center")
    else:
        figure.legend(title=area, alignment="left", loc="outside right upper")
    return figure


def _styled(curves: Sequence[Curve]) -> list[tuple[Curve, tuple[str, object], float]]:
    """Each curve with its colour, dashes and width."""
    if len(curves) == 1:
        return [(curves[0], (style.COLORS[0], "-"), 1.8)]
    mean = (curves[0], (style.COLORS[-1], "-"), 2.4)
    return [mean, *((curve, look, 1.3) for curve, look in zip(curves[1:], _STYLES, strict=False))]


def _set_square(axes: Axes) -> None:
    axes.set(xlim=(-_MARGIN, 1 + _MARGIN), ylim=(-_MARGIN, 1 + _MARGIN), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
