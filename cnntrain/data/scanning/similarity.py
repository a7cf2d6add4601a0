"""Near-duplicates: a signature of each picture's coarse structure, and the pairs whose signatures agree."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from threading import Lock

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
_MOST_AT_FIRST = _MOST_UNEXPLAINED + 1e-3  # likewise in float32, whose errors are far below a thousandth
_LEAST_PIVOT = 1e-2  # of products that are about 100
_WITHIN = 15  # inner products of the four gradients of a picture and itself
_STEEP = 16.0  # by which gradients are divided, so that they are about as large as pictures
_ROWS, _COLUMNS = 512, 2048  # pictures of which the coarse structure is compared at once
_TILE_ROWS = 16  # of them, pictures that are aligned with all columns at once
_CHUNK = 1024  # pairs that are aligned exactly at once

Numbers = NDArray[np.int64]

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

    Time grows with the square, without a limit: about 5 ns of a core for every two pictures that look nothing like each
    other, 0.2 µs for two of much the same scene (X-rays, aligned faces), of which 25,000 take a minute of one core.
    Memory beyond the signatures is about 500 bytes a picture, and 50 MB for each core.

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
    found += [(numbers[one], numbers[other]) for one, other in _Search(table).pairs()]
    return sorted(found)


class _Search:
    """A search for near-duplicates among different signatures, each a row of a table of int8 and shape (n, 196)."""

    def __init__(self, table: NDArray[np.int8]) -> None:
        self._table = table
        self._home = np.arange(len(table))  # the set that a row belongs to so far
        self._within = np.full((len(table), _WITHIN), np.nan, np.float32)  # rows are filled in when they are needed
        self._filling = Lock()

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Pairs of rows, the smaller number first, that connect each set of near-duplicates."""
        for left, right in self._candidates():
            apart = self._home[left] != self._home[right]
            for one, other in _near(self._table, left[apart], right[apart]):
                if self._home[one] != self._home[other]:
                    self._home[self._home == self._home[other]] = self._home[one]
                    yield one, other

    def _candidates(self) -> Iterator[tuple[Numbers, Numbers]]:
        """All pairs that `_near` may take, but for those that are connected already, in chunks.

        By threads of our own: those of BLAS wait for one another at each small product, which takes ten times as long
        on a busy machine.
        """
        from threadpoolctl import threadpool_limits

        count, threads = len(self._table), os.cpu_count() or 1
        blocks = ((top, start) for top in range(0, count, _ROWS) for start in range(top, count, _COLUMNS))
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            while some := list(islice(blocks, threads)):  # no more, since a block may hold a million pairs
                for left, right in pool.map(self._candidates_of, *zip(*some, strict=True)):
                    for start in range(0, len(left), _CHUNK):
                        yield left[start : start + _CHUNK], right[start : start + _CHUNK]

    def _candidates_of(self, top: int, start: int) -> tuple[Numbers, Numbers]:
        """Those of the rows from `top` with others from `start`."""
        rows = np.arange(top, min(top + _ROWS, len(self._table)))
        columns = np.arange(start, min(start + _COLUMNS, len(self._table)))
        alike = _coarsely_alike(self._table[rows], self._table[columns])
        alike = np.triu(alike, 1) if top == start else alike
        if alike.any():
            alike &= self._home[rows, None] != self._home[columns]
        tiles = [slice(begin, begin + _TILE_ROWS) for begin in range(0, len(rows), _TILE_ROWS)]
        found = [self._candidates_in(rows[tile], columns, alike[tile]) for tile in tiles if alike[tile].any()]
        left, right = zip(*found, strict=True) if found else ([rows[:0]], [rows[:0]])
        return np.concatenate(left), np.concatenate(right)

    def _candidates_in(self, rows: Numbers, columns: Numbers, alike: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
        """Those of few rows with some of the columns, as `alike` says, a boolean array of shape (rows, columns)."""
        columns, alike = columns[alike.any(axis=0)], alike[:, alike.any(axis=0)]
        forms = _forms(self._table[rows], self._products_within(rows))
        alike &= _seem_aligned(forms, self._table[columns], self._products_within(columns))
        left, right = np.nonzero(alike)
        return rows[left], columns[right]

    def _products_within(self, rows: Numbers) -> NDArray[np.float32]:
        with self._filling:
            missing = rows[np.isnan(self._within[rows, 0])]
            self._within[missing] = _products_within(self._table[missing])
            return self._within[rows]


def _coarsely_alike(rows: NDArray[np.int8], columns: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Boolean array of shape (rows, columns): which pairs of signatures have much the same coarse structure.

    Products of int8 are summed exactly in float32 (64 × 127² is below 2^24), so no order of pictures changes the
    outcome.
    """
    a, b = rows[:, :_COARSE].astype(np.float32), columns[:, :_COARSE].astype(np.float32)
    lengths = np.float32(_LEAST_COARSE_COSINE) * np.linalg.norm(a, axis=1)[:, None], np.linalg.norm(b, axis=1)
    above: NDArray[np.bool_] = a @ b.T > lengths[0] * lengths[1]
    return above


def _near(table: NDArray[np.int8], left: NDArray[np.int64], right: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The pairs of rows that are near-duplicates."""
    kept = _cosine(table[left], table[right]) >= _LEAST_COSINE
    left, right = left[kept], right[kept]
    is_near = _unexplained(table[left], table[right]) <= _MOST_UNEXPLAINED
    return list(zip(left[is_near].tolist(), right[is_near].tolist(), strict=True))


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


def _products_within(rows: NDArray[np.int8]) -> NDArray[np.float32]:
    """float32 array of shape (n, 15): inner products of a picture's gradients and itself, the lower triangle."""
    fields = (_unit(rows).astype(np.float32) @ _fields().reshape(-1, _ORDER**2).T).reshape(-1, 5, _GRID**2)
    products = fields @ fields.transpose(0, 2, 1)
    return np.asarray(products[:, *np.tril_indices(5)])


def _forms(rows: NDArray[np.int8], within: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `_seem_aligned` takes for some pictures: linear forms of what another picture is like.

    The gradients of a pair are the means of those of its two pictures. So every inner product of the four gradients,
    the one picture and the other is a bilinear form of the two, plus a share of the products within each.

    Args:
        rows: int8 array of shape (n, 196), signatures.
        within: float32 array of shape (n, 15), of `_products_within`.

    Returns:
        float32 array of shape (21, n, 212): products in a lower triangle; pictures; weights of the other's vector, of 1
        and of the other's products within.
    """
    between, one, other = _weights_of_products()
    forms = np.empty((len(one), len(rows), _ORDER**2 + 1 + other.shape[1]), np.float32)
    bilinear = (_unit(rows).astype(np.float32) @ between).reshape(len(rows), len(one), _ORDER**2)
    forms[..., : _ORDER**2] = bilinear.transpose(1, 0, 2)
    forms[..., _ORDER**2] = one @ within.T
    forms[..., _ORDER**2 + 1 :] = other[:, None]
    return forms


@lru_cache(maxsize=1)
def _weights_of_products() -> tuple[NDArray[np.float32], ...]:
    """Arrays of shape (196, 21 · 196), (21, 15) and (21, 15), for the 21 products of a pair.

    Each product is a bilinear form of the one picture and the other, 196 columns of the first array, and the sum of
    what is within the one, weighted by the second, and of what is within the other, weighted by the third.
    """
    fields = _fields()
    flat = fields.transpose(1, 0, 2).reshape(_GRID**2, -1)
    forms = (flat.T @ flat).reshape(5, _ORDER**2, 5, _ORDER**2).transpose(0, 2, 1, 3)
    between = np.zeros((21, *forms.shape[2:]), np.float32)
    one, other = np.zeros((2, 21, 15), np.float32)
    for number, (i, j) in enumerate(zip(*np.tril_indices(4), strict=True)):  # gradients with one another
        between[number] = (forms[i, j] + forms[j, i]) / 4
        one[number, number] = other[number, number] = 1 / 4
    for gradient in range(4):  # with the one picture and the other
        between[10 + gradient], between[15 + gradient] = forms[4, gradient] / 2, forms[gradient, 4] / 2
        one[10 + gradient, 10 + gradient] = other[15 + gradient, 10 + gradient] = 1 / 2
    between[19] = forms[4, 4]
    one[14, 14] = other[20, 14] = 1
    return between.transpose(1, 0, 2).reshape(_ORDER**2, -1), one, other


def _seem_aligned(
    forms: NDArray[np.float32], columns: NDArray[np.int8], within: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Whether `_unexplained` is small enough for each of some pictures with each of others: fast, in float32.

    Gaussian elimination takes the gradients out of the inner products of the pictures, then their mean.

    Args:
        forms: float32 array of shape (21, n, 212), the `_forms` of the ones.
        columns: int8 array of shape (m, 196), signatures of the others.
        within: float32 array of shape (m, 15), of `_products_within`.

    Returns:
        Boolean array of shape (n, m).
    """
    others = np.concatenate([_unit(columns), np.ones((len(columns), 1)), within], axis=1, dtype=np.float32)
    products = (forms.reshape(-1, forms.shape[2]) @ others.T).reshape(*forms.shape[:2], len(columns))
    rows = [products[row * (row + 1) // 2 :] for row in range(6)]  # of the lower triangle
    most = _MOST_AT_FIRST / 4 * (rows[4][4] + 2 * rows[5][4] + rows[5][5])  # of what may differ
    scratch = np.empty_like(most)
    for pivot in range(4):
        inverse = 1 / np.maximum(rows[pivot][pivot], _LEAST_PIVOT)
        for row in range(pivot + 1, 6):
            share = rows[row][pivot] * inverse
            for column in range(pivot + 1, row + 1):
                rows[row][column] -= np.multiply(share, rows[column][pivot], out=scratch)
    mean = rows[4][4] + 2 * rows[5][4] + rows[5][5]  # times 4
    difference = rows[4][4] - 2 * rows[5][4] + rows[5][5]
    common = rows[5][5] - rows[4][4]  # of the two, times 2
    return np.asarray(difference - common**2 / np.maximum(mean, _LEAST_PIVOT) <= most)


@lru_cache(maxsize=1)
def _fields() -> NDArray[np.float32]:
    """float32 array of shape (5, 400, 196): what makes the four gradients and the picture itself of a signature."""
    values, slopes = _grid_waves()
    places = np.linspace(-1, 1, _GRID)
    down = np.einsum("ip,jq->pqij", slopes / _STEEP, values)
    across = np.einsum("ip,jq->pqij", values, slopes / _STEEP)
    picture = np.einsum("ip,jq->pqij", values, values)
    rows, columns = places[:, None, None, None], places[:, None, None]
    fields = np.stack([down, down * rows, across, across * columns, picture]).reshape(5, _GRID**2, _ORDER**2)
    return np.asarray(fields[..., _FROM_COARSE], np.float32)


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
