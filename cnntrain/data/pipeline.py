"""From examples to batches: decoded once where there is room, every epoch a permutation of the whole set."""

import os
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.config.sections import Augment
from cnntrain.data.augmentation import Change, draw_changes, draw_mixtures, mix
from cnntrain.data.batching import alive, as_graph, epoch_order, finished, per_batch, steps_of, taken, targets
from cnntrain.data.cache import Cache
from cnntrain.data.decoder import Preprocessing, decode
from cnntrain.data.examples import Example

_AT_ONCE = 2  # batches that are changed at the same time


@dataclass(frozen=True)
class Pictures:
    """The pictures of one split, ready to be put into batches.

    Args:
        paths: One a picture.
        labels: int64 (N,), index of the class.
        orientations: uint8 (N,), how each is turned upright, EXIF's 1 to 8.
        preprocessing: How files become arrays.
        checksums: SHA-256 of each file.
        stored: uint8 (N, height, width, channels), in memory or mapped from disk. Absent: pictures are decoded whenever
            needed.
        is_stored: bool (N,), which rows of `stored` hold something yet; the others are decoded when first needed.
    """

    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    orientations: npt.NDArray[np.uint8]
    preprocessing: Preprocessing
    checksums: tuple[str, ...] = ()
    stored: npt.NDArray[Any] | None = None
    is_stored: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.paths)


def open_pictures(
    examples: Sequence[Example],
    classes: Sequence[str],
    preprocessing: Preprocessing,
    *,
    cache: Cache = "none",
    folder: Path | None = None,
) -> Pictures:
    """Prepares examples for batching; where they are cached they are decoded in the first epoch that takes them all.

    Args:
        examples: Pictures that can be decoded, with labels among `classes`.
        classes: Names in the order of the model's outputs.
        preprocessing: How files become arrays.
        cache: Where decoded pictures are kept.
        folder: An existing folder for the `disk` cache, which must outlive the pictures.

    Raises:
        ValueError: The `disk` cache has no folder.
    """
    index = {name: number for number, name in enumerate(classes)}
    pictures = Pictures(
        paths=tuple(example.path for example in examples),
        labels=np.array([index[example.label] for example in examples], np.int64),
        orientations=np.array([example.orientation for example in examples], np.uint8),
        preprocessing=preprocessing,
        checksums=tuple(example.sha256 for example in examples),
    )
    if cache == "none" or not examples:
        return pictures
    shape = (len(examples), *preprocessing.shape)
    stored: npt.NDArray[np.uint8]
    if cache == "disk":
        if folder is None:
            raise ValueError("the disk cache needs a folder")
        stored = _on_disk(shape, folder, examples[0].split or "pictures")
    else:
        stored = np.empty(shape, np.uint8)
    return replace(pictures, stored=stored, is_stored=np.zeros(len(examples), np.bool_))


def _on_disk(shape: tuple[int, ...], folder: Path, name: str) -> npt.NDArray[np.uint8]:
    """An array in a new file, which has its room already: a full disk is an error now and no signal later."""
    handle, file = tempfile.mkstemp(prefix=f"{name}_", suffix=".npy", dir=folder)
    os.close(handle)
    array = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        with Path(file).open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, Path(file).stat().st_size)
    return array


