"""Which pictures a run is measured on."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cnntrain.data.examples import Example, in_split, read_examples
from cnntrain.data.sources import find_labelled, kept_unpacked
from cnntrain.data.sources.archives import is_archive
from cnntrain.errors import DataError
from cnntrain.runs.run import Run


def examples_of_split(run: Run, split: str) -> tuple[Example, ...]:
    """The pictures of one split of a run's own data, unpacked again if they came from an archive and are gone.

    Raises:
        DataError: The run has none in it, or their files are gone.
        WriteError: There is no room to unpack the archive.
    """
    examples = in_split(read_examples(run.directory.examples), split)
    if not examples:
        raise DataError(f"the run {run.path} has no {split} pictures; choose another --split, or give some with --data")
    source, gone = Path(run.config.data.source), _gone(examples)
    if gone and is_archive(source) and source.exists():
        kept_unpacked(source)
        gone = _gone(examples)
    if gone:
        raise DataError(
            f"{len(gone)} of {len(examples)} {split} pictures of the run are gone, {gone[0]} first; "
            "put the data back where it was, or give it with --data"
        )
    return examples


def _gone(examples: Sequence[Example]) -> list[str]:
    return [example.path for example in examples if not Path(example.path).exists()]


def examples_of_data(
    place: Path, classes: Sequence[str], *, label_regex: str | None = None
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """The pictures of any source, those of unknown classes left out; of one that is split already its test part.

    Args:
        place: A folder, a table or an archive.
        classes: Those of the run.
        label_regex: What finds the class in a path.

    Returns:
        The examples of known classes with absolute paths, and notes on what is left out or missing.

    Raises:
        DataError: The source is unfit (see `find_labelled`), has no test part though it is split, or no picture of a
            known class.
        UsageError: `label_regex` is no regular expression with a group, or comes with a table.
        WriteError: There is no room to unpack an archive.
    """
    source = find_labelled(kept_unpacked(place), name=str(place), label_regex=label_regex, known=classes)
    found, notes = source.absolute, list(source.notes)
    if source.is_split:
        found = in_split(found, "test")
        notes.append(f"{place} is split already: its {len(found)} test pictures are taken")
        if not found:
            raise DataError(f"{place} is split already and has no test pictures; give the folder of the part you mean")
    examples = tuple(example for example in found if example.label in classes)
    if not examples:
        labels = ", ".join(sorted({example.label for example in found})[:20])
        raise DataError(
            f"no picture in {place} is of a class of the run ({', '.join(classes[:20])}); got: {labels}; "
            "give a folder with one folder a class, a table, or --label-regex"
        )
    unknown = Counter(example.label for example in found if example.label not in classes)
    notes += [f"{count} pictures of the unknown class {name} are left out" for name, count in sorted(unknown.items())]
    present = {example.label for example in examples}
    notes += [f"there are no pictures of the class {name}" for name in classes if name not in present]
    return examples, tuple(notes)
