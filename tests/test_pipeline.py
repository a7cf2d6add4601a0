"""From examples to batches: every picture once an epoch, with its own label, whatever the cache and the batch size."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from conftest import WritePictures
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnntrain.config.sections import Augment
from cnntrain.data.augmentation import draw_changes, draw_mixtures, draw_transforms, mix, warp
from cnntrain.data.batching import epoch_order
from cnntrain.data.cache import Cache, choose_cache
from cnntrain.data.decoder import Preprocessing
from cnntrain.data.examples import Example
from cnntrain.data.pipeline import (
    Pictures,
    evaluation_batches,
    image_batches,
    open_pictures,
    training_batches,
)

Batches = list[tuple[npt.NDArray[Any], ...]]

CLASSES = ("cat", "dog", "owl")
COUNTS = {"cat": 11, "dog": 8, "owl": 4}
COUNT = 23
SIZE = (24, 20)
SHAPE = Preprocessing(*SIZE, 3)
FILLS = ("constant", "nearest", "reflect", "wrap")
NO_CHANGE = Augment()
CHANGES = Augment(rotation=30.0, shift=0.2, shear=10.0, zoom=0.2, flip="both")
COLOURS: dict[str, Any] = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.5, "hue": 0.1}
ALL_CHANGES = Augment.model_validate(
    {"rand_augment": {"magnitude": 15}, "rotation": 30.0, "crop": 0.3, "erasing": 0.5, "fill": "reflect", **COLOURS}
)
MIXING = ALL_CHANGES.model_copy(update={"mixup": 0.4, "cutmix": 1.0})
AUGMENTS = {"plain": NO_CHANGE, "warped": CHANGES, "all": ALL_CHANGES, "mixed": MIXING}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> tuple[Example, ...]:
    """Pictures of three classes, in an order that mixes them."""
    paths = write_pictures(tmp_path_factory.mktemp("pictures"), COUNTS, size=SIZE)
    order = np.random.default_rng(0).permutation(COUNT)
    return tuple(Example(str(paths[i]), paths[i].parent.name, "train") for i in order)


@pytest.fixture(scope="module")
def pixels(examples: tuple[Example, ...]) -> npt.NDArray[np.uint8]:
    """The pictures (23, 24, 20, 3) as Pillow reads them."""
    return np.stack([np.asarray(Image.open(example.path)) for example in examples])


@pytest.fixture(scope="module")
def labels(examples: tuple[Example, ...]) -> npt.NDArray[np.int64]:
    return np.array([CLASSES.index(example.label) for example in examples])


@pytest.fixture(scope="module")
def pictures(examples: tuple[Example, ...]) -> Pictures:
    return open_pictures(examples, CLASSES, SHAPE, cache="memory")


def _epoch(pictures: Pictures, batch_size: int = 8, *, seed: int = 5, epoch: int = 2, **options: Any) -> Batches:
    settings_ = {"class_count": 3, "augment": NO_CHANGE, **options}
    batches = training_batches(pictures, batch_size=batch_size, seed=seed, epoch=epoch, **settings_)
    return list(batches.as_numpy_iterator())


def _joined(batches: Batches, part: int) -> npt.NDArray[Any]:
    return np.concatenate([batch[part] for batch in batches])


def _colors(images: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The class that the mean red of each picture tells: about 40, 127 or 215."""
    red: npt.NDArray[np.float64] = images[..., 0].mean(axis=(1, 2))
    return np.round((red - 40) / 87.5).astype(np.int64)


def _assert_same(found: Batches, wished: Batches) -> None:
    assert len(found) == len(wished)
    for here, there in zip(found, wished, strict=True):
        for part, other in zip(here, there, strict=True):
            assert part.dtype == other.dtype
            np.testing.assert_array_equal(part, other)


# an epoch


