"""What a scan makes of the looks at all pictures."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnntrain.data import rules
from cnntrain.data.examples import Example
from cnntrain.data.scanning import duplicates
from cnntrain.data.scanning.findings import Finding, Scan
from cnntrain.data.scanning.look import Look
from cnntrain.data.scanning.similarity import near_pairs, signature


def _look(sha256: str, **changes: Any) -> Look:
    return Look(**{"sha256": sha256, "kind": "png", "height": 64, "width": 48, **changes})


def _scan(rows: Sequence[tuple[Example, Look]], **passed_over: int) -> Scan:
    examples, looks = zip(*rows, strict=True)
    return Scan("pets", tuple(examples), tuple(looks), {f".{suffix}": count for suffix, count in passed_over.items()})


def _found(scan: Scan, code: str) -> Finding:
    return next(finding for finding in scan.findings if finding.code == code)


def _codes(scan: Scan) -> list[str]:
    return [finding.code for finding in scan.findings]


def _textured(seed: int) -> bytes:
    """The signature of a picture that is like no other."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6))
    return signature(np.kron(coarse, np.ones((10, 10))).astype(np.uint8))


def test_nothing_is_found_in_good_data() -> None:
    scan = _scan([(Example("cat/1.png", "cat"), _look("a")), (Example("dog/1.png", "dog"), _look("b"))])
    assert scan.findings == ()
    assert scan.counts == {"": {"cat": 1, "dog": 1}}
    assert scan.kinds == {"png": 2}


@pytest.mark.parametrize("fault", ["unreadable", "empty", "not_a_picture", "too_large", "undecodable", "damaged"])
def test_a_bad_picture_is_an_error_that_names_it(fault: Any) -> None:
    bad = _look("a", fault=fault, problem="…")
    scan = _scan([(Example("cat/1.png", "cat"), bad), (Example("dog/1.png", "dog"), _look("b"))])
    assert [(finding.code, finding.level, finding.pictures) for finding in scan.findings] == [
        (fault, "error", ("cat/1.png",))
    ]


def test_the_same_file_in_two_splits_is_an_error_within_one_a_note() -> None:
    rows = [
        (Example("train/cat/1.png", "cat", "train"), _look("a")),
        (Example("train/cat/2.png", "cat", "train"), _look("b")),
        (Example("train/cat/3.png", "cat", "train"), _look("b")),
        (Example("train/dog/1.png", "dog", "train"), _look("c")),
        (Example("test/cat/1.png", "cat", "test"), _look("a")),
    ]
    scan = _scan(rows)
    assert _codes(scan) == ["copies_across_splits", "imbalance", "copies"]
    across = _found(scan, "copies_across_splits")
    assert across.level == "error"
    assert across.sets == (("train/cat/1.png", "test/cat/1.png"),)
    assert _found(scan, "copies").sets == (
        ("train/cat/1.png", "test/cat/1.png"),
        ("train/cat/2.png", "train/cat/3.png"),
    )


def test_near_duplicates_are_found_across_splits_and_labels() -> None:
    same = _textured(0)
    rows = [
        (Example("train/cat/1.png", "cat", "train"), _look("a", signature=same)),
        (Example("test/dog/1.png", "dog", "test"), _look("b", signature=same)),
        (Example("test/dog/2.png", "dog", "test"), _look("c", signature=_textured(1))),
        (Example("train/dog/3.png", "dog", "train"), _look("d", signature=_textured(2))),
    ]
    scan = _scan(rows)
    pair = (("train/cat/1.png", "test/dog/1.png"),)
    assert _codes(scan) == ["alike_across_splits", "label_conflicts", "alike"]
    assert all(finding.sets == pair for finding in scan.findings)


def test_copies_alone_are_no_near_duplicates_but_chain_them() -> None:
    same = _textured(0)
    rows = [
        (Example(f"{name}.png", ""), _look(content, signature=same)) for name, content in zip("xyz", "aab", strict=True)
    ]
    assert _scan(rows[:2]).alike == ()
    assert _scan(rows).alike == ((0, 1, 2),)
    assert _scan(rows).copies == ((0, 1),)