def _decoding(pictures: Pictures, order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """A data set of uint8 batches decoded from the files, in the given order."""

    def read(path: Any, orientation: Any) -> Any:
        return decode(tf.io.read_file(path), orientation, pictures.preprocessing)

    paths = tf.constant([os.fsencode(pictures.paths[i]) for i in order], tf.string)
    files = tf.data.Dataset.from_tensor_slices((paths, pictures.orientations[order]))
    return files.map(as_graph(read), num_parallel_calls=os.cpu_count() or 2, deterministic=True).batch(batch_size)


def _inputs(pictures: Pictures, order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """A data set of batches of what is stored, else of decoded pictures, in the given order."""
    stored, is_stored = pictures.stored, pictures.is_stored
    if stored is None or is_stored is None:
        return _decoding(pictures, order, batch_size)
    if is_stored[order].all():
        return taken(stored, order, batch_size)
    shape, dtype, reference = (None, *stored.shape[1:]), stored.dtype, weakref.ref(stored)

    def keep(batch: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        alive(reference)[chosen], is_stored[chosen] = batch, True
        return batch

    def store(batch: Any, chosen: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(keep, [batch, chosen], dtype), shape)

    rows = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
    return tf.data.Dataset.zip(_decoding(pictures, order, batch_size), rows).map(as_graph(store))


def _changed(inputs: Any, changes: Sequence[Change], order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """The data set of inputs with all changes, one after another."""

    def change(batch: Any, *tables: Any) -> Any:
        for one, rows in zip(changes, tables, strict=True):
            batch = one.apply(batch, rows)
        return batch

    if not changes:
        return inputs
    tables = (per_batch(one.rows, order, batch_size) for one in changes)
    return tf.data.Dataset.zip(inputs, *tables).map(as_graph(change), num_parallel_calls=_AT_ONCE, deterministic=True)


def training_batches(
    pictures: Pictures,
    *,
    class_count: int,
    batch_size: int,
    seed: int,
    epoch: int,
    augment: Augment,
    class_weights: npt.NDArray[np.float32] | None = None,
    first_step: int = 0,
) -> Any:
    """The batches of one training epoch, each picture exactly once.

    Args:
        pictures: The training set.
        class_count: Number of classes.
        batch_size: The last batch holds what is left.
        seed: Of the run.
        epoch: Counted through all stages.
        augment: Random changes.
        class_weights: float32 (classes,), the weight of each picture of a class.
        first_step: Batches of the epoch that are left out at its beginning.

    Returns:
        A data set of (inputs, targets) or (inputs, targets, weights): inputs are images (n, height, width, channels)
        from 0 to 255, uint8 or, when augmented, float32; targets are float32 (n, 1) for two
        classes, else float32 (n, classes), one-hot unless pictures are mixed; weights are float32 (n,).
    """
    count, shape = len(pictures), pictures.preprocessing.shape
    order = epoch_order(count, seed=seed, epoch=epoch)[first_step * batch_size :]
    changes = draw_changes(augment, seed=seed, epoch=epoch, count=count, shape=shape)
    parts = [
        _changed(_inputs(pictures, order, batch_size), changes, order, batch_size),
        targets(pictures.labels, class_count, order, batch_size),
    ]
    if class_weights is not None:
        parts.append(per_batch(class_weights[pictures.labels], order, batch_size))
    if not augment.mixes:
        return finished(tf.data.Dataset.zip(*parts))
    steps = steps_of(count, batch_size)
    mixtures = draw_mixtures(augment, seed=seed, epoch=epoch, steps=steps, size=shape[:2])[first_step:]
    batches = tf.data.Dataset.zip(tf.data.Dataset.from_tensor_slices(mixtures), *parts)
    return finished(batches.map(as_graph(mix), num_parallel_calls=_AT_ONCE, deterministic=True))


def evaluation_batches(pictures: Pictures, *, class_count: int, batch_size: int) -> Any:
    """Batches of (images, targets) in the order of the pictures, unchanged; shapes as in `training_batches`."""
    order = np.arange(len(pictures))
    inputs = _inputs(pictures, order, batch_size)
    return finished(tf.data.Dataset.zip(inputs, targets(pictures.labels, class_count, order, batch_size)))


def view_batches(
    pictures: Pictures, order: npt.NDArray[np.int64], *, batch_size: int, augment: Augment, seed: int, view: int
) -> Any:
    """Batches of images alone: one version of each picture, changed as in the epoch after `view` epochs.

    Args:
        pictures: The training set.
        order: int64 (n,), which of them.
        batch_size: The last batch holds what is left.
        augment: Random changes of single pictures; mixing plays no part.
        seed: Of the changes.
        view: Number of the version, counted from 0.

    Returns:
        A data set of images (n, height, width, channels) from 0 to 255, uint8 or, when augmented, float32.
    """
    shape = pictures.preprocessing.shape
    changes = draw_changes(augment, seed=seed, epoch=view + 1, count=len(pictures), shape=shape)
    return finished(_changed(_inputs(pictures, order, batch_size), changes, order, batch_size))


def image_batches(pictures: Pictures, batch_size: int) -> Any:
    """Batches of uint8 images alone, in the order of the pictures."""
    return finished(_inputs(pictures, np.arange(len(pictures)), batch_size))