@settings(max_examples=12, deadline=None)
@given(batch_size=st.integers(1, COUNT + 5), seed=st.integers(0, 2**32 - 1), epoch=st.integers(1, 500))
def test_every_picture_exactly_once(
    pictures: Pictures, pixels: npt.NDArray[np.uint8], batch_size: int, seed: int, epoch: int
) -> None:
    batches = _epoch(pictures, batch_size, seed=seed, epoch=epoch)
    shown = [image.tobytes() for image in _joined(batches, 0)]
    assert sorted(shown) == sorted(image.tobytes() for image in pixels)
    sizes = [len(targets) for _, targets in batches]
    assert sizes[:-1] == [batch_size] * (COUNT // batch_size - (COUNT % batch_size == 0))
    assert sum(sizes) == COUNT


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_the_order_is_that_of_the_epoch(
    examples: tuple[Example, ...], pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], cache: Cache
) -> None:
    batches = _epoch(open_pictures(examples, CLASSES, SHAPE, cache=cache), seed=5, epoch=2)
    order = epoch_order(COUNT, seed=5, epoch=2)
    assert [len(targets) for _, targets in batches] == [8, 8, 7]
    assert batches[0][0].dtype == np.uint8
    np.testing.assert_array_equal(_joined(batches, 0), pixels[order])
    np.testing.assert_array_equal(_joined(batches, 1), np.eye(3)[labels[order]])


def test_orders_are_permutations_by_seed_and_epoch() -> None:
    orders = {
        (seed, epoch): tuple(epoch_order(50, seed=seed, epoch=epoch))
        for seed in (0, 1, 2, 2**32 - 1)
        for epoch in (1, 2, 3)
    }
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len(set(orders.values())) == len(orders)
    assert orders[1, 2] == tuple(epoch_order(50, seed=1, epoch=2))


@pytest.mark.parametrize("augment", [NO_CHANGE, CHANGES], ids=["plain", "augmented"])
def test_a_label_stays_with_its_picture(pictures: Pictures, augment: Augment) -> None:
    batches = _epoch(pictures, 5, augment=augment)
    targets = _joined(batches, 1).argmax(axis=1)
    assert np.bincount(targets).tolist() == list(COUNTS.values())
    np.testing.assert_array_equal(_colors(_joined(batches, 0)), targets)


@pytest.mark.parametrize("augment", [NO_CHANGE, CHANGES], ids=["plain", "changed"])
def test_all_caches_give_the_same_batches(tmp_path: Path, examples: tuple[Example, ...], augment: Augment) -> None:
    opened = {cache: open_pictures(examples, CLASSES, SHAPE, cache=cache, folder=tmp_path) for cache in get_args(Cache)}
    weights = np.array([1, 2, 4], np.float32)
    epochs = {cache: _epoch(found, augment=augment, class_weights=weights) for cache, found in opened.items()}
    _assert_same(epochs["memory"], epochs["none"])
    _assert_same(epochs["disk"], epochs["none"])


def test_the_same_epoch_again_is_the_same(pictures: Pictures) -> None:
    _assert_same(_epoch(pictures, augment=CHANGES), _epoch(pictures, augment=CHANGES))


@pytest.mark.parametrize("other", [{"seed": 6}, {"epoch": 3}])
def test_another_epoch_or_seed_is_another_order_and_other_changes(pictures: Pictures, other: dict[str, int]) -> None:
    here, there = _epoch(pictures, COUNT, augment=CHANGES), _epoch(pictures, COUNT, augment=CHANGES, **other)
    assert not np.array_equal(here[0][1], there[0][1])
    changed = {image.tobytes() for image in here[0][0]} & {image.tobytes() for image in there[0][0]}
    assert not changed


# augmentation


@pytest.mark.parametrize("batch_size", [1, 4, COUNT])
@pytest.mark.parametrize("cache", ["none", "memory"])
def test_a_picture_is_changed_alike_in_any_batch(
    examples: tuple[Example, ...], pixels: npt.NDArray[np.uint8], cache: Cache, batch_size: int
) -> None:
    opened = open_pictures(examples, CLASSES, SHAPE, cache=cache)
    shown = _joined(_epoch(opened, batch_size, augment=CHANGES), 0)
    assert shown.dtype == np.float32
    transforms = draw_transforms(CHANGES, seed=5, epoch=2, count=COUNT, size=SIZE)
    wished = np.concatenate([warp(pixels[i : i + 1], transforms[i : i + 1], fill="nearest") for i in range(COUNT)])
    np.testing.assert_array_equal(shown, wished[epoch_order(COUNT, seed=5, epoch=2)])
    assert (np.abs(wished - pixels).max(axis=(1, 2, 3)) > 1).all()


