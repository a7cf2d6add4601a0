"""The one decoder, held against Pillow and against sums done by hand; and the look at every picture before training."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnntrain.config.sections import Data
from cnntrain.data.decoder import (
    Preprocessing,
    decode,
    decode_as_stored,
    preprocessing_from_json,
    preprocessing_of,
)
from cnntrain.data.examples import Example
from cnntrain.data.inspection import fingerprint, inspect, inspect_all
from cnntrain.errors import DataError

Pixels = npt.NDArray[np.uint8]

SIZE = (20, 24)
RGBA: Pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 4), dtype=np.uint8)
RGB, GRAY = RGBA[..., :3], RGBA[..., 0]


def _encoded(pixels: Pixels | Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(stream, kind, **options)
    return stream.getvalue()


def _decoded(content: bytes, height: int, width: int, channels: int) -> Pixels:
    """What the decoder gives, eagerly and inside a data set alike."""
    preprocessing = Preprocessing(height, width, channels)
    eager = decode(tf.constant(content), preprocessing)
    data = tf.data.Dataset.from_tensors(content).map(lambda bytes_: decode(bytes_, preprocessing))
    assert data.element_spec == tf.TensorSpec((height, width, channels), tf.uint8)
    (mapped,) = data.as_numpy_iterator()
    assert eager.dtype == tf.uint8
    np.testing.assert_array_equal(eager.numpy(), mapped)
    return np.asarray(mapped)


def _as_pillow(pixels: Pixels, channels: int) -> Pixels:
    """Gray (height, width) or RGB pixels in 1 or 3 channels, converted by Pillow."""
    converted = Image.fromarray(pixels).convert("RGB" if channels == 3 else "L")
    return np.asarray(converted).reshape(*pixels.shape[:2], channels)


# formats


BITS = Image.fromarray(GRAY).convert("1")
PALETTE = Image.fromarray(RGB).quantize(16)

FILES: dict[str, tuple[bytes, Pixels]] = {
    "png rgb": (_encoded(RGB, "PNG"), RGB),
    "png gray": (_encoded(GRAY, "PNG"), GRAY),
    "png rgba": (_encoded(RGBA, "PNG"), RGB),
    "png gray alpha": (_encoded(np.ascontiguousarray(RGBA[..., :2]), "PNG"), GRAY),
    "png palette": (_encoded(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB"))),
    "png palette alpha": (_encoded(PALETTE, "PNG", transparency=3), np.asarray(PALETTE.convert("RGB"))),
    "png bits": (_encoded(BITS, "PNG"), np.asarray(BITS.convert("L"))),
    "bmp rgb": (_encoded(RGB, "BMP"), RGB),
    "bmp gray": (_encoded(GRAY, "BMP"), GRAY),
    "bmp rgba": (_encoded(RGBA, "BMP"), RGB),
    "gif palette": (_encoded(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "gif gray": (_encoded(GRAY, "GIF"), GRAY),
    "webp rgb": (_encoded(RGB, "WEBP", lossless=True), RGB),
    "webp rgba": (_encoded(RGBA, "WEBP", lossless=True, exact=True), RGB),
}


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", FILES)
def test_lossless_pictures_are_those_of_pillow(name: str, channels: int) -> None:
    content, pixels = FILES[name]
    np.testing.assert_array_equal(_decoded(content, *SIZE, channels), _as_pillow(pixels, channels))


@pytest.mark.parametrize(("color", "gray"), [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)])
def test_gray_is_the_luma_of_bt_601(color: tuple[int, int, int], gray: int) -> None:
    picture = np.full((2, 2, 3), color, np.uint8)
    assert np.unique(_decoded(_encoded(picture, "PNG"), 2, 2, 1)).tolist() == [gray]


def test_sixteen_bits_keep_their_upper_eight() -> None:
    pixels = (np.arange(480, dtype=np.uint16) * 136).reshape(SIZE)
    found = _decoded(_encoded(Image.fromarray(pixels), "PNG"), *SIZE, 1)[..., 0]
    np.testing.assert_array_equal(found, pixels // 256)
    assert found.max() == 254


def _frames() -> tuple[Image.Image, list[Image.Image]]:
    first, *later = [Image.fromarray(np.full((*SIZE, 3), level, np.uint8)) for level in (10, 200, 90)]
    return first, later


@pytest.mark.parametrize("channels", [3, 1])
def test_the_first_frame_of_an_animated_gif(channels: int) -> None:
    first, later = _frames()
    content = _encoded(first, "GIF", save_all=True, append_images=later)
    assert np.unique(_decoded(content, *SIZE, channels)).tolist() == [10]


def _animated_webp(mode: str) -> bytes:
    first, later = _frames()
    converted = [frame.convert(mode) for frame in later]
    return _encoded(first.convert(mode), "WEBP", save_all=True, append_images=converted, lossless=True)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_animated_webp_is_an_error_and_not_the_end_of_the_process(mode: str) -> None:
    content = tf.constant(_animated_webp(mode))
    for _ in range(5):  # TensorFlow alone breaks its heap here
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_as_stored(content)


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("channels", [3, 1])
def test_jpeg_is_near_pillow(channels: int, subsampling: int) -> None:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    smooth = np.stack([rows * 12, columns * 10, (rows + columns) * 5], axis=-1).astype(np.uint8)
    content = _encoded(smooth, "JPEG", quality=90, subsampling=subsampling)
    wished = _as_pillow(np.asarray(Image.open(io.BytesIO(content))), channels).astype(int)
    difference = np.abs(_decoded(content, *SIZE, channels) - wished)
    assert difference.max() <= 5  # TensorFlow takes the fast discrete cosine transform
    assert difference.mean() <= 1.5


def test_gray_jpeg_in_three_channels() -> None:
    content = _encoded(np.full(SIZE, 77, np.uint8), "JPEG")
    np.testing.assert_array_equal(_decoded(content, *SIZE, 3), np.full((*SIZE, 3), 77))


def test_real_photos_are_near_pillow(test_data: Path) -> None:
    with zipfile.ZipFile(test_data / "data" / "dogs-vs-cats-4000.zip") as archive:
        photos = [archive.read(name) for name in archive.namelist() if name.endswith(".jpg")][::200]
    assert len(photos) == 20
    for content in photos:
        wished = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        found = decode(tf.constant(content), Preprocessing(*wished.shape)).numpy()
        assert np.abs(found - wished).max() <= 8
        assert np.abs(found - wished).mean() <= 1.5


# sizes


def test_enlarging_is_bilinear_with_half_pixel_centers() -> None:
    # Centers of the four lie at -1/4 (taken as 0), 1/4, 3/4 and 5/4 (taken as 1) of the two.
    picture = np.array([[0, 100], [200, 60]], np.uint8)
    found = _decoded(_encoded(picture, "PNG"), 4, 4, 1)[..., 0]
    assert found.tolist() == [[0, 25, 75, 100], [50, 60, 80, 90], [150, 130, 90, 70], [200, 165, 95, 60]]


def test_shrinking_weighs_by_a_triangle_of_twice_the_width() -> None:
    # To half the side the weights are 3/7, 3/7, 1/7, 0 and 0, 1/7, 3/7, 3/7.
    picture = np.zeros((4, 4), np.uint8)
    picture[0, 0], picture[2, 1] = 245, 196
    found = _decoded(_encoded(picture, "PNG"), 2, 2, 1)[..., 0]
    assert found.tolist() == [[45 + 12, 4], [36, 12]]


def _weights(stored: int, wished: int) -> npt.NDArray[np.float64]:
    """The (wished, stored) weights of a triangle filter, as wide as a pixel of the coarser side."""
    scale = stored / wished
    centers = (np.arange(wished)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(stored) + 0.5 - centers) / max(scale, 1))
    return weights / weights.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


SIDE = st.integers(1, 40)


@settings(max_examples=15, deadline=None)
@given(SIDE, SIDE, st.integers(1, 25), st.integers(1, 25), st.sampled_from([1, 3]))
def test_any_size_follows_the_triangle_filter(
    stored_height: int, stored_width: int, height: int, width: int, channels: int
) -> None:
    random = np.random.default_rng(stored_height * 41 + stored_width)
    picture = random.integers(0, 256, (stored_height, stored_width, 3), dtype=np.uint8)
    picture = picture if channels == 3 else picture[..., 0]
    exact = _weights(stored_height, height) @ picture.reshape(stored_height, -1).astype(np.float64)
    exact = exact.reshape(height, stored_width, channels).swapaxes(1, 2) @ _weights(stored_width, width).T
    found = _decoded(_encoded(picture, "PNG"), height, width, channels)
    assert np.abs(found - exact.swapaxes(1, 2)).max() <= 0.5 + 1e-3


def test_a_damaged_file_fails_in_the_data_set() -> None:
    data = tf.data.Dataset.from_tensors(_encoded(RGB, "JPEG")[:-40]).map(lambda c: decode(c, Preprocessing(8, 8, 3)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(data)


# what is noted for others


@pytest.mark.parametrize(("color", "channels"), [("rgb", 3), ("grayscale", 1)])
def test_preprocessing_is_noted_and_read_again(color: Any, channels: int) -> None:
    wished = preprocessing_of(Data(source="x", image_size=(30, 40), color=color))
    assert wished == Preprocessing(height=30, width=40, channels=channels)
    assert wished.shape == (30, 40, channels)
    noted = json.loads(json.dumps(wished.to_json()))
    assert noted["format"] == 1
    assert noted["color"] == color
    assert preprocessing_from_json(noted) == wished


def test_something_else_is_no_preprocessing() -> None:
    with pytest.raises(KeyError):
        preprocessing_from_json({"height": 30, "width": 40})


# inspection


def _written(folder: Path, **contents: bytes) -> list[Example]:
    """Examples of files of these names, a double underscore being a dot."""
    examples = []
    for name, content in contents.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(content)
        examples.append(Example(str(path), "cat", "train", group="g", fold="1"))
    return examples


def test_good_pictures_get_their_checksums(tmp_path: Path) -> None:
    examples = _written(tmp_path, b__png=_encoded(RGB, "PNG"), a__jpg=_encoded(GRAY, "JPEG"))
    found = inspect_all(examples)
    assert found == tuple(
        replace(example, sha256=hashlib.sha256(Path(example.path).read_bytes()).hexdigest()) for example in examples
    )


@pytest.mark.parametrize("name", FILES)
def test_what_can_be_decoded_passes(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(FILES[name][0])
    assert inspect(tmp_path / "file").problem == ""


def test_all_bad_pictures_are_named_in_one_line(tmp_path: Path) -> None:
    examples = _written(
        tmp_path,
        good__png=_encoded(RGB, "PNG"),
        cut__jpg=_encoded(RGB, "JPEG")[:-2],
        cut__png=_encoded(RGB, "PNG")[:-30],
        empty__jpg=b"",
        text__jpg=b"no picture\nat all",
        letter__gif=b"G",
        moving__webp=_animated_webp("RGB"),
    )
    examples += [Example(str(tmp_path / "gone.jpg"), "dog"), Example(str(tmp_path), "dog")]
    with pytest.raises(DataError) as caught:
        inspect_all(examples)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("8 of 9 pictures cannot be decoded, remove or mend them: ")
    reasons = {
        "cut.jpg": "jpeg::Uncompress failed",
        "cut.png": "Invalid PNG data",
        "empty.jpg": "the file is empty",
        "text.jpg": "Unknown image file format",
        "letter.gif": "Unknown image file format",
        "moving.webp": "an animated WebP",
        "gone.jpg": "No such file",
    }
    for name, reason in reasons.items():
        assert f"{tmp_path / name} ({reason}" in message
    assert "Is a directory" in message or "Permission denied" in message
    assert "good.png" not in message
    assert "Op:" not in message
    assert "{{" not in message


def test_many_bad_pictures_are_counted(tmp_path: Path) -> None:
    examples = [Example(str(tmp_path / f"{number}.jpg"), "cat") for number in range(25)]
    with pytest.raises(DataError, match=r"^25 of 25 pictures .* and 5 more$") as caught:
        inspect_all(examples)
    assert str(caught.value).count(str(tmp_path)) == 20


ROWS = (
    Example("a.png", "cat", "train", sha256="1"),
    Example("b.png", "dog", "train", sha256="2"),
    Example("c.png", "dog", "test", sha256="2"),
)


@given(st.permutations(ROWS), st.text("xyz", max_size=3))
def test_the_fingerprint_is_that_of_the_content(rows: list[Example], prefix: str) -> None:
    moved = [replace(row, path=prefix + row.path, group=prefix) for row in rows]
    assert fingerprint(moved) == fingerprint(ROWS)


CHANGES: dict[str, Callable[[Example], list[Example]]] = {
    "label": lambda row: [replace(row, label="dog")],
    "split": lambda row: [replace(row, split="validation")],
    "content": lambda row: [replace(row, sha256="2")],
    "twice": lambda row: [row, row],
    "gone": lambda _: [],
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_tells_every_change(change: str) -> None:
    assert fingerprint([*CHANGES[change](ROWS[0]), *ROWS[1:]]) != fingerprint(ROWS)


def test_the_fingerprint_stays_the_same_from_version_to_version() -> None:
    rows = "test\tdog\t2\ntrain\tcat\t1\ntrain\tdog\t2\n"
    assert fingerprint(ROWS) == hashlib.sha256(rows.encode()).hexdigest()
