"""Splitting: who goes where, and what stands on the disk afterwards."""

import errno
import hashlib
import json
import os
import sys
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import cnntrain
from cnntrain.cli import group
from cnntrain.data import split as split_module
from cnntrain.data.examples import SPLITS, Example, read_examples
from cnntrain.data.sources import find_split_examples
from cnntrain.data.split import SplitResult, assign, split_source
from cnntrain.errors import CnntrainError, DataError, UsageError, WriteError

classes = st.dictionaries(st.sampled_from("abcdé"), st.integers(3, 40), min_size=2, max_size=4)


def _examples(sizes: dict[str, int]) -> list[Example]:
    return [Example(f"{label}/{number}.jpg", label) for label, size in sizes.items() for number in range(size)]


def _names(examples: Sequence[Example]) -> list[str]:
    return [example.path for example in examples]


# Who goes where


def test_order_within_a_class_is_that_of_the_documented_hash() -> None:
    examples = _examples({"cat": 9, "dog": 9})
    parts = assign(examples, counts={"train": 4, "validation": 2, "test": 1}, seed=5)
    for label in ("cat", "dog"):
        ranked = sorted(
            (f"{label}/{number}.jpg" for number in range(9)),
            key=lambda path: hashlib.sha256(f"5:{path}".encode()).hexdigest(),
        )
        for split, chosen in zip(SPLITS, (ranked[:4], ranked[4:6], ranked[6:7]), strict=True):
            assert _names([item for item in parts[split] if item.label == label]) == sorted(chosen)


def test_golden_assignment() -> None:
    """Pinned: a later version that splits otherwise would mix up training and test of older runs."""
    parts = assign(_examples({"cat": 6, "dog": 6}), counts={"train": 2, "validation": 1, "test": 1}, seed=1337)
    assert {split: _names(chosen) for split, chosen in parts.items()} == {
        "train": ["cat/0.jpg", "cat/1.jpg", "dog/3.jpg", "dog/5.jpg"],
        "validation": ["cat/3.jpg", "dog/0.jpg"],
        "test": ["cat/2.jpg", "dog/1.jpg"],
    }