@pytest.fixture
def searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of signatures of each search; searches among three pictures are remembered."""
    done: list[int] = []

    def counted(signatures: Sequence[bytes]) -> list[tuple[int, int]]:
        done.append(len(signatures))
        return near_pairs(signatures)

    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(duplicates, "_MANY", 3)
    monkeypatch.setattr(duplicates, "near_pairs", counted)
    return done


LOOKS = [_look(name, signature=_textured(name in "xy")) for name in ("x", "y", "z")]


def test_a_conflict_among_copies_of_a_near_duplicate_is_told_once() -> None:
    same = _textured(0)
    labels = {"x.png": ("cat", "a"), "y.png": ("dog", "a"), "z.png": ("dog", "b")}
    scan = _scan([(Example(path, label), _look(content, signature=same)) for path, (label, content) in labels.items()])
    assert _found(scan, "label_conflicts").sets == (("x.png", "y.png", "z.png"),)


def test_the_search_among_many_pictures_is_remembered_by_content(searches: list[int]) -> None:
    assert duplicates.alike_among(LOOKS) == ((0, 1),)
    assert duplicates.alike_among(LOOKS) == ((0, 1),)
    assert searches == [3]
    assert duplicates.alike_among([*LOOKS, _look("w", signature=_textured(0))]) == ((0, 1), (2, 3))


def test_a_search_with_fewer_signatures_is_not_taken_for_one_with_all(searches: list[int]) -> None:
    """As after `scan --max-pixels 1000`, which decodes less."""
    assert duplicates.alike_among([replace(look, signature=b"") for look in LOOKS]) == ()
    assert duplicates.alike_among(LOOKS) == ((0, 1),)
    assert len(searches) == 2


def test_a_search_by_other_rules_is_made_again(searches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    duplicates.alike_among(LOOKS)
    monkeypatch.setattr(rules, "version", lambda library: f"0.0 of {library}")
    duplicates.alike_among(LOOKS)
    monkeypatch.setattr(rules, "_source_hash", lambda _: "another")
    duplicates.alike_among(LOOKS)
    assert len(searches) == 3


DAMAGES = {
    "no_json": "[[0, 1",
    "no_search": "3",
    "no_sets": '{"format": 1}',
    "deep": "[" * 100_000,
    "beyond_the_pictures": '{"format": 1, "sets": [[0, 3]]}',
    "negative": '{"format": 1, "sets": [[-1, 0]]}',
    "no_numbers": '{"format": 1, "sets": [[false, true]]}',
    "fractions": '{"format": 1, "sets": [[0.0, 1.0]]}',
    "one_in_two_sets": '{"format": 1, "sets": [[0, 1], [1, 2]]}',
    "unsorted": '{"format": 1, "sets": [[1, 0]]}',
    "a_set_of_one": '{"format": 1, "sets": [[0]]}',
    "nested": '{"format": 1, "sets": [[[0], [1]]]}',
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_search_is_made_again(searches: list[int], tmp_path: Path, damage: str) -> None:
    duplicates.alike_among(LOOKS)
    (file,) = (tmp_path / "alike").iterdir()
    file.write_text(damage, encoding="utf-8")
    assert duplicates.alike_among(LOOKS) == ((0, 1),)
    assert duplicates.alike_among(LOOKS) == ((0, 1),)
    assert len(searches) == 2


def test_only_the_newest_searches_are_kept(
    searches: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_MOST_SEARCHES", 2)
    for number in range(4):
        duplicates.alike_among([*LOOKS, _look(f"other {number}")])
        for place, file in enumerate(sorted((tmp_path / "alike").iterdir(), key=lambda file: file.stat().st_mtime)):
            os.utime(file, (place, place))  # one after the other, whatever the resolution of time
    assert len(list((tmp_path / "alike").iterdir())) == 2
    duplicates.alike_among([*LOOKS, _look("other 3")])
    assert len(searches) == 4


def test_imbalance_counts_training_pictures_from_three_to_one() -> None:
    def rows(cats: int, split: str) -> list[tuple[Example, Look]]:
        examples = [Example(f"{number}.png", "cat", split) for number in range(cats)]
        examples += [Example(f"d{number}.png", "dog", split) for number in range(2)]
        return [(example, _look(f"{split}{example.path}")) for example in examples]

    assert _codes(_scan(rows(5, ""))) == []
    assert "6 pictures of cat against 2 of dog" in _found(_scan(rows(6, "")), "imbalance").what
    assert _codes(_scan([*rows(5, "train"), *rows(9, "test")])) == []


def test_oddities_are_notes() -> None:
    rows = [
        (Example("a.jpg", "cat"), _look("a")),
        (Example("b.PNG", "cat"), _look("b", orientation=6, traits=("alpha", "16_bit", "palette"))),
        (Example("c.png", "dog"), _look("c", height=31)),
        (Example("d.gif", "dog"), _look("d", kind="gif", height=3001, width=4000, traits=("animated",))),
        (Example("e.jpeg", "dog"), _look("e", kind="jpeg", traits=("cmyk",))),
    ]
    scan = _scan(rows, tif=12, heic=1)
    named = {finding.code: finding.pictures for finding in scan.findings}
    assert all(finding.level == "note" for finding in scan.findings)
    assert named == {
        "wrong_type": ("a.jpg",),
        "rotated": ("b.PNG",),
        "alpha": ("b.PNG",),
        "16_bit": ("b.PNG",),
        "tiny": ("c.png",),
        "huge": ("d.gif",),
        "animated": ("d.gif",),
        "cmyk": ("e.jpeg",),
        "passed_over": (),
    }
    assert _found(scan, "passed_over").what.endswith("1 .heic, 12 .tif")


def test_sizes_are_those_of_upright_pictures() -> None:
    looks = [_look("a", height=10, width=100), _look("b", height=300, width=200, orientation=6), _look("c")]
    scan = _scan([(Example(f"{number}.png", ""), look) for number, look in enumerate(looks)])
    assert scan.sizes == {
        "height": {"smallest": 10, "median": 64, "largest": 200},
        "width": {"smallest": 48, "median": 100, "largest": 300},
    }


def test_the_table_has_a_row_a_picture() -> None:
    rows = [
        (Example("a,b.png", "cat", "train"), _look("a", traits=("alpha", "16_bit"))),
        (Example("c.png", "cat", "test"), _look("a")),
        (Example("d.png", "dog", "test"), Look("", fault="unreadable", problem="permission denied")),
    ]
    table = list(csv.DictReader(io.StringIO(_scan(rows).to_csv())))
    assert [row["path"] for row in table] == ["a,b.png", "c.png", "d.png"]
    assert table[0]["traits"] == "alpha 16_bit"
    assert [row["copies"] for row in table] == ["1", "1", ""]
    assert (table[2]["fault"], table[2]["problem"]) == ("unreadable", "permission denied")
