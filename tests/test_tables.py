"""Tables of pictures."""

import csv
import io
import os
from pathlib import Path

import pytest

from cnntrain.data.examples import Example, write_examples
from cnntrain.data.sources import find_labelled, find_source, find_unlabelled
from cnntrain.data.sources.tables import tells_labels
from cnntrain.errors import DataError, UsageError


def _write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return _write(tmp_path, "a.png", "b.png", "in/c 1.jpg", "in/ü.jpg")


def _table(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _found(table: Path) -> list[tuple[str, str]]:
    return [(item.path, item.label) for item in find_source(table).examples]


def _problem(table: Path) -> str:
    with pytest.raises(DataError) as caught:
        find_source(table)
    assert "\n" not in str(caught.value)
    assert str(table) in str(caught.value)
    return str(caught.value)


FOUND = [("in/c 1.jpg", "cat"), ("a.png", "dog")]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\nin/c 1.jpg,cat\na.png,dog\n",
        "\ufeffpath,label\r\nin/c 1.jpg,cat\r\na.png,dog\r\n",
        "Label;File Name\ncat;in/c 1.jpg\ndog;a.png",
        "path\tlabel\nin/c 1.jpg\tcat\na.png\tdog\n",
        '"path","label"\n"in/c 1.jpg","cat"\n"./a.png", dog \n',
        "id,Breed\nc 1,cat\na,dog\n",
        ",path,label,width\n0,in\\c 1.jpg,cat,1\n\n,,,\n1,in/../a.png,dog,2\n",
        "image_id,class\nc 1.jpg,cat\na.png,dog\n",
        "path,id,label,class\nin/c 1.jpg,7,cat,x\na.png,8,dog,y\n",
        "filename,id,label\nin/c 1.jpg,7,cat\na.png,8,dog\n",
        "\ufeffsep=;\r\npath;label, as given;label\r\nin/c 1.jpg;x,y,z;cat\r\na.png;,;dog\r\n",
        '"sep=|"\npath|label\nin/c 1.jpg|cat\na.png|dog\n',
    ],
)
def test_tables_as_many_programs_write_them(photos: Path, text: str) -> None:
    assert _found(_table(photos, text)) == FOUND


def test_tabs_separate_in_tsv(photos: Path) -> None:
    _write(photos, "one, two; three.png")
    table = _table(photos, "label\tpath, as given\tpath\ncat\t\tone, two; three.png\ndog\t\ta.png\n", "t.TSV")
    assert _found(table) == [("one, two; three.png", "cat"), ("a.png", "dog")]


def test_all_columns(photos: Path) -> None:
    table = _table(
        photos,
        "path,label,split,group,fold,sha256,source\na.png,cat,train,g1,0,beef,x\nb.png,dog,TRAIN,g2,1,,y\n"
        "in/ü.jpg,dog,Valid,,,,z\nin/c 1.jpg,cat,test,,,,z\n",
    )
    source = find_source(table, name="mine")
    assert (source.root, source.name, source.is_split) == (photos.resolve(), "mine", True)
    assert source.examples == (
        Example("a.png", "cat", "train", "g1", "0", "beef"),
        Example("b.png", "dog", "train", "g2", "1"),
        Example("in/ü.jpg", "dog", "validation"),
        Example("in/c 1.jpg", "cat", "test"),
    )


def test_a_table_of_a_run_is_one_too(photos: Path) -> None:
    rows = [Example((photos / name).as_posix(), name[0], "train") for name in ("a.png", "b.png")]
    (photos / "run").mkdir()
    write_examples(photos / "run" / "examples.csv", rows)
    source = find_source(photos / "run" / "examples.csv")
    assert [item.path for item in source.examples] == ["../a.png", "../b.png"]
    assert [item.path for item in source.absolute] == [row.path for row in rows]
    assert all((source.root / item.path).is_file() for item in source.examples)


def test_paths_outside_stay_right_behind_links(photos: Path) -> None:
    far = _write(photos / "far" / "deep", "x.png").parent
    (photos / "tables").mkdir()
    (photos / "tables" / "link").symlink_to(far / "deep")
    table = _table(photos / "tables", "path,label\nlink/x.png,cat\nlink/../deep/x.png,dog\n../a.png,dog\n")
    assert _found(table) == [("link/x.png", "cat"), ("../far/deep/x.png", "dog"), ("../a.png", "dog")]