def test_the_fill_of_the_configuration_is_used(pictures: Pictures) -> None:
    filled = [_joined(_epoch(pictures, augment=CHANGES.model_copy(update={"fill": fill})), 0).min() for fill in FILLS]
    assert filled[0] == 0  # constant is black
    assert min(filled[1:]) >= 20


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("color", [1, 3])
def test_no_change_depends_on_the_batch(examples: tuple[Example, ...], color: int, batch_size: int) -> None:
    opened = open_pictures(examples, CLASSES, Preprocessing(*SIZE, color), cache="memory")
    shown = _joined(_epoch(opened, batch_size, augment=ALL_CHANGES), 0)
    np.testing.assert_array_equal(shown, _joined(_epoch(opened, COUNT, augment=ALL_CHANGES), 0))
    assert shown.dtype == np.float32
    assert 0 <= shown.min() < shown.max() <= 255


def test_changes_come_in_their_order(pictures: Pictures, pixels: npt.NDArray[np.uint8]) -> None:
    changes = draw_changes(ALL_CHANGES, seed=5, epoch=2, count=COUNT, shape=(*SIZE, 3))
    assert [change.rows.shape[1:] for change in changes] == [(2, 11), (8,), (10,), (5,)]
    changed: Any = pixels
    for change in changes:
        changed = change.apply(changed, change.rows)
    shown = _joined(_epoch(pictures, augment=ALL_CHANGES), 0)
    np.testing.assert_array_equal(shown, changed.numpy()[epoch_order(COUNT, seed=5, epoch=2)])


def test_what_is_not_asked_for_is_not_done(pictures: Pictures) -> None:
    key: dict[str, Any] = {"seed": 5, "epoch": 2, "count": COUNT}
    assert draw_changes(NO_CHANGE, shape=(*SIZE, 3), **key) == ()
    assert draw_changes(Augment(saturation=0.5, hue=0.5), shape=(*SIZE, 1), **key) == ()
    single: tuple[dict[str, Any], ...] = (
        {"rotation": 9.0},
        {"flip": "both"},
        {"crop": 0.1},
        {"hue": 0.1},
        {"erasing": 1.0},
        {"rand_augment": {}},
    )
    for options in single:
        assert len(draw_changes(Augment(**options), shape=(*SIZE, 3), **key)) == 1
    assert _epoch(pictures)[0][0].dtype == np.uint8


@pytest.mark.parametrize("class_count", [2, 3])
@pytest.mark.parametrize("batch_size", [8, 11])
def test_mixed_batches_are_the_unmixed_ones_mixed(pictures: Pictures, class_count: int, batch_size: int) -> None:
    if class_count == 2:
        pictures = replace(pictures, labels=np.minimum(pictures.labels, 1))
    options: dict[str, Any] = {
        "class_count": class_count,
        "class_weights": np.arange(1, class_count + 1, dtype=np.float32),
    }
    mixed = _epoch(pictures, batch_size, augment=MIXING, **options)
    unmixed = _epoch(pictures, batch_size, augment=ALL_CHANGES, **options)
    steps = len(unmixed)
    table = draw_mixtures(MIXING, seed=5, epoch=2, steps=steps, size=SIZE)
    wished = [tuple(part.numpy() for part in mix(row, *batch)) for row, batch in zip(table, unmixed, strict=True)]
    _assert_same(mixed, wished)
    assert mixed[0][1].shape == (batch_size, 1 if class_count == 2 else 3)
    assert ((mixed[0][1] > 0) & (mixed[0][1] < 1)).any()


@pytest.mark.parametrize(("augment", "first_step"), [(NO_CHANGE, 1), (CHANGES, 3), (MIXING, 1), (MIXING, 2)])
def test_an_epoch_goes_on_where_it_was_left(pictures: Pictures, augment: Augment, first_step: int) -> None:
    weights = np.array([1, 2, 4], np.float32)
    whole = _epoch(pictures, 8, augment=augment, class_weights=weights)
    rest = _epoch(pictures, 8, augment=augment, class_weights=weights, first_step=first_step)
    _assert_same(rest, whole[first_step:])


# targets and weights


def test_two_classes_have_one_number_a_picture(examples: tuple[Example, ...]) -> None:
    chosen = [example for example in examples if example.label != "owl"]
    opened = open_pictures(chosen, ("dog", "cat"), SHAPE)
    (batch,) = _epoch(opened, 32, class_count=2)
    assert batch[1].dtype == np.float32
    assert batch[1].shape == (19, 1)
    np.testing.assert_array_equal(batch[1][:, 0], _colors(batch[0]) == 0)


