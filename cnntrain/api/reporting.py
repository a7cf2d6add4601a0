"""`cnntrain report`: one HTML file that tells everything about a run."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.api.fonts import tell_missing_fonts
from cnntrain.api.measuring import weaknesses_of_model
from cnntrain.data.examples import Example, read_examples
from cnntrain.errors import DataError, ModelFileError, UsageError, WriteError
from cnntrain.files import write_bytes
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, ignore

if TYPE_CHECKING:
    from cnntrain.evaluation.answers import Answers
    from cnntrain.evaluation.thresholds import OperatingPoint
    from cnntrain.reports.content import Chart, Measured, Suspicion

_MOST_SUSPICIONS = 20
_TOO_GOOD = {
    "train": "everything is measured on the pictures that the model was trained on: the results are too good",
    "validation": (
        "everything is measured on the validation pictures, by which the best epoch was chosen: the results are too "
        "good"
    ),
}
_CANNOT = (DataError, ModelFileError)  # what leaves out a part of the page, which then says why


def report(
    run: Run | str | Path,
    *,
    split: str = "test",
    output: str | Path | None = None,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> Path:
    """Writes a page that tells everything about a run and loads nothing: one HTML file below 5 MB.

    What the run does not have, as where it was interrupted early or its pictures are gone, is left out, and the page
    says so.

    Args:
        run: A run, or its folder.
        split: The part of its data that it is measured on; without test pictures the validation pictures are taken.
        output: The file to write; `RUN/report.html` when absent.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Returns:
        The file.

    Raises:
        UsageError: The name of `output` does not end in .html.
        RunError: There is no such run, or it is damaged.
        DataError: The run has no pictures in a split other than `test` that was asked for.
        WriteError: The file cannot be written.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    listener = on_event or ignore
    path = Path(output) if output is not None else run.path / "report.html"
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a report is an HTML page; got: {path}; give a name that ends in .html")
    examples = read_examples(run.directory.examples)
    part, warnings = _part_to_measure(run, examples, split)
    prepare(device)
    tell_missing_fonts(listener, [run.name, *run.classes])
    write_bytes(path, _page(run, examples, part, warnings, device, listener).encode("utf-8"))
    return path


def _part_to_measure(run: Run, examples: Sequence[Example], split: str) -> tuple[str | None, list[str]]:
    """The split that is measured on, if any, and what is to be said about that."""
    found = {example.split for example in examples}
    if split in found:
        return split, [_TOO_GOOD[split]] if split in _TOO_GOOD else []
    if split != "test":
        raise DataError(f"the run {run.path} has no {split} pictures; choose another --split")
    if "validation" in found:
        return "validation", ["the run has no test pictures", _TOO_GOOD["validation"]]
    return None, ["the run has neither test nor validation pictures, so nothing is measured"]


def _page(
    run: Run,
    examples: tuple[Example, ...],
    part: str | None,
    warnings: list[str],
    device: DeviceChoice,
    listener: OnEvent,
) -> str:
    """The page; whatever cannot be had becomes one of its warnings."""
    from cnntrain import __version__
    from cnntrain.reports import describing
    from cnntrain.reports.content import Report
    from cnntrain.reports.page import render

    names = describing.short_names(example.path for example in examples)
    warnings = [*_weaknesses(run), *warnings]
    measured, suspicions, suspected = None, None, 0
    try:
        if part is not None:
            measured = _measured(run, part, names, warnings, device, listener)
    except _CANNOT as error:
        warnings.append(f"nothing is measured: {error}")
    try:
        suspicions, suspected = _suspicions(run, examples, names, device, listener)
    except (*_CANNOT, WriteError) as error:
        warnings.append(f"labels are not checked: {error}")
    for warning in warnings:
        listener(Message(f"warning: {warning}"))
    content = Report(
        name=run.name,
        what=describing.what_it_is(run),
        classes=run.classes,
        status=describing.status_of(run),
        started=describing.readable_time(run.record.started),
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=__version__,
        warnings=tuple(warnings),
        notes=run.record.notes,
        best=describing.best_of(run),
        configuration=describing.configuration_of(run),
        pictures=describing.pictures_of(run, examples, names),
        curves=_curves(run),
        measured=measured,
        suspicions=suspicions,
        suspected=suspected,
        environment=describing.environment_of(run),
        command=describing.command_of(run),
    )
    return render(content)


