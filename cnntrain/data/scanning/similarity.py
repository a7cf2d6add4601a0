"""Near-duplicates: a signature of each picture's coarse structure, and the pairs whose signatures agree."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

_ORDER = 14  # frequencies a side, from 0 to 13 half waves across the picture
_COARSE = 64  # of the 196 coefficients, the lowest, by which candidates are found
_PEAK = 9.0  # half waves; the weights fall off beyond 6, so that what is cut from an edge changes little inside
_LEAST_DETAIL = 2.0  # gray levels (root mean square) of structure finer than 3 half waves; noise of JPEG stays below
_LEAST_VARIETY = 3.0  # coefficients that share the energy; plain gradients have 1 to 2, photos 4 to 60
_LEAST_COARSE_COSINE = 0.84
_LEAST_COSINE = 0.8
_MOST_UNEXPLAINED = 0.03  # share of the energy that differs once the pictures are aligned
_GRID = 20  # points a side at which aligned pictures are compared
_MARGIN = 0.08  # of each side, left out there
_BLOCK = 2048  # pictures that are compared with as many others at once
_CHUNK = 1024  # candidates that are aligned at once

_RADIUS = np.hypot(*np.mgrid[:_ORDER, :_ORDER])
_WEIGHTS = (_RADIUS * np.exp(-((_RADIUS / _PEAK) ** 2))).astype(np.float32)
_FROM_COARSE = np.argsort(_RADIUS, axis=None, kind="stable")  # coefficients by frequency
_IS_DETAIL = _RADIUS >= 3


def signature(gray: NDArray[np.uint8]) -> bytes:
    """What near-duplicates of a picture are found by, whatever its size in pixels.

    The signature holds the lowest 14 × 14 coefficients of the discrete cosine transform, without the mean. They are
    weighted by frequency, since the amplitudes of photos fall with it, up to a soft limit, and scaled to int8, the
    largest to 127: brightness and contrast do not count.

    Args:
        gray: uint8 array of shape (height, width), upright; 32 to 100 pixels a side are enough.

    Returns:
        196 bytes, the coarsest coefficients first; none for a picture that is smaller than 14 pixels a side or so
        plain (uniform, faint noise, a gradient) that others would look the same by chance.
    """
    if min(gray.shape) < _ORDER:
        return b""
    waves = _waves(gray.shape[0]) @ gray.astype(np.float32) @ _waves(gray.shape[1]).T
    if np.sum(waves[_IS_DETAIL] ** 2) < _LEAST_DETAIL**2:
        return b""
    waves *= _WEIGHTS
    energy = waves**2
    if np.sum(energy) ** 2 < _LEAST_VARIETY * np.sum(energy**2):
        return b""
    scaled = np.rint(waves * (127 / np.sqrt(np.max(energy)))).astype(np.int8)
    return bytes(scaled.ravel()[_FROM_COARSE])


@lru_cache(maxsize=256)
def _waves(size: int) -> NDArray[np.float32]:
    """float32 array of shape (14, size): cosines of root mean square 1, divided by `size`."""
    waves = np.cos(np.pi / size * np.arange(_ORDER)[:, None] * (np.arange(size) + 0.5)) * (np.sqrt(2) / size)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves, np.float32)


def near_pairs(signatures: Sequence[bytes]) -> list[tuple[int, int]]:
    """Pairs of pictures that show the same, but for size, encoding, contrast and up to 3 % cut off each side.

    Mirrored pictures differ. Of the pairs in a set of near-duplicates there are as many as connect all of it, one less
    than its pictures: thousands of frames of a still scene do not give millions of pairs.

    Memory beyond the signatures is about 300 bytes a picture and some 100 MB; time grows with the square.

    Args:
        signatures: As `signature` gives them; empty ones match nothing.

    Returns:
        Pairs (i, j) with i < j, sorted. Which ones may depend on the order of the pictures, but `sets_of` them do not.
    """
    first: dict[bytes, int] = {}
    same = [(first.setdefault(key, index), index) for index, key in enumerate(signatures) if key]
    numbers = list(first.values())
    table = np.frombuffer(b"".join(first), np.int8).reshape(-1, _ORDER**2)
    del first
    found = [pair for pair in same if pair[0] != pair[1]]
    home = np.arange(len(table))  # the set that a row belongs to so far
    for left, right in _candidates(table):
        apart = home[left] != home[right]
        for one, other in _near(table, left[apart], right[apart]):
            if home[one] != home[other]:
                home[home == home[other]] = home[one]
                found.append((numbers[one], numbers[other]))
    return sorted(found)


def _candidates(table: NDArray[np.int8]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of rows with much the same coarse structure, in chunks, each with the smaller number first.

    Products of int8 are summed exactly in float32 (64 × 127² is below 2^24), so no order of pictures changes the
    outcome.
    """
    starts = range(0, len(table), _BLOCK)
    for top, start in combinations_with_replacement(starts, 2):
        rows, columns = (table[begin : begin + _BLOCK, :_COARSE] for begin in (top, start))
        alike = _cosines_above(rows, columns, _LEAST_COARSE_COSINE)
        left, right = np.nonzero(np.triu(alike, 1) if top == start else alike)
        for begin in range(0, len(left), _CHUNK):
            chunk = slice(begin, begin + _CHUNK)
            yield top + left[chunk], start + right[chunk]