def test_more_classes_have_a_number_a_class(pictures: Pictures) -> None:
    (batch,) = _epoch(pictures, 32)
    assert batch[1].dtype == np.float32
    np.testing.assert_array_equal(batch[1], np.eye(3)[_colors(batch[0])])


@pytest.mark.parametrize("class_count", [2, 3])
def test_each_picture_weighs_what_its_class_does(pictures: Pictures, class_count: int) -> None:
    if class_count == 2:
        pictures = replace(pictures, labels=np.minimum(pictures.labels, 1))
    weights = np.array([0.5, 2, 8], np.float32)[:class_count]
    batches = _epoch(pictures, 6, class_count=class_count, class_weights=weights)
    targets = _joined(batches, 1)
    targets = targets[:, 0].astype(int) if class_count == 2 else targets.argmax(axis=1)
    found = _joined(batches, 2)
    assert found.dtype == np.float32
    assert found.shape == (COUNT,)
    np.testing.assert_array_equal(found, weights[targets])


# evaluation


@pytest.mark.parametrize("cache", ["none", "memory"])
@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_evaluation_keeps_the_order(
    examples: tuple[Example, ...],
    pixels: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    cache: Cache,
    batch_size: int,
) -> None:
    opened = open_pictures(examples, CLASSES, SHAPE, cache=cache)
    batches = list(evaluation_batches(opened, class_count=3, batch_size=batch_size).as_numpy_iterator())
    assert max(len(targets) for _, targets in batches) == min(batch_size, COUNT)
    assert batches[0][0].dtype == np.uint8
    np.testing.assert_array_equal(_joined(batches, 0), pixels)
    np.testing.assert_array_equal(_joined(batches, 1), np.eye(3)[labels])
    images = np.concatenate(list(image_batches(opened, batch_size).as_numpy_iterator()))
    np.testing.assert_array_equal(images, pixels)


def test_shapes_are_known_before_the_first_batch(examples: tuple[Example, ...], pictures: Pictures) -> None:
    for opened in (pictures, open_pictures(examples, CLASSES, SHAPE)):
        images, targets = evaluation_batches(opened, class_count=3, batch_size=4).element_spec
        assert images.shape.as_list() == [None, *SIZE, 3]
        assert targets.shape.as_list() == [None, 3]


@pytest.mark.parametrize("cache", get_args(Cache))
def test_no_pictures_are_no_batches(tmp_path: Path, cache: Cache) -> None:
    opened = open_pictures([], CLASSES, SHAPE, cache=cache, folder=tmp_path)
    assert len(opened) == 0
    assert list(image_batches(opened, 4)) == []
    assert list(evaluation_batches(opened, class_count=3, batch_size=4)) == []


# what is stored


def test_pictures_are_decoded_once_when_cached(tmp_path: Path, write_pictures: WritePictures) -> None:
    paths = write_pictures(tmp_path, {"cat": 2, "dog": 2}, size=SIZE)
    chosen = [Example(str(path), path.parent.name) for path in paths]
    opened = open_pictures(chosen, ("cat", "dog"), SHAPE, cache="memory")
    first = _joined(_epoch(opened, epoch=1, class_count=2), 0)
    for path in paths:
        path.unlink()
    second = _joined(_epoch(opened, epoch=2, class_count=2), 0)
    orders = (epoch_order(4, seed=5, epoch=epoch) for epoch in (1, 2))
    for rows, order in zip((first, second), orders, strict=True):
        np.testing.assert_array_equal(rows, [np.asarray(opened.stored)[row] for row in order])


def test_an_epoch_that_was_broken_off_is_decoded_again(pictures: Pictures, pixels: npt.NDArray[np.uint8]) -> None:
    fresh = replace(pictures, stored=np.zeros_like(pixels), is_stored=np.zeros(COUNT, np.bool_))
    next(iter(training_batches(fresh, class_count=3, batch_size=1, seed=5, epoch=1, augment=NO_CHANGE)))
    assert fresh.is_stored is not None
    assert fresh.is_stored.any()
    order = epoch_order(COUNT, seed=5, epoch=2)
    np.testing.assert_array_equal(_joined(_epoch(fresh, epoch=2), 0), pixels[order])
    assert fresh.is_stored.all()
    np.testing.assert_array_equal(fresh.stored, pixels)


