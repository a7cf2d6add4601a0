"""Pictures that somebody names one by one, by folder or by pattern, to use a model on: no labels, no splits."""

import glob
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.data.ahead import made_ahead
from cnntrain.data.batching import as_graph, finished
from cnntrain.data.decoder import Preprocessing, decode
from cnntrain.data.examples import Example
from cnntrain.data.pipeline import Pictures
from cnntrain.data.scanning.look_at import look_at_all
from cnntrain.data.sources import find_unlabelled, is_folder, kept_unpacked
from cnntrain.data.sources.archives import is_archive
from cnntrain.data.sources.tables import is_table
from cnntrain.data.sources.walking import UNPRINTABLE
from cnntrain.errors import DataError

_FEWEST, _MOST = 64, 1024  # pictures that are looked at while those before them are decoded


@dataclass(frozen=True, slots=True)
class NamedPicture:
    """A picture to use a model on.

    Args:
        file: Where it lies; a picture of an archive lies where that was unpacked.
        name: What it is called in tables and messages: the path as it was given, or one below what was given. Control
            characters and bytes that are not UTF-8 are escaped.
        orientation: How it is turned to stand upright, 1 to 8 as EXIF counts; 1 until it was looked at.
    """

    file: str
    name: str
    orientation: int = 1


def named_picture(file: str | Path, *, name: str | Path | None = None) -> NamedPicture:
    """A picture that was not looked at yet; its name is its path when none is given."""
    return NamedPicture(str(file), _printable(str(file if name is None else name)))


@dataclass(frozen=True, slots=True)
class BadPicture:
    """Something that was named and cannot be used.

    Args:
        path: What was given, or a picture below it.
        problem: What is wrong with it, in a phrase.
    """

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def find_named(places: Iterable[str | Path]) -> tuple[tuple[NamedPicture, ...], tuple[BadPicture, ...]]:
    """Finds the pictures that paths stand for, each file once, in the order of the paths.

    A path is a picture, whatever it is called; a folder, whose pictures at any depth are taken; a CSV or TSV table or
    an archive of pictures; or a pattern with `*`, `?`, `[…]` or `**` that the shell has left alone.

    Returns:
        The pictures, of which nothing but the path is known yet; and the folders, tables and archives that cannot be
        read or hold none.
    """
    found: dict[str, NamedPicture] = {}
    bad: list[BadPicture] = []
    for place in _expanded(places):
        try:
            for picture in _pictures_at(place):
                found.setdefault(os.path.abspath(picture.file), picture)  # noqa: PTH100 - Path follows links
        except DataError as error:
            bad.append(BadPicture(_printable(str(place)), str(error).removeprefix(f"{place} ")))
    return tuple(found.values()), tuple(bad)


def look_at_named(
    pictures: Sequence[NamedPicture], *, max_pixels: int
) -> tuple[tuple[NamedPicture, ...], tuple[BadPicture, ...]]:
    """Looks at every picture, on all cores.

    Args:
        pictures: Files that may be anything, or nothing.
        max_pixels: Largest height times width.

    Returns:
        The pictures that can be decoded, with their orientation, and the others with what is wrong with them.
    """
    seen = _looked_at(pictures, max_pixels)
    good = (picture for picture in seen if isinstance(picture, NamedPicture))
    bad = (picture for picture in seen if isinstance(picture, BadPicture))
    return tuple(good), tuple(bad)


def _looked_at(pictures: Sequence[NamedPicture], max_pixels: int) -> list[NamedPicture | BadPicture]:
    """All of them in their order, each with its orientation or as bad."""
    looks = look_at_all([picture.file for picture in pictures], max_pixels=max_pixels)
    return [
        BadPicture(picture.name, look.problem) if look.fault else replace(picture, orientation=look.orientation)
        for picture, look in zip(pictures, looks, strict=True)
    ]


def open_named(pictures: Sequence[NamedPicture], preprocessing: Preprocessing) -> Pictures:
    """Prepares pictures that were looked at for batching; their labels are all 0 and mean nothing."""
    return Pictures(
        paths=tuple(picture.file for picture in pictures),
        labels=np.zeros(len(pictures), np.int64),
        preprocessing=preprocessing,
        orientations=np.array([picture.orientation for picture in pictures], np.uint8),
    )


@dataclass(frozen=True, slots=True, eq=False)
class NamedBatch:
    """Some pictures, one after the other as they were named.

    Args:
        good: Those that can be used, n of them.
        bad: Those that cannot.
        images: uint8 array of shape (n, height, width, channels), from 0 to 255.
    """

    good: tuple[NamedPicture, ...]
    bad: tuple[BadPicture, ...]
    images: npt.NDArray[np.uint8]


