"""Fixtures that several test files use."""

import os
import signal
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from PIL import Image

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever a configuration file of Keras says
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_NOISE = 20
_DARKEST, _LIGHTEST = 40, 215


class WritePictures(Protocol):
    """What the fixture `write_pictures` gives."""

    def __call__(
        self, folder: Path, counts: Mapping[str, int], *, size: tuple[int, int] = (24, 24), mode: str = "RGB"
    ) -> list[Path]: ...


def _write_pictures(
    folder: Path, counts: Mapping[str, int], *, size: tuple[int, int] = (24, 24), mode: str = "RGB"
) -> list[Path]:
    written = []
    for position, (name, count) in enumerate(counts.items()):
        level = _DARKEST + (_LIGHTEST - _DARKEST) * position // max(1, len(counts) - 1)
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng([zlib.crc32(folder.name.encode()), position])
        for number in range(count):
            noise = random.integers(-_NOISE, _NOISE, (*size, 3), endpoint=True)
            picture = (noise + np.array([level, 255 - level, 128])).astype(np.uint8)
            gray = Image.fromarray(picture[..., 0])
            written.append(place / f"{number:04d}.png")
            (gray.convert(mode) if mode in ("1", "L") else Image.fromarray(picture).convert(mode)).save(written[-1])
    return written


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary cache folder, for subprocesses too, so that no test reads or fills the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("CNNTRAIN_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def write_pictures() -> WritePictures:
    """A function that writes `folder/CLASS/0000.png`, … for each class and returns the paths in that order.

    The mean of the red channel (and of a gray picture) rises from 40 for the first class to 215 for the last, that of
    green falls, that of blue is 128. Noise of ±20 makes every picture different; it is the same in every run, and
    another one in folders of other names.
    """
    return _write_pictures


@pytest.fixture
def split_folder(tmp_path: Path, write_pictures: WritePictures) -> Path:
    """A data set that is split already: 12 training, 6 validation and 6 test pictures each of `cat` and of `dog`."""
    source = tmp_path / "pets"
    for split, count in {"train": 12, "validation": 6, "test": 6}.items():
        write_pictures(source / split, {"cat": count, "dog": count})
    return source


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real photos (`data/`) and weights (`weights/`), which not every machine has."""
    place = os.environ.get("CNNTRAIN_TEST_DATA")
    if not place:
        pytest.skip("CNNTRAIN_TEST_DATA names no folder with photos and weights")
    return Path(place)


@pytest.fixture(scope="session")
def tiny_backbone() -> Any:
    """A stand-in for a pretrained network with what makes them hard: batch normalization and dropout."""

    import keras

    def build(include_top: bool, weights: str | None, input_tensor: Any) -> Any:
        assert not include_top
        assert weights is None
        x = keras.layers.Conv2D(4, 3, name="tiny_conv1")(input_tensor)
        x = keras.layers.BatchNormalization(name="tiny_norm")(x)
        x = keras.layers.Dropout(0.5, name="tiny_dropout")(x)
        x = keras.layers.Conv2D(4, 3, activation="relu", name="tiny_conv2")(x)
        return keras.Model(keras.utils.get_source_inputs(input_tensor), x)

    return build


@pytest.fixture
def heard_ctrl_c() -> Iterator[None]:
    """What a shell runs behind it ignores SIGINT; the tests want it heard wherever they run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
