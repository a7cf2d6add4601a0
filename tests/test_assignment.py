"""Who goes where: the plain assignment, groups and folds. Nothing here touches a disk."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnntrain.data.examples import SPLITS, Example
from cnntrain.data.splitting.assignment import assign
from cnntrain.data.splitting.groups import group_names, merged, user_groups
from cnntrain.errors import DataError, UsageError

classes = st.dictionaries(st.sampled_from("abcdé"), st.integers(3, 40), min_size=2, max_size=4)

Groups = tuple[tuple[int, ...], ...]


def _examples(sizes: Mapping[str, int]) -> list[Example]:
    return [Example(f"{label}/{number}.jpg", label) for label, size in sizes.items() for number in range(size)]


def _parts(examples: Sequence[Example], **wishes: Any) -> dict[str, list[str]]:
    """Sorted paths of each part."""
    places = assign(examples, **wishes)
    return {
        split: sorted(example.path for example, place in zip(examples, places, strict=True) if place == split)
        for split in SPLITS
    }


def _numbers(examples: Sequence[Example], places: Iterable[str]) -> Counter[tuple[str, str]]:
    return Counter((place, example.label) for example, place in zip(examples, places, strict=True))


# Without groups


def test_order_within_a_class_is_that_of_the_documented_hash() -> None:
    parts = _parts(_examples({"cat": 9, "dog": 9}), counts={"train": 4, "validation": 2, "test": 1}, seed=5)
    for label in ("cat", "dog"):
        ranked = sorted(
            (f"{label}/{number}.jpg" for number in range(9)),
            key=lambda path: hashlib.sha256(f"5:{path}".encode()).hexdigest(),
        )
        for split, chosen in zip(SPLITS, (ranked[:4], ranked[4:6], ranked[6:7]), strict=True):
            assert [path for path in parts[split] if path.startswith(label)] == sorted(chosen)


def test_golden_assignment() -> None:
    """Pinned: a later version that splits otherwise would mix up training and test of older runs."""
    parts = _parts(_examples({"cat": 6, "dog": 6}), counts={"train": 2, "validation": 1, "test": 1}, seed=1337)
    assert parts == {
        "train": ["cat/0.jpg", "cat/1.jpg", "dog/3.jpg", "dog/5.jpg"],
        "validation": ["cat/3.jpg", "dog/0.jpg"],
        "test": ["cat/2.jpg", "dog/1.jpg"],
    }


@given(classes, st.integers(0, 12), st.integers(0, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_counts_are_exact(sizes: dict[str, int], validation: int, test: int, train: int, seed: int) -> None:
    counts = {"train": train, "validation": validation, "test": test}
    examples = _examples(sizes)
    if sum(counts.values()) > min(sizes.values()):
        with pytest.raises(DataError):
            assign(examples, counts=counts, seed=seed)
        return
    found = _numbers(examples, assign(examples, counts=counts, seed=seed))
    assert {key: number for key, number in found.items() if key[0]} == {
        (split, label): counts[split] for split in SPLITS for label in sizes if counts[split]
    }


@given(classes, st.lists(st.integers(1, 20), min_size=3, max_size=3), st.integers(0, 100))
def test_ratios_use_every_picture_and_stay_within_one_of_the_share(
    sizes: dict[str, int], weights: list[int], seed: int
) -> None:
    ratios = [weight / sum(weights) for weight in weights]
    examples = _examples(sizes)
    try:
        found = _numbers(examples, assign(examples, ratios=ratios, seed=seed))
    except DataError:
        assert min(sizes.values()) * min(ratios) < 1
        return
    for split, ratio in zip(SPLITS, ratios, strict=True):
        for label, size in sizes.items():
            assert abs(found[split, label] - size * ratio) < 1
            assert found[split, label] > 0
    assert sum(found.values()) == len(examples)


@given(st.integers(3, 30), st.integers(3, 30), st.integers(0, 100))
def test_each_class_is_split_for_itself(cats: int, dogs: int, seed: int) -> None:
    few = _parts(_examples({"cat": cats, "dog": 3}), counts={"train": 2, "test": 1}, seed=seed)
    many = _parts(_examples({"cat": cats, "dog": dogs}), counts={"train": 2, "test": 1}, seed=seed)
    for split in SPLITS:
        assert [path for path in few[split] if path[0] == "c"] == [path for path in many[split] if path[0] == "c"]


@given(st.integers(0, 1000))
def test_another_spelling_of_the_same_name_goes_to_the_same_part(seed: int) -> None:
    composed = [Example(f"café/é{number}.jpg", "café") for number in range(6)] + _examples({"tea": 6})
    decomposed = [Example(unicodedata.normalize("NFD", item.path), item.label) for item in composed]
    assert assign(composed, ratios=(0.5, 0.5, 0), seed=seed) == assign(decomposed, ratios=(0.5, 0.5, 0), seed=seed)


def test_another_seed_gives_another_split() -> None:
    examples = _examples({"cat": 50, "dog": 50})
    assert assign(examples, counts={"train": 25}, seed=1) != assign(examples, counts={"train": 25}, seed=2)


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
    parts = _parts(_examples({"cat": number, "dog": number}), ratios=ratios, seed=0)
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


# With groups


@st.composite
def grouped(draw: st.DrawFn) -> tuple[list[Example], Groups]:
    """Pictures of two or three classes, some of them in groups of up to six that may mix classes."""
    examples = _examples(draw(st.dictionaries(st.sampled_from("abc"), st.integers(12, 30), min_size=2)))
    chance = draw(st.randoms(use_true_random=False))
    shuffled = list(range(len(examples)))
    chance.shuffle(shuffled)
    groups = []
    for size in draw(st.lists(st.integers(2, 6), max_size=8)):
        groups.append(tuple(sorted(shuffled[:size])))
        shuffled = shuffled[size:]
    return examples, tuple(group for group in groups if len(group) > 1)


def _demand_whole(groups: Groups, places: Sequence[str]) -> None:
    for group in groups:
        assert len({places[index] for index in group} - {""}) <= 1


def _used(examples: Sequence[Example], places: Iterable[str]) -> Counter[tuple[str, str]]:
    """Numbers of those in a part."""
    return Counter({key: number for key, number in _numbers(examples, places).items() if key[0]})


def _wanted(examples: Sequence[Example], counts: Mapping[str, int]) -> Counter[tuple[str, str]]:
    return Counter({(split, example.label): counts[split] for split in SPLITS for example in examples})


def _can_be_exact(examples: Sequence[Example], groups: Groups, wanted: Counter[tuple[str, str]]) -> bool:
    """Tries all parts for all groups. Members of a group may be left out where pictures are, but not go elsewhere."""
    labels = [example.label for example in examples]
    asked = [split for split in SPLITS if wanted[split, labels[0]]]
    free = Counter(label for index, label in enumerate(labels) if not any(index in group for group in groups))
    spare = {label: labels.count(label) - sum(wanted[split, label] for split in SPLITS) for label in set(labels)}
    for chosen in product(asked, repeat=len(groups)):
        held = Counter((split, labels[index]) for group, split in zip(groups, chosen, strict=True) for index in group)
        lacking = wanted - held
        if all(
            sum(lacking[split, label] for split in asked) <= free[label]
            and (spare[label] or all(held[split, label] <= wanted[split, label] for split in asked))
            for label in spare
        ):
            return True
    return False


@st.composite
def tightly_grouped(draw: st.DrawFn) -> tuple[list[Example], Groups]:
    """A few pictures of one to three classes, most of them in groups of two to four."""
    examples = _examples(draw(st.dictionaries(st.sampled_from("abc"), st.integers(7, 10), min_size=1)))
    chance = draw(st.randoms(use_true_random=False))
    shuffled = list(range(len(examples)))
    if draw(st.booleans()):
        chance.shuffle(shuffled)
    groups = []
    for size in draw(st.lists(st.integers(2, 4), min_size=2, max_size=6)):
        groups.append(tuple(sorted(shuffled[:size])))
        shuffled = shuffled[size:]
    return examples, tuple(group for group in groups if len(group) > 1)


@given(
    tightly_grouped(),
    st.one_of(
        st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 2)),
        st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.5, 0.0), (0.4, 0.3, 0.3)]),
    ),
    st.integers(0, 50),
)
def test_sizes_are_exact_wherever_groups_allow_it(
    data: tuple[list[Example], Groups], sizes: tuple[float, ...], seed: int
) -> None:
    examples, groups = data
    by_counts = isinstance(sizes[0], int)
    wishes: dict[str, Any] = {"counts": dict(zip(SPLITS, sizes, strict=True))} if by_counts else {"ratios": sizes}
    wanted = _used(examples, assign(examples, seed=seed, **wishes))
    try:
        found = _used(examples, assign(examples, groups=groups, seed=seed, **wishes))
    except DataError:
        found = Counter()
    assert (found == wanted) == _can_be_exact(examples, groups, wanted)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2)), min_size=4, max_size=12), st.integers(0, 50))
def test_groups_that_are_made_to_fit_do_fit(made: list[tuple[int, int]], seed: int) -> None:
    sizes = [0, 0, 0]
    groups, start = [], 0
    for size, part in [*made, (1, 0)]:
        sizes[part] += size
        groups.append(tuple(range(start, start + size)))
        start += size
    examples = _examples({"a": start})
    places = assign(examples, groups=groups, counts=dict(zip(SPLITS, sizes, strict=True)), seed=seed)
    _demand_whole(tuple(groups), places)
    assert [places.count(split) for split in SPLITS] == sizes


def test_groups_that_fit_in_one_way_only_are_not_refused() -> None:
    """Train takes both pairs, validation the three, test the single one."""
    examples = _examples({"a": 8})
    groups = [(0, 1, 2), (3, 4), (5, 6)]
    counts = {"train": 4, "validation": 3, "test": 1}
    for seed in range(20):
        found = _numbers(examples, assign(examples, groups=groups, counts=counts, seed=seed))
        assert {split: found[split, "a"] for split in SPLITS} == counts


def test_a_class_that_must_miss_its_sizes_does_not_spoil_another() -> None:
    examples = _examples({"a": 8, "b": 8})
    groups = [(0, 1, 2), (3, 4), (5, 6), (8, 9, 10, 11, 12)]
    for seed in range(20):
        found = _numbers(examples, assign(examples, groups=groups, ratios=(0.5, 0.375, 0.125), seed=seed))
        assert [found[split, "a"] for split in SPLITS] == [4, 3, 1]
        assert [found[split, "b"] for split in SPLITS] == [5, 2, 1]


@given(grouped(), st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.5, 0.0), (0.8, 0.1, 0.1)]), st.integers(0, 50))
def test_ratios_with_groups(data: tuple[list[Example], Groups], ratios: tuple[float, ...], seed: int) -> None:
    examples, groups = data
    wanted = _numbers(examples, assign(examples, ratios=ratios, seed=seed))
    try:
        places = assign(examples, groups=groups, ratios=ratios, seed=seed)
    except DataError:
        assert not _can_be_exact(examples, groups, wanted)
        return
    assert "" not in places
    _demand_whole(groups, places)
    found = _numbers(examples, places)
    assert set(found) == set(wanted)
    largest = max((len(group) for group in groups), default=0)
    for split in SPLITS:
        for label in {example.label for example in examples}:
            assert abs(found[split, label] - wanted[split, label]) <= largest


@given(grouped(), st.integers(1, 6), st.integers(0, 3), st.integers(0, 3), st.integers(0, 50))
def test_counts_with_groups(
    data: tuple[list[Example], Groups], train: int, validation: int, test: int, seed: int
) -> None:
    examples, groups = data
    counts = {"train": train, "validation": validation, "test": test}
    try:
        places = assign(examples, groups=groups, counts=counts, seed=seed)
    except DataError:
        assert not _can_be_exact(examples, groups, _wanted(examples, counts))
        return
    _demand_whole(groups, places)
    found = _numbers(examples, places)
    free = Counter(example.label for index, example in enumerate(examples) if not any(index in g for g in groups))
    for label in {example.label for example in examples}:
        assert all(found[split, label] <= counts[split] for split in SPLITS)
        if free[label] >= sum(counts.values()):  # pictures without a group could do it alone
            assert all(found[split, label] == counts[split] for split in SPLITS)


@given(
    grouped(), st.sampled_from([{"counts": {"train": 5, "test": 3}}, {"ratios": (0.7, 0.2, 0.1)}]), st.integers(0, 50)
)
def test_groups_that_lie_on_one_side_anyhow_change_nothing(
    data: tuple[list[Example], Groups], wishes: dict[str, Any], seed: int
) -> None:
    examples, groups = data
    plain = assign(examples, seed=seed, **wishes)
    allowed = {"train": ("train", ""), "validation": ("validation",), "test": ("test",)}  # out is no side
    parts = [tuple(index for index in group if plain[index] in allowed[split]) for group in groups for split in SPLITS]
    assert assign(examples, groups=[part for part in parts if len(part) > 1], seed=seed, **wishes) == plain


@given(grouped(), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_the_input_does_not_matter(
    data: tuple[list[Example], Groups], chance: Random, by_counts: bool
) -> None:
    examples, groups = data
    wishes: dict[str, Any] = {"counts": {"train": 4, "test": 2}} if by_counts else {"ratios": (0.5, 0.3, 0.2)}
    order = list(range(len(examples)))
    chance.shuffle(order)
    moved = {old: new for new, old in enumerate(order)}
    shuffled_groups = [[moved[index] for index in group] for group in groups]
    chance.shuffle(shuffled_groups)
    try:
        first = _parts(examples, groups=groups, seed=1, **wishes)
    except DataError:
        with pytest.raises(DataError):
            assign([examples[index] for index in order], groups=shuffled_groups, seed=1, **wishes)
        return
    assert _parts([examples[index] for index in order], groups=shuffled_groups, seed=1, **wishes) == first


def test_a_straddling_group_goes_where_its_first_picture_is_and_sizes_stay_exact() -> None:
    examples = _examples({"cat": 10, "dog": 10})
    wishes: dict[str, Any] = {"counts": {"train": 6, "validation": 2, "test": 2}, "seed": 3}
    plain = assign(examples, **wishes)
    one = plain.index("validation")
    other = plain.index("train")
    places = assign(examples, groups=[(one, other)], **wishes)
    assert places[one] == places[other] == plain[min(one, other)]
    assert _numbers(examples, places) == _numbers(examples, plain)


def test_a_group_without_room_goes_where_it_hurts_least() -> None:
    """Targets of cat are 6, 2, 2: eight in a group are too many for all parts, for train by the least."""
    examples = _examples({"cat": 10, "dog": 10})
    found = _numbers(examples, assign(examples, groups=[tuple(range(8))], ratios=(0.6, 0.2, 0.2), seed=0))
    assert [found[split, "cat"] for split in SPLITS] == [8, 1, 1]
    assert [found[split, "dog"] for split in SPLITS] == [6, 2, 2]


def test_no_part_stays_empty_where_groups_can_be_moved() -> None:
    """Four of five equal groups fill train; the fifth cannot serve validation and test both."""
    examples = _examples({"cat": 50, "dog": 50})
    groups = [tuple(range(start, start + 10)) for start in range(0, 50, 10)]
    found = _numbers(examples, assign(examples, groups=groups, ratios=(0.8, 0.1, 0.1), seed=0))
    assert [found[split, "cat"] for split in SPLITS] == [30, 10, 10]


def test_of_a_group_that_is_too_large_counts_use_what_fits() -> None:
    examples = _examples({"cat": 6, "dog": 6})
    places = assign(examples, groups=[(0, 1, 2, 3, 4)], counts={"train": 3, "test": 1}, seed=0)
    assert _numbers(examples, places)["train", "cat"] == 3
    assert places[5] == "test"


@pytest.mark.parametrize("sizes", [{"counts": {"train": 2, "test": 2}}, {"ratios": (0.5, 0.0, 0.5)}])
def test_groups_that_leave_a_part_empty_are_an_error(sizes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="leave nothing for cat in test; ask for") as caught:
        assign(_examples({"cat": 4, "dog": 4}), groups=[(0, 1, 2, 3)], seed=0, **sizes)
    assert "\n" not in str(caught.value)


# Which groups there are


def _grouped_paths(*paths: str) -> list[Example]:
    return [Example(path, path.partition("/")[0]) for path in paths]


def test_groups_are_captured_or_come_from_the_source() -> None:
    examples = _grouped_paths("cat/p1_a.png", "cat/p1_b.png", "dog/p22_a.png")
    assert user_groups(examples, r"/(p\d+)_", source="here") == ("p1", "p1", "p22")
    assert user_groups(examples, r"p\d+", source="here") == ("p1", "p1", "p22")
    owned = [Example("a.png", "cat", group="anna"), Example("b.png", "cat")]
    assert user_groups(owned, None, source="here") == ("anna", "")
    with pytest.raises(DataError, match=r"finds no group in dog/p22_a\.png of here"):
        user_groups(examples, r"p1_", source="here")


def test_merged_groups_get_names_of_their_own() -> None:
    """anna's pictures and one of bert's are the same; carl keeps his name; two copies of nobody's get one."""
    names = ["anna", "anna", "bert", "bert", "carl", "", "", ""]
    examples = [Example(f"x/{number}.png", "x") for number in range(8)]
    groups = merged(names, [(1, 2), (6, 7)])
    assert groups == ((0, 1, 2, 3), (6, 7))
    called = group_names(examples, names, groups)
    assert called[4:6] == ("carl", "")
    assert called[0] == "set-" + hashlib.sha256(b"x/0.png").hexdigest()[:12]
    assert len(set(called[:4])) == 1
    assert called[6] == called[7] != called[0]
