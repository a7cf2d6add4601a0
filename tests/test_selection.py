"""Which pictures a run is measured on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import WritePictures

from cnntrain.data.examples import Example, write_examples
from cnntrain.data.sources import find_source, kept_unpacked
from cnntrain.errors import DataError
from cnntrain.evaluation.selection import examples_of_data, examples_of_split

CLASSES = ("cat", "dog")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _run(folder: Path, source: Path, examples: tuple[Example, ...]) -> Any:
    """As much of a run as is asked for."""
    write_examples(folder / "examples.csv", examples)
    config = SimpleNamespace(data=SimpleNamespace(source=str(source)))
    return SimpleNamespace(path=folder, directory=SimpleNamespace(examples=folder / "examples.csv"), config=config)


def _labels(examples: tuple[Example, ...]) -> list[str]:
    assert all(Path(example.path).is_file() for example in examples)
    return [example.label for example in examples]


# other pictures


@pytest.mark.parametrize(
    "pack", [lambda folder: folder, lambda folder: shutil.make_archive(str(folder), "zip", folder)]
)
def test_unknown_and_missing_classes_are_told(
    tmp_path: Path, write_pictures: WritePictures, pack: Callable[[Path], Any]
) -> None:
    write_pictures(tmp_path / "other", {"ant": 1, "dog": 2})
    examples, notes = examples_of_data(Path(pack(tmp_path / "other")), CLASSES)
    assert _labels(examples) == ["dog", "dog"]
    assert notes == (
        "1 pictures of the unknown class ant are left out",
        "there are no pictures of the class cat",
    )


def test_one_class_folder_is_enough(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures(tmp_path / "wrapped" / "dog", {"deep": 2})
    assert _labels(examples_of_data(tmp_path / "wrapped", CLASSES)[0]) == ["dog", "dog"]
    assert _labels(examples_of_data(tmp_path, CLASSES)[0]) == ["dog", "dog"]


def test_of_a_split_the_test_part_is_taken(split_folder: Path) -> None:
    examples, notes = examples_of_data(split_folder, CLASSES)
    assert {example.split for example in examples} == {"test"}
    assert len(examples) == 12
    assert notes == (f"{split_folder} is split already: its 12 test pictures are taken",)
    shutil.copytree(split_folder / "test" / "cat", split_folder / "extra")
    notes = examples_of_data(split_folder, CLASSES)[1]
    assert notes[0].startswith("6 pictures are outside train, validation and test, extra/")
    shutil.rmtree(split_folder / "test")
    with pytest.raises(DataError, match="has no test pictures"):
        examples_of_data(split_folder, CLASSES)


def test_a_pattern_tells_the_classes(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures(tmp_path / "other", {"cat_a": 1, "dog_b": 1})
    examples, notes = examples_of_data(tmp_path / "other", CLASSES, label_regex="(cat|dog)_")
    assert (_labels(examples), notes) == (["cat", "dog"], ())


def test_no_known_class(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures(tmp_path / "other", {"ant": 1, "bee": 1})
    with pytest.raises(DataError, match=r"is of a class of the run \(cat, dog\); got: ant, bee"):
        examples_of_data(tmp_path / "other", CLASSES)


# the run's own


def test_the_pictures_of_a_split(split_folder: Path, tmp_path: Path) -> None:
    run = _run(tmp_path, split_folder, find_source(split_folder).absolute)
    assert _labels(examples_of_split(run, "validation")) == ["cat"] * 6 + ["dog"] * 6
    next((split_folder / "test" / "cat").iterdir()).unlink()
    with pytest.raises(DataError, match="1 of 12 test pictures of the run are gone"):
        examples_of_split(run, "test")
    only_training = tuple(example for example in find_source(split_folder).absolute if example.split == "train")
    with pytest.raises(DataError, match="has no test pictures"):
        examples_of_split(_run(tmp_path, split_folder, only_training), "test")


def test_pictures_of_an_archive_are_unpacked_again(split_folder: Path, tmp_path: Path, cache: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "pets"), "tar", split_folder))
    run = _run(tmp_path, archive, find_source(kept_unpacked(archive)).absolute)
    shutil.rmtree(cache)
    assert len(_labels(examples_of_split(run, "test"))) == 12
    shutil.rmtree(cache)
    archive.unlink()
    with pytest.raises(DataError, match="12 of 12 test pictures of the run are gone"):
        examples_of_split(run, "test")
