"""From examples to batches: decoded once where there is room, every epoch a permutation of the whole set."""

import os
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnntrain.config.sections import Augment
from cnntrain.data.augmentation import Change, draw_changes, draw_mixtures, mix
from cnntrain.data.cache import Cache
from cnntrain.data.decoder import Preprocessing, decode
from cnntrain.data.examples import Example
from cnntrain.data.randomness import ORDER, generator

_AT_ONCE = 2  # batches that are changed at the same time
_PREFETCH = 2


@dataclass(frozen=True)
class Pictures:
    """The pictures of one split, ready to be put into batches.

    Args:
        paths: One a picture.
        labels: int64 (N,), index of the class.
        orientations: uint8 (N,), how each is turned upright, EXIF's 1 to 8.
        preprocessing: How files become arrays.
        stored: (N, …), in memory or mapped from disk: uint8 decoded pictures, or float32 feature maps of them. Absent:
            pictures are decoded whenever needed.
        is_stored: bool (N,), which rows of `stored` hold something yet; the others are decoded when first needed.
            Absent: all.
    """

    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    orientations: npt.NDArray[np.uint8]
    preprocessing: Preprocessing
    stored: npt.NDArray[Any] | None = None
    is_stored: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.paths)


def steps_of(count: int, batch_size: int) -> int:
    """Number of batches that `count` pictures make, the last perhaps smaller."""
    return -(-count // batch_size)


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
    return files.map(_as_graph(read), num_parallel_calls=os.cpu_count() or 2, deterministic=True).batch(batch_size)


def _inputs(pictures: Pictures, order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """A data set of batches of what is stored, else of decoded pictures, in the given order.

    TensorFlow keeps the functions of a data set as long as the process lives. So they only refer to the arrays, whose
    memory is free again when the pictures are gone.
    """
    if pictures.stored is None:
        return _decoding(pictures, order, batch_size)
    shape, dtype = (None, *pictures.stored.shape[1:]), pictures.stored.dtype
    stored, is_stored = weakref.ref(pictures.stored), pictures.is_stored
    rows = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    def take(chosen: Any) -> Any:
        return tf.ensure_shape(
            tf.numpy_function(lambda rows: _alive(stored)[rows], [chosen], dtype, stateful=False), shape
        )

    if is_stored is None or is_stored[order].all():
        return rows.map(_as_graph(take))

    def keep(batch: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        _alive(stored)[chosen], is_stored[chosen] = batch, True
        return batch

    def store(batch: Any, chosen: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(keep, [batch, chosen], dtype), shape)

    return tf.data.Dataset.zip(_decoding(pictures, order, batch_size), rows).map(_as_graph(store))


def _alive(reference: weakref.ref[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    array = reference()
    if array is None:
        raise RuntimeError("the pictures of this data set are gone; hold them as long as their batches are drawn")
    return array


def _as_graph(function: Callable[..., Any]) -> Any:
    """A function that TensorFlow traces as it is: what stands here has no `if` on tensors, and looking costs time."""
    return tf.autograph.experimental.do_not_convert(function)


def _per_batch(values: npt.NDArray[Any], order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """A data set of batches of the rows of `values` in the given order."""
    return tf.data.Dataset.from_tensor_slices(values[order]).batch(batch_size)


def _finished(batches: Any) -> Any:
    """Batches that are made while the network works.

    TensorFlow's autotuning is off: at the end of an epoch its thread can keep the iterator until the sleep it is in is
    over (TensorFlow 2.21: 1, 5, 10 or 20 seconds an epoch, seen on epochs of the same length).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(_PREFETCH).with_options(options)


def _targets(labels: npt.NDArray[np.int64], class_count: int, order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """A data set of what the loss takes: float32 (n, 1) for two classes, else one-hot (n, classes)."""
    if class_count == 2:
        return _per_batch(labels.astype(np.float32)[:, np.newaxis], order, batch_size)
    return _per_batch(labels, order, batch_size).map(_as_graph(lambda numbers: tf.one_hot(numbers, class_count)))


def _changed(inputs: Any, changes: Sequence[Change], order: npt.NDArray[np.int64], batch_size: int) -> Any:
    """The data set of inputs with all changes, one after another."""

    def change(batch: Any, *tables: Any) -> Any:
        for one, rows in zip(changes, tables, strict=True):
            batch = one.apply(batch, rows)
        return batch

    if not changes:
        return inputs
    tables = (_per_batch(one.rows, order, batch_size) for one in changes)
    return tf.data.Dataset.zip(inputs, *tables).map(_as_graph(change), num_parallel_calls=_AT_ONCE, deterministic=True)


def epoch_order(count: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The order of the training pictures in an epoch: a permutation, a function of seed and epoch alone."""
    return generator(ORDER, seed=seed, epoch=epoch).permutation(count)


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
        from 0 to 255, uint8 or, when augmented, float32, or stored feature maps; targets are float32 (n, 1) for two
        classes, else float32 (n, classes), one-hot unless pictures are mixed; weights are float32 (n,).
    """
    count, shape = len(pictures), pictures.preprocessing.shape
    order = epoch_order(count, seed=seed, epoch=epoch)[first_step * batch_size :]
    changes = draw_changes(augment, seed=seed, epoch=epoch, count=count, shape=shape)
    parts = [
        _changed(_inputs(pictures, order, batch_size), changes, order, batch_size),
        _targets(pictures.labels, class_count, order, batch_size),
    ]
    if class_weights is not None:
        parts.append(_per_batch(class_weights[pictures.labels], order, batch_size))
    if not augment.mixes:
        return _finished(tf.data.Dataset.zip(*parts))
    steps = steps_of(count, batch_size)
    mixtures = draw_mixtures(augment, seed=seed, epoch=epoch, steps=steps, size=shape[:2])[first_step:]
    batches = tf.data.Dataset.zip(tf.data.Dataset.from_tensor_slices(mixtures), *parts)
    return _finished(batches.map(_as_graph(mix), num_parallel_calls=_AT_ONCE, deterministic=True))


def evaluation_batches(pictures: Pictures, *, class_count: int, batch_size: int) -> Any:
    """Batches of (images, targets) in the order of the pictures, unchanged; shapes as in `training_batches`."""
    order = np.arange(len(pictures))
    inputs = _inputs(pictures, order, batch_size)
    return _finished(tf.data.Dataset.zip(inputs, _targets(pictures.labels, class_count, order, batch_size)))


def image_batches(pictures: Pictures, batch_size: int) -> Any:
    """Batches of uint8 images alone, in the order of the pictures."""
    return _finished(_inputs(pictures, np.arange(len(pictures)), batch_size))
