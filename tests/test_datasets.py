"""Well-known and generated data sets written as pictures."""

import json
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cnntrain
from cnntrain.cli import group
from cnntrain.data.datasets import CLASS_NAMES, write_digits, write_keras_dataset
from cnntrain.data.generated import write_generated
from cnntrain.data.sources import find_source
from cnntrain.errors import DataError, UsageError, WriteError


def _pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


# scikit-learn's digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("data") / "digits"
    assert write_digits(dest) == 1797
    return dest


def test_digits_are_class_folders_in_the_order_of_scikit_learn(digits: Path) -> None:
    from sklearn.datasets import load_digits

    found = find_source(digits).absolute
    index = {int(Path(item.path).stem.removeprefix("digit_")): item for item in found}
    assert [int(index[number].label) for number in range(1797)] == load_digits().target.tolist()
    assert {path.name for path in digits.iterdir()} == set("0123456789")


def test_digits_are_8_bit_grayscale_from_0_to_255(digits: Path) -> None:
    with Image.open(digits / "0" / "digit_0000.png") as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (8, 8))
        # the first row of the first picture in scikit-learn is 0 0 5 13 9 1 0 0; times 255/16: 79.7, 207.2, 143.4, 15.9
        assert np.asarray(picture)[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    values = {int(value) for path in (digits / "5").iterdir() for value in _pixels(path).ravel()}
    assert values <= {round(step * 255 / 16) for step in range(17)}
    assert {0, 255} <= values


def test_digits_do_not_overwrite(digits: Path) -> None:
    with pytest.raises(WriteError, match="exists already"):
        write_digits(digits)
    with pytest.raises(WriteError, match="cannot write"):
        write_digits(digits.with_name("n" * 300))


# keras.datasets

Part = tuple[Any, Any]


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], tuple[Part, Part]]], None]:
    """Puts another function in the place of `keras.datasets.NAME.load_data`."""
    import keras

    return lambda name, load: monkeypatch.setattr(getattr(keras.datasets, name), "load_data", load)


def _arrays(shape: tuple[int, ...], labels: Any) -> tuple[Part, Part]:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    return (pixels, np.asarray(labels)), (pixels[:1], np.asarray(labels)[:1])


def test_grayscale_set(tmp_path: Path, replaced: Callable[..., None]) -> None:
    arrays = _arrays((3, 5, 4), [9, 0, 9])
    replaced("fashion_mnist", lambda: arrays)
    assert write_keras_dataset("fashion_mnist", tmp_path / "out") == 4
    found = [
        (Path(item.path).relative_to(tmp_path).as_posix(), item.label)
        for item in find_source(tmp_path / "out").absolute
    ]
    assert found == [
        ("out/test/ankle_boot/fashion_mnist_00000.png", "ankle_boot"),
        ("out/train/ankle_boot/fashion_mnist_00000.png", "ankle_boot"),
        ("out/train/ankle_boot/fashion_mnist_00002.png", "ankle_boot"),
        ("out/train/t_shirt/fashion_mnist_00001.png", "t_shirt"),
    ]
    for (path, _), index in zip(found[1:], (0, 2, 1), strict=True):
        np.testing.assert_array_equal(_pixels(tmp_path / path), arrays[0][0][index])


def test_colour_set_with_labels_in_a_column(tmp_path: Path, replaced: Callable[..., None]) -> None:
    arrays = _arrays((2, 3, 6, 5), [[53], [0]])
    channels_last = [(pixels.transpose(0, 2, 3, 1), labels) for pixels, labels in arrays]  # not contiguous, as in Keras
    replaced("cifar100", lambda: channels_last)
    write_keras_dataset("cifar100", tmp_path / "out")
    written = _pixels(tmp_path / "out" / "train" / "orange" / "cifar100_00000.png")
    np.testing.assert_array_equal(written, arrays[0][0][0].transpose(1, 2, 0))


