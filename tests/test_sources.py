"""Finding of pictures and classes in folders."""

import os
import socket
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from cnntrain.data.examples import Example, manifest_text
from cnntrain.data.sources import PICTURE_SUFFIXES, find_labelled, find_source, find_unlabelled
from cnntrain.errors import DataError, UsageError

Found = list[tuple[str, ...]]
SCANDIR = os.scandir
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
BMP = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"


def _write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def _found(folder: Path, label_regex: str | None = None) -> Found:
    source = find_source(folder, label_regex=label_regex)
    assert not source.is_split
    return [(item.path, item.label) for item in source.examples]


def _found_split(folder: Path, label_regex: str | None = None) -> Found:
    source = find_source(folder, label_regex=label_regex)
    assert source.is_split
    return [(item.path, item.label, item.split) for item in source.examples]


def _problem(folder: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        find_source(folder, **options)
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


def test_paths_are_relative_to_an_absolute_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "data/cat/1.png", "data/dog/1.png")
    monkeypatch.chdir(tmp_path)
    source = find_source(Path("data"))
    assert (source.root, source.name) == (tmp_path.resolve() / "data", "data")
    assert [item.path for item in source.examples] == ["cat/1.png", "dog/1.png"]
    assert [item.path for item in source.absolute] == [
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
    _write(tmp_path, "cat/1.png", "dog/1.png", "cat/._1.png", "cat/.hidden.png", "cat/@eaDir/1.png")
    for name in ("cat/Thumbs.db", "dog/desktop.ini"):
        (tmp_path / name).write_bytes(PNG)
    _write(tmp_path, ".ipynb_checkpoints/1.png", "__MACOSX/cat/1.png", "@eaDir/1.png", ".DS_Store", "notes/a.txt")
    (tmp_path / "empty" / "er").mkdir(parents=True)
    assert _found(tmp_path) == [("cat/1.png", "cat"), ("dog/1.png", "dog")]


class _Backwards:
    """`os.scandir` the other way round."""

    def __init__(self, path: str) -> None:
        with SCANDIR(path) as entries:
            self._entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

    def __enter__(self) -> Iterator["os.DirEntry[str]"]:
        return iter(self._entries)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._entries = []


def test_order_does_not_depend_on_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, *(f"{label}/{name}.png" for label in "bca" for name in "zyx"), "a/n/1.png", "a-b/1.png")
    expected = _found(tmp_path)
    assert [path for path, _ in expected] == sorted(path for path, _ in expected)
    monkeypatch.setattr(os, "scandir", _Backwards)
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
    problem = _problem(_write(tmp_path, "cat/a.doc", "dog/a.txt"))
    assert "no pictures" in problem
    assert ".jpg, .jpeg, .png, .bmp, .gif, .webp" in problem


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["cat/1.png", "cat/2.png"], "cat"),
        (["cat.0.jpg", "cat.1.jpg"], "cat"),
        (["cat/1.png", "dog/a.txt"], "cat"),
        (["data/cat/1.png"], "cat"),
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


def test_train_may_be_a_class(tmp_path: Path) -> None:
    assert [label for _, label in _found(_write(tmp_path, "train/1.png", "bus/1.png"))] == ["bus", "train"]


@pytest.mark.parametrize("name", [b"cat/\xff\xfe.png", b"ca\nt/1.png"])
def test_names_that_cannot_be_written_down(tmp_path: Path, name: bytes) -> None:
    _write(tmp_path, "dog/1.png")
    problem = _problem(_write(tmp_path, os.fsdecode(name)))
    assert "rename it" in problem
    problem.encode("utf-8")


@pytest.mark.parametrize("name", [b"d\xff", b"d\n", b"d\x1b[2J"])
def test_a_place_that_cannot_be_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    place = _write(tmp_path / os.fsdecode(name), "cat/1.png", "dog/1.png")
    table = place / "t.csv"
    table.write_text("path,label\ncat/1.png,cat\ndog/1.png,dog\n", encoding="utf-8")
    monkeypatch.chdir(place)
    for source in (place, table, Path(), Path("t.csv")):
        problem = _problem(source)
        assert "is not UTF-8 or holds control characters; rename it" in problem
        assert problem.isprintable()
        assert len(find_unlabelled(source).examples) == 2
    assert "is not UTF-8" in _problem(tmp_path, name=os.fsdecode(name))


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
        find_source(tmp_path, name="photos.zip")


