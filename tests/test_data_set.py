"""The data set of a configuration, its classes, and the table of pictures."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import WritePictures
from hypothesis import given
from hypothesis import strategies as st

from cnntrain.config import Problem
from cnntrain.config.sections import Data
from cnntrain.data.data_set import (
    CLASSES,
    SOURCE,
    DataSet,
    check_classes,
    find_data_set,
    names_without_data,
    smoke_examples,
)
from cnntrain.data.examples import Example, class_names, in_split, manifest_text, read_examples, write_examples
from cnntrain.errors import DataError


def _found(folder: Path, classes: Any = None) -> DataSet:
    data_set, problems = find_data_set(Data(source=str(folder), classes=classes))
    assert problems == []
    assert data_set is not None
    return data_set


def _problem(folder: Path, classes: Any = None) -> Problem:
    data_set, problems = find_data_set(Data(source=str(folder), classes=classes))
    assert data_set is None
    (problem,) = problems
    assert "\n" not in problem.line("config.yaml:2")
    return problem


# what a configuration names


def test_classes_come_from_the_training_pictures(split_folder: Path) -> None:
    data_set = _found(split_folder)
    assert data_set.classes == ("cat", "dog")
    sizes = {split: len(data_set.split(split)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 24, "validation": 12, "test": 12}
    assert len(data_set.examples) == 48
    for example in data_set.examples:
        path = Path(example.path)
        assert path.is_file()
        assert path.parts[-3:-1] == (example.split, example.label)


@pytest.mark.parametrize("classes", [2, ("cat", "dog"), ("dog", "cat")])
def test_classes_that_fit(split_folder: Path, classes: Any) -> None:
    wished = ("cat", "dog") if classes == 2 else classes
    assert _found(split_folder, classes).classes == wished


def test_a_wrong_count_of_classes(split_folder: Path) -> None:
    assert _problem(split_folder, 3) == Problem(
        key=CLASSES, what="the training pictures have 2 classes", allowed="2", got="3"
    )


@pytest.mark.parametrize("classes", [("cat", "bird"), ("cat", "dog", "bird"), ("Cat", "dog")])
def test_wrong_names_of_classes(split_folder: Path, classes: tuple[str, ...]) -> None:
    assert _problem(split_folder, classes) == Problem(
        key=CLASSES,
        what="these are not the classes of the training pictures",
        allowed="cat, dog",
        got=", ".join(classes),
    )


def test_fewer_names_than_classes(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures(tmp_path / "train", {"cat": 1, "dog": 1, "owl": 1})
    assert _problem(tmp_path, ("cat", "dog")).allowed == "cat, dog, owl"


def test_many_classes_are_named_in_part() -> None:
    found = [f"{number:03d}" for number in range(100)]
    (problem,) = check_classes(("a", "b"), found)
    assert problem.allowed == ", ".join(found[:20])


@pytest.mark.parametrize("name", ["nowhere", "pets/train", "pets/train/cat/0000.png"])
def test_a_source_that_is_no_data_set(split_folder: Path, name: str) -> None:
    problem = _problem(split_folder.parent / name, ("cat", "dog"))
    assert problem.key == SOURCE
    assert name in problem.what


def test_a_source_that_is_not_split_names_the_command(split_folder: Path) -> None:
    place = split_folder / "train"
    assert f"run `cnntrain split {place} DEST` first" in _problem(place).what


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar.gz"])
def test_an_archive_of_a_split_is_unpacked_into_the_cache(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "cache"))
    stem, _, kind = name.partition(".")
    made = shutil.make_archive(str(tmp_path / stem), {"zip": "zip", "tar.gz": "gztar"}[kind], split_folder)
    found = _found(Path(made))
    assert [(example.label, example.split) for example in found.examples] == [
        (example.label, example.split) for example in _found(split_folder).examples
    ]
    assert all(Path(example.path).is_relative_to(tmp_path / "cache") for example in found.examples)
    assert all(Path(example.path).is_file() for example in found.examples)


def test_a_table_with_splits_is_a_source(split_folder: Path) -> None:
    write_examples(split_folder / "rows.csv", _found(split_folder).examples)
    assert _found(split_folder / "rows.csv") == _found(split_folder)


@pytest.mark.parametrize(
    ("wished", "names"),
    [(("b", "a"), ("b", "a")), (3, ("class_0", "class_1", "class_2")), (None, ("class_0", "class_1"))],
)
def test_names_of_a_network_without_data(wished: Any, names: tuple[str, ...]) -> None:
    assert names_without_data(wished) == names


# a few pictures for a smoke run


def _examples(split: str, labels: str) -> list[Example]:
    return [Example(f"{split}/{number}", label, split) for number, label in enumerate(labels)]


def _labels(data_set: DataSet, split: str) -> str:
    return "".join(example.label for example in data_set.split(split))


@pytest.mark.parametrize(
    ("classes", "labels", "chosen"),
    [
        ("ab", "aaaaaabbbbbb", "abababab"),
        ("ba", "aaaaaabbbbbb", "babababa"),
        ("abc", "cccccbbbbbaaaaa", "abcabcab"),
        ("ab", "aaaaaaaab", "abaaaaaa"),
        ("ab", "ab", "ab"),
        ("abcdefghijk", "abcdefghijkabcdefghijk", "abcdefgh"),
    ],
)
def test_classes_take_turns(classes: str, labels: str, chosen: str) -> None:
    data_set = DataSet(tuple(_examples("train", labels)), tuple(classes))
    smoke = smoke_examples(data_set, batch_size=4, steps=2)
    assert _labels(smoke, "train") == chosen
    assert smoke.classes == tuple(classes)


def test_each_split_gets_its_share() -> None:
    examples = [example for split in ("test", "train", "validation") for example in _examples(split, "abab" * 5)]
    smoke = smoke_examples(DataSet(tuple(examples), ("a", "b")), batch_size=3, steps=2)
    assert {split: len(smoke.split(split)) for split in ("train", "validation", "test")} == {
        "train": 6,
        "validation": 3,
        "test": 3,
    }
    assert [example.path for example in smoke.split("validation")] == ["validation/0", "validation/1", "validation/2"]
    assert set(smoke.examples) <= set(examples)


def test_a_missing_split_stays_missing() -> None:
    smoke = smoke_examples(DataSet(tuple(_examples("train", "abab")), ("a", "b")), batch_size=1, steps=2)
    assert _labels(smoke, "train") == "ab"
    assert len(smoke.examples) == 2


# the table of pictures

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
NAME = TEXT.filter(bool)
EXAMPLE = st.builds(Example, NAME, NAME, TEXT, TEXT, TEXT, TEXT, st.integers(1, 8))


@given(examples=st.lists(EXAMPLE, max_size=5))
def test_a_table_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, examples: list[Example]) -> None:
    folder = tmp_path_factory.mktemp("table")
    write_examples(folder / "examples.csv", examples)
    assert read_examples(folder / "examples.csv") == tuple(examples)
    text = manifest_text(examples, [f"source, {row}" for row in range(len(examples))])
    (folder / "manifest.csv").write_text(text, encoding="utf-8", newline="")
    assert read_examples(folder / "manifest.csv") == tuple(replace(example, orientation=1) for example in examples)


def test_the_columns_of_a_table(tmp_path: Path) -> None:
    example = Example("a,b.png", "cat", "train", "g", "2", "ff", orientation=6)
    write_examples(tmp_path / "examples.csv", [example])
    columns = "path,label,split,group,fold,sha256"
    assert (tmp_path / "examples.csv").read_bytes().decode() == f'{columns},orientation\n"a,b.png",cat,train,g,2,ff,6\n'
    assert manifest_text([example], ["x.zip"]) == f'{columns},source\n"a,b.png",cat,train,g,2,ff,x.zip\n'


def test_a_table_of_another_program_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("label,width,path\r\nKätzchen,24,a.png\r\n\r\ndog,24,b.png\r\n".encode())
    assert read_examples(path) == (Example("a.png", "Kätzchen"), Example("b.png", "dog"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"path,label\n\xff,cat\n", "utf-8"),
        (b"", "lacks the column label"),
        (b"label,split\ncat,train\n", "lacks the column path"),
        (b"path,label\na.png,cat\nb.png\n", "picture 2 lacks its path or its label"),
        (b"path,label\n,cat\n", "picture 1 lacks its path or its label"),
        (b"x" * 200_000 + b",path,label\n", "field larger than field limit"),
        (b"path,label\n" + b"x" * 200_000 + b",cat\n", "field larger than field limit"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_examples(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_and_splits_of_a_table() -> None:
    rows = [Example("1", "b", "train"), Example("2", "Z", "test"), Example("3", "a", "train")]
    assert class_names(rows) == ("Z", "a", "b")
    assert in_split(rows, "train") == (rows[0], rows[2])
    assert in_split(rows, "") == ()
