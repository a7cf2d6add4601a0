"""`cnntrain evaluate`: how good a run's model is."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cnntrain.api.evaluation_files import stored_answers, write_evaluation
from cnntrain.api.fonts import tell_missing_fonts
from cnntrain.api.measuring import (
    AVERAGED,
    Opened,
    evaluation_folder,
    fingerprint_of,
    flip_of,
    open_for_measuring,
    other_pictures,
    own_pictures,
    weaknesses,
)
from cnntrain.data.examples import SPLITS, in_split, read_examples
from cnntrain.errors import DataError, UsageError
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, StepDone, ignore

if TYPE_CHECKING:
    from cnntrain.data.inspection import Skipped
    from cnntrain.evaluation.answering import Flip
    from cnntrain.evaluation.answers import Answers
    from cnntrain.evaluation.metrics import Metrics
    from cnntrain.evaluation.thresholds import OperatingPoint
    from cnntrain.evaluation.trust import Trusted
    from cnntrain.plots.mistakes import Mistake

_SHOWN = 20  # mistakes


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Args:
        name: The split, or what the data was called.
        folder: Where its files lie.
        metrics: The numbers.
        data: What was measured: its source, the pattern for labels, and the fingerprint of its pictures.
        notes: What the user should know about the data.
        leaks: Number of pictures that the run was trained on.
        skipped: Bad pictures that were left out.
        tta: Which mirror images the probabilities are averaged over, if any (test-time augmentation).
        model: SHA-256 of the model's file.
        operating_point: Of two classes, a threshold fitted on the run's validation pictures and how it fares on these;
            None where these are validation or training pictures, or there are no validation pictures.
    """

    name: str
    folder: Path
    metrics: "Metrics"
    data: "Mapping[str, str | None]"
    notes: tuple[str, ...]
    leaks: int = 0
    skipped: "tuple[Skipped, ...]" = ()
    tta: "Flip | None" = None
    model: str = ""
    operating_point: "OperatingPoint | None" = None

    def to_json(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return {
            "name": self.name,
            "model": self.model,
            "tta": self.tta,
            "data": dict(self.data),
            "notes": list(self.notes),
            "leaks": self.leaks,
            "skipped": [asdict(picture) for picture in self.skipped],
            "operating_point": asdict(self.operating_point) if self.operating_point else None,
            **self.metrics.to_json(),
        }


def evaluate(
    run: Run | str | Path,
    *,
    split: str | None = None,
    data: str | Path | None = None,
    name: str | None = None,
    label_regex: str | None = None,
    bad_images: Literal["error", "skip"] | None = None,
    allow_leak: bool = False,
    tta: bool = False,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> Evaluation:
    """Measures a run's model on one of its splits or on other pictures, and writes `RUN/evaluation/NAME/`.

    With `tta` (test-time augmentation) that is `NAME_tta/`: both results stay. For the threshold of two classes the
    validation pictures are measured too, unless that was done before.

    Args:
        run: A run, or its folder.
        split: `train`, `validation` or `test`, which is taken when neither it nor `data` is given.
        data: A source to measure on instead, as `split` takes them; of one that is split already its test part.
        name: What `data` is called; its folder's name when absent.
        label_regex: Finds the class in the path of a picture of `data`.
        bad_images: Whether bad pictures of `data` are an error or are left out; as in the run's fit when absent.
        allow_leak: Whether pictures of `data` may be among those that the run was trained on; it is recorded.
        tta: Whether the probabilities of each picture are averaged over it and the mirror images that the run was
            trained with, those of `augment.flip`.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        UsageError: The arguments contradict each other, the name is that of a split or no folder's name, or `tta` is
            asked for and the run was trained without mirror images.
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged.
        DataError: The pictures are missing, bad, of unknown classes, changed since the run was fitted, or among those
            that it was trained on.
        WriteError: The files cannot be written.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    listener = on_event or ignore
    name = _evaluation_name(split, data, name)
    flip = flip_of(run, tta=tta)
    source = str(data or run.config.data.source)
    _check_same_source(evaluation_folder(run, name, tta=tta), source)
    prepare(device)
    opened = open_for_measuring(run, flip, listener)
    if data is None:
        return _measured(opened, name, *own_pictures(run, name, listener))
    bad_images = bad_images or run.config.data.bad_images
    trusted, notes = other_pictures(run, Path(data), label_regex, bad_images, allow_leak, listener)
    return _measured(opened, name, trusted, notes, source=source, label_regex=label_regex)


def answers_of(
    run: Run,
    split: str = "test",
    *,
    tta: bool = False,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> "Answers":
    """What a run's model says about one of the run's splits: read back, or else evaluated and stored now.

    An evaluation is read back if it is of the model as it is now and of the pictures that the run has noted, whether or
    not their files are still there.

    Args:
        run: The run.
        split: `train`, `validation` or `test`.
        tta: As in `evaluate`.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        DataError: The run has no such pictures, or they are gone or changed since it was fitted.
        UsageError, RunError, ModelFileError, WriteError: As in `evaluate`.
    """
    from cnntrain.evaluation.answers import read_predictions

    found = stored_answers(run, split, tta=tta)
    if found is not None:
        return found
    folder = evaluate(run, split=split, tta=tta, device=device, on_event=on_event).folder
    return read_predictions(folder / "predictions.csv")


def _measured(
    opened: Opened,
    name: str,
    trusted: "Trusted",
    notes: tuple[str, ...],
    *,
    source: str | None = None,
    label_regex: str | None = None,
) -> Evaluation:
    """Asks, measures, writes and tells."""
    from cnntrain.evaluation.metrics import compute_metrics

    run, listener = opened.run, opened.listener
    notes = (*notes, *weaknesses(run, name, trusted))
    for note in notes:
        listener(Message(note))
    answers = opened.answers(trusted.examples)
    point, lacking = _operating_point(opened, name, answers)
    measured = {
        "source": source or run.config.data.source,
        "label_regex": label_regex,
        "fingerprint": fingerprint_of(trusted.examples),
    }
    averaged = opened.flip != "none"
    found = Evaluation(
        name=name,
        folder=evaluation_folder(run, name, tta=averaged),
        metrics=compute_metrics(answers),
        data=measured,
        notes=(*notes, *lacking),
        leaks=len(trusted.leaks),
        skipped=trusted.skipped,
        tta=opened.flip if averaged else None,
        model=opened.checksum,
        operating_point=point,
    )
    mistakes = _mistakes(opened, trusted, answers)
    tell_missing_fonts(listener, [*run.classes, *(mistake.name for mistake in mistakes)])
    write_evaluation(found.folder, found.to_json(), answers, found.metrics, mistakes)
    return found


def _operating_point(opened: Opened, name: str, answers: "Answers") -> "tuple[OperatingPoint | None, tuple[str, ...]]":
    """The threshold of two classes with its measures, and a note where it cannot be fitted."""
    from cnntrain.evaluation.thresholds import fit_threshold, measure_threshold

    is_held_out = name not in ("train", "validation")
    if not is_held_out or len(answers.classes) != 2 or not _has_validation(opened.run):
        return None, ()
    try:
        return measure_threshold(fit_threshold(_validation_answers(opened)), answers), ()
    except DataError as error:
        note = f"no threshold is fitted on validation: {error}"
        opened.listener(Message(note))
        return None, (note,)


def _validation_answers(opened: Opened) -> "Answers":
    """What the model says about the validation pictures, read back or asked now."""
    from cnntrain.evaluation.answers import read_predictions

    found = stored_answers(opened.run, "validation", tta=opened.flip != "none")
    if found is not None:
        return found

    def progress(event: object) -> None:
        if isinstance(event, StepDone):  # what there is to say of the model has been said
            opened.listener(event)

    opened.listener(Message("the validation pictures are measured too, to fit the threshold on them"))
    quiet = replace(opened, listener=progress)
    folder = _measured(quiet, "validation", *own_pictures(opened.run, "validation", progress)).folder
    return read_predictions(folder / "predictions.csv")


def _has_validation(run: Run) -> bool:
    return bool(in_split(read_examples(run.directory.examples), "validation"))


def _mistakes(opened: Opened, trusted: "Trusted", answers: "Answers") -> "list[Mistake]":
    """The most confidently wrong pictures with what is to be written beside them."""
    from cnntrain.evaluation.answers import worst_mistakes
    from cnntrain.plots.mistakes import Mistake

    rows = worst_mistakes(answers, _SHOWN)
    pictures = opened.pictures([trusted.examples[row] for row in rows])
    return [
        Mistake(
            picture=picture,
            truth=answers.classes[answers.truth[row]],
            predicted=answers.classes[answers.predicted[row]],
            confidence=float(answers.probabilities[row].max()),
            name=Path(answers.paths[row]).name,
        )
        for row, picture in zip(rows, pictures, strict=True)
    ]


def _check_same_source(folder: Path, source: str) -> None:
    """Makes sure that an evaluation replaces none of other pictures. Raises UsageError."""
    try:
        earlier = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["data"]["source"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if Path(earlier).resolve() != Path(source).resolve():
        raise UsageError(f"{folder} holds the evaluation of {earlier}; choose another --name for {source}")


def _evaluation_name(split: str | None, data: str | Path | None, name: str | None) -> str:
    """What an evaluation is called: the split, or the name of the other data, which must not be that of a split."""
    if data is None:
        if name is not None:
            raise UsageError(f"--name is for other pictures, a split has its own; got: {name}; give --data too")
        return split or "test"
    if split is not None:
        raise UsageError(f"--split and --data exclude each other; got: {split} and {data}; give one of them")
    name = name if name is not None else Path(data).resolve().name
    if name in SPLITS:
        raise UsageError(f"{name} is the name of the run's own pictures; choose another with --name")
    if name.endswith(AVERAGED):
        raise UsageError(
            f"names that end in {AVERAGED} are those of evaluations with --tta; got: {name}; choose another --name"
        )
    return name
