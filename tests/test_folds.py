"""Cross-validation folds: balance, groups, independence of order, and what is refused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnntrain.data.examples import Example
from cnntrain.data.splitting.folds import assign_folds, fold_numbers, folded
from cnntrain.errors import DataError, UsageError


def _assign(labels: Sequence[str], groups: Sequence[str] = (), *, folds: int = 5, seed: int = 3) -> tuple[int, ...]:
    paths = [f"{index:04d}.jpg" for index in range(len(labels))]
    return assign_folds(labels, groups or [""] * len(labels), paths=paths, folds=folds, seed=seed)


def test_without_groups_every_fold_has_each_class_in_proportion() -> None:
    labels = ["cat"] * 50 + ["dog"] * 25
    found = Counter(zip(labels, _assign(labels), strict=True))
    assert found == {("cat", fold): 10 for fold in range(5)} | {("dog", fold): 5 for fold in range(5)}


def test_groups_stay_whole_and_classes_stay_in_proportion() -> None:
    """Sixty patients with two pictures each, and twenty pictures that stand alone."""
    labels = [label for label in ("cat", "dog") for _ in range(70)]
    groups = [f"{label}{index // 2}" if index < 60 else "" for label in ("cat", "dog") for index in range(70)]
    found = _assign(labels, groups)
    assert all(
        len({fold for fold, name in zip(found, groups, strict=True) if name == group}) == 1 for group in groups if group
    )
    assert Counter(zip(labels, found, strict=True)) == {
        (label, fold): 14 for label in ("cat", "dog") for fold in range(5)
    }


@given(st.randoms(use_true_random=False), st.integers(2, 4), st.integers(0, 2**40))
def test_the_order_of_the_pictures_has_no_influence(random: Random, folds: int, seed: int) -> None:
    rows = [
        (f"{index:02d}", "cat" if index % 2 else "dog", f"g{index // 3}" if index < 9 else "") for index in range(40)
    ]
    shuffled = random.sample(rows, len(rows))
    numbers = []
    for given_rows in (rows, shuffled):
        paths, labels, groups = zip(*given_rows, strict=True)
        numbers.append(dict(zip(paths, assign_folds(labels, groups, paths=paths, folds=folds, seed=seed), strict=True)))
    assert numbers[0] == numbers[1]


def test_another_seed_gives_other_folds_and_names_of_groups_do_not_matter() -> None:
    labels = ["cat", "dog"] * 20
    groups = [f"g{index // 4}" for index in range(40)]
    renamed = [f"{99 - int(name[1:])}" for name in groups]
    assert _assign(labels, seed=1) != _assign(labels, seed=2)
    assert _assign(labels, groups) == _assign(labels, renamed)


def test_too_little_of_a_class_is_refused() -> None:
    with pytest.raises(DataError, match="5 folds need at least 5 training pictures of each class; dog has 4; "):
        _assign(["cat"] * 10 + ["dog"] * 4)
    with pytest.raises(DataError, match="pictures or groups of each class; dog has 4; "):
        _assign(["cat"] * 10 + ["dog"] * 10, [""] * 10 + ["a"] * 7 + [""] * 3)
    with pytest.raises(DataError, match="no training pictures"):
        _assign([])


@pytest.mark.parametrize("folds", [-1, 0, 1])
def test_fewer_than_two_folds_are_refused(folds: int) -> None:
    with pytest.raises(UsageError, match=f"at least 2 folds; got: {folds}"):
        _assign(["cat"] * 10, folds=folds)


def _examples() -> tuple[Example, ...]:
    """Three folds of two cats and two dogs each, and a test picture of each."""
    train = [
        Example(
            f"train/{label}/{index}.jpg",
            label,
            "train",
            group=f"{label}{index}" if index < 4 else "",
            fold=str(index % 3),
        )
        for label in ("cat", "dog")
        for index in range(6)
    ]
    return (*train, *(Example(f"test/{label}/9.jpg", label, "test") for label in ("cat", "dog")))


def test_a_fold_becomes_the_validation_part_and_nothing_else_changes() -> None:
    found = folded(_examples(), 1)
    assert [example.path for example in found if example.split == "validation"] == [
        "train/cat/1.jpg",
        "train/cat/4.jpg",
        "train/dog/1.jpg",
        "train/dog/4.jpg",
    ]
    assert tuple(replace(a, split=b.split) for a, b in zip(found, _examples(), strict=True)) == _examples()
    assert Counter(example.split for example in found) == {"train": 8, "validation": 4, "test": 2}


def test_every_training_picture_is_validated_on_once() -> None:
    examples = _examples()
    assert fold_numbers(examples) == (0, 1, 2)
    held_out = [
        example.path for fold in (0, 1, 2) for example in folded(examples, fold) if example.split == "validation"
    ]
    assert sorted(held_out) == sorted(example.path for example in examples if example.split == "train")


def _with(index: int, **changes: str) -> tuple[Example, ...]:
    return tuple(
        replace(example, **changes) if number == index else example for number, example in enumerate(_examples())
    )


@pytest.mark.parametrize(
    ("examples", "fold", "message"),
    [
        (_examples(), 3, "got: 3 of the folds 0, 1, 2"),
        (tuple(replace(example, fold="") for example in _examples()), 0, "no training picture has one; .*--folds"),
        (tuple(replace(example, fold="0") for example in _examples()), 0, "two or more"),
        (_with(4, fold=""), 0, "train/cat/4.jpg has none"),
        (_with(4, fold="one"), 0, "train/cat/4.jpg has one"),
        (_with(12, split="validation"), 0, "one already, with test/cat/9.jpg"),
        (_with(5, group="cat0"), 0, r"cat0 has train/cat/0.jpg \(train 0\) and train/cat/5.jpg \(train 2\)"),
        (_with(12, group="dog1"), 0, r"dog1 has train/dog/1.jpg \(train 1\) and test/cat/9.jpg \(test\)"),
    ],
)
def test_what_makes_no_fold_is_refused_in_a_line(examples: tuple[Example, ...], fold: int, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        folded(examples, fold)
    assert "\n" not in str(raised.value)
