"""Where what the network saw lies in a picture as it is: heat maps brought back from the one to the other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnntrain.data.decoder import Preprocessing
from cnntrain.interpretation.heat_maps import enlarged


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels.

    Args:
        top: Its first row.
        left: Its first column.
        height: Rows.
        width: Columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def windows(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[Window, Window]:
    """What of an upright picture goes where into what the network sees, as the decoder does it.

    Args:
        size: Height and width of the upright picture.
        preprocessing: How the network's pictures are made.

    Returns:
        The part of the picture that is seen, and the part of the network's input that it fills.
    """
    (height, width), (wished_height, wished_width) = size, (preprocessing.height, preprocessing.width)
    whole, filled = Window(0, 0, height, width), Window(0, 0, wished_height, wished_width)
    if preprocessing.resize == "crop":
        return _centered(size, (wished_height, wished_width)), filled
    if preprocessing.resize == "pad":
        return whole, _centered((wished_height, wished_width), size)
    return whole, filled


def _centered(size: tuple[int, int], shape: tuple[int, int]) -> Window:
    """The largest window in the middle of `size` with the aspect ratio of `shape`."""
    height = min(size[0], _scaled(size[1], shape[0], shape[1]))
    width = min(size[1], _scaled(size[0], shape[1], shape[0]))
    return Window((size[0] - height) // 2, (size[1] - width) // 2, height, width)


def _scaled(side: int, numerator: int, denominator: int) -> int:
    """A side times a ratio, rounded (halves up), at least 1."""
    return max(1, (2 * side * numerator + denominator) // (2 * denominator))


def brought_back(heat: NDArray[np.float32], size: tuple[int, int], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """A heat map over the network's input as one over the upright picture; 0 where the network saw nothing of it.

    Args:
        heat: (height, width) of the network's input.
        size: Height and width of the upright picture.
        preprocessing: How the network's pictures are made.

    Returns:
        float32 of the shape `size`.
    """
    seen, filled = windows(size, preprocessing)
    whole = np.zeros(size, np.float32)
    whole[seen.slices] = enlarged(heat[filled.slices][np.newaxis], (seen.height, seen.width))[0]
    return whole