def test_a_cache_holds_the_pixels_of_every_picture(tmp_path: Path, write_pictures: WritePictures) -> None:
    paths = write_pictures(tmp_path, {"cat": 70, "dog": 70}, size=(6, 5))
    chosen = [Example(str(path), path.parent.name) for path in paths]
    opened = open_pictures(chosen, ("cat", "dog"), Preprocessing(6, 5, 3), cache="memory")
    _joined(evaluation_batches(opened, class_count=2, batch_size=32), 0)
    assert opened.stored is not None
    np.testing.assert_array_equal(opened.stored, np.stack([np.asarray(Image.open(path)) for path in paths]))


def test_the_disk_cache_is_a_file_a_split(
    tmp_path: Path, examples: tuple[Example, ...], pixels: npt.NDArray[np.uint8]
) -> None:
    later = [replace(example, split="validation") for example in examples[:3]]
    for chosen in (examples, later):
        opened = open_pictures(chosen, CLASSES, SHAPE, cache="disk", folder=tmp_path)
        assert isinstance(opened.stored, np.memmap)
        _joined(evaluation_batches(opened, class_count=3, batch_size=2), 0)
    files = sorted(tmp_path.iterdir())
    assert [path.name.split("_")[0] for path in files] == ["train", "validation"]
    np.testing.assert_array_equal(np.load(files[0]), pixels)
    np.testing.assert_array_equal(np.load(files[1]), pixels[:3])


def test_opening_again_leaves_the_file_that_is_in_use(tmp_path: Path, examples: tuple[Example, ...]) -> None:
    opened = open_pictures(examples, CLASSES, SHAPE, cache="disk", folder=tmp_path)
    first = _joined(_epoch(opened, epoch=1), 0)
    open_pictures(examples, CLASSES, SHAPE, cache="disk", folder=tmp_path)
    np.testing.assert_array_equal(_joined(_epoch(opened, epoch=1), 0), first)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room for files")
def test_a_disk_cache_without_room_is_an_error_at_once(
    tmp_path: Path, examples: tuple[Example, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, offset: int, length: int) -> None:
        assert (offset, length) == (0, COUNT * SIZE[0] * SIZE[1] * 3 + 128)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        open_pictures(examples, CLASSES, SHAPE, cache="disk", folder=tmp_path)


def test_pictures_are_resized_and_converted(examples: tuple[Example, ...]) -> None:
    opened = open_pictures(examples, CLASSES, Preprocessing(10, 12, 1), cache="memory")
    assert opened.stored is not None
    assert opened.stored.shape == (COUNT, 10, 12, 1)
    assert opened.stored.dtype == np.uint8


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_pictures_are_turned_upright(
    examples: tuple[Example, ...], pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], cache: Cache
) -> None:
    turned = [replace(example, orientation=(1, 3)[i % 2]) for i, example in enumerate(examples)]
    upright = np.stack([picture[::-1, ::-1] if i % 2 else picture for i, picture in enumerate(pixels)])
    opened = open_pictures(turned, CLASSES, SHAPE, cache=cache)
    np.testing.assert_array_equal(np.concatenate(list(image_batches(opened, 7).as_numpy_iterator())), upright)
    batches, order = _epoch(opened, seed=5, epoch=2), epoch_order(COUNT, seed=5, epoch=2)
    np.testing.assert_array_equal(_joined(batches, 0), upright[order])
    np.testing.assert_array_equal(_joined(batches, 1), np.eye(3)[labels[order]])


# room


@pytest.mark.parametrize(
    ("memory", "disk", "wished"),
    [(12_000, 0, "memory"), (11_999, 6_000, "disk"), (11_999, 5_999, "none"), (0, 0, "none")],
)
def test_the_cache_is_chosen_by_the_room_there_is(memory: int, disk: int, wished: str) -> None:
    # 10 pictures of 10 × 10 × 3 are 3,000 bytes: a quarter of 12,000, half of 6,000
    assert choose_cache(10, Preprocessing(10, 10, 3), memory=memory, disk=disk) == wished


def test_large_sets_are_counted_without_overflow() -> None:
    # 10 million pictures of 1,000 × 1,000 × 3 are 3 × 10¹³ bytes, beyond 32 bits
    assert choose_cache(10_000_000, Preprocessing(1000, 1000, 3), memory=1 << 40, disk=1 << 44) == "none"