def test_labels_are_composed(photos: Path) -> None:
    assert _found(_table(photos, "path,label\na.png,cafe\u0301\nb.png,café\nin/u\u0308.jpg,tea\n")) == [
        ("a.png", "café"),
        ("b.png", "café"),
        ("in/ü.jpg", "tea"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,label\na.png,cat\n", "no column for the path (name, label)"),
        ("path,width\na.png,1\n", "no column for the label (path, width)"),
        ("path,class,category\na.png,1,2\n", "more than one column for the label (path, class, category)"),
        ("path,path,label\na.png,1,2\n", "more than one column for the path"),
        ("path,label\n", "has no rows"),
        ("", "is empty"),
        ("\n \n", "is empty"),
        (b"path,label\n\xff.png,cat\n", "utf-8"),
        ('path,label\n"a.png,cat\n', "unexpected end of data"),
        ("path,label\na.png,cat\nno.png,dog\n", "row 3: there is no picture 'no.png'"),
        ("path,label\na.png,cat\n\nin,dog\n", "row 4: there is no picture 'in'"),
        ("path,label\na.png,cat\n./a.png,dog\n", "row 3: the picture a.png stands in row 2 already"),
        ("path,label\na.png,cat\nb.png,\n", "row 3: the label is empty"),
        ("path,label\n,cat\n", "row 2: the path is empty"),
        ("path,label\na.png,cat,x\n", "row 2: it has 3 cells, the header has 2"),
        ("path,label\na.png\n", "row 2: it has 1 cells, the header has 2"),
        ("path,label,split\na.png,cat,holdout\n", "row 2: the split is one of train, validation, val, valid, test"),
        ("path,label,split\na.png,cat,train\nb.png,dog,\n", "row 3: the split is empty"),
        ("path,label\na.png,cat\nb.png,cat\n", "one class only (cat)"),
        ("path,label\na.png,cat\nb.png,Thumbs.db\n", "which is what operating systems call their own leavings"),
        ("path,label\na.png,Stra\u00dfe\nb.png,STRASSE\n", "has the classes STRASSE and Straße, which are one folder"),
        ("path,label\na.png,cat\nb.png,x/y\n", "classes are named like folders"),
        ("path,label\na.png,cat\nb.png,.x\n", "classes are named like folders"),
        ("path,label,split\na.png,cat,val\nb.png,dog,test\n", "no train pictures"),
        (
            "path,label,split\na.png,cat,train\nb.png,dog,train\nin/ü.jpg,owl,test\n",
            "test holds pictures of the class owl",
        ),
    ],
)
def test_what_is_wrong_is_one_line(photos: Path, text: str | bytes, words: str) -> None:
    assert words in _problem(_table(photos, text))


def test_only_pictures_are_taken(photos: Path) -> None:
    (photos / "scan").write_bytes(b"GIF89a")
    for name in ("notes.txt", "x.tif"):
        _write(photos, name)
        problem = _problem(_table(photos, f"path,label\na.png,cat\nscan,dog\n{name},dog\n"))
        assert f"row 4: {name} is no picture" in problem
    assert _found(_table(photos, "path,label\na.png,cat\nscan,dog\n")) == [("a.png", "cat"), ("scan", "dog")]