def named_batches(
    pictures: Sequence[NamedPicture], preprocessing: Preprocessing, *, batch_size: int, max_pixels: int
) -> Iterator[NamedBatch]:
    """Looks at pictures, decodes them and gives them batch by batch: no more are held than a few batches take.

    Looking, decoding, and what the caller does with a batch, go on at the same time.

    Args:
        pictures: Files that may be anything, or nothing.
        preprocessing: How files become arrays.
        batch_size: Good pictures a batch; the last one holds what is left, perhaps none.
        max_pixels: Largest height times width of a picture that is decoded.

    Raises:
        tf.errors.OpError: A picture has gone or changed since it was looked at.
    """
    waiting: deque[NamedPicture | BadPicture] = deque()  # filled from the right by a thread of TensorFlow

    def look_at_next() -> Iterator[tuple[list[bytes], list[int]]]:
        for portion in _portions(pictures):
            seen = _looked_at(portion, max_pixels)
            waiting.extend(seen)
            good = [picture for picture in seen if isinstance(picture, NamedPicture)]
            yield [os.fsencode(picture.file) for picture in good], [picture.orientation for picture in good]

    for images in made_ahead(_decoded(look_at_next, preprocessing, batch_size).as_numpy_iterator()):
        good, bad = _taken(waiting, len(images))
        yield NamedBatch(good, bad, images)
    good, bad = _taken(waiting, 0)
    yield NamedBatch(good, bad, np.empty((0, *preprocessing.shape), np.uint8))


def _portions(pictures: Sequence[NamedPicture]) -> Iterator[Sequence[NamedPicture]]:
    """The pictures in portions that double, so that the first batch comes soon and the later ones cost little."""
    start, size = 0, _FEWEST
    while start < len(pictures):
        yield pictures[start : start + size]
        start, size = start + size, min(2 * size, _MOST)


def _decoded(portions: Callable[[], Iterator[Any]], preprocessing: Preprocessing, batch_size: int) -> Any:
    """A data set of uint8 batches of the pictures of all portions, the next portion made ahead.

    Args:
        portions: Gives paths and orientations of some pictures at a time.
        preprocessing: How files become arrays.
        batch_size: The last batch holds what is left.
    """

    def read(path: Any, orientation: Any) -> Any:
        return decode(tf.io.read_file(path), orientation, preprocessing)

    kinds = (tf.TensorSpec((None,), tf.string), tf.TensorSpec((None,), tf.uint8))
    files = tf.data.Dataset.from_generator(portions, output_signature=kinds).prefetch(1).unbatch()
    decoded = files.map(as_graph(read), num_parallel_calls=os.cpu_count() or 2, deterministic=True)
    return finished(decoded.batch(batch_size))


def _taken(
    waiting: deque[NamedPicture | BadPicture], count: int
) -> tuple[tuple[NamedPicture, ...], tuple[BadPicture, ...]]:
    """Takes out the next `count` good pictures and the bad ones before, between and right after them."""
    good: list[NamedPicture] = []
    bad: list[BadPicture] = []
    while waiting and (len(good) < count or isinstance(waiting[0], BadPicture)):
        picture = waiting.popleft()
        if isinstance(picture, BadPicture):
            bad.append(picture)
        else:
            good.append(picture)
    return tuple(good), tuple(bad)


def _printable(path: str) -> str:
    return UNPRINTABLE.sub(lambda letter: letter[0].encode("unicode_escape").decode("ascii"), path)


def _expanded(places: Iterable[str | Path]) -> Iterator[Path]:
    """The paths, patterns replaced by what they match; one that matches nothing stands for itself."""
    for place in places:
        text = str(place) if os.path.lexists(place) else os.path.expanduser(place)  # noqa: PTH111 - Path fails for ~nobody
        matches = [] if os.path.lexists(text) else sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - patterns may be absolute
        yield from map(Path, matches or [text])


def _pictures_at(place: Path) -> Iterable[NamedPicture]:
    """The pictures that a path stands for. Raises DataError where a folder, table or archive is of no use."""
    if not is_folder(place) and not is_table(place) and not is_archive(place):
        return [named_picture(place)]
    readable = kept_unpacked(place)
    top, shown = (readable.parent, place.parent) if is_table(readable) else (readable, place)
    return _below(top.resolve(), shown, find_unlabelled(readable, name=str(place)).absolute)


def _below(top: Path, shown: Path, examples: Iterable[Example]) -> Iterator[NamedPicture]:
    """Files below `top` are called as if they lay below `shown`; others, which a table may list, by their own path."""
    for file in (Path(example.path) for example in examples):
        yield named_picture(file, name=shown / file.relative_to(top) if file.is_relative_to(top) else file)
