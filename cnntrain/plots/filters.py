"""What excites the filters of a layer: a grid of up to 64 pictures."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnntrain.plots import style

GRID = 64
_MARGIN, _HEAD = 24, 76  # pixels around the grid, and above it
_GAP, _LABEL = 6, 20  # pixels between pictures, and above each for its number
_SMALLEST = 48  # pixels, side of a picture in the grid, so that its number has room
_NARROWEST = 480  # pixels, so that the title has room
_LETTER = 15.0  # pixels that a letter of the title takes
_SPREAD = 0.2  # of the range from black to white, standard deviation of a picture as it is shown


@style.look()
def draw_filters(
    layer: str, filters: Sequence[int], pictures: NDArray[np.floating], is_silent: Sequence[bool], *, count: int
) -> Figure:
    """Draws pictures side by side, at their own size, each under the number of its filter; a silent one is grey.

    Args:
        layer: Name of the layer.
        filters: Their numbers, 64 at the most.
        pictures: (filters, size, size, 1 or 3), 0 to 255; their contrast is stretched.
        is_silent: Which of them nothing excites.
        count: Filters that the layer has.
    """
    columns = min(8, len(filters))
    rows = math.ceil(len(filters) / columns)
    times = max(1, math.ceil(_SMALLEST / pictures.shape[1]))
    side = pictures.shape[1] * times
    step = side + _GAP
    width = max(columns * step - _GAP, _NARROWEST) + 2 * _MARGIN
    height = rows * (step + _LABEL) - _GAP + _HEAD + _MARGIN
    figure = Figure(figsize=(width / style.DPI, height / style.DPI), dpi=style.DPI)
    for place, (number, picture, silent) in enumerate(zip(filters, pictures, is_silent, strict=True)):
        left, top = _MARGIN + place % columns * step, _HEAD + place // columns * (step + _LABEL)
        axes = figure.add_axes((left / width, 1 - (top + _LABEL + side) / height, side / width, side / height))
        axes.imshow(_shown(picture, silent), interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        label = f"{number} silent" if silent else str(number)
        figure.text(left / width, 1 - (top + 2) / height, label, fontsize=6.0, color=style.MUTED, va="top")
    title = style.shorten(layer, int((width - 2 * _MARGIN) / _LETTER))
    figure.text(_MARGIN / width, 1 - 18 / height, title, fontsize=11.0, va="top")
    figure.text(
        _MARGIN / width, 1 - 46 / height, _told(filters, is_silent, count), fontsize=7.5, color=style.MUTED, va="top"
    )
    style.settle_texts(figure)
    return figure


def _told(filters: Sequence[int], is_silent: Sequence[bool], count: int) -> str:
    silent = f", {sum(is_silent)} silent" if any(is_silent) else ""
    return f"{len(filters)} of {count} filters{silent}"


def _shown(picture: NDArray[np.floating], silent: bool) -> NDArray[np.uint8]:
    """Red, green and blue (size, size, 3), of one mean and contrast for all pictures; grey for a silent one."""
    spread = float(picture.std())
    if silent or spread == 0:
        return np.full((*picture.shape[:2], 3), 224, np.uint8)
    shares = np.clip((picture - picture.mean()) / spread * _SPREAD + 0.5, 0.0, 1.0)
    return np.asarray(np.rint(np.broadcast_to(shares, (*picture.shape[:2], 3)) * 255), np.uint8)
