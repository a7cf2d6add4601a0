"""The data set of a configuration: its examples and the names of its classes, or what is wrong with it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cnntrain.config import Problem
from cnntrain.config.sections import Data
from cnntrain.data.examples import Example, class_names, in_split
from cnntrain.data.inspection import Inspected, Skipped, inspect
from cnntrain.data.leaks import Leak, described, groups_across_splits, leaks_between_splits
from cnntrain.data.scanning.duplicates import alike_among
from cnntrain.data.sources import Source, find_source, kept_unpacked
from cnntrain.data.splitting.folds import folded
from cnntrain.errors import DataError

SOURCE = ("data", "source")
CLASSES = ("data", "classes")
FOLD = ("data", "fold")


@dataclass(frozen=True)
class DataSet:
    """Pictures with their labels.

    Args:
        examples: All of them, with their splits.
        classes: Names in the order of the model's outputs.
        skipped: Bad pictures that were left out.
        leaks: Pairs of the same picture in two splits, which were allowed.
        notes: What its owner should know.
    """

    examples: tuple[Example, ...]
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    leaks: tuple[Leak, ...] = ()
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Example, ...]:
        """The examples of one split."""
        return in_split(self.examples, name)


def find_data_set(data: Data) -> tuple[DataSet | None, list[Problem]]:
    """Looks for the pictures that a configuration names.

    Returns:
        The data set, or nothing and what is wrong with it.
    """
    try:
        source = _found(data)
    except DataError as error:
        return None, [Problem(key=SOURCE, what=str(error))]
    examples, notes = source.absolute, source.notes
    if data.fold is None and any(example.fold for example in examples):
        notes = (*notes, "the data has cross-validation folds that are not used; see data.fold and --all-folds")
    if data.fold is not None:
        try:
            examples = folded(examples, data.fold)
        except DataError as error:
            return None, [Problem(key=FOLD, what=str(error))]
    found = class_names(in_split(examples, "train"))
    problems = check_classes(data.classes, found)
    return (None, problems) if problems else (DataSet(examples, _in_order(data.classes, found), notes=notes), [])


def _found(data: Data) -> Source:
    """The source, which is split already. Raises DataError, also where it is not."""
    found = find_source(kept_unpacked(Path(data.source).expanduser()), name=data.source)
    if not found.is_split:
        raise DataError(
            f"{data.source} is not split: it has no folder train beside validation or test, or no column split; "
            f"run `cnntrain split {data.source} DEST` first"
        )
    return found


def _in_order(wished: tuple[str, ...] | int | None, found: tuple[str, ...]) -> tuple[str, ...]:
    return wished if isinstance(wished, tuple) else found


def check_classes(wished: tuple[str, ...] | int | None, found: Sequence[str]) -> list[Problem]:
    """What is wrong between the classes that a configuration names or counts and those that the pictures have."""
    if isinstance(wished, int) and wished != len(found):
        return [
            Problem(
                key=CLASSES,
                what=f"the training pictures have {len(found)} classes",
                allowed=str(len(found)),
                got=str(wished),
            )
        ]
    if isinstance(wished, tuple) and set(wished) != set(found):
        return [
            Problem(
                key=CLASSES,
                what="these are not the classes of the training pictures",
                allowed=", ".join(found[:20]),
                got=", ".join(wished[:20]),
            )
        ]
    return []


def names_without_data(wished: tuple[str, ...] | int | None) -> tuple[str, ...]:
    """Class names for a network that is built without looking at data; two when the configuration does not say."""
    if isinstance(wished, tuple):
        return wished
    return tuple(f"class_{number}" for number in range(wished or 2))


def inspected(
    data_set: DataSet, data: Data, *, allow_leak: bool, on_picture: Callable[[int], None] = lambda _: None
) -> DataSet:
    """Looks at every picture of a data set.

    Args:
        data_set: As it was found.
        data: Says what counts as bad, and what is done about it.
        allow_leak: Whether the same file may be in two splits.
        on_picture: Told the number of pictures that are done.

    Returns:
        The good pictures with their checksums and orientations, and what was found.

    Raises:
        DataError: Pictures are bad and not to be skipped, a class has none left to train on, or the same file or group
            lies in two splits and that is not allowed.
    """
    seen = inspect(data_set.examples, max_pixels=data.max_pixels, bad_images=data.bad_images, on_picture=on_picture)
    left = class_names(in_split(seen.examples, "train"))
    if missing := sorted(set(class_names(data_set.split("train"))) - set(left)):
        raise DataError(f"no good training picture of {', '.join(missing)} is left; mend or replace the bad ones")
    leaks = leaks_between_splits(seen.examples)
    groups = groups_across_splits(seen.examples)
    if not allow_leak:
        _refuse_leaks(data.source, leaks, groups)
    return DataSet(
        seen.examples, data_set.classes, seen.skipped, leaks, (*data_set.notes, *_notes(seen, leaks, groups))
    )


def _refuse_leaks(source: str, leaks: Sequence[Leak], groups: Sequence[str]) -> None:
    ways_out = "split again with `cnntrain split`, which keeps them together, or go on with --allow-leak"
    if leaks:
        raise DataError(f"{source}: {described(leaks)}; {ways_out}")
    if groups:
        raise DataError(f"{source}: {len(groups)} groups lie in more than one split, {groups[0]} first; {ways_out}")


def _notes(seen: Inspected, leaks: Sequence[Leak], groups: Sequence[str]) -> Iterator[str]:
    if seen.skipped:
        first = seen.skipped[0]
        yield f"{len(seen.skipped)} bad pictures are skipped, {first.path} ({first.problem}) first; run.json lists them"
    if leaks:
        yield f"a leak is allowed: {described(leaks)}"
    if groups:
        yield f"a leak is allowed: {len(groups)} groups lie in more than one split, {groups[0]} first"
    sets = [{seen.examples[index].split for index in members} for members in alike_among(seen.looks)]
    if across := sum(len(splits) > 1 for splits in sets):
        yield f"{across} sets of near-duplicates lie in more than one split; `cnntrain scan` names them"


def smoke_examples(data_set: DataSet, *, batch_size: int, steps: int) -> DataSet:
    """A few pictures of a data set: `steps` batches to train on, one to validate on, one to test on.

    The classes take turns, so that as many of them occur as possible.
    """
    sizes = {"train": batch_size * steps, "validation": batch_size, "test": batch_size}
    chosen = [example for split, size in sizes.items() for example in _in_turns(data_set, split)[:size]]
    return replace(data_set, examples=tuple(chosen))


def _in_turns(data_set: DataSet, split: str) -> list[Example]:
    """The examples of a split, the first of each class before the second of any."""
    seen = dict.fromkeys(data_set.classes, 0)
    ranked = []
    for example in data_set.split(split):
        ranked.append((seen[example.label], data_set.classes.index(example.label), example))
        seen[example.label] += 1
    return [example for _, _, example in sorted(ranked, key=lambda row: row[:2])]