def _weaknesses(run: Run) -> list[str]:
    """What one must know about a run before one believes its numbers."""
    record, found = run.record, list(weaknesses_of_model(run))
    if leaks := record.data.get("leaks"):
        found.append(f"{len(leaks)} pictures lie in two parts of the data, so the results may be too good")
    if skipped := record.data.get("skipped"):
        found.append(f"{len(skipped)} bad pictures were left out")
    return found


def _measured(
    run: Run, part: str, names: dict[str, str], warnings: list[str], device: DeviceChoice, listener: OnEvent
) -> "Measured":
    """How the model fares; where the files of pictures are gone, that becomes a warning."""
    from cnntrain.api.evaluation import answers_of
    from cnntrain.evaluation.metrics import compute_metrics
    from cnntrain.evaluation.trust import open_model
    from cnntrain.reports.charts import charts_of
    from cnntrain.reports.measuring import measured, pictures_at

    answers = answers_of(run, part, device=device, on_event=listener)
    model, preprocessing = open_model(run)
    metrics = compute_metrics(answers)
    charts = charts_of(answers, metrics)
    shown_names = [names[path] for path in answers.paths]

    point = _operating_point(run, part, answers, device, listener)

    def with_pictures_of(examples: Sequence[Example]) -> "Measured":
        pictures = partial(pictures_at, examples, preprocessing)
        found = measured(part, answers, metrics, pictures=pictures, names=shown_names, charts=charts, model=model)
        return replace(found, operating_point=point)

    try:
        return with_pictures_of(_examples_of(run, part, answers))
    except DataError as error:
        warnings.append(f"no pictures are shown: {error}")
        return with_pictures_of(())


def _operating_point(
    run: Run, part: str, answers: "Answers", device: DeviceChoice, listener: OnEvent
) -> "OperatingPoint | None":
    """How the threshold of two classes fares on test pictures; nothing where there is none, or nothing to fit it on."""
    from cnntrain.api.evaluation import answers_of
    from cnntrain.evaluation.thresholds import fit_threshold, measure_threshold

    if part != "test" or len(answers.classes) != 2:
        return None
    with suppress(DataError):
        validation = answers_of(run, "validation", device=device, on_event=listener)
        return measure_threshold(fit_threshold(validation), answers)
    return None


def _examples_of(run: Run, part: str, answers: "Answers") -> list[Example]:
    """The pictures that were asked about, in the order of the answers. Raises DataError where their files are gone."""
    from cnntrain.evaluation.selection import examples_of_split

    by_path = {example.path: example for example in examples_of_split(run, part)}
    return [by_path[path] for path in answers.paths]


def _suspicions(
    run: Run, examples: Sequence[Example], names: dict[str, str], device: DeviceChoice, listener: OnEvent
) -> "tuple[tuple[Suspicion, ...], int]":
    """The pictures that are most likely mislabelled, and how many are."""
    from cnntrain.api.mislabels import likely_mislabelled
    from cnntrain.data.decoder import preprocessing_from_json
    from cnntrain.reports.measuring import pictures_at
    from cnntrain.reports.suspecting import suspicions_of

    found = likely_mislabelled(run, device=device, on_event=listener)
    confident = [suspect for suspect in found if suspect.is_confident]
    suspects = confident[:_MOST_SUSPICIONS]
    by_path = {example.path: example for example in examples}
    shown = [by_path[suspect.path] for suspect in suspects]
    pictures = pictures_at(shown, preprocessing_from_json(run.preprocessing), range(len(shown)))
    return suspicions_of(suspects, pictures, names), len(confident)


def _curves(run: Run) -> "Chart | None":
    from cnntrain.api.plotting import curves_of
    from cnntrain.reports.charts import training_chart

    return training_chart(curves_of(run)) if run.history else None