def test_suffixes_are_those_of_the_manual() -> None:
    assert PICTURE_SUFFIXES == (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


# by content


@pytest.mark.parametrize("head", [b"\xff\xd8\xff\xe0", PNG, b"GIF87a", b"GIF89a\1\0", b"RIFF\x24\0\0\0WEBPVP8 ", BMP])
@pytest.mark.parametrize("name", ["a", "a.txt", "a.tif"])
def test_a_picture_is_one_whatever_it_is_called(tmp_path: Path, head: bytes, name: str) -> None:
    _write(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "dog" / name).write_bytes(head)
    source = find_source(tmp_path)
    assert [item.path for item in source.examples if item.label == "dog"] == ["dog/1.png", f"dog/{name}"]
    assert source.passed_over == {}


@pytest.mark.parametrize(
    "head", [b"", b"BMW is a car, no picture", b"RIFF\x24\0\0\0WAVEfmt ", b"GIF is a format", b"\xff\xd8"]
)
def test_what_only_sounds_like_a_picture_is_none(tmp_path: Path, head: bytes) -> None:
    _write(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "dog" / "a.txt").write_bytes(head)
    assert _found(tmp_path) == [("cat/1.png", "cat"), ("dog/1.png", "dog")]


def test_pictures_of_other_kinds_are_counted(tmp_path: Path) -> None:
    source = find_source(_write(tmp_path, "cat/1.png", "dog/1.png", "cat/1.TIFF", "dog/2.tiff", "a.heic", "a.txt"))
    assert source.passed_over == {".tiff": 2, ".heic": 1}
    problem = _problem(_write(tmp_path / "other", "a.cr2", "b/c.psd", "b/d.psd"))
    assert "1 .cr2, 2 .psd" in problem


def test_pipes_and_sockets_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "cat/1.png", "dog/1.png")
    os.mkfifo(tmp_path / "cat" / "2.png")
    os.mkfifo(tmp_path / "cat" / "pipe")
    monkeypatch.chdir(tmp_path / "dog")  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("3.png")
        assert _found(tmp_path) == [("cat/1.png", "cat"), ("dog/1.png", "dog")]


def test_a_broken_link_counts_so_that_it_is_named_later(tmp_path: Path) -> None:
    _write(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "dog" / "2.png").symlink_to("gone")
    assert ("dog/2.png", "dog") in _found(tmp_path)


def test_an_archive_inside_is_named(tmp_path: Path) -> None:
    assert "it holds 'in/train.zip': take that out" in _problem(_write(tmp_path, "in/train.zip", "a.txt"))


# labels from names


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat_0.jpg", "dog_12.jpg"], ["cat", "dog"]),
        (["cat-001.jpg", "dog-002.png"], ["cat", "dog"]),
        (["cat (3).jpg", "dog (1).jpg"], ["cat", "dog"]),
        (["great_pyrenees_1.jpg", "Bombay_7.jpg"], ["Bombay", "great_pyrenees"]),
        (["Kätzchen_1.jpg", "猫_2.jpg"], ["Kätzchen", "猫"]),
    ],
)
def test_names_with_a_number_tell_the_class(tmp_path: Path, names: list[str], labels: list[str]) -> None:
    assert [label for _, label in _found(_write(tmp_path, *names))] == labels


@pytest.mark.parametrize(
    "names",
    [
        ["cat_0.jpg", "dog-0.jpg"],  # two ways
        ["cat_0.jpg", "dog.jpg"],
        ["IMG_0001.jpg", "DSC_0002.jpg"],  # cameras
        ["cat_0.jpg", "img_0.jpg"],
        ["c3_0.jpg", "d4_0.jpg"],
        ["20240101_1.jpg", "20240102_1.jpg"],
        ["1.jpg", "2.jpg"],
    ],
)
def test_doubtful_names_tell_none(tmp_path: Path, names: list[str]) -> None:
    assert "does not tell its class" in _problem(_write(tmp_path, *names))


