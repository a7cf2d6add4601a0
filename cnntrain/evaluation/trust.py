"""Whether pictures may be measured on: they are what the run knew, and the run was not trained on them."""

from collections.abc import Sequence

from cnntrain.data.decoder import Preprocessing, preprocessing_from_json
from cnntrain.data.examples import Example, in_split, read_examples
from cnntrain.data.leaks import Leak, described, shared
from cnntrain.errors import DataError, ModelFileError, RunError
from cnntrain.runs.model_file import read_class_names
from cnntrain.runs.run import Run


def preprocessing_of_run(run: Run) -> Preprocessing:
    """How the run's pictures were decoded and resized. Raises RunError where its `preprocessing.json` is damaged."""
    try:
        return preprocessing_from_json(run.preprocessing)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{run.directory.preprocessing} is damaged or of another version ({error}); fit the run again"
        ) from error


def check_class_map(run: Run) -> None:
    """Makes sure that the names inside the model are those of the run, in their order. Raises ModelFileError."""
    inside = read_class_names(run.directory.model)
    if inside != run.classes:
        raise ModelFileError(
            f"{run.directory.model} has the classes {', '.join(inside)}, the run's classes.json has "
            f"{', '.join(run.classes)}; one of them was changed, fit the run again"
        )


def check_unchanged(recorded: Sequence[Example], seen: Sequence[Example]) -> None:
    """Makes sure that pictures of a run hold the bytes that they held when it was fitted.

    Args:
        recorded: As the run noted them.
        seen: The same pictures now, with their checksums.

    Raises:
        DataError: Some have changed.
    """
    checksums = {example.path: example.sha256 for example in recorded}
    changed = [example.path for example in seen if example.sha256 != checksums.get(example.path)]
    if changed:
        raise DataError(
            f"{len(changed)} of {len(seen)} pictures are not those that the run was fitted with, {changed[0]} first; "
            "fit again, or measure on them as other pictures with --data"
        )


def leaks_from_training(run: Run, examples: Sequence[Example], *, allow_leak: bool) -> tuple[Leak, ...]:
    """Pairs of a training picture of the run and one of `examples` with the same bytes.

    Raises:
        DataError: There are some, and that is not allowed.
    """
    leaks = shared(in_split(read_examples(run.directory.examples), "train"), examples)
    if leaks and not allow_leak:
        raise DataError(
            f"{described(leaks)}; the result would be of what was learnt by heart: take them out, or go on with "
            "--allow-leak"
        )
    return leaks
