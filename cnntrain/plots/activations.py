"""The activations of a layer as a picture: every channel a tile of a grid."""

import math

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnntrain.plots import style

GAP = 2  # pixels between tiles
_LARGEST = 2000  # pixels, side of a grid where tiles of one pixel do not forbid it
_LARGEST_TILE = 200  # pixels, longer side of a tile of maps that are enlarged
_MARGIN, _TITLE = 24, 76  # pixels around the grid, and above it
_NARROWEST = 480  # pixels, so that the title has room
_LETTER = 15.0  # pixels that a letter of the title takes, rather more than the mean


@style.look()
def draw_activations(name: str, maps: NDArray[np.float32]) -> Figure:
    """Draws all channels of one layer, each between its own smallest and largest value.

    At `style.DPI` the grid of `tile_channels` is drawn pixel by pixel.

    Args:
        name: Of the layer.
        maps: Finite values of shape (h, w, channels).

    Raises:
        ValueError: There are no values.
    """
    grid = tile_channels(maps)
    rows, columns = grid.shape[:2]
    width, height = max(columns, _NARROWEST) + 2 * _MARGIN, rows + _TITLE + _MARGIN
    figure = Figure(figsize=(width / style.DPI, height / style.DPI), dpi=style.DPI)
    axes = figure.add_axes((_MARGIN / width, _MARGIN / height, columns / width, rows / height))
    axes.imshow(grid, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    left, title = _MARGIN / width, style.shorten(name, int((width - 2 * _MARGIN) / _LETTER))
    figure.text(left, 1 - 18 / height, title, fontsize=11.0, verticalalignment="top")
    figure.text(left, 1 - 46 / height, _size(maps), fontsize=7.5, color=style.MUTED, verticalalignment="top")
    style.settle_texts(figure)
    return figure


def _size(maps: NDArray[np.float32]) -> str:
    height, width, channels = maps.shape
    return f"{channels} channel{'s' if channels > 1 else ''} of {height} × {width}"


def tile_channels(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """All channels side by side, row by row, on white.

    Each goes from dark blue at its smallest value to yellow at its largest; a channel that is the same everywhere is
    black. Maps are enlarged by a whole number so that tiles can be seen, or shrunk by one, as the means of squares, so
    that a side of the grid stays within 2,000 pixels.

    Args:
        maps: Finite values of shape (h, w, channels).

    Returns:
        A uint8 array (rows, columns, 3) of red, green and blue.

    Raises:
        ValueError: There are no values.
    """
    if maps.ndim != 3 or not maps.size:
        raise ValueError(f"maps must have the shape (h, w, channels), none of them zero; has {maps.shape}")
    columns = _columns(maps.shape[2])
    rows = -(-maps.shape[2] // columns)
    tiles = _colored(_scaled(_normalized(maps), rows, columns))
    height, width = tiles.shape[1] + GAP, tiles.shape[2] + GAP
    grid = np.full((rows * height - GAP, columns * width - GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * height, number % columns * width
        grid[top : top + height - GAP, left : left + width - GAP] = tile
    return grid


def _columns(channels: int) -> int:
    """Tiles in a row: of the numbers that fill all rows the one that makes the grid squarest, but twice as wide as high
    at the most, roughly; where there is none, the one that makes it a square.
    """
    square = math.ceil(math.sqrt(channels))
    return next((count for count in range(square, 2 * square + 1) if channels % count == 0), square)


def _normalized(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each channel from 0 to 1; a constant one is not a number. Result (channels, h, w)."""
    values = np.moveaxis(maps.astype(np.float64), 2, 0)
    low = values.min(axis=(1, 2), keepdims=True)
    span = values.max(axis=(1, 2), keepdims=True) - low
    shares = np.full(values.shape, np.nan)
    np.divide(values - low, span, out=shares, where=span > 0)
    return shares.astype(np.float32)


def _scaled(tiles: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Tiles (channels, h, w) of a size that suits a grid of so many rows and columns."""
    height, width = tiles.shape[1:]
    room = min((_LARGEST // rows - GAP) / height, (_LARGEST // columns - GAP) / width)
    if room >= 1:
        times = min(int(room), max(1, _LARGEST_TILE // max(height, width)))
        return tiles.repeat(times, axis=1).repeat(times, axis=2)
    return _shrunk(tiles, math.ceil(1 / max(room, 1 / max(height, width))))


def _shrunk(tiles: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """Means of squares of so many pixels a side; at the lower and right edges of what is left of them."""
    down, across = (np.arange(0, side, times) for side in tiles.shape[1:])
    sums = np.add.reduceat(np.add.reduceat(tiles, down, axis=1), across, axis=2)
    heights, widths = (
        np.diff(np.append(starts, side)) for starts, side in zip((down, across), tiles.shape[1:], strict=True)
    )
    return np.asarray(sums / np.outer(heights, widths), np.float32)


def _colored(tiles: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Red, green and blue (channels, h, w, 3) of values from 0 to 1."""
    colors = matplotlib.colormaps["viridis"].with_extremes(bad="black")
    painted: NDArray[np.uint8] = colors(np.ma.masked_invalid(tiles), bytes=True)[..., :3]
    return painted
