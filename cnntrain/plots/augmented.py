"""A picture and its changed versions side by side."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnntrain.plots import style

_LEAST, _MOST = 160, 2400  # pixels: longer side of a tile, if small pictures must be enlarged; width of all, about
_GAP, _TITLE, _MARGIN = 12, 28, 20  # pixels between tiles, for the title above each, around all


@style.look()
def draw_augmented(pictures: NDArray[np.uint8], titles: Sequence[str]) -> Figure:
    """Draws pictures as a grid, row by row, a short title above each.

    At `style.DPI` a pixel of a picture is a square of whole pixels, or large pictures are shrunk.

    Args:
        pictures: uint8 array of shape (n, height, width, channels), 1 channel of gray or 3; at least one picture.
        titles: n of them.
    """
    count, height, width = pictures.shape[:3]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    scale = _scale(height, width, columns)
    tile_height, tile_width = max(1, round(height * scale)), max(1, round(width * scale))
    whole_width = 2 * _MARGIN + columns * (tile_width + _GAP) - _GAP
    whole_height = 2 * _MARGIN + rows * (tile_height + _TITLE + _GAP) - _GAP
    figure = Figure(figsize=(whole_width / style.DPI, whole_height / style.DPI), dpi=style.DPI)
    for number, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        row, column = divmod(number, columns)
        left = _MARGIN + column * (tile_width + _GAP)
        bottom = whole_height - _MARGIN - row * (tile_height + _TITLE + _GAP) - _TITLE - tile_height
        place = (left / whole_width, bottom / whole_height, tile_width / whole_width, tile_height / whole_height)
        _draw_tile(figure, place, picture, title, interpolation="nearest" if scale >= 1 else "antialiased")
    style.settle_texts(figure)
    return figure


def _scale(height: int, width: int, columns: int) -> float:
    """A whole number for small pictures, 1, or a fraction for so large ones that a row of them would be too wide."""
    longest = max(height, width)
    fitting = (_MOST / columns - _GAP) / longest
    return fitting if fitting < 1 else min(math.ceil(_LEAST / longest), math.floor(fitting))


def _draw_tile(
    figure: Figure,
    place: tuple[float, float, float, float],
    picture: NDArray[np.uint8],
    title: str,
    *,
    interpolation: str,
) -> None:
    axes = figure.add_axes(place)
    shown = picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture
    axes.imshow(shown, interpolation=interpolation, aspect="auto")
    axes.set_axis_off()
    axes.set_title(title, fontsize=7.5, loc="left", pad=3.0)
