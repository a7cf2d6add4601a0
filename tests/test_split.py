"""Splitting: what stands on the disk afterwards, and what is said about it."""

import errno
import hashlib
import json
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import cnntrain
from cnntrain.cli import group
from cnntrain.data.examples import Example, read_examples
from cnntrain.data.scanning.look import Look
from cnntrain.data.sources import Source, find_source
from cnntrain.data.splitting import contents as contents_module
from cnntrain.data.splitting import split as split_module
from cnntrain.data.splitting import writing as writing_module
from cnntrain.data.splitting.report import SplitResult
from cnntrain.data.splitting.split import split_source
from cnntrain.data.splitting.wishes import Wishes
from cnntrain.errors import CnntrainError, DataError, UsageError, WriteError

# What stands on the disk

COUNTS = {"train": 3, "validation": 1, "test": 2}


def _split(
    source: Path,
    dest: Path,
    *,
    overwrite: bool = False,
    on_looked: Callable[[int, int], None] = lambda *_: None,
    **wishes: Any,
) -> SplitResult:
    """Looks for near-duplicates only where it is asked to."""
    asked = Wishes(**{"near_duplicates": "ignore", **wishes})
    return split_source(source, dest, asked, overwrite=overwrite, on_looked=on_looked)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven cats and seven dogs in a Kaggle-style folder."""
    folder = tmp_path / "photos" / "train"
    folder.mkdir(parents=True)
    for label in ("cat", "dog"):
        for number in range(7):
            (folder / f"{label}.{number}.jpg").write_bytes(f"{label} {number}".encode())
    return tmp_path / "photos"


def _zipped(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*"), reverse=True):
            opened.write(path, path.relative_to(folder))
    return archive


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_split_on_disk(photos: Path, tmp_path: Path) -> None:
    dest = tmp_path / "new" / "out"
    result = _split(photos, dest, counts=COUNTS, seed=3)
    assert result.counts == {split: {"cat": n, "dog": n} for split, n in COUNTS.items()}
    assert (result.dest, result.seed, result.left_out, result.too_few) == (dest, 3, 2, {})
    rows = read_examples(dest / "manifest.csv")
    assert Counter((row.split, row.label) for row in rows) == Counter(
        {(split, label): n for split, n in COUNTS.items() for label in ("cat", "dog")}
    )
    assert set(_tree(dest)) == {row.path for row in rows} | {"manifest.csv", "split.json"}
    for row in rows:
        content = (dest / row.path).read_bytes()
        split, label, name = row.path.split("/")
        assert (split, label, hashlib.sha256(content).hexdigest()) == (row.split, row.label, row.sha256)
        assert content == (photos / "train" / name).read_bytes()
    sources = [line.rpartition(",")[2] for line in (dest / "manifest.csv").read_text(encoding="utf-8").splitlines()]
    assert sources == ["source", *("train/" + row.path.split("/")[2] for row in rows)]


def test_what_split_writes_is_what_training_reads(photos: Path, tmp_path: Path) -> None:
    _split(photos, tmp_path / "out", counts=COUNTS)
    found = find_source(tmp_path / "out").examples
    assert Counter(item.split for item in found) == Counter({split: 2 * n for split, n in COUNTS.items()})
    assert {item.sha256 for item in found} == {row.sha256 for row in read_examples(tmp_path / "out" / "manifest.csv")}


def test_zip_and_folder_give_the_same(photos: Path, tmp_path: Path) -> None:
    _split(photos, tmp_path / "one", counts=COUNTS)
    before = set(tmp_path.iterdir())
    _split(_zipped(photos), tmp_path / "two", counts=COUNTS)
    assert _tree(tmp_path / "one") == _tree(tmp_path / "two")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "two", tmp_path / "photos.zip"}


@pytest.mark.parametrize("method", ["copy", "hardlink", "symlink"])
def test_methods(photos: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = photos.parent / "real.jpg"
    (photos / "train" / "cat.0.jpg").rename(real)
    (photos / "train" / "cat.0.jpg").symlink_to(real)
    monkeypatch.chdir(tmp_path)
    _split(Path("photos"), Path("out"), ratios=(1, 0, 0), method=method)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train", "manifest.csv", "split.json"}
    for path in (tmp_path / "out").rglob("*.jpg"):
        original = photos / "train" / path.name
        assert path.read_bytes() == original.read_bytes()
        assert path.is_symlink() == (method == "symlink")
        assert path.samefile(original) == (method != "copy")
        if method == "symlink":
            assert path.readlink().is_absolute()


def test_ratios_when_nothing_is_said(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "in" / label / f"{number}.png").write_text(f"{label}{number}", encoding="utf-8")
    result = _split(tmp_path / "in", tmp_path / "out")
    assert result.counts == {"train": {"a": 8, "b": 8}, "validation": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}
    assert result.left_out == 0


def test_equal_names_get_numbers(tmp_path: Path) -> None:
    names = ["a/1.jpg", "a/x/1.jpg", "a/x/1_2.jpg", "a/y/1.JPG", "b/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name, encoding="utf-8")
    _split(tmp_path / "in", tmp_path / "out", ratios=(1, 0, 0))
    assert {path: content.decode() for path, content in _tree(tmp_path / "out" / "train" / "a").items()} == {
        "1.jpg": "a/1.jpg",
        "1_2.jpg": "a/x/1.jpg",
        "1_2_2.jpg": "a/x/1_2.jpg",
        "1_3.JPG": "a/y/1.JPG",
    }


def test_an_earlier_split_is_replaced_only_when_asked(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _split(photos, out, counts=COUNTS)
    before = _tree(out)
    with pytest.raises(WriteError, match=r"out exists already .*--overwrite"):
        _split(photos, out, counts={"train": 1})
    assert _tree(out) == before
    _split(photos, out, counts={"train": 1}, overwrite=True)
    assert len(_tree(out)) == 4


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["train/cat/1.jpg", "manifest.csv", "thesis.tex"], "it holds thesis.tex"),
        (["train/cat/1.jpg"], "it lacks the manifest.csv"),
        (["train/cat/1.jpg", "manifest.csv"], "it lacks the manifest.csv"),
    ],
)
def test_nothing_but_an_earlier_split_is_replaced(photos: Path, tmp_path: Path, names: list[str], reason: str) -> None:
    for name in names:
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("precious", encoding="utf-8")
    with pytest.raises(WriteError, match=reason):
        _split(photos, tmp_path / "out", counts=COUNTS, overwrite=True)
    assert set(_tree(tmp_path / "out")) == set(names)


@pytest.mark.parametrize("dest", ["loop/out", "n" * 300, "file/out"])
def test_destinations_that_cannot_be_made(photos: Path, tmp_path: Path, dest: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=dest):
        _split(photos, tmp_path / dest, counts=COUNTS)


def test_a_file_is_never_replaced(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious", encoding="utf-8")
    with pytest.raises(WriteError):
        _split(photos, tmp_path / "out", counts=COUNTS, overwrite=True)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    ("source", "dest"), [("photos", "photos"), ("photos", "photos/out"), ("photos/train", "photos")]
)
def test_source_and_destination_must_lie_apart(photos: Path, tmp_path: Path, source: str, dest: str) -> None:
    before = _tree(tmp_path)
    with pytest.raises(UsageError, match="inside each other"):
        _split(tmp_path / source, tmp_path / dest, counts=COUNTS, overwrite=True)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("method", ["hardlink", "symlink"])
def test_an_archive_can_only_be_copied(photos: Path, tmp_path: Path, method: str) -> None:
    with pytest.raises(UsageError, match="an archive can only be copied"):
        _split(_zipped(photos), tmp_path / "out", counts=COUNTS, method=method)
    with pytest.raises(UsageError, match="copy, hardlink, symlink"):
        _split(photos, tmp_path / "out", counts=COUNTS, method="move")


def test_links_across_file_systems(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def across(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setitem(writing_module._PLACE, "hardlink", across)
    before = set(tmp_path.iterdir())
    with pytest.raises(WriteError, match=r"cannot hardlink .*cat\.\d\.jpg .*--method copy"):
        _split(photos, tmp_path / "out", counts=COUNTS, method="hardlink")
    assert set(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    copyfile = writing_module._PLACE["copy"]

    def full(source: str, target: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copyfile(source, target)

    monkeypatch.setitem(writing_module._PLACE, "copy", full)
    before = set(tmp_path.iterdir())
    with pytest.raises(WriteError, match=r"out: No space left"):
        _split(photos, tmp_path / "out", counts=COUNTS)
    assert set(tmp_path.iterdir()) == before


def test_a_picture_that_cannot_be_read_is_named(photos: Path, tmp_path: Path) -> None:
    broken = photos / "train" / "dog.3.jpg"
    broken.unlink()
    broken.symlink_to(photos / "gone.jpg")
    before = set(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"train/dog\.3\.jpg of .*photos is not a readable file"):
        _split(photos, tmp_path / "out", ratios=(1, 0, 0))
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", [b"no zip", b""])
def test_a_damaged_zip_is_named_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photos.ZIP").write_bytes(content)
    with pytest.raises(DataError, match=r"photos\.ZIP is damaged"):
        _split(tmp_path / "photos.ZIP", tmp_path / "out", counts=COUNTS)
    assert [path.name for path in tmp_path.iterdir()] == ["photos.ZIP"]


def test_messages_name_the_zip_and_not_where_it_was_unpacked(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("cat/1.jpg", b"1")
    with pytest.raises(DataError) as caught:
        _split(tmp_path / "one.zip", tmp_path / "out", counts=COUNTS)
    assert str(caught.value) == f"{tmp_path / 'one.zip'} holds one class only (cat); a classifier needs at least two"
    assert {path.name for path in tmp_path.iterdir()} == {"one.zip", "photos"}


@pytest.mark.parametrize("name", ["missing", "missing.zip", "picture.png"])
def test_sources_that_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "picture.png").touch()
    with pytest.raises(DataError, match=name):
        _split(tmp_path / name, tmp_path / "out", counts=COUNTS)


# Duplicates and groups


@pytest.fixture
def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that begin with the same letter and a tilde look alike; those that begin with `!` are bad pictures."""

    def looks(paths: list[str], *, max_pixels: int, on_picture: Callable[[int], None]) -> tuple[Look, ...]:
        assert max_pixels == 50_000_000
        on_picture(len(paths))
        return tuple(_look(Path(path).read_bytes()) for path in paths)

    def pairs(signatures: list[bytes]) -> list[tuple[int, int]]:
        """The first that looks so, and each later one."""
        first: dict[bytes, int] = {}
        found = [(first.setdefault(signature, index), index) for index, signature in enumerate(signatures) if signature]
        return [(one, other) for one, other in found if one != other]

    monkeypatch.setattr(contents_module, "look_at_all", looks)
    monkeypatch.setattr("cnntrain.data.scanning.duplicates.near_pairs", pairs)