def test_class_names() -> None:
    assert {name: len(names) for name, names in CLASS_NAMES.items()} == {
        "mnist": 10,
        "fashion_mnist": 10,
        "cifar10": 10,
        "cifar100": 100,
    }
    for names in CLASS_NAMES.values():
        assert len(set(names)) == len(names)
    for name in ("mnist", "cifar10", "cifar100"):  # their authors numbered the classes alphabetically
        assert list(CLASS_NAMES[name]) == sorted(CLASS_NAMES[name])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            Exception("URL fetch failure on https://example.org/mnist.npz: None -- [Errno -2]\nname unknown"),
            "name unknown",
        ),
        (ValueError("Incomplete or corrupted file detected."), "corrupted file"),
        (ConnectionResetError("reset by peer"), "reset by peer"),
    ],
)
def test_no_download(
    tmp_path: Path,
    replaced: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    reason: str,
) -> None:
    def load() -> tuple[Part, Part]:
        print("Downloading data from https://example.org")
        raise error

    replaced("mnist", load)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with pytest.raises(DataError) as caught:
        write_keras_dataset("mnist", tmp_path / "out")
    message = str(caught.value)
    assert "must be downloaded, and that failed" in message
    assert reason in message
    assert message.endswith(f"put them into {tmp_path / 'keras' / 'datasets'} as mnist.npz")
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_keras_looks_for_the_files_that_the_message_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras.src.utils import file_utils

    asked: list[str] = []

    def refuse(origin: str, target: str, *rest: object) -> None:
        asked.append(Path(target).relative_to(tmp_path / "datasets").as_posix())
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(file_utils, "urlretrieve", refuse)
    messages = []
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100"):
        with pytest.raises(DataError) as caught:
            write_keras_dataset(name, tmp_path / "out")  # type: ignore[arg-type]
        messages.append(str(caught.value))
    assert asked == [
        "mnist.npz",
        "fashion-mnist/train-labels-idx1-ubyte.gz",
        "cifar-10-batches-py-target_archive",
        "cifar-100-python-target_archive",
    ]
    assert "as fashion-mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz" in messages[1]
    for file, message in zip((asked[0], *asked[2:]), (messages[0], *messages[2:]), strict=True):
        assert f"as {file}" in message


# Generated pictures


def _generate(dest: Path, **changes: Any) -> None:
    given: dict[str, Any] = {
        "classes": ["a", "b", "c"],
        "image_size": (7, 9),
        "channels": 3,
        "counts": {"train": 4, "validation": 2, "test": 0},
        "seed": 1,
    }
    write_generated(dest, **given | changes)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_generated_pictures_have_the_shape_asked_for(tmp_path: Path, channels: int, mode: str) -> None:
    _generate(tmp_path / "out", channels=channels)
    found = find_source(tmp_path / "out").absolute
    assert [(item.split, item.label) for item in found] == [
        (split, label) for split, count in (("train", 4), ("validation", 2)) for label in "abc" for _ in range(count)
    ]
    for item in found:
        with Image.open(item.path) as picture:
            assert (picture.mode, picture.size) == (mode, (9, 7))


def _all(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def test_generated_pictures_depend_on_the_seed_alone(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        _generate(tmp_path / name, seed=seed)
    assert _all(tmp_path / "one") == _all(tmp_path / "two")
    assert not set(_all(tmp_path / "one").values()) & set(_all(tmp_path / "three").values())
    assert len(set(_all(tmp_path / "one").values())) == 18


@pytest.mark.parametrize("channels", [1, 3])
def test_generated_classes_can_be_told_apart(tmp_path: Path, channels: int) -> None:
    """The nearest class by mean spectrum (which does not see where the stripes begin) is right for every picture."""
    classes = ["a", "b", "c", "d"]
    _generate(tmp_path / "out", classes=classes, image_size=(24, 24), channels=channels, counts={"train": 8, "test": 8})

    def spectra(split: str, label: str) -> Any:
        pictures = [_pixels(path).astype(float) for path in sorted((tmp_path / "out" / split / label).iterdir())]
        return np.abs(np.fft.fft2(np.stack(pictures).reshape(8, 24, 24, -1).mean(axis=3)))

    means = np.stack([spectra("train", label).mean(axis=0) for label in classes])
    for number, label in enumerate(classes):
        distances = ((spectra("test", label)[:, None] - means) ** 2).sum(axis=(2, 3))
        assert distances.argmin(axis=1).tolist() == [number] * 8


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a\\b", ".."])
def test_classes_that_cannot_be_folders(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a folder's name"):
        _generate(tmp_path / "out", classes=["a", name])
    assert list(tmp_path.iterdir()) == []


# The command


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    api = SimpleNamespace(write_dataset=lambda name, dest: len(f"{name}{dest}"))
    monkeypatch.setitem(sys.modules, "cnntrain.api", api)  # type: ignore[arg-type]
    monkeypatch.setattr(cnntrain, "api", api, raising=False)
    return CliRunner()


def test_command(cli: CliRunner) -> None:
    assert cli.invoke(group, ["data", "digits", "here"]).stdout == "wrote 10 pictures to here\n"
    assert json.loads(cli.invoke(group, ["data", "mnist", "here", "--json"]).stdout) == {
        "name": "mnist",
        "dest": "here",
        "pictures": 9,
    }
    assert cli.invoke(group, ["data", "letters", "here"]).exit_code == 2
    assert "no download" in cli.invoke(group, ["data", "-h"]).stdout