# labels by a pattern


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        (r"/([a-z]+)_\d", ["cat", "cat", "dog"]),
        (r"(?P<label>[a-z])[a-z]*_\d", ["c", "c", "d"]),
        (r"(x|y)/(?P<label>\w+)_", ["cat", "cat", "dog"]),
        (r"^(.)/", ["x", "y", "y"]),
    ],
)
def test_a_pattern_finds_the_class_in_the_path(tmp_path: Path, pattern: str, labels: list[str]) -> None:
    _write(tmp_path, "x/cat_1.png", "y/cat_2.png", "y/dog_3.png")
    assert [label for _, label in _found(tmp_path, pattern)] == labels


def test_a_pattern_is_searched_in_composed_letters(tmp_path: Path) -> None:
    _write(tmp_path, unicodedata.normalize("NFD", "café_1.png"), "tea_1.png")
    assert [label for _, label in _found(tmp_path, "(café|tea)_")] == ["café", "tea"]


def test_a_picture_that_the_pattern_does_not_match_is_named(tmp_path: Path) -> None:
    _write(tmp_path, "cat_1.png", "dog_1.png", "Owl.png")
    assert "finds no class in Owl.png of " in _problem(tmp_path, label_regex="([a-z]+)_")
    assert "finds no class in Owl.png of " in _problem(tmp_path, label_regex="([a-z]+)_|Owl")


