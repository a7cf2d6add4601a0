"""Cross-validation folds: who is in which, and a data set with one of them held out."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from cnntrain.data.examples import Example, in_split
from cnntrain.errors import DataError, UsageError


def assign_folds(
    labels: Sequence[str], groups: Sequence[str], *, paths: Sequence[str], folds: int, seed: int
) -> tuple[int, ...]:
    """Divides pictures into folds of equal size, each with every class in its proportion, as closely as groups allow.

    The pictures are sorted by their paths first, so that their order has no influence.

    Args:
        labels: The class of each picture.
        groups: What must stay in one fold; empty for pictures that stand alone.
        paths: A different one for each picture.
        folds: How many.
        seed: Another one gives other folds.

    Returns:
        The fold of each picture, from 0.

    Raises:
        UsageError: Fewer than two folds are asked for.
        DataError: There are too few pictures or groups of a class, or groups so unlike that a fold lacks a class.
    """
    if folds < 2:
        raise UsageError(f"cross-validation needs at least 2 folds; got: {folds}")
    _demand_enough(labels, groups, folds)
    order = sorted(range(len(paths)), key=paths.__getitem__)
    numbers = _numbered([labels[index] for index in order], [groups[index] for index in order], folds=folds, seed=seed)
    found = dict(zip(order, numbers, strict=True))
    assigned = tuple(found[index] for index in range(len(paths)))
    _demand_all_classes(labels, assigned, folds)
    return assigned


def _demand_enough(labels: Sequence[str], groups: Sequence[str], folds: int) -> None:
    """Every class needs as many pictures or groups as there are folds."""
    if not labels:
        raise DataError(f"there are no training pictures to divide into {folds} folds; ask for a larger training part")
    units: dict[str, set[str | int]] = defaultdict(set)
    for index, (label, group) in enumerate(zip(labels, groups, strict=True)):
        units[label].add(group or index)
    scarcest = min(units, key=lambda label: (len(units[label]), label))
    if len(units[scarcest]) < folds:
        what = "pictures or groups" if any(groups) else "pictures"
        raise DataError(
            f"{folds} folds need at least {folds} training {what} of each class; {scarcest} has "
            f"{len(units[scarcest])}; ask for fewer folds or more training pictures"
        )


def _numbered(labels: Sequence[str], groups: Sequence[str], *, folds: int, seed: int) -> list[int]:
    """The fold of each picture, in an order that is settled."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    options = {"n_splits": folds, "shuffle": True, "random_state": seed % 2**32}
    if any(groups):
        numbers: dict[str | int, int] = {}  # of a group, or of a picture that stands alone: its first position
        units = [numbers.setdefault(group or index, index) for index, group in enumerate(groups)]
        splits = StratifiedGroupKFold(**options).split(labels, labels, units)
    else:
        splits = StratifiedKFold(**options).split(labels, labels)
    found = [0] * len(labels)
    for fold, (_, held_out) in enumerate(splits):
        for index in held_out.tolist():
            found[index] = fold
    return found


def _demand_all_classes(labels: Sequence[str], assigned: Sequence[int], folds: int) -> None:
    held = set(zip(labels, assigned, strict=True))
    lacking = [(fold, label) for fold in range(folds) for label in sorted(set(labels)) if (label, fold) not in held]
    if lacking:
        fold, label = lacking[0]
        raise DataError(
            f"groups, which stay in one fold, leave fold {fold} of {folds} without {label}; ask for fewer folds or for "
            "smaller groups"
        )


def fold_numbers(examples: Iterable[Example]) -> tuple[int, ...]:
    """The numbers of the folds that training pictures have, sorted; none where no picture has any.

    Raises:
        DataError: Some have a fold and some have none, or one is no number.
    """
    train = in_split(examples, "train")
    if not any(example.fold for example in train):
        return ()
    for example in train:
        if not (example.fold.isascii() and example.fold.isdecimal()):
            raise DataError(
                f"every training picture needs the number of its fold, or none has one; {example.path} has "
                f"{example.fold or 'none'}; run `cnntrain split` with --folds again"
            )
    return tuple(sorted({int(example.fold) for example in train}))


def folded(examples: Sequence[Example], fold: int) -> tuple[Example, ...]:
    """The same pictures with one fold of the training part as the validation part.

    Args:
        examples: Training pictures with a fold each, test pictures, and no validation pictures.
        fold: The fold to hold out.

    Raises:
        DataError: There is no such fold, or no other; there is a validation part already; a training picture has no
            fold; a group lies in two folds or in two parts.
    """
    numbers = fold_numbers(examples)
    if not numbers:
        raise DataError(f"there is no fold {fold}, since no training picture has one; make a split with --folds 5")
    if fold not in numbers or len(numbers) < 2:
        raise DataError(
            f"one fold of two or more is held out; got: {fold} of the folds {', '.join(map(str, numbers))}; "
            "choose another, or make a split with other --folds"
        )
    if taken := in_split(examples, "validation"):
        raise DataError(
            f"fold {fold} would be the validation part, but there is one already, with {taken[0].path} in it; "
            "leave data.fold out, or make a split with --folds, which has no other"
        )
    _demand_whole_groups(examples)
    return tuple(
        replace(example, split="validation") if example.split == "train" and int(example.fold) == fold else example
        for example in examples
    )


def _demand_whole_groups(examples: Iterable[Example]) -> None:
    """A group lies in one part, and in training in one fold."""
    first: dict[str, Example] = {}
    for example in examples:
        home = first.setdefault(example.group, example) if example.group else example
        if (home.split, home.fold) != (example.split, example.fold):
            places = (f"{place.path} ({place.split} {place.fold}".strip() + ")" for place in (home, example))
            raise DataError(
                f"a group lies in one part and one fold; {example.group} has {' and '.join(places)}; "
                "run `cnntrain split` with --folds again"
            )