@given(classes, st.integers(0, 12), st.integers(0, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_counts_are_exact_and_parts_disjoint(
    sizes: dict[str, int], validation: int, test: int, train: int, seed: int
) -> None:
    counts = {"train": train, "validation": validation, "test": test}
    examples = _examples(sizes)
    if train + validation + test > min(sizes.values()):
        with pytest.raises(DataError):
            assign(examples, counts=counts, seed=seed)
        return
    parts = assign(examples, counts=counts, seed=seed)
    for split in SPLITS:
        assert Counter(item.label for item in parts[split]) == Counter(dict.fromkeys(sizes, counts[split]))
        assert {item.split for item in parts[split]} <= {split}
    chosen = [path for split in SPLITS for path in _names(parts[split])]
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= set(_names(examples))


@given(classes, st.lists(st.integers(1, 20), min_size=3, max_size=3), st.integers(0, 100))
def test_ratios_use_every_picture_and_stay_within_one_of_the_share(
    sizes: dict[str, int], weights: list[int], seed: int
) -> None:
    ratios = [weight / sum(weights) for weight in weights]
    examples = _examples(sizes)
    try:
        parts = assign(examples, ratios=ratios, seed=seed)
    except DataError:
        assert min(sizes.values()) * min(ratios) < 1
        return
    assert sorted(path for split in SPLITS for path in _names(parts[split])) == sorted(_names(examples))
    for split, ratio in zip(SPLITS, ratios, strict=True):
        got = Counter(item.label for item in parts[split])
        for label, size in sizes.items():
            assert abs(got[label] - size * ratio) < 1
            assert got[label] > 0


@given(classes, st.randoms(use_true_random=False), st.integers(0, 100))
def test_order_of_the_input_does_not_matter(sizes: dict[str, int], chance: Random, seed: int) -> None:
    examples = _examples(sizes)
    shuffled = list(examples)
    chance.shuffle(shuffled)
    assert assign(examples, ratios=(0.5, 0.5, 0), seed=seed) == assign(shuffled, ratios=(0.5, 0.5, 0), seed=seed)


@given(st.integers(3, 30), st.integers(3, 30), st.integers(0, 100))
def test_each_class_is_split_for_itself(cats: int, dogs: int, seed: int) -> None:
    few = assign(_examples({"cat": cats, "dog": 3}), counts={"train": 2, "test": 1}, seed=seed)
    many = assign(_examples({"cat": cats, "dog": dogs}), counts={"train": 2, "test": 1}, seed=seed)
    for split in SPLITS:
        assert [item for item in few[split] if item.label == "cat"] == [
            item for item in many[split] if item.label == "cat"
        ]


@given(st.integers(0, 1000))
def test_another_spelling_of_the_same_name_goes_to_the_same_part(seed: int) -> None:
    composed = [Example(f"café/é{number}.jpg", "café") for number in range(6)] + _examples({"tea": 6})
    split_of = {
        unicodedata.normalize("NFC", item.path): split
        for split, chosen in assign(composed, ratios=(0.5, 0.5, 0), seed=seed).items()
        for item in chosen
    }
    decomposed = [Example(unicodedata.normalize("NFD", item.path), item.label) for item in composed]
    for split, chosen in assign(decomposed, ratios=(0.5, 0.5, 0), seed=seed).items():
        assert {split_of[unicodedata.normalize("NFC", item.path)] for item in chosen} <= {split}


def test_another_seed_gives_another_split() -> None:
    examples = _examples({"cat": 50, "dog": 50})
    first, second = (assign(examples, counts={"train": 25}, seed=seed)["train"] for seed in (1, 2))
    assert set(_names(first)) != set(_names(second))


@pytest.mark.parametrize(
    ("number", "ratios", "expected"),
    [
        (10, (0.8, 0.1, 0.1), (8, 1, 1)),
        (5, (0.5, 0.25, 0.25), (3, 1, 1)),  # quotas 2.5, 1.25, 1.25
        (11, (0.4, 0.3, 0.3), (5, 3, 3)),  # 4.4, 3.3, 3.3
        (13, (0.5, 0.2, 0.3), (6, 3, 4)),  # 6.5, 2.6, 3.9: two pictures are left over
        (100, (0.29, 0.71, 0), (29, 71, 0)),  # 0.29 × 100 is 28.999… in binary
        (7, (1 / 3, 1 / 3, 1 / 3), (3, 2, 2)),  # equal remainders: the earlier part
        (3, (1, 0, 0), (3, 0, 0)),
        (4, (0.5, 0, 0.5), (2, 0, 2)),
    ],
)
def test_largest_remainder(number: int, ratios: tuple[float, ...], expected: tuple[int, ...]) -> None:
    parts = assign(_examples({"cat": number, "dog": number}), ratios=ratios, seed=0)
    assert tuple(len(parts[split]) // 2 for split in SPLITS) == expected


def test_every_class_that_is_short_is_listed() -> None:
    with pytest.raises(DataError) as caught:
        assign(_examples({"cat": 10, "dog": 2, "owl": 5}), counts={"train": 4, "test": 2}, seed=0)
    assert str(caught.value) == (
        "too few pictures for 6 a class (train 4, test 2): dog has 2, owl has 5; ask for fewer"
    )


def test_a_ratio_that_gives_a_class_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="dog has 4 and would get none in test") as caught:
        assign(_examples({"cat": 10, "dog": 4}), ratios=(0.8, 0.1, 0.1), seed=0)
    assert "cat" not in str(caught.value)


@pytest.mark.parametrize(
    ("counts", "ratios", "words"),
    [
        (None, None, "one of them"),
        ({"train": 1}, (1, 0, 0), "one of them"),
        ({"train": 0, "test": 1}, None, "train needs"),
        ({}, None, "train needs"),
        ({"train": 1, "test": -1}, None, "negative"),
        ({"train": 1, "val": 1}, None, "val"),
        (None, (0, 0.5, 0.5), "train needs"),
        (None, (0.5, 0.5), "sum to 1"),
        (None, (0.5, 0.4, 0.2), "sum to 1"),
        (None, (1.5, -0.5, 0), "sum to 1"),
        (None, (float("nan"), 0.5, 0.5), "sum to 1"),
    ],
)
def test_impossible_sizes(counts: dict[str, int] | None, ratios: tuple[float, ...] | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        assign(_examples({"cat": 3, "dog": 3}), counts=counts, ratios=ratios, seed=0)


# What stands on the disk

COUNTS = {"train": 3, "validation": 1, "test": 2}


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
    result = split_source(photos, dest, counts=COUNTS, seed=3)
    assert result == SplitResult(dest, {split: {"cat": n, "dog": n} for split, n in COUNTS.items()}, 3, 2)
    rows = read_examples(dest / "manifest.csv")
    assert Counter((row.split, row.label) for row in rows) == Counter(
        {(split, label): n for split, n in COUNTS.items() for label in ("cat", "dog")}
    )
    assert set(_tree(dest)) == {row.path for row in rows} | {"manifest.csv"}
    for row in rows:
        content = (dest / row.path).read_bytes()
        split, label, name = row.path.split("/")
        assert (split, label, hashlib.sha256(content).hexdigest()) == (row.split, row.label, row.sha256)
        assert content == (photos / "train" / name).read_bytes()
    sources = [line.rpartition(",")[2] for line in (dest / "manifest.csv").read_text(encoding="utf-8").splitlines()]
    assert sources == ["source", *("train/" + row.path.split("/")[2] for row in rows)]


def test_what_split_writes_is_what_training_reads(photos: Path, tmp_path: Path) -> None:
    split_source(photos, tmp_path / "out", counts=COUNTS)
    found = find_split_examples(tmp_path / "out")
    assert Counter(item.split for item in found) == Counter({split: 2 * n for split, n in COUNTS.items()})
    assert {item.sha256 for item in found} == {row.sha256 for row in read_examples(tmp_path / "out" / "manifest.csv")}


def test_zip_and_folder_give_the_same(photos: Path, tmp_path: Path) -> None:
    split_source(photos, tmp_path / "one", counts=COUNTS)
    before = set(tmp_path.iterdir())
    split_source(_zipped(photos), tmp_path / "two", counts=COUNTS)
    assert _tree(tmp_path / "one") == _tree(tmp_path / "two")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "two", tmp_path / "photos.zip"}


@pytest.mark.parametrize("method", ["copy", "hardlink", "symlink"])
def test_methods(photos: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = photos.parent / "real.jpg"
    (photos / "train" / "cat.0.jpg").rename(real)
    (photos / "train" / "cat.0.jpg").symlink_to(real)
    monkeypatch.chdir(tmp_path)
    split_source(Path("photos"), Path("out"), ratios=(1, 0, 0), method=method)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train", "manifest.csv"}
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
            (tmp_path / "in" / label / f"{number}.png").touch()
    result = split_source(tmp_path / "in", tmp_path / "out")
    assert result.counts == {"train": {"a": 8, "b": 8}, "validation": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}
    assert result.left_out == 0


def test_equal_names_get_numbers(tmp_path: Path) -> None:
    names = ["a/1.jpg", "a/x/1.jpg", "a/x/1_2.jpg", "a/y/1.JPG", "b/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name, encoding="utf-8")
    split_source(tmp_path / "in", tmp_path / "out", ratios=(1, 0, 0))
    assert {path: content.decode() for path, content in _tree(tmp_path / "out" / "train" / "a").items()} == {
        "1.jpg": "a/1.jpg",
        "1_2.jpg": "a/x/1.jpg",
        "1_2_2.jpg": "a/x/1_2.jpg",
        "1_3.JPG": "a/y/1.JPG",
    }


def test_an_earlier_split_is_replaced_only_when_asked(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    split_source(photos, out, counts=COUNTS)
    before = _tree(out)
    with pytest.raises(WriteError, match=r"out exists already; .*--overwrite"):
        split_source(photos, out, counts={"train": 1})
    assert _tree(out) == before
    split_source(photos, out, counts={"train": 1}, overwrite=True)
    assert len(_tree(out)) == 3


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
        split_source(photos, tmp_path / "out", counts=COUNTS, overwrite=True)
    assert set(_tree(tmp_path / "out")) == set(names)


@pytest.mark.parametrize("dest", ["loop/out", "n" * 300, "file/out"])
def test_destinations_that_cannot_be_made(photos: Path, tmp_path: Path, dest: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=dest):
        split_source(photos, tmp_path / dest, counts=COUNTS)


def test_a_file_is_never_replaced(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious", encoding="utf-8")
    with pytest.raises(WriteError):
        split_source(photos, tmp_path / "out", counts=COUNTS, overwrite=True)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    ("source", "dest"), [("photos", "photos"), ("photos", "photos/out"), ("photos/train", "photos")]
)
def test_source_and_destination_must_lie_apart(photos: Path, tmp_path: Path, source: str, dest: str) -> None:
    before = _tree(tmp_path)
    with pytest.raises(UsageError, match="inside each other"):
        split_source(tmp_path / source, tmp_path / dest, counts=COUNTS, overwrite=True)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("method", ["hardlink", "symlink"])
def test_a_zip_can_only_be_copied(photos: Path, tmp_path: Path, method: str) -> None:
    with pytest.raises(UsageError, match="a zip can only be copied"):
        split_source(_zipped(photos), tmp_path / "out", counts=COUNTS, method=method)
    with pytest.raises(UsageError, match="copy, hardlink, symlink"):
        split_source(photos, tmp_path / "out", counts=COUNTS, method="move")


def test_links_across_file_systems(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def across(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setitem(split_module._PLACE, "hardlink", across)  # type: ignore[arg-type]
    before = set(tmp_path.iterdir())
    with pytest.raises(WriteError, match=r"cannot hardlink .*cat\.\d\.jpg .*--method copy"):
        split_source(photos, tmp_path / "out", counts=COUNTS, method="hardlink")
    assert set(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    copyfile = split_module._PLACE["copy"]

    def full(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copyfile(source, target)

    monkeypatch.setitem(split_module._PLACE, "copy", full)  # type: ignore[arg-type]
    before = set(tmp_path.iterdir())
    with pytest.raises(WriteError, match=r"out: No space left"):
        split_source(photos, tmp_path / "out", counts=COUNTS)
    assert set(tmp_path.iterdir()) == before


def test_a_picture_that_cannot_be_read_is_named(photos: Path, tmp_path: Path) -> None:
    broken = photos / "train" / "dog.3.jpg"
    broken.unlink()
    broken.symlink_to(photos / "gone.jpg")
    before = set(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"photos/train/dog\.3\.jpg is not a readable file"):
        split_source(photos, tmp_path / "out", ratios=(1, 0, 0))
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", [b"no zip", b""])
def test_a_damaged_zip_is_named_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photos.ZIP").write_bytes(content)
    with pytest.raises(DataError, match=r"photos\.ZIP is damaged"):
        split_source(tmp_path / "photos.ZIP", tmp_path / "out", counts=COUNTS)
    assert [path.name for path in tmp_path.iterdir()] == ["photos.ZIP"]


def test_messages_name_the_zip_and_not_where_it_was_unpacked(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("cat/1.jpg", b"1")
    with pytest.raises(DataError) as caught:
        split_source(tmp_path / "one.zip", tmp_path / "out", counts=COUNTS)
    assert str(caught.value) == f"{tmp_path / 'one.zip'} holds one class only (cat); a classifier needs at least two"
    assert {path.name for path in tmp_path.iterdir()} == {"one.zip", "photos"}


@pytest.mark.parametrize("name", ["missing", "missing.zip", "picture.png"])
def test_sources_that_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "picture.png").touch()
    with pytest.raises(DataError, match=name):
        split_source(tmp_path / name, tmp_path / "out", counts=COUNTS)


def test_a_split_does_not_depend_on_the_order_of_listing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_source(photos, tmp_path / "one", ratios=(0.5, 0.25, 0.25))
    walk = os.walk

    def backwards(*arguments: Any, **options: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, folders, files in walk(*arguments, **options):
            yield folder, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    split_source(photos, tmp_path / "two", ratios=(0.5, 0.25, 0.25))
    assert _tree(tmp_path / "one") == _tree(tmp_path / "two")


# The command


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    api = SimpleNamespace(split=split_source)
    monkeypatch.setitem(sys.modules, "cnntrain.api", api)  # type: ignore[arg-type]
    monkeypatch.setattr(cnntrain, "api", api, raising=False)
    return CliRunner()


def test_table(cli: CliRunner, photos: Path, tmp_path: Path) -> None:
    arguments = [str(photos), str(tmp_path / "out"), "--train", "3", "--validation", "1", "--test", "2"]
    result = cli.invoke(group, ["split", *arguments], catch_exceptions=False)
    assert result.stdout.splitlines() == [
        "class  train  validation  test  total",
        "cat        3           1     2      6",
        "dog        3           1     2      6",
    ]
    assert result.stderr == "2 pictures are in no part\n"
    assert result.exit_code == 0


def test_json(cli: CliRunner, photos: Path, tmp_path: Path) -> None:
    arguments = [str(photos), str(tmp_path / "out"), "--ratios", "0.5, 0.25,0.25", "--seed", "8", "--json"]
    result = cli.invoke(group, ["split", *arguments], catch_exceptions=False)
    assert json.loads(result.stdout) == {
        "dest": str(tmp_path / "out"),
        "counts": {"train": {"cat": 3, "dog": 3}, "validation": {"cat": 2, "dog": 2}, "test": {"cat": 2, "dog": 2}},
        "seed": 8,
        "left_out": 0,
    }
    assert result.stderr == ""


def test_wrong_options(cli: CliRunner, photos: Path, tmp_path: Path) -> None:
    place = [str(photos), str(tmp_path / "out")]
    assert cli.invoke(group, ["split", *place, "--ratios", "most"]).exit_code == 2
    assert cli.invoke(group, ["split", *place, "--method", "move"]).exit_code == 2
    for wrong in (["--test", "2"], ["--train", "1", "--ratios", "1,0,0"]):
        error = cli.invoke(group, ["split", *place, *wrong]).exception
        assert isinstance(error, CnntrainError)
        assert error.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_documents_the_default(cli: CliRunner, option: str) -> None:
    assert "0.8,0.1,0.1" in cli.invoke(group, ["split", option]).stdout