@pytest.mark.parametrize(("pattern", "words"), [("[a-z]+_", "needs parentheses"), ("(", "takes a regular expression")])
def test_a_pattern_that_is_none(tmp_path: Path, pattern: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_source(_write(tmp_path, "cat_1.png"), label_regex=pattern)


def test_a_class_that_cannot_be_a_folder_elsewhere(tmp_path: Path) -> None:
    _write(tmp_path, "dog/1.png", "a\\b/1.png")
    assert "classes are named like folders" in _problem(tmp_path)
    assert "classes are named like folders" in _problem(tmp_path, label_regex="(.+)")


def test_classes_that_differ_in_capital_letters_only(tmp_path: Path) -> None:
    _write(tmp_path, "Cat/1.png", "cat/2.png", "dog/1.png")
    assert "has the classes Cat and cat, which are one folder on file systems" in _problem(tmp_path)


# split already


SPLIT = ("train/cat/1.png", "train/dog/x/1.png", "test/cat/2.png")


@pytest.mark.parametrize("folder", ["validation", "val", "valid", "VAL"])
def test_split_folders(tmp_path: Path, folder: str) -> None:
    _write(tmp_path, *SPLIT, f"{folder}/dog/3.png", "extra/owl/1.png", "stray.png")
    assert sorted(_found_split(tmp_path)) == sorted(
        [
            ("test/cat/2.png", "cat", "test"),
            ("train/cat/1.png", "cat", "train"),
            ("train/dog/x/1.png", "dog", "train"),
            (f"{folder}/dog/3.png", "dog", "validation"),
        ]
    )


def test_a_split_may_be_wrapped(tmp_path: Path) -> None:
    _write(tmp_path, *(f"pets/{name}" for name in SPLIT))
    assert [split for _, _, split in _found_split(tmp_path)] == ["test", "train", "train"]


def test_train_alone_is_enough_and_may_be_written_large(tmp_path: Path) -> None:
    _write(tmp_path, "Train/cat/1.png", "Train/dog/1.png")
    assert _found_split(tmp_path) == [("Train/cat/1.png", "cat", "train"), ("Train/dog/1.png", "dog", "train")]


def test_parts_may_be_flat(tmp_path: Path) -> None:
    _write(tmp_path, "train/cat.1.png", "train/dog.1.png", "test/cat.7.png", "val/dog/1.png")
    assert _found_split(tmp_path) == [
        ("test/cat.7.png", "cat", "test"),
        ("train/cat.1.png", "cat", "train"),
        ("train/dog.1.png", "dog", "train"),
        ("val/dog/1.png", "dog", "validation"),
    ]
    assert [row[1] for row in _found_split(tmp_path, r"/(cat|dog)")] == ["cat", "cat", "dog", "dog"]


def _manifest(folder: Path, *rows: Example) -> None:
    (folder / "manifest.csv").write_text(manifest_text(rows, ["a"] * len(rows)), encoding="utf-8")


ROWS = (
    Example("test/cat/2.png", "cat", "test", sha256="cafe"),
    Example("train/cat/1.png", "cat", "train", group="g8", fold="0"),
    Example("train/dog/x/1.png", "dog", "train", group="g7", fold="2", sha256="beef"),
)


@pytest.mark.parametrize("wrapping", ["", "pets/"])
def test_manifest_columns_go_to_their_pictures(tmp_path: Path, wrapping: str) -> None:
    _write(tmp_path, *(wrapping + name for name in SPLIT))
    _manifest(tmp_path / wrapping, *ROWS)
    found = find_source(tmp_path).examples
    assert [item.path for item in found] == [wrapping + row.path for row in ROWS]
    assert [(item.group, item.fold, item.sha256) for item in found] == [
        ("", "", "cafe"),
        ("g8", "0", ""),
        ("g7", "2", "beef"),
    ]


@pytest.mark.parametrize("form", ["bom", "semicolons", "other names of parts", "columns turned round"])
def test_a_manifest_is_read_as_tables_are(tmp_path: Path, form: str) -> None:
    _write(tmp_path, "train/cat/1.png", "train/dog/2.png", "val/cat/3.png")
    text = (
        "path,label,split,group\ntrain/cat/1.png,cat,train,g1\ntrain/dog/2.png,dog,Train,g2\nval/cat/3.png,cat,val,g3\n"
    )
    if form == "bom":
        text = "\ufeff" + text.replace("\n", "\r\n")
    elif form == "semicolons":
        text = text.replace(",", ";")
    elif form == "columns turned round":
        text = "\n".join(",".join(reversed(line.split(","))) for line in text.splitlines())
    (tmp_path / "manifest.csv").write_bytes(text.encode())
    assert [(item.split, item.group) for item in find_source(tmp_path).examples] == [
        ("train", "g1"),
        ("train", "g2"),
        ("validation", "g3"),
    ]


def test_a_manifest_of_something_else_is_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, *SPLIT)
    for text in ("file,md5\nx,y\n", "path,label\nx,y\n", "file,class,subset\nx,y,train\n"):
        (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
        assert {(item.group, item.sha256) for item in find_source(tmp_path).examples} == {("", "")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the table manifest.csv of pets.zip is empty"),
        ("path,label,split\ntrain/cat/1.png,cat,holdout\n", "manifest.csv of pets.zip, row 2: the split is one of"),
        ("path,label,split\n,cat,train\n", "manifest.csv of pets.zip, row 2: the path is empty"),
    ],
)
def test_a_damaged_manifest_is_called_by_what_the_user_knows(tmp_path: Path, text: str, words: str) -> None:
    _write(tmp_path, *SPLIT)
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
    assert words in (problem := _problem(tmp_path, name="pets.zip"))
    assert str(tmp_path) not in problem