def _near(table: NDArray[np.int8], left: NDArray[np.int64], right: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The pairs of rows that are near-duplicates."""
    kept = _cosine(table[left], table[right]) >= _LEAST_COSINE
    left, right = left[kept], right[kept]
    is_near = _unexplained(table[left], table[right]) <= _MOST_UNEXPLAINED
    return list(zip(left[is_near].tolist(), right[is_near].tolist(), strict=True))


def _cosines_above(rows: NDArray[np.int8], columns: NDArray[np.int8], least: float) -> NDArray[np.bool_]:
    """Boolean array of shape (rows, columns): where the cosine of the two vectors is above `least`."""
    a, b = rows.astype(np.float32), columns.astype(np.float32)
    lengths = np.float32(least) * np.linalg.norm(a, axis=1)[:, None], np.linalg.norm(b, axis=1)
    above: NDArray[np.bool_] = a @ b.T > lengths[0] * lengths[1]
    return above


def _cosine(one: NDArray[np.int8], other: NDArray[np.int8]) -> NDArray[np.float64]:
    """float64 array of shape (n,): cosines between the rows of two tables of shape (n, 196)."""
    a, b = _unit(one), _unit(other)
    return np.asarray(np.sum(a * b, axis=1))


def _unit(rows: NDArray[np.int8]) -> NDArray[np.float64]:
    """Rows scaled to length 1."""
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.sqrt(np.sum(wide**2, axis=1, keepdims=True)))


def _unexplained(one: NDArray[np.int8], other: NDArray[np.int8]) -> NDArray[np.float64]:
    """Share of the structure of two pictures that differs although one is shifted and stretched to fit the other.

    Cutting a little off each side moves and stretches what is left. To first order, and to second with the gradient of
    the mean of both, the difference is then a sum of four fields: the gradient along each axis, and the same times the
    coordinate. A fifth, the mean picture itself, takes up a difference in contrast. Least squares gives their amounts
    (Lucas and Kanade, IJCAI 1981, in one step), and what they leave is the answer; it is symmetric.

    Args:
        one: int8 array of shape (n, 196), signatures.
        other: Likewise.

    Returns:
        float64 array of shape (n,), from 0.
    """
    a, b = _as_waves(one), _as_waves(other)
    values, slopes = _grid_waves()
    middle = (a + b) / 2
    places = np.linspace(-1, 1, _GRID)
    down, across = slopes.T @ middle @ values, values.T @ middle @ slopes
    mean = values.T @ middle @ values
    fields = np.stack([down, down * places[:, None], across, across * places, mean], axis=1)
    fields = fields.reshape(len(a), 5, _GRID**2)  # (n, 5, 400)
    difference = (values.T @ (b - a) @ values).reshape(len(a), _GRID**2, 1)  # (n, 400, 1)
    products = fields @ fields.transpose(0, 2, 1) + 1e-9 * np.eye(5)  # solvable even where a gradient vanishes
    amounts = np.linalg.solve(products, fields @ difference)  # (n, 5, 1)
    rest = difference - fields.transpose(0, 2, 1) @ amounts
    return np.asarray(np.sum(rest**2, axis=(1, 2)) / np.maximum(np.sum(fields[:, 4] ** 2, axis=1), 1e-9))


def _as_waves(rows: NDArray[np.int8]) -> NDArray[np.float64]:
    """float64 array of shape (n, 14, 14): coefficients of a picture whose signature has length 1, in their places."""
    waves = np.empty((len(rows), _ORDER**2))
    waves[:, _FROM_COARSE] = _unit(rows)
    return waves.reshape(-1, _ORDER, _ORDER)


@lru_cache(maxsize=1)
def _grid_waves() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two arrays of shape (14, 20): the cosines at the points of the grid, and their slopes."""
    waves = np.pi * np.arange(_ORDER, dtype=np.float64)[:, None]
    points = np.linspace(_MARGIN, 1 - _MARGIN, _GRID)
    amplitudes = np.where(waves == 0, np.sqrt(0.5), 1.0)
    return np.asarray(amplitudes * np.cos(waves * points)), np.asarray(-waves * np.sin(waves * points))


def sets_of(count: int, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The sets of numbers below `count` that pairs connect, directly or through others.

    Args:
        count: How many numbers there are.
        pairs: Pairs of numbers, in any order.

    Returns:
        Sets of two or more, each sorted, by their smallest number.
    """
    parents = list(range(count))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = number = parents[parents[number]]
        return number

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parents[high] = low
    members: dict[int, list[int]] = {}
    for number in range(count):
        members.setdefault(root(number), []).append(number)
    return [tuple(found) for found in members.values() if len(found) > 1]
