"""`cnntrain evaluate`: how good a run's model is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cnntrain.data.examples import SPLITS, Example
from cnntrain.errors import UsageError
from cnntrain.files import json_bytes, write_together
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, StepDone, ignore, pictures_told

if TYPE_CHECKING:
    from cnntrain.data.decoder import Preprocessing
    from cnntrain.data.inspection import Skipped
    from cnntrain.evaluation.answering import Flip
    from cnntrain.evaluation.answers import Answers
    from cnntrain.evaluation.metrics import Metrics
    from cnntrain.evaluation.trust import Trusted

_AVERAGED = "_tta"  # how the folders of averaged evaluations end


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
    """

    name: str
    folder: Path
    metrics: "Metrics"
    data: "Mapping[str, str | None]"
    notes: tuple[str, ...]
    leaks: int = 0
    skipped: "tuple[Skipped, ...]" = ()
    tta: "Flip | None" = None

    def to_json(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        skipped = [asdict(picture) for picture in self.skipped]
        found = {"name": self.name, "tta": self.tta, "data": dict(self.data), "notes": list(self.notes)}
        return {**found, "leaks": self.leaks, "skipped": skipped, **self.metrics.to_json()}


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

    With `tta` (test-time augmentation) that is `NAME_tta/`: both results stay.

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
    flip = _flip_of(run) if tta else "none"
    folder = run.directory.evaluation(f"{name}{_AVERAGED}" if tta else name)
    source = str(data or run.config.data.source)
    _check_same_source(folder, source)
    prepare(device)
    from cnntrain.evaluation.metrics import compute_metrics
    from cnntrain.evaluation.trust import open_model

    model, preprocessing = open_model(run)
    if data is None:
        trusted, notes = _own_pictures(run, name, listener)
    else:
        bad_images = bad_images or run.config.data.bad_images
        trusted, notes = _other_pictures(run, Path(data), label_regex, bad_images, allow_leak, listener)
    notes = (*notes, *_warnings(run, name, trusted))
    for note in notes:
        listener(Message(note))
    answers = _answers(run, model, preprocessing, trusted.examples, flip, listener)
    measured = {"source": source, "label_regex": label_regex, "fingerprint": _fingerprint(trusted.examples)}
    found = Evaluation(
        name,
        folder,
        compute_metrics(answers),
        measured,
        notes,
        len(trusted.leaks),
        trusted.skipped,
        None if flip == "none" else flip,
    )
    _write_evaluation(found, answers)
    return found


def _own_pictures(run: Run, split: str, listener: OnEvent) -> "tuple[Trusted, tuple[str, ...]]":
    """The pictures of one of the run's splits, looked at; there is nothing to note about where they are from."""
    from cnntrain.evaluation.selection import examples_of_split
    from cnntrain.evaluation.trust import trust_own

    examples = examples_of_split(run, split)
    return trust_own(run, split, examples, on_picture=pictures_told(listener, len(examples))), ()


def _other_pictures(
    run: Run,
    data: Path,
    label_regex: str | None,
    bad_images: Literal["error", "skip"],
    allow_leak: bool,
    listener: OnEvent,
) -> "tuple[Trusted, tuple[str, ...]]":
    """The pictures of another source, looked at, and notes on what of it is left out or missing."""
    from cnntrain.evaluation.selection import examples_of_data
    from cnntrain.evaluation.trust import trust_other

    examples, notes = examples_of_data(data, run.classes, label_regex=label_regex)
    told = pictures_told(listener, len(examples))
    return trust_other(run, examples, bad_images=bad_images, allow_leak=allow_leak, on_picture=told), notes


def _answers(
    run: Run,
    model: Any,
    preprocessing: "Preprocessing",
    examples: Sequence[Example],
    flip: "Flip",
    listener: OnEvent,
) -> "Answers":
    """What the model says about pictures, while the listener is told how far it is."""
    from cnntrain.data.pipeline import open_pictures
    from cnntrain.evaluation.answering import answer

    return answer(
        model,
        open_pictures(examples, run.classes, preprocessing),
        run.classes,
        flip=flip,
        on_batch=lambda step, steps: listener(StepDone("pictures", step, steps)),
    )


def _fingerprint(examples: Sequence[Example]) -> str:
    """Without splits, so that pictures have one fingerprint, whoever brings them."""
    from cnntrain.data.fingerprint import fingerprint

    return fingerprint([replace(example, split="") for example in examples])


def _flip_of(run: Run) -> "Flip":
    """The mirror images that a run was trained with. Raises UsageError when there are none."""
    flip = run.config.augment.flip
    if flip == "none":
        raise UsageError(
            f"--tta averages over the mirror images that a run was trained with; {run.path} was trained with "
            "augment.flip: none; leave --tta out, or fit again with augment.flip: horizontal"
        )
    return flip


def _check_same_source(folder: Path, source: str) -> None:
    """Makes sure that an evaluation replaces none of other pictures. Raises UsageError."""
    try:
        earlier = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["data"]["source"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if Path(earlier).resolve() != Path(source).resolve():
        raise UsageError(f"{folder} holds the evaluation of {earlier}; choose another --name for {source}")


def _warnings(run: Run, name: str, trusted: "Trusted") -> Iterator[str]:
    """What weakens the result."""
    from cnntrain.data.leaks import described
    from cnntrain.evaluation.trust import SMOKE_NOTE

    if run.record.smoke:
        yield SMOKE_NOTE
    if run.record.status != "finished":
        yield f"the run is not finished ({run.record.status}): its model is the best of its first epochs"
    if before := sum(picture["split"] == name for picture in run.record.data.get("skipped", ())):
        yield f"{before} bad {name} pictures were left out when the run was fitted; run.json lists them"
    if trusted.skipped:
        first = trusted.skipped[0]
        yield f"{len(trusted.skipped)} bad pictures are skipped, {first.path} ({first.problem}) first"
    if trusted.leaks:
        yield f"a leak is allowed: {described(trusted.leaks)}"
    if trusted.alike:
        yield f"{len(trusted.alike)} pictures are near-duplicates of training pictures, {trusted.alike[0]} first"


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
    if name.endswith(_AVERAGED):
        raise UsageError(
            f"names that end in {_AVERAGED} are those of evaluations with --tta; got: {name}; choose another --name"
        )
    return name


def _write_evaluation(found: Evaluation, answers: "Answers") -> None:
    """Writes all of its files or none, so that no table is of other pictures than the numbers beside it."""
    import numpy as np

    from cnntrain.evaluation.answers import predictions_csv
    from cnntrain.plots.confusion import draw_confusion
    from cnntrain.plots.style import to_png

    matrix = np.array(found.metrics.confusion)
    write_together(
        {
            found.folder / "metrics.json": json_bytes(found.to_json()),
            found.folder / "predictions.csv": predictions_csv(answers).encode("utf-8"),
            found.folder / "confusion.png": to_png(draw_confusion(matrix, answers.classes)),
        }
    )
