"""Finding of pictures and classes in folders."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnntrain.data import sources
from cnntrain.data.examples import Example, write_examples
from cnntrain.data.sources import find_examples, find_split_examples
from cnntrain.errors import DataError

Found = list[tuple[str, ...]]


def _write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def _found(folder: Path) -> Found:
    return [(Path(item.path).relative_to(folder.resolve()).as_posix(), item.label) for item in find_examples(folder)]


def _found_split(folder: Path) -> Found:
    return [
        (Path(item.path).relative_to(folder.resolve()).as_posix(), item.label, item.split)
        for item in find_split_examples(folder)
    ]


def _problem(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        find_examples(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _split_problem(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        find_split_examples(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_class_folders_nested_and_sorted(tmp_path: Path) -> None:
    _write(tmp_path, "dog/b/2.JPG", "dog/a.webp", "cat/1.jpeg", "cat/deep/er/1.png", "cat/notes.txt", "readme.md")
    assert _found(tmp_path) == [
        ("cat/1.jpeg", "cat"),
        ("cat/deep/er/1.png", "cat"),
        ("dog/a.webp", "dog"),
        ("dog/b/2.JPG", "dog"),
    ]


def test_paths_are_absolute_and_posix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "data/cat/1.png", "data/dog/1.png")
    monkeypatch.chdir(tmp_path)
    assert [item.path for item in find_examples(Path("data"))] == [
        (tmp_path.resolve() / "data" / label / "1.png").as_posix() for label in ("cat", "dog")
    ]


def test_flat_folder_of_kaggle_names(tmp_path: Path) -> None:
    _write(tmp_path, "dog.12.jpg", "cat.0.jpg", "cat.10.jpg")
    assert _found(tmp_path) == [("cat.0.jpg", "cat"), ("cat.10.jpg", "cat"), ("dog.12.jpg", "dog")]


def test_descends_while_there_is_one_folder_only(tmp_path: Path) -> None:
    _write(tmp_path, "download/train/cat.0.jpg", "download/train/dog.0.jpg", "download/info.csv", "empty/.keep")
    assert _found(tmp_path) == [("download/train/cat.0.jpg", "cat"), ("download/train/dog.0.jpg", "dog")]
    _write(tmp_path, "other/x/cat/1.png", "other/x/dog/1.png")
    assert [label for _, label in _found(tmp_path / "other")] == ["cat", "dog"]


def test_leavings_are_no_classes_and_no_pictures(tmp_path: Path) -> None:
    _write(tmp_path, "cat/1.png", "dog/1.png", "cat/._1.png", "cat/.hidden.png", "cat/Thumbs.db", "cat/@eaDir/1.png")
    _write(tmp_path, ".ipynb_checkpoints/1.png", "__MACOSX/cat/1.png", "@eaDir/1.png", ".DS_Store", "notes/a.txt")
    (tmp_path / "empty" / "er").mkdir(parents=True)
    assert _found(tmp_path) == [("cat/1.png", "cat"), ("dog/1.png", "dog")]


def test_order_does_not_depend_on_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, *(f"{label}/{name}.png" for label in "bca" for name in "zyx"), "a/n/1.png", "a-b/1.png")
    expected = _found(tmp_path)
    assert [path for path, _ in expected] == sorted(path for path, _ in expected)
    walk = os.walk

    def backwards(*arguments: Any, **options: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, folders, files in walk(*arguments, **options):
            folders.reverse()
            yield folder, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert _found(tmp_path) == expected


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "café")
    _write(tmp_path, f"{decomposed}/1.png", "café/2.png", "tea/1.png")
    assert [(path.split("/")[1], label) for path, label in _found(tmp_path)] == [
        ("1.png", "café"),
        ("2.png", "café"),
        ("1.png", "tea"),
    ]


def test_links_are_followed_but_never_round_in_circles(tmp_path: Path) -> None:
    data, far = tmp_path / "data", tmp_path / "far"
    _write(data, "cat/1.png", "dog/1.png")
    _write(far, "1.png", "sub/2.png")
    (data / "owl").symlink_to(far)
    (far / "loop").symlink_to(far)
    (far / "sub" / "home").symlink_to(data)
    (data / "cat" / "up").symlink_to(data / "dog")
    (data / "cat" / "above").symlink_to(tmp_path)
    (data / "self").symlink_to(data / "self")
    assert _found(data) == [
        ("cat/1.png", "cat"),
        ("dog/1.png", "dog"),
        ("owl/1.png", "owl"),
        ("owl/sub/2.png", "owl"),
    ]


def test_missing_folder(tmp_path: Path) -> None:
    assert f"there is no folder {tmp_path / 'no'}" in _problem(tmp_path / "no")
    assert "cannot read" in _problem(tmp_path / ("n" * 300))


def test_file_instead_of_folder(tmp_path: Path) -> None:
    assert "cat.png is a file" in _problem(_write(tmp_path, "cat.png") / "cat.png")


def test_no_pictures(tmp_path: Path) -> None:
    problem = _problem(_write(tmp_path, "cat/a.tiff", "dog/a.txt"))
    assert "no pictures" in problem
    assert ".jpg, .jpeg, .png, .bmp, .gif, .webp" in problem


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["cat/1.png", "cat/2.png"], "cat"),
        (["cat.0.jpg", "cat.1.jpg"], "cat"),
        (["cat/1.png", "dog/a.txt"], "cat"),
        (["data/cat/1.png"], "data/cat"),
        (["cat/x.0.png", "cat/1.png"], "cat"),
    ],
)
def test_one_class_only(tmp_path: Path, names: list[str], label: str) -> None:
    assert f"one class only ({label})" in _problem(_write(tmp_path, *names))


def test_pictures_beside_class_folders(tmp_path: Path) -> None:
    problem = _problem(_write(tmp_path, "all/cat/1.png", "all/dog/1.png", "all/stray.0.png"))
    assert "stray.0.png beside cat/" in problem


def test_names_that_tell_no_class(tmp_path: Path) -> None:
    problem = _problem(_write(tmp_path, "cat.0.jpg", "dog.0.jpg", "IMG_1.jpg"))
    assert "IMG_1.jpg" in problem
    assert "cat.0.jpg" in problem


@pytest.mark.parametrize(
    "folders", [("train", "test"), ("train", "validation", "test"), ("Train", "val"), ("train", "test1")]
)
def test_split_already(tmp_path: Path, folders: tuple[str, ...]) -> None:
    problem = _problem(_write(tmp_path, *(f"data/{folder}/{label}/1.png" for folder in folders for label in "ab")))
    assert "split already" in problem
    assert all(folder in problem for folder in folders)


def test_train_may_be_a_class(tmp_path: Path) -> None:
    assert [label for _, label in _found(_write(tmp_path, "train/1.png", "bus/1.png"))] == ["bus", "train"]


@pytest.mark.parametrize("name", [b"cat/\xff\xfe.png", b"ca\nt/1.png"])
def test_names_that_cannot_be_written_down(tmp_path: Path, name: bytes) -> None:
    _write(tmp_path, "dog/1.png")
    problem = _problem(_write(tmp_path, os.fsdecode(name)))
    assert "rename it" in problem
    problem.encode("utf-8")


def test_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "cat/1.png", "dog/1.png")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if os.fspath(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert "cannot list the folder" in (problem := _problem(tmp_path))
    assert "dog: Permission denied" in problem


def test_messages_call_the_folder_by_the_name_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^photos\.zip holds no pictures"):
        find_examples(tmp_path, name="photos.zip")


def test_suffixes_are_those_of_the_manual() -> None:
    assert sources.PICTURE_SUFFIXES == (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


SPLIT = ("train/cat/1.png", "train/dog/x/1.png", "test/cat/2.png")


@pytest.mark.parametrize("folder", ["validation", "val", "valid"])
def test_split_folders(tmp_path: Path, folder: str) -> None:
    _write(tmp_path, *SPLIT, f"{folder}/dog/3.png", "extra/owl/1.png", "stray.png")
    assert sorted(_found_split(tmp_path)) == [
        ("test/cat/2.png", "cat", "test"),
        ("train/cat/1.png", "cat", "train"),
        ("train/dog/x/1.png", "dog", "train"),
        (f"{folder}/dog/3.png", "dog", "validation"),
    ]


def test_only_train_is_required_and_may_be_written_large(tmp_path: Path) -> None:
    _write(tmp_path, "Train/cat/1.png", "Train/dog/1.png")
    assert _found_split(tmp_path) == [("Train/cat/1.png", "cat", "train"), ("Train/dog/1.png", "dog", "train")]


def test_manifest_columns_go_to_their_pictures(tmp_path: Path) -> None:
    _write(tmp_path, *SPLIT)
    row = Example("train/dog/x/1.png", "dog", "train", group="g7", fold="2", sha256="beef")
    other = Example("train/gone/1.png", "gone", "train", group="g8", fold="3", sha256="dead")
    write_examples(tmp_path / "manifest.csv", [other, row], ["a", "b"])
    root = tmp_path.resolve().as_posix()
    assert find_split_examples(tmp_path) == (
        Example(f"{root}/test/cat/2.png", "cat", "test"),
        Example(f"{root}/train/cat/1.png", "cat", "train"),
        Example(f"{root}/train/dog/x/1.png", "dog", "train", group="g7", fold="2", sha256="beef"),
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["cat/1.png", "dog/1.png"], ["is not split", "cnntrain split"]),
        (["train/a.txt", "test/cat/1.png"], ["train holds no pictures"]),
        (["train/a.txt"], ["holds no pictures"]),
        (["train/cat/1.png"], ["train holds one class only (cat)"]),
        ([*SPLIT, "test/owl/1.png"], ["test", "class owl"]),
        ([*SPLIT, "val/owl/1.png"], ["validation", "class owl"]),
        ([*SPLIT, "val/cat/1.png", "valid/cat/1.png"], ["validation pictures twice", "val and in valid"]),
        (["train/cat.0.png", "train/dog.0.png"], ["outside class folders", "cat.0.png", "cnntrain split"]),
    ],
)
def test_unfit_split_folders(tmp_path: Path, names: list[str], words: list[str]) -> None:
    problem = _split_problem(_write(tmp_path, *names))
    assert [word for word in words if word not in problem] == []


def test_missing_split_folder(tmp_path: Path) -> None:
    assert "there is no folder" in _split_problem(tmp_path / "no")
    assert "is a file" in _split_problem(_write(tmp_path, "a.csv") / "a.csv")
