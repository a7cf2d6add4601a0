"""Which pictures a run is measured on."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cnntrain.data.examples import Example, in_split, read_examples
from cnntrain.data.sources import find_class_folders
from cnntrain.errors import DataError
from cnntrain.runs.run import Run


def examples_of_split(run: Run, split: str) -> tuple[Example, ...]:
    """The pictures of one split of a run's own data.

    Raises:
        DataError: The run has none in it, or their files are gone.
    """
    examples = in_split(read_examples(run.directory.examples), split)
    if not examples:
        raise DataError(f"the run {run.path} has no {split} pictures; choose another --split, or give some with --data")
    gone = [example.path for example in examples if not Path(example.path).exists()]
    if gone:
        raise DataError(
            f"{len(gone)} of {len(examples)} {split} pictures of the run are gone, {gone[0]} first; "
            "put the data back where it was, or give it with --data"
        )
    return examples


def examples_of_data(folder: Path, classes: Sequence[str]) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """The pictures of a folder of class folders, those of unknown classes left out.

    Returns:
        The examples of known classes, and notes on classes that are unknown or have no pictures.

    Raises:
        DataError: No picture is of a known class.
    """
    found = find_class_folders(folder)
    examples = tuple(example for example in found if example.label in classes)
    if not examples:
        raise DataError(
            f"no folder in {folder} is named like a class of the run ({', '.join(classes[:20])}); "
            "give a folder with one folder a class"
        )
    unknown = Counter(example.label for example in found if example.label not in classes)
    notes = [f"{count} pictures of the unknown class {name} are left out" for name, count in sorted(unknown.items())]
    present = {example.label for example in examples}
    notes += [f"there are no pictures of the class {name}" for name in classes if name not in present]
    return examples, tuple(notes)
