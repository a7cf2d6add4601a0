"""`cnntrain predict`: what a run's model says about new pictures."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.data.examples import in_split, read_examples
from cnntrain.errors import DataError, UsageError
from cnntrain.files import replacing
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, StepDone, ignore

if TYPE_CHECKING:
    from cnntrain.data.unlabelled import BadPicture
    from cnntrain.evaluation.abstention import Abstention
    from cnntrain.evaluation.predictions import Predictions

_NAMED = 100


def predict(
    run: Run | str | Path,
    paths: str | Path | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    abstain: bool = False,
    coverage: float = 0.95,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> "Predictions":
    """Asks a run's model about pictures; those that cannot be used are told of, and the rest is done.

    Args:
        run: A run, or its folder.
        paths: Pictures, folders, CSV or TSV tables, archives, or patterns such as `photos/*.jpg`.
        output: A CSV file to write.
        abstain: Whether pictures that the model is not sure of are `unknown`, by a temperature and a threshold that are
            fitted on the validation pictures of the run.
        coverage: With `abstain`, the share of validation pictures that is to be answered at least.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is, and in a message of each picture that cannot be used.

    Returns:
        Probabilities of all classes for every good picture, each file once, and the problems of the others.

    Raises:
        UsageError: The name of `output` does not end in .csv, or is that of one of `paths`; or `coverage` is no share.
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged.
        DataError: Not one picture can be used, one changes meanwhile, or there are too few validation pictures to
            abstain by.
        WriteError: The file cannot be written, or there is no room to unpack an archive.
    """
    from cnntrain.evaluation.predictions import joined

    parts = stream_predictions(
        run, paths, output=output, abstain=abstain, coverage=coverage, device=device, on_event=on_event
    )
    return joined(list(parts))


def stream_predictions(
    run: Run | str | Path,
    paths: str | Path | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    abstain: bool = False,
    coverage: float = 0.95,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> "Iterator[Predictions]":
    """The same as `predict`, given batch by batch while the next ones are made: memory does not grow with the pictures.

    Nothing is done before the first batch is asked for. The CSV file is there when the last one has been given.

    Yields:
        Predictions for a few pictures at a time, with the problems of those among them; the last may be of none.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    listener = on_event or ignore
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    _check_output(output, given)
    rule = _fitted_rule(run, coverage, device, listener) if abstain else None
    prepare(device)
    parts = _answered(run, given, rule, listener)
    yield from parts if output is None else _written(parts, Path(output))


def _check_output(output: str | Path | None, given: Sequence[str | Path]) -> None:
    """Makes sure that a table may be written to `output`. Raises UsageError."""
    if output is not None and Path(output).suffix.lower() != ".csv":
        raise UsageError(f"predictions are written as CSV; got: {output}; choose a name that ends in .csv")
    if output is not None and Path(output).resolve() in {Path(path).resolve() for path in given}:
        raise UsageError(f"predictions would replace what they are asked of, {output}; choose another --output")


def _fitted_rule(run: Run, coverage: float, device: DeviceChoice, listener: OnEvent) -> "Abstention":
    """When the model of a run had better not answer, which is told.

    Raises:
        UsageError: `coverage` is no share.
        DataError: There are too few validation pictures, or they are not what they were.
    """
    from cnntrain.api.evaluation import answers_of
    from cnntrain.evaluation.abstention import check_coverage, check_enough, fit_abstention
    from cnntrain.evaluation.predictions import unknown_name

    check_coverage(coverage)
    check_enough(len(in_split(read_examples(run.directory.examples), "validation")))
    rule = fit_abstention(answers_of(run, "validation", device=device, on_event=listener), coverage=coverage)
    listener(Message(str(rule)))
    if (name := unknown_name(run.classes)) != "unknown":
        listener(Message(f"the run has a class called unknown, so pictures that are not answered are called {name}"))
    return rule


def _answered(
    run: Run, given: Sequence[str | Path], rule: "Abstention | None", listener: OnEvent
) -> "Iterator[Predictions]":
    """Predictions batch by batch; each bad picture is told of when its turn has come and one is known to be good.

    Raises:
        DataError: There is none that can be used.
    """
    from cnntrain.data.unlabelled import find_named, named_batches
    from cnntrain.evaluation.answering import BATCH
    from cnntrain.evaluation.predictions import Predictions
    from cnntrain.evaluation.streaming import stream_probabilities
    from cnntrain.evaluation.temperature import with_temperature
    from cnntrain.evaluation.trust import SMOKE_NOTE, open_model

    model, preprocessing = open_model(run)
    if run.record.smoke:
        listener(Message(SMOKE_NOTE))
    found, unreadable = find_named(given)
    size = min(BATCH, len(found))
    batches = named_batches(found, preprocessing, batch_size=size or 1, max_pixels=run.config.data.max_pixels)
    done, usable, bad = 0, 0, list(unreadable)
    for batch, probabilities in stream_probabilities(model, batches, len(run.classes), size=size):
        bad += batch.bad
        usable += len(batch.good)
        done += len(batch.good) + len(batch.bad)
        listener(StepDone("pictures", done, len(found)))
        if not usable:
            continue
        names = tuple(picture.name for picture in batch.good)
        scaled = with_temperature(probabilities, rule.temperature) if rule else probabilities
        yield Predictions(names, scaled, run.classes, _tell(bad, listener), rule)
        bad = []
    if not usable:
        raise _nothing_usable(bad)


def _tell(bad: "Iterable[BadPicture]", listener: OnEvent) -> dict[str, str]:
    """Tells of bad pictures; gives their problems by their paths."""
    for picture in bad:
        listener(Message(str(picture)))
    return {picture.path: picture.problem for picture in bad}


def _written(parts: "Iterable[Predictions]", path: Path) -> "Iterator[Predictions]":
    """The same parts, which are written as one CSV file that appears when all are done. Raises WriteError."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        header = True
        for part in parts:
            stream.write(part.to_csv(header=header))
            header = False
            yield part


def _nothing_usable(bad: Sequence["BadPicture"]) -> DataError:
    if not bad:
        return DataError("there must be a picture to predict, and none is given; give pictures, or folders of them")
    if len(bad) == 1:
        return DataError(str(bad[0]))
    more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return DataError(f"none of {len(bad)} paths can be used: {'; '.join(map(str, bad[:_NAMED]))}{more}")
