"""The data set of a configuration: its examples and the names of its classes, or what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnntrain.config import Problem
from cnntrain.config.sections import Data
from cnntrain.data.examples import Example, class_names, in_split
from cnntrain.data.sources import find_split_examples
from cnntrain.errors import DataError

SOURCE = ("data", "source")
CLASSES = ("data", "classes")


@dataclass(frozen=True)
class DataSet:
    """Pictures with their labels.

    Args:
        examples: All of them, with their splits.
        classes: Names in the order of the model's outputs.
    """

    examples: tuple[Example, ...]
    classes: tuple[str, ...]

    def split(self, name: str) -> tuple[Example, ...]:
        """The examples of one split."""
        return in_split(self.examples, name)


def find_data_set(data: Data) -> tuple[DataSet | None, list[Problem]]:
    """Looks for the pictures that a configuration names.

    Returns:
        The data set, or nothing and what is wrong with it.
    """
    try:
        examples = find_split_examples(Path(data.source).expanduser())
    except DataError as error:
        return None, [Problem(key=SOURCE, what=str(error))]
    found = class_names(in_split(examples, "train"))
    problems = check_classes(data.classes, found)
    return (None, problems) if problems else (DataSet(examples, _in_order(data.classes, found)), [])


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


def smoke_examples(data_set: DataSet, *, batch_size: int, steps: int) -> DataSet:
    """A few pictures of a data set: `steps` batches to train on, one to validate on, one to test on.

    The classes take turns, so that as many of them occur as possible.
    """
    sizes = {"train": batch_size * steps, "validation": batch_size, "test": batch_size}
    chosen = [example for split, size in sizes.items() for example in _in_turns(data_set, split)[:size]]
    return DataSet(tuple(chosen), data_set.classes)


def _in_turns(data_set: DataSet, split: str) -> list[Example]:
    """The examples of a split, the first of each class before the second of any."""
    seen = dict.fromkeys(data_set.classes, 0)
    ranked = []
    for example in data_set.split(split):
        ranked.append((seen[example.label], data_set.classes.index(example.label), example))
        seen[example.label] += 1
    return [example for _, _, example in sorted(ranked, key=lambda row: row[:2])]
