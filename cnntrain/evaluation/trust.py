"""Whether a run's model may be measured on pictures: they are what the run knew, and it was not trained on them."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from cnntrain.data.decoder import Preprocessing, preprocessing_from_json
from cnntrain.data.examples import Example, in_split, read_examples
from cnntrain.data.inspection import Inspected, Skipped, inspect
from cnntrain.data.leaks import Leak, described, shared
from cnntrain.data.scanning.duplicates import alike_among
from cnntrain.data.scanning.look import Look
from cnntrain.data.scanning.remembered import RememberedLooks
from cnntrain.errors import DataError, ModelFileError, RunError
from cnntrain.runs.model_file import load_model, read_class_names
from cnntrain.runs.run import Run

SMOKE_NOTE = "this was a smoke run: its model has learnt next to nothing"

OnPicture = Callable[[int], None]


@dataclass(frozen=True)
class Trusted:
    """Pictures that a run's model may be measured on.

    Args:
        examples: With their checksums and orientations.
        skipped: Bad pictures that were left out.
        leaks: Pairs of a training picture and one of these with the same bytes, which were allowed.
        alike: Paths of pictures that are near-duplicates of training pictures.
    """

    examples: tuple[Example, ...]
    skipped: tuple[Skipped, ...] = ()
    leaks: tuple[Leak, ...] = ()
    alike: tuple[str, ...] = ()


def open_model(run: Run) -> tuple[Any, Preprocessing]:
    """The model of a run, and how its pictures are made.

    Raises:
        ModelFileError: The model is missing or damaged, or has other classes than the run.
        RunError: `preprocessing.json` is damaged, or is not that of the model.
    """
    inside = read_class_names(run.directory.model)
    if inside != run.classes:
        raise ModelFileError(
            f"{run.directory.model} has the classes {', '.join(inside)}, the run's classes.json has "
            f"{', '.join(run.classes)}; one of them was changed, fit the run again"
        )
    model = load_model(run.directory.model)
    try:
        preprocessing = preprocessing_from_json(run.preprocessing)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{run.directory.preprocessing} is damaged or of another version ({error}); fit the run again"
        ) from error
    if tuple(model.input_shape[1:]) != preprocessing.shape:
        raise RunError(
            f"{run.directory.preprocessing} gives pictures of {preprocessing.shape}, the model takes "
            f"{tuple(model.input_shape[1:])}; one of them was changed, fit the run again"
        )
    return model, preprocessing


def trust_own(run: Run, split: str, recorded: Sequence[Example], *, on_picture: OnPicture) -> Trusted:
    """Looks at the pictures of one of a run's own splits.

    Args:
        run: The run.
        split: Of which the pictures are; training pictures cannot leak from training.
        recorded: The pictures as the run noted them.
        on_picture: Told the number of pictures that are done.

    Raises:
        DataError: Some hold other bytes than when the run was fitted.
    """
    seen = inspect(recorded, max_pixels=run.config.data.max_pixels, bad_images="skip", on_picture=on_picture)
    now = {example.path: example.sha256 for example in seen.examples}
    changed = [example.path for example in recorded if now.get(example.path) != example.sha256]
    if changed:
        raise DataError(
            f"{len(changed)} of {len(recorded)} pictures are not those that the run was fitted with, {changed[0]} "
            "first; fit again, or measure on them as other pictures with --data"
        )
    if split == "train":
        return Trusted(seen.examples)
    return _compared_with_training(run, seen, allow_leak=True)  # the fit has refused leaks, or they were allowed then


def trust_other(
    run: Run,
    examples: Sequence[Example],
    *,
    bad_images: Literal["error", "skip"],
    allow_leak: bool,
    on_picture: OnPicture,
) -> Trusted:
    """Looks at pictures that are not the run's own.

    Args:
        run: The run.
        examples: Pictures with absolute paths.
        bad_images: Whether bad ones are an error or are left out.
        allow_leak: Whether some may be training pictures of the run.
        on_picture: Told the number of pictures that are done.

    Raises:
        DataError: Some are bad and not to be left out, none is left, or some are training pictures and that is not
            allowed.
    """
    seen = inspect(
        examples,
        max_pixels=run.config.data.max_pixels,
        bad_images=bad_images,
        advice="mend or remove them, or leave them out with --bad-images skip",
        on_picture=on_picture,
    )
    if not seen.examples:
        first = seen.skipped[0]
        raise DataError(f"all {len(seen.skipped)} pictures are bad, {first.path} ({first.problem}) first; mend them")
    return _compared_with_training(run, seen, allow_leak=allow_leak)


def _compared_with_training(run: Run, seen: Inspected, *, allow_leak: bool) -> Trusted:
    trained = in_split(read_examples(run.directory.examples), "train")
    leaks = shared(trained, seen.examples)
    if leaks and not allow_leak:
        raise DataError(
            f"{described(leaks)}; the result would be of what was learnt by heart: take them out, or go on with "
            "--allow-leak"
        )
    alike = _alike_in_training(run, trained, seen.looks)
    return Trusted(seen.examples, seen.skipped, leaks, tuple(seen.examples[index].path for index in alike))


def _alike_in_training(run: Run, trained: Sequence[Example], looks: Sequence[Look]) -> list[int]:
    """Positions of near-duplicates of training pictures that are not the same files.

    The looks at the training pictures are those that the fit has left in the cache; without them nothing is found.
    """
    with closing(RememberedLooks(max_pixels=run.config.data.max_pixels)) as store:
        remembered = store.find_many(example.sha256 for example in trained)
    known = list(remembered.values())
    found = []
    for members in alike_among([*known, *looks]):
        if members[0] < len(known):  # sorted, so a set with any training picture begins with one
            found += [index - len(known) for index in members if index >= len(known)]
    return sorted(index for index in found if looks[index].sha256 not in remembered)