def _look(content: bytes) -> Look:
    digest = hashlib.sha256(content).hexdigest()
    if content.startswith(b"!"):
        return Look(digest, fault="damaged", problem="a scan is cut off")
    return Look(digest, kind="png", signature=content[:1] if content[1:2] == b"~" else b"")


def _written(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def _plain(number: int = 10) -> dict[str, str]:
    """Pictures in two classes, no two of them the same."""
    return {f"{label}/{i}.png": f"{label} {i}" for label in ("cat", "dog") for i in range(number)}


def _rows(dest: Path) -> dict[str, Example]:
    """The rows of a manifest by the path in the source."""
    lines = (dest / "manifest.csv").read_text(encoding="utf-8").splitlines()[1:]
    sources = [line.rpartition(",")[2] for line in lines]
    return dict(zip(sources, read_examples(dest / "manifest.csv"), strict=True))


def test_exact_copies_stay_on_one_side_even_when_near_duplicates_are_ignored(tmp_path: Path) -> None:
    copies = {f"cat/{i}.png": "same" for i in (1, 4, 7)}
    result = _split(_written(tmp_path / "in", {**_plain(), **copies}), tmp_path / "out", ratios=(0.4, 0.3, 0.3))
    rows = _rows(tmp_path / "out")
    assert len({rows[path].split for path in copies}) == 1
    assert len({rows[path].group for path in copies}) == 1
    assert rows["cat/1.png"].group == "set-" + hashlib.sha256(b"cat/1.png").hexdigest()[:12]
    assert {row.group for path, row in rows.items() if path not in copies} == {""}
    assert result.counts["train"] == {"cat": 4, "dog": 4}
    assert result.findings.exact_copies == (tuple(copies),)
    assert result.lines == ("exact copies: 3 pictures in 1 set",)


@pytest.mark.usefixtures("alike")
def test_near_duplicates_stay_together_and_are_told(tmp_path: Path) -> None:
    files = {**_plain(20), "cat/0.png": "A~ big", "cat/3.png": "A~ small", "dog/5.png": "A~ small", "dog/6.png": "!"}
    told: list[tuple[int, int]] = []
    source = _written(tmp_path / "in", files)
    result = _split(source, tmp_path / "out", near_duplicates="together", on_looked=lambda *now: told.append(now))
    rows = _rows(tmp_path / "out")
    assert len({rows[path].split for path in ("cat/0.png", "cat/3.png", "dog/5.png")}) == 1
    assert "dog/6.png" not in rows
    assert told == [(40, 40)]
    assert result.lines == (
        "left out: 1 picture, 1 as bad",
        "exact copies: 2 pictures in 1 set",
        "near duplicates: 3 pictures in 1 set",
        "label conflicts: 1 set: cat/0.png (cat) = cat/3.png (cat) = dog/5.png (dog)",
        "bad pictures: 1 picture: dog/6.png; `cnntrain scan` tells more",
        "so many near duplicates are worth a look (`cnntrain scan`); are they none: --near-duplicates ignore",
    )
    assert result.findings.bad_pictures == {"dog/6.png": "a scan is cut off"}


@pytest.mark.usefixtures("alike")
def test_drop_keeps_the_first_of_each_set_and_nothing_of_a_conflict(tmp_path: Path) -> None:
    same = {"cat/3.png": "A~ 1", "cat/7.png": "A~ 2", "cat/8.png": "A~ 2", "cat/9.png": "C", "dog/9.png": "C"}
    result = _split(
        _written(tmp_path / "in", {**_plain(), **same}), tmp_path / "out", ratios=(1, 0, 0), near_duplicates="drop"
    )
    rows = _rows(tmp_path / "out")
    assert result.findings.dropped == ("cat/7.png", "cat/8.png", "cat/9.png", "dog/9.png")
    assert set(rows) == set(_plain()) - set(result.findings.dropped)
    assert {row.group for row in rows.values()} == {""}
    assert result.lines[0] == "left out: 4 pictures, 4 as duplicates"
    assert result.counts["train"] == {"cat": 7, "dog": 9}


def test_groups_by_pattern(tmp_path: Path) -> None:
    files = {f"{label}/p{i // 4}_{i}.png": f"{label}{i}" for label in ("cat", "dog") for i in range(40)}
    _split(_written(tmp_path / "in", files), tmp_path / "out", ratios=(0.6, 0.2, 0.2), group_by=r"/(p\d+)_")
    rows = _rows(tmp_path / "out")
    for person in range(10):
        mine = [row for path, row in rows.items() if f"/p{person}_" in path]
        assert {row.group for row in mine} == {f"p{person}"}
        assert len({row.split for row in mine}) == 1
    assert Counter(row.split for row in rows.values()) == {"train": 48, "validation": 16, "test": 16}


def test_groups_from_a_table_merge_with_copies(tmp_path: Path) -> None:
    """A picture of anna is also one of bert's; carl's are nobody else's. The split may lie beside the table."""
    files = {f"{i}.png": str(i) for i in range(12)} | {"0.png": "shared", "3.png": "shared"}
    owner = {0: "anna", 1: "anna", 2: "bert", 3: "bert", 4: "carl", 5: "carl"}
    table = "path,label,group\n" + "".join(f"{i}.png,{'ab'[i % 2]},{owner.get(i, '')}\n" for i in range(12))
    _written(tmp_path / "in", {**files, "labels.csv": table})
    _split(tmp_path / "in" / "labels.csv", tmp_path / "in" / "out", ratios=(0.5, 0, 0.5))
    rows = _rows(tmp_path / "in" / "out")
    assert len({rows[f"{i}.png"].split for i in range(4)}) == 1
    groups = [rows[f"{i}.png"].group for i in range(12)]
    assert len(set(groups[:4])) == 1
    assert groups[0].startswith("set-")
    assert groups[4:] == ["carl", "carl", *[""] * 6]
    assert {row.group for row in find_source(tmp_path / "in" / "out").examples} == {*groups}


def test_a_table_of_pictures_inside_the_destination_is_refused(photos: Path, tmp_path: Path) -> None:
    _split(photos, tmp_path / "out", counts=COUNTS)
    (tmp_path / "out.csv").write_text(
        "path,label\n" + "".join(f"out/{row.path},{row.label}\n" for row in _rows(tmp_path / "out").values()),
        encoding="utf-8",
    )
    with pytest.raises(UsageError, match=r"the picture .*\.jpg of the source lies in .*out; choose another"):
        _split(tmp_path / "out.csv", tmp_path / "out", counts={"train": 1}, overwrite=True)


def _of_links_to_pictures(dest: Path, source: Path) -> Path:
    for path in dest.rglob("*.jpg"):
        (source / path.parent.name).mkdir(parents=True, exist_ok=True)
        (source / path.parent.name / path.name).symlink_to(path)
    return source


def _of_links_to_folders(dest: Path, source: Path) -> Path:
    source.mkdir()
    for label in ("cat", "dog"):
        (source / label).symlink_to(dest / "train" / label)
    return source


def _of_rows_through_a_link(dest: Path, source: Path) -> Path:
    source.mkdir()
    (source / "pictures").symlink_to(dest)
    rows = [f"pictures/{path.relative_to(dest).as_posix()},{path.parent.name}\n" for path in dest.rglob("*.jpg")]
    (source / "labels.csv").write_text("path,label\n" + "".join(rows), encoding="utf-8")
    return source / "labels.csv"


@pytest.mark.parametrize("method", ["copy", "symlink"])
@pytest.mark.parametrize("make", [_of_links_to_pictures, _of_links_to_folders, _of_rows_through_a_link])
@pytest.mark.parametrize("dest", ["out", "link"])
def test_links_into_the_destination_are_followed_before_it_is_replaced(
    photos: Path, tmp_path: Path, make: Callable[[Path, Path], Path], method: str, dest: str
) -> None:
    _split(photos, tmp_path / "out", counts=COUNTS)
    (tmp_path / "link").symlink_to(tmp_path / "out")
    source = make(tmp_path / "out", tmp_path / "links")
    before = _tree(tmp_path)
    with pytest.raises(UsageError, match=rf"the picture .*\.jpg of the source lies in .*{dest}; choose another"):
        _split(source, tmp_path / dest, counts={"train": 1}, overwrite=True, method=method)
    assert _tree(tmp_path) == before


def test_nothing_is_moved_out_of_other_folders_than_that_of_the_archive(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archives refuse such names already; this is a second look, before files are moved."""
    (tmp_path / "precious.jpg").write_bytes(b"precious")

    def find(place: Path, **options: Any) -> Source:
        found = find_source(place, **options)
        return replace(found, examples=(*found.examples, Example("../precious.jpg", "cat")))

    monkeypatch.setattr(split_module, "find_source", find)
    with pytest.raises(DataError, match=r"photos\.zip names a picture that is not in it: .*precious\.jpg; unpack it"):
        _split(_zipped(photos), tmp_path / "out", ratios=(1, 0, 0))
    assert (tmp_path / "precious.jpg").exists()


def test_pictures_that_do_not_count_are_told(photos: Path, tmp_path: Path) -> None:
    _split(photos, tmp_path / "one", counts=COUNTS)
    (tmp_path / "one" / "unlabelled").mkdir()
    (tmp_path / "one" / "unlabelled" / "what.jpg").write_bytes(b"?")
    result = _split(tmp_path / "one", tmp_path / "two")
    assert result.findings.notes == find_source(tmp_path / "one").notes
    assert [line for line in result.lines if "unlabelled/what.jpg" in line] == list(result.findings.notes) != []
    stored = json.loads((tmp_path / "two" / "split.json").read_text(encoding="utf-8"))
    assert stored["findings"]["notes"] == list(result.findings.notes)


def test_wrong_patterns(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--group-by takes a regular expression; got: \("):
        _split(photos, tmp_path / "out", group_by="(")
    with pytest.raises(DataError, match=r"--group-by x\\d finds no group in train/cat\.0\.jpg of .*photos"):
        _split(photos, tmp_path / "out", group_by=r"x\d")
    assert not (tmp_path / "out").exists()


def test_counts_that_groups_forbid_are_told(tmp_path: Path) -> None:
    source = _written(tmp_path / "in", {**_plain(8), **{f"cat/{i}.png": "same" for i in range(6)}})
    result = _split(source, tmp_path / "out", counts={"train": 4, "test": 4})
    assert result.counts == {
        "train": {"cat": 4, "dog": 4},
        "validation": {"cat": 0, "dog": 0},
        "test": {"cat": 2, "dog": 4},
    }
    assert result.too_few == {"cat in test": (2, 4)}
    assert result.lines == (
        "left out: 2 pictures",
        "fewer than asked for, since groups stay on one side: cat in test 2 of 4",
        "exact copies: 6 pictures in 1 set",
    )


# Sources that are split already


def _split_already(folder: Path, **others: str) -> Path:
    files = {f"{part}/{path}": f"{part} {content}" for part in ("train", "val") for path, content in _plain(4).items()}
    return _written(folder, {**files, **{name.replace("__", "/") + ".png": text for name, text in others.items()}})


def test_parts_are_kept_unless_sizes_are_given(tmp_path: Path) -> None:
    source = _split_already(tmp_path / "in")
    kept = _split(source, tmp_path / "kept")
    assert kept.counts["train"] == kept.counts["validation"] == {"cat": 4, "dog": 4}
    assert {path.partition("/")[0]: row.split for path, row in _rows(tmp_path / "kept").items()} == {
        "train": "train",
        "val": "validation",
    }
    pooled = _split(source, tmp_path / "pooled", ratios=(0.75, 0, 0.25))
    assert pooled.counts["train"] == {"cat": 6, "dog": 6}
    assert pooled.counts["test"] == {"cat": 2, "dog": 2}


def test_the_split_of_a_split_is_the_same(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "cat.3.jpg").write_bytes(b"cat 2")
    _split(photos, tmp_path / "one", folds=2)
    for source in (tmp_path / "one", tmp_path / "one" / "manifest.csv"):
        dest = tmp_path / f"two{source.suffix}"
        _split(source, dest)
        assert read_examples(dest / "manifest.csv") == read_examples(tmp_path / "one" / "manifest.csv")


@pytest.mark.usefixtures("alike")
def test_duplicates_across_kept_parts(tmp_path: Path) -> None:
    near = _split_already(tmp_path / "in", train__cat__0="A~ 1", train__cat__1="A~ 2", val__cat__3="A~ 3")
    with pytest.raises(DataError) as caught:
        _split(near, tmp_path / "out", near_duplicates="together")
    assert str(caught.value) == (
        f"1 duplicate set lies in several parts of {near}, such as train/cat/0.png and val/cat/3.png; take them out of "
        "the earlier part with --near-duplicates drop, leave them with --near-duplicates ignore, or give sizes, as "
        "--ratios 0.8,0.1,0.1, to split it anew"
    )
    dropped = _split(near, tmp_path / "dropped", near_duplicates="drop")
    assert dropped.findings.dropped == ("train/cat/0.png", "train/cat/1.png")
    assert dropped.counts["train"] == {"cat": 2, "dog": 4}
    assert dropped.counts["validation"] == {"cat": 4, "dog": 4}
    ignored = _split(near, tmp_path / "ignored", near_duplicates="ignore")
    assert ignored.left_out == 0


@pytest.mark.usefixtures("alike")
def test_drop_takes_pictures_out_of_the_last_part_too(tmp_path: Path) -> None:
    same = {"val__cat__0": "A~ 1", "val__cat__1": "A~ 2", "val__cat__2": "B~ 1", "val__dog__2": "B~ 2"}
    result = _split(_split_already(tmp_path / "in", **same), tmp_path / "out", near_duplicates="drop")
    assert result.findings.dropped == ("val/cat/1.png", "val/cat/2.png", "val/dog/2.png")


@pytest.mark.parametrize("near_duplicates", ["together", "ignore"])
@pytest.mark.usefixtures("alike")
def test_copies_across_kept_parts_are_always_an_error(tmp_path: Path, near_duplicates: str) -> None:
    copied = _split_already(tmp_path / "in", train__cat__0="same", val__cat__3="same")
    with pytest.raises(DataError, match=r"1 duplicate set lies .*drop, or give sizes"):
        _split(copied, tmp_path / "out", near_duplicates=near_duplicates)


def test_groups_across_kept_parts(tmp_path: Path) -> None:
    source = _split_already(tmp_path / "in")
    with pytest.raises(DataError, match=r"8 groups lie in several .*train/cat/0\.png and val/cat/0\.png; give sizes"):
        _split(source, tmp_path / "out", group_by=r"/(\w+/\d)")


@pytest.mark.usefixtures("alike")
def test_drop_that_empties_a_kept_part(tmp_path: Path) -> None:
    same = {f"train__cat__{i}": f"A~ {i}" for i in range(4)}
    source = _split_already(tmp_path / "in", **same, val__cat__3="A~ 9")
    with pytest.raises(DataError, match=r"no pictures of cat in train; give sizes"):
        _split(source, tmp_path / "out", near_duplicates="drop")


# A second time


def _times(folder: Path) -> dict[str, int]:
    return {path.as_posix(): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


@pytest.mark.parametrize("method", ["copy", "symlink"])
def test_the_same_split_again_changes_nothing(photos: Path, tmp_path: Path, method: str) -> None:
    first = _split(photos, tmp_path / "out", counts=COUNTS, method=method)
    before = _times(tmp_path)
    again = _split(photos, tmp_path / "out", counts=COUNTS, method=method)
    assert _times(tmp_path) == before
    assert (again.counts, again.findings, again.unchanged) == (first.counts, first.findings, True)
    assert again.lines == ("left out: 2 pictures", "nothing to do: the same split is there already")


def test_leavings_of_desktops_do_not_count(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _split(photos, out, counts=COUNTS)
    for place in (out, out / "test", out / "test" / "cat"):
        for name in (".DS_Store", "Thumbs.db"):
            (place / name).write_bytes(b"junk")
    assert _split(photos, out, counts=COUNTS).unchanged
    _split(photos, out, counts={"train": 1}, overwrite=True)
    assert len(_tree(out)) == 4


def test_what_is_hidden_on_purpose_is_not_replaced(photos: Path, tmp_path: Path) -> None:
    _split(photos, tmp_path / "out", counts=COUNTS)
    (tmp_path / "out" / ".git").mkdir()
    with pytest.raises(WriteError, match=r"it holds \.git"):
        _split(photos, tmp_path / "out", counts={"train": 1}, overwrite=True)


@pytest.mark.parametrize("is_archive", [False, True])
def test_a_link_to_the_destination_is_followed(photos: Path, tmp_path: Path, is_archive: bool) -> None:
    """So that the pictures land on the disk that it leads to."""
    disk = tmp_path / "disk"
    (disk / "empty").mkdir(parents=True)
    (tmp_path / "link").symlink_to(disk / "empty")
    source = _zipped(photos) if is_archive else photos
    for counts in (COUNTS, {"train": 1}):
        result = _split(source, tmp_path / "link", counts=counts, overwrite=counts != COUNTS)
        assert result.dest == tmp_path / "link"
        assert (tmp_path / "link").readlink() == disk / "empty"
        assert [path.name for path in disk.iterdir()] == ["empty"]
        assert len(read_examples(disk / "empty" / "manifest.csv")) == 2 * sum(counts.values())
        assert _split(source, tmp_path / "link", counts=counts).unchanged


def test_the_working_folder_is_not_replaced(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    for source in (photos, tmp_path / "missing"):  # it is said before the source is looked at
        with pytest.raises(WriteError, match=r"^\. is or holds the working folder"):
            _split(source, Path(), counts=COUNTS)
    _split(photos, tmp_path / "other", counts=COUNTS)
    monkeypatch.chdir(tmp_path / "other" / "train")
    with pytest.raises(WriteError, match="the working folder"):
        _split(photos, tmp_path / "other", counts={"train": 1}, overwrite=True)
    assert _split(photos, Path(".."), counts=COUNTS).unchanged


def test_an_archive_again_changes_nothing(photos: Path, tmp_path: Path) -> None:
    archive = _zipped(photos)
    _split(archive, tmp_path / "out", counts=COUNTS)
    before = _times(tmp_path / "out")
    assert _split(archive, tmp_path / "out", counts=COUNTS).unchanged
    assert _times(tmp_path / "out") == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "photos", "photos.zip"}


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"counts": COUNTS, "seed": 7}, "seed was 1337, now 7"),
        ({"ratios": (0.5, 0.25, 0.25)}, "counts was train: 3, validation: 1, test: 2, now not given, ratios was not"),
        ({"counts": COUNTS, "method": "hardlink"}, "method was copy, now hardlink"),
        ({"counts": COUNTS, "near_duplicates": "drop"}, "near_duplicates was ignore, now drop"),
    ],
)
def test_other_arguments_are_refused(photos: Path, tmp_path: Path, wishes: dict[str, Any], words: str) -> None:
    _split(photos, tmp_path / "out", counts=COUNTS)
    with pytest.raises(WriteError) as caught:
        _split(photos, tmp_path / "out", **wishes)
    assert f"out exists already and is another split: {words}" in str(caught.value)


def _replace_picture(photos: Path, out: Path) -> None:
    for path in (photos / "train").iterdir():
        path.write_bytes(path.read_bytes() + b"!")


def _add_pictures(photos: Path, out: Path) -> None:
    for number in range(100, 140):
        (photos / "train" / f"cat.{number}.jpg").write_text(str(number), encoding="utf-8")


def _lose_picture(photos: Path, out: Path) -> None:
    next((out / "test" / "cat").iterdir()).unlink()


def _spoil_picture(photos: Path, out: Path) -> None:
    next((out / "test" / "cat").iterdir()).write_bytes(b"spoilt")


def _slip_in_picture(photos: Path, out: Path) -> None:
    (out / "test" / "cat" / "more.jpg").write_bytes(b"more")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_replace_picture, "of the pictures used 12 changed"),
        (_add_pictures, r"of the pictures used \d new, \d gone"),
        (_lose_picture, r"it lacks test/cat/cat\.\d\.jpg"),
        (_spoil_picture, r"test/cat/cat\.\d\.jpg changed in it"),
        (_slip_in_picture, r"it holds test/cat/more\.jpg"),
    ],
)
def test_other_contents_are_refused(
    photos: Path, tmp_path: Path, change: Callable[[Path, Path], None], words: str
) -> None:
    _split(photos, tmp_path / "out", counts=COUNTS)
    change(photos, tmp_path / "out")
    before = _times(tmp_path / "out")
    with pytest.raises(WriteError, match=rf"another split: {words}.*--overwrite"):
        _split(photos, tmp_path / "out", counts=COUNTS)
    assert _times(tmp_path / "out") == before
    _split(photos, tmp_path / "out", counts=COUNTS, overwrite=True)
    assert _split(photos, tmp_path / "out", counts=COUNTS).unchanged


def test_the_record_of_a_split(photos: Path, tmp_path: Path) -> None:
    _split(photos, tmp_path / "out", counts=COUNTS, seed=3)
    record = json.loads((tmp_path / "out" / "split.json").read_text(encoding="utf-8"))
    assert record["format"] == 1
    assert record["arguments"] == {
        "counts": COUNTS,
        "ratios": None,
        "seed": 3,
        "method": "copy",
        "near_duplicates": "ignore",
        "group_by": None,
        "label_regex": None,
        "folds": None,
    }
    assert record["counts"]["train"] == {"cat": 3, "dog": 3}
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.parametrize("record", ["", "[]", '{"format": 2}', None])
def test_a_split_without_a_readable_record_is_refused(photos: Path, tmp_path: Path, record: str | None) -> None:
    _split(photos, tmp_path / "out", counts=COUNTS)
    place = tmp_path / "out" / "split.json"
    place.unlink()
    if record is not None:
        place.write_text(record, encoding="utf-8")
    with pytest.raises(WriteError, match=r"exists already; .* --overwrite if it is an earlier split"):
        _split(photos, tmp_path / "out", counts=COUNTS)


# Folds


def test_folds_divide_training_alone(tmp_path: Path) -> None:
    files = {f"{label}/p{i // 2}_{i}.png": f"{label}{i}" for label in ("cat", "dog") for i in range(40)}
    source = _written(tmp_path / "in", files)
    result = _split(source, tmp_path / "out", folds=4, group_by=r"/(p\d+)_")
    assert result.counts["validation"] == {"cat": 0, "dog": 0}
    rows = _rows(tmp_path / "out").values()
    assert {row.fold for row in rows if row.split == "test"} == {""}
    number = Counter((row.fold, row.label) for row in rows if row.split == "train")
    assert {fold for fold, _ in number} == {"0", "1", "2", "3"}
    assert max(number.values()) - min(number.values()) <= 2  # 36 pictures a class in groups of two
    for group_name in {row.group for row in rows}:
        assert len({(row.split, row.fold) for row in rows if row.group == group_name}) == 1


def test_folds_leave_no_validation_part(tmp_path: Path) -> None:
    for sizes in ({"counts": {"train": 2, "validation": 1}}, {"ratios": (0.8, 0.1, 0.1)}):
        with pytest.raises(UsageError, match=r"no other; got: .* for validation"):
            _split(tmp_path / "in", tmp_path / "out", folds=3, **sizes)
    with pytest.raises(UsageError, match="at least 2 folds; got: 1"):
        _split(tmp_path / "in", tmp_path / "out", folds=1)
    with pytest.raises(DataError, match="validation pictures already"):
        _split(_split_already(tmp_path / "in"), tmp_path / "out", folds=3)


# The command


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, alike: None) -> CliRunner:
    def split(source: Path, dest: Path, *, overwrite: bool, on_event: Any, **wishes: Any) -> SplitResult:
        return split_source(source, dest, Wishes(**wishes), overwrite=overwrite)

    api = SimpleNamespace(split=split)
    monkeypatch.setitem(sys.modules, "cnntrain.api", api)
    monkeypatch.setattr(cnntrain, "api", api, raising=False)
    return CliRunner()


def test_table(cli: CliRunner, photos: Path, tmp_path: Path) -> None:
    arguments = [str(photos), str(tmp_path / "out"), "--train", "3", "--validation", "1", "--test", "2"]
    table = [
        "class  train  validation  test  total",
        "cat        3           1     2      6",
        "dog        3           1     2      6",
        "left out: 2 pictures",
    ]
    for more in ([], ["nothing to do: the same split is there already"]):
        result = cli.invoke(group, ["split", *arguments], catch_exceptions=False)
        assert result.stdout.splitlines() == table + more
        assert result.stderr == ""
        assert result.exit_code == 0


def test_json(cli: CliRunner, photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "cat.6.jpg").write_bytes(b"cat 5")
    (photos / "train" / "cat.7.tif").write_bytes(b"II*\0")
    arguments = [str(photos), str(tmp_path / "out"), "--ratios", "0.5, 0.25,0.25", "--seed", "8", "--json"]
    result = cli.invoke(group, ["split", *arguments], catch_exceptions=False)
    assert json.loads(result.stdout) == {
        "dest": str(tmp_path / "out"),
        "counts": {"train": {"cat": 3, "dog": 3}, "validation": {"cat": 2, "dog": 2}, "test": {"cat": 2, "dog": 2}},
        "seed": 8,
        "left_out": 0,
        "too_few": {},
        "unchanged": False,
        "findings": {
            "pictures": 14,
            "exact_copies": [["train/cat.5.jpg", "train/cat.6.jpg"]],
            "near_duplicates": [],
            "label_conflicts": [],
            "dropped": [],
            "bad_pictures": {},
            "passed_over": {".tif": 1},
            "notes": [],
        },
    }
    assert result.stderr == ""


def test_wrong_options(cli: CliRunner, photos: Path, tmp_path: Path) -> None:
    place = [str(photos), str(tmp_path / "out")]
    assert cli.invoke(group, ["split", *place, "--ratios", "most"]).exit_code == 2
    assert cli.invoke(group, ["split", *place, "--method", "move"]).exit_code == 2
    assert cli.invoke(group, ["split", *place, "--near-duplicates", "maybe"]).exit_code == 2
    for wrong in (["--test", "2"], ["--train", "1", "--ratios", "1,0,0"], ["--group-by", "["], ["--folds", "1"]):
        error = cli.invoke(group, ["split", *place, *wrong]).exception
        assert isinstance(error, CnntrainError)
        assert error.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_documents_the_default(cli: CliRunner, option: str) -> None:
    assert "0.8,0.1,0.1" in cli.invoke(group, ["split", option]).stdout