@pytest.mark.parametrize("wrapping", ["", "pets/"])
def test_pictures_in_no_part_are_told(tmp_path: Path, wrapping: str) -> None:
    _write(tmp_path, *(wrapping + name for name in SPLIT))
    assert find_source(tmp_path).notes == find_unlabelled(tmp_path).notes == ()
    _write(tmp_path, f"{wrapping}top.png")
    note = f"1 picture is outside train, validation and test, {wrapping}top.png; split, fit and evaluate leave it out"
    assert find_source(tmp_path).notes == (note,)
    _write(tmp_path, f"{wrapping}extra/a/9.png")
    note = (
        f"2 pictures are outside train, validation and test, {wrapping}extra/a/9.png first; "
        "split, fit and evaluate leave them out"
    )
    assert find_source(tmp_path).notes == find_unlabelled(tmp_path).notes == (note,)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((*ROWS, Example("train/cat/9.png", "cat", "train")), "lists train/cat/9.png that is not there"),
        (ROWS[:1], "does not list 2 pictures, such as train/cat/1.png, that are there"),
        ((Example("test/cat/2.png", "cat", "validation"), *ROWS[1:]), "the split of test/cat/2.png is validation"),
        ((Example("test/cat/2.png", "dog", "test"), *ROWS[1:]), "the class of test/cat/2.png is dog"),
        ((*ROWS, ROWS[0]), "lists a picture twice"),
    ],
)
def test_a_manifest_that_disagrees(tmp_path: Path, rows: tuple[Example, ...], words: str) -> None:
    _write(tmp_path, *SPLIT)
    _manifest(tmp_path, *rows)
    problem = _problem(tmp_path)
    assert words in problem
    assert "--overwrite" in problem
    assert str(tmp_path) in problem


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train/a.txt", "test/a.txt"], ["holds no pictures"]),
        (["train/cat/1.png", "test/cat/1.png"], ["train holds one class only (cat)"]),
        ([*SPLIT, "test/owl/1.png"], ["test", "class owl"]),
        ([*SPLIT, "val/owl/1.png"], ["validation", "class owl"]),
        ([*SPLIT, "val/cat/1.png", "valid/cat/1.png"], ["validation pictures twice", "val and in valid"]),
        ([*SPLIT, "train/stray.png"], ["train/stray.png beside cat/"]),
        ([*SPLIT, "val/1.png"], ["name of 1.png", "does not tell its class"]),
        (["train/a/1.png", "test1/a/1.png"], ["split already", "test1, train"]),
        (["train_images/1.png", "test_images/1.png"], ["split already", "train_images"]),
        ([*SPLIT, "test2/cat/1.png"], ["split already", "test, test2, train"]),
    ],
)
def test_unfit_split_folders(tmp_path: Path, names: list[str], words: list[str]) -> None:
    problem = _problem(_write(tmp_path, *names))
    assert [word for word in words if word not in problem] == []


# with fewer demands


def test_one_class_is_enough_to_measure_on(tmp_path: Path) -> None:
    _write(tmp_path, "cat/deep/1.png")
    assert [item.label for item in find_labelled(tmp_path).examples] == ["deep"]
    assert [item.label for item in find_labelled(tmp_path, known=["cat", "dog"]).examples] == ["cat"]
    _write(tmp_path / "more", "train/1.png", "test/1.png")
    found = find_labelled(tmp_path / "more", known=["test", "train"])
    assert [(item.label, item.split) for item in found.examples] == [("test", ""), ("train", "")]


def test_labels_and_splits_where_they_can_be_told(tmp_path: Path) -> None:
    _write(tmp_path, *SPLIT, "stray.png", "test/1.png", "val/1.png")
    _manifest(tmp_path, *ROWS[:1])  # is not asked
    assert [(item.path, item.label, item.split) for item in find_unlabelled(tmp_path).examples] == [
        ("stray.png", "", ""),
        ("test/1.png", "", "test"),
        ("test/cat/2.png", "cat", "test"),
        ("train/cat/1.png", "cat", "train"),
        ("train/dog/x/1.png", "dog", "train"),
        ("val/1.png", "", "validation"),
    ]


def test_unlabelled_pictures(tmp_path: Path) -> None:
    _write(tmp_path, "b.png", "a 1.jpg")
    assert find_unlabelled(tmp_path).examples == (Example("a 1.jpg", ""), Example("b.png", ""))
    one = find_unlabelled(tmp_path / "b.png")
    assert (one.root, one.examples) == (tmp_path.resolve(), (Example("b.png", ""),))
    by_pattern = find_unlabelled(tmp_path, label_regex="(a) ")
    assert [item.label for item in by_pattern.examples] == ["a", ""]
    with pytest.raises(DataError, match="there is no folder"):
        find_unlabelled(tmp_path / "no")