def test_what_lies_beside_a_table_does_no_harm(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(photos, "locked/1.png", "bad\nname/2.png", "x/7.png")
    listed, scandir = list[str](), os.scandir

    def refusing(path: str) -> object:
        listed.append(path)
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert _found(_table(photos, "id,label\na,cat\n7,dog\n")) == [("a.png", "cat"), ("x/7.png", "dog")]
    listed.clear()
    for path in (f"{photos}/no.png", "../no.png"):
        assert "row 3: there is no picture" in _problem(_table(photos, f"path,label\na.png,cat\n{path},dog\n"))
    assert listed == []


def test_an_id_that_several_pictures_have(photos: Path) -> None:
    _write(photos, "x/7.png", "y/7.jpg", "y/8.jpg")
    problem = _problem(_table(photos, "id,label\n8,cat\n7,dog\n"))
    assert "row 3: 7 may be any of 2 pictures, such as x/7.png and y/7.jpg" in problem
    assert _found(_table(photos, "id,label\n8,cat\nx/7,dog\n")) == [("y/8.jpg", "cat"), ("x/7.png", "dog")]


def test_a_missing_table_and_a_pattern_for_one(photos: Path) -> None:
    assert "No such file" in _problem(photos / "no.csv")
    with pytest.raises(UsageError, match="is for folders"):
        find_source(_table(photos, "path,label\n"), label_regex="(.)")


def test_pictures_without_labels(photos: Path) -> None:
    assert find_unlabelled(_table(photos, "path\nb.png\na.png\n")).examples == (
        Example("b.png", ""),
        Example("a.png", ""),
    )
    labelled = find_unlabelled(_table(photos, "path,label\nb.png,cat\na.png,\n"))
    assert [item.label for item in labelled.examples] == ["cat", ""]


# a table in a folder


def _kaggle(folder: Path) -> Path:
    _write(folder, "train/1.jpg", "train/2.jpg", "test/3.jpg")
    _table(folder, "id,label\n3,cat\n", "sample_submission.csv")
    _table(folder, "id,width\n3,7\n", "sizes.csv")
    _table(folder, "id,breed\n2,cat\n1,dog\n", "labels.csv")
    return folder


@pytest.mark.parametrize("wrapping", ["", "dogs"])
def test_a_table_tells_the_classes_of_a_folder(tmp_path: Path, wrapping: str) -> None:
    _kaggle(tmp_path / wrapping)
    source = find_source(tmp_path)
    assert source.root == (tmp_path / wrapping).resolve()
    assert [(item.path, item.label) for item in source.examples] == [("train/2.jpg", "cat"), ("train/1.jpg", "dog")]
    everything = find_unlabelled(tmp_path).examples
    assert [(Path(item.path).name, item.label) for item in everything] == [
        ("3.jpg", ""),
        ("1.jpg", "dog"),
        ("2.jpg", "cat"),
    ]


def test_pictures_that_the_table_leaves_out_are_told(tmp_path: Path) -> None:
    _kaggle(tmp_path / "dogs")
    _write(tmp_path / "dogs", "test/4.jpg")
    note = "2 pictures are not listed in labels.csv, dogs/test/3.jpg first; split, fit and evaluate leave them out"
    assert find_source(tmp_path).notes == find_unlabelled(tmp_path).notes == (note,)


def test_a_table_in_a_folder_tells_of_that_folder(tmp_path: Path) -> None:
    _kaggle(tmp_path / "dogs")
    _write(tmp_path, "far.jpg", "dogs.jpg")
    inside = (tmp_path / "dogs" / "train" / "1.jpg").resolve()
    table = _table(tmp_path / "dogs", f"path,label\n{inside},cat\ntest/../train/2.jpg,dog\n", "labels.csv")
    assert [item.path for item in find_source(tmp_path / "dogs").examples] == ["train/1.jpg", "train/2.jpg"]
    for outside in (
        "../dogs.jpg",
        "train\\..\\..\\far.jpg",
        str(tmp_path / "far.jpg"),
        str(tmp_path / "dogs.jpg"),
        "..",
    ):
        _table(tmp_path / "dogs", f"path,label\n{inside},cat\n{outside},dog\n", "labels.csv")
        with pytest.raises(DataError, match=r"labels\.csv of dogs, row 3: .* lies outside the folder of the table"):
            find_source(tmp_path / "dogs", name="dogs")
        if outside != "..":
            assert len(find_source(table).examples) == 2  # given itself, it is the user's own


def test_of_a_table_that_may_tell_classes_the_header_is_read(tmp_path: Path) -> None:
    _kaggle(tmp_path)
    _table(tmp_path, b"id,width\n" + b"3,7\n" * 50_000 + b"\xff\n", "sizes.csv")
    assert not tells_labels(tmp_path / "sizes.csv")
    table = _table(tmp_path, b"id,breed\n" + b"1,cat\n" * 50_000 + b"\xff\n", "labels.csv")
    assert tells_labels(table)
    with pytest.raises(DataError, match=r"cannot read the table labels\.csv of dogs\.zip: 'utf-8'"):
        find_source(tmp_path, name="dogs.zip")


def test_class_folders_come_before_a_table(tmp_path: Path) -> None:
    _write(tmp_path, "cat/1.png", "dog/2.png")
    _table(tmp_path, "path,label\ncat/1.png,x\ndog/2.png,y\n", "labels.csv")
    assert [item.label for item in find_source(tmp_path).examples] == ["cat", "dog"]


def test_two_tables_are_one_too_many(tmp_path: Path) -> None:
    _table(_kaggle(tmp_path), "id,breed\n2,cat\n1,dog\n", "more.csv")
    with pytest.raises(DataError, match=r"more than one table of pictures: labels\.csv, more\.csv"):
        find_source(tmp_path)
    by_pattern = find_labelled(tmp_path, label_regex=r"/(\d)")
    assert [(item.label, item.split) for item in by_pattern.examples] == [("3", "test"), ("1", "train"), ("2", "train")]


def test_a_problem_in_such_a_table_names_both(tmp_path: Path) -> None:
    _table(_kaggle(tmp_path), "id,breed\n2,cat\n9,dog\n", "labels.csv")
    with pytest.raises(DataError, match=r"^labels\.csv of dogs\.zip, row 3: there is no picture '9'"):
        find_source(tmp_path, name="dogs.zip")


def test_thousands_of_rows_are_found_by_their_ids(tmp_path: Path) -> None:
    _write(tmp_path, *(f"{number % 7}/{number}.png" for number in range(1000)))
    text = io.StringIO()
    csv.writer(text).writerows([["id", "label"], *([number, number % 3] for number in range(1000))])
    found = _found(_table(tmp_path, text.getvalue()))
    assert found == [(f"{number % 7}/{number}.png", str(number % 3)) for number in range(1000)]
