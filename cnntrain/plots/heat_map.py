"""Heat maps over a picture, and a summary of those for several classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnntrain.plots import style

_OPACITY = 0.75  # of the hottest place
_FADED = 0.35  # share of the picture's colors that become grey, so that the heat stands out
_SIDE = 420  # pixels, longer side of a picture in a summary
_IN_A_ROW = 4
_GAP, _TITLE = 18, 50  # pixels between pictures, and above each
_NARROWEST = 260  # pixels, so that a title has room
_LETTER = 12.5  # pixels that a letter of a title takes, rather more than the mean


@dataclass(frozen=True)
class ClassHeat:
    """A heat map for one class.

    Args:
        name: Of the class.
        probability: Of the class, by the model.
        picture: The picture with the heat on it, uint8 (height, width, 3).
    """

    name: str
    probability: float
    picture: NDArray[np.uint8]


def overlaid(picture: NDArray[np.uint8], heat: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A picture with a heat map on it: clear where it is cold, from violet to yellow the hotter it is.

    Args:
        picture: uint8 (height, width, 3), or (height, width, 1) for grey.
        heat: (height, width), 0 to 1.

    Returns:
        uint8 (height, width, 3).
    """
    shares = np.clip(heat, 0.0, 1.0).astype(np.float32)[..., np.newaxis]
    colors = matplotlib.colormaps["inferno"](0.15 + 0.85 * shares[..., 0])[..., :3].astype(np.float32) * 255
    plain = picture.astype(np.float32)
    faded = plain + _FADED * (plain.mean(axis=2, keepdims=True) - plain)
    mixed = faded + _OPACITY * np.sqrt(shares) * (colors - faded)
    return np.asarray(np.rint(mixed), np.uint8)


@style.look()
def draw_heat_maps(picture: NDArray[np.uint8], classes: Sequence[ClassHeat], *, name: str, method: str) -> Figure:
    """Draws a picture and, beside it, the heat maps of its classes with their probabilities.

    Args:
        picture: uint8 (height, width, 3).
        classes: One or more, pictures of the same size.
        name: Of the picture.
        method: What made the heat maps, a line.
    """
    shown = [(name, method, picture)]
    shown += [(one.name, f"probability {one.probability:.4f}", one.picture) for one in classes]
    height, width = (max(1, round(side * _SIDE / max(picture.shape[:2]))) for side in picture.shape[:2])
    cell_width, cell_height = max(width, _NARROWEST) + _GAP, height + _TITLE + _GAP
    columns = min(len(shown), _IN_A_ROW)
    total_width, total_height = columns * cell_width + _GAP, math.ceil(len(shown) / columns) * cell_height + _GAP
    figure = Figure(figsize=(total_width / style.DPI, total_height / style.DPI), dpi=style.DPI)
    for place, (title, line, pixels) in enumerate(shown):
        left = _GAP + place % columns * cell_width
        top = _GAP + place // columns * cell_height
        bottom = total_height - top - _TITLE - height
        axes = figure.add_axes((left / total_width, bottom / total_height, width / total_width, height / total_height))
        axes.imshow(pixels, interpolation="antialiased", aspect="auto")
        axes.set_axis_off()
        x, room = left / total_width, cell_width - _GAP
        figure.text(x, 1 - top / total_height, _fitting(title, room), fontsize=9.5, verticalalignment="top")
        lower = 1 - (top + 25) / total_height
        figure.text(x, lower, line, fontsize=6.5, color=style.MUTED, verticalalignment="top")
    style.settle_texts(figure)
    return figure


def _fitting(title: str, room: float) -> str:
    """A title that takes no more than so many pixels."""
    letters = max(2, int(room / _LETTER))
    return style.shorten(title, max(2, letters * len(title) // max(1, style.columns(title))))
