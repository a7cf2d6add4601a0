"""`cnntrain predict`: what a run's model says about new pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.errors import DataError, UsageError
from cnntrain.files import write_text
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, StepDone, ignore, pictures_told

if TYPE_CHECKING:
    from cnntrain.data.unlabelled import BadPicture, NamedPicture
    from cnntrain.evaluation.predictions import Predictions

_NAMED = 100


def predict(
    run: Run | str | Path,
    paths: str | Path | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> "Predictions":
    """Asks a run's model about pictures; those that cannot be used are told of, and the rest is done.

    Args:
        run: A run, or its folder.
        paths: Pictures, folders, CSV or TSV tables, archives, or patterns such as `photos/*.jpg`.
        output: A CSV file to write.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is, and in a message of each picture that cannot be used.

    Returns:
        Probabilities of all classes for every good picture, each file once, and the problems of the others.

    Raises:
        UsageError: The name of `output` does not end in .csv, or is that of one of `paths`.
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged.
        DataError: Not one picture can be used.
        WriteError: The file cannot be written, or there is no room to unpack an archive.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    listener = on_event or ignore
    if output is not None and Path(output).suffix.lower() != ".csv":
        raise UsageError(f"predictions are written as CSV; got: {output}; choose a name that ends in .csv")
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if output is not None and Path(output).resolve() in {Path(path).resolve() for path in given}:
        raise UsageError(f"predictions would replace what they are asked of, {output}; choose another --output")
    prepare(device)
    from cnntrain.data.unlabelled import open_named
    from cnntrain.evaluation.answering import predict_probabilities
    from cnntrain.evaluation.predictions import Predictions
    from cnntrain.evaluation.trust import SMOKE_NOTE, open_model

    model, preprocessing = open_model(run)
    if run.record.smoke:
        listener(Message(SMOKE_NOTE))
    good, bad = _usable(run, given, listener)
    probabilities = predict_probabilities(
        model,
        open_named(good, preprocessing),
        len(run.classes),
        on_batch=lambda step, steps: listener(StepDone("pictures", step, steps)),
    )
    names = tuple(picture.name for picture in good)
    found = Predictions(names, probabilities, run.classes, {picture.path: picture.problem for picture in bad})
    if output is not None:
        write_text(Path(output), found.to_csv())
    return found


def _usable(
    run: Run, paths: Sequence[str | Path], listener: OnEvent
) -> tuple[tuple["NamedPicture", ...], tuple["BadPicture", ...]]:
    """The pictures that paths stand for and that a model can be asked about, and the others, which are told of.

    Raises:
        DataError: There is none that can be used.
    """
    from cnntrain.data.unlabelled import find_named, look_at_named

    found, unreadable = find_named(paths)
    good, faulty = look_at_named(
        found, max_pixels=run.config.data.max_pixels, on_picture=pictures_told(listener, len(found))
    )
    bad = (*unreadable, *faulty)
    if not good:
        raise _nothing_usable(bad)
    for picture in bad:
        listener(Message(str(picture)))
    return good, bad


def _nothing_usable(bad: Sequence["BadPicture"]) -> DataError:
    if not bad:
        return DataError("there must be a picture to predict, and none is given; give pictures, or folders of them")
    if len(bad) == 1:
        return DataError(str(bad[0]))
    more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return DataError(f"none of {len(bad)} paths can be used: {'; '.join(map(str, bad[:_NAMED]))}{more}")
