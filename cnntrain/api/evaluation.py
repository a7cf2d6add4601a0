"""`cnntrain evaluate`: how good a run's model is."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.data.examples import SPLITS
from cnntrain.errors import UsageError
from cnntrain.files import write_bytes, write_json, write_text
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, StepDone, ignore, pictures_told

if TYPE_CHECKING:
    from cnntrain.data.examples import Example
    from cnntrain.data.inspection import Inspected, Skipped
    from cnntrain.data.leaks import Leak
    from cnntrain.evaluation.answers import Answers
    from cnntrain.evaluation.metrics import Metrics


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Args:
        name: The split, or what the data was called.
        folder: Where its files lie.
        metrics: The numbers.
        notes: What the user should know about the data.
        leaks: Number of pictures that the run was trained on.
        skipped: Bad pictures that were left out.
    """

    name: str
    folder: Path
    metrics: "Metrics"
    notes: tuple[str, ...]
    leaks: int = 0
    skipped: "tuple[Skipped, ...]" = ()

    def to_json(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        skipped = [asdict(picture) for picture in self.skipped]
        found = {"name": self.name, "notes": list(self.notes), "leaks": self.leaks, "skipped": skipped}
        return {**found, **self.metrics.to_json()}


def evaluate(
    run: Run | str | Path,
    *,
    split: str | None = None,
    data: str | Path | None = None,
    name: str | None = None,
    label_regex: str | None = None,
    allow_leak: bool = False,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> Evaluation:
    """Measures a run's model on one of its splits or on other pictures, and writes `RUN/evaluation/NAME/`.

    Args:
        run: A run, or its folder.
        split: `train`, `validation` or `test`, which is taken when neither it nor `data` is given.
        data: A source to measure on instead, as `split` takes them; of one that is split already its test part.
        name: What `data` is called; its folder's name when absent.
        label_regex: Finds the class in the path of a picture of `data`.
        allow_leak: Whether pictures of `data` may be among those that the run was trained on; it is recorded.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        UsageError: The arguments contradict each other, or the name is that of a split or no folder's name.
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged.
        DataError: The pictures are missing, bad, of unknown classes, changed since the run was fitted, or among those
            that it was trained on.
        WriteError: The files cannot be written.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    listener = on_event or ignore
    name = _evaluation_name(split, data, name)
    folder = run.directory.evaluation(name)
    prepare(device)
    from cnntrain.data.inspection import inspect
    from cnntrain.data.pipeline import open_pictures
    from cnntrain.evaluation.answering import answer
    from cnntrain.evaluation.metrics import compute_metrics
    from cnntrain.evaluation.trust import check_class_map, check_unchanged, leaks_from_training, preprocessing_of_run
    from cnntrain.runs.model_file import load_model

    check_class_map(run)
    model = load_model(run.directory.model)
    examples, notes = _chosen(run, split, data, label_regex)
    seen = inspect(
        examples,
        max_pixels=run.config.data.max_pixels,
        bad_images=run.config.data.bad_images,
        on_picture=pictures_told(listener, len(examples)),
    )
    if data is None:
        check_unchanged(examples, seen.examples)
    is_known = data is None and (split == "train" or bool(run.record.data.get("leaks")))
    leaks = () if split == "train" else leaks_from_training(run, seen.examples, allow_leak=allow_leak or is_known)
    notes = (*notes, *_warnings(run, seen, leaks))
    for note in notes:
        listener(Message(note))
    pictures = open_pictures(seen.examples, run.classes, preprocessing_of_run(run))
    answers = answer(
        model, pictures, run.classes, on_batch=lambda step, steps: listener(StepDone("pictures", step, steps))
    )
    found = Evaluation(name, folder, compute_metrics(answers), notes, len(leaks), seen.skipped)
    _write_evaluation(found, answers)
    return found


def _chosen(
    run: Run, split: str | None, data: str | Path | None, label_regex: str | None
) -> "tuple[tuple[Example, ...], tuple[str, ...]]":
    """The pictures to measure on, and notes about them."""
    from cnntrain.evaluation.selection import examples_of_data, examples_of_split

    if data is None:
        return examples_of_split(run, split or "test"), ()
    return examples_of_data(Path(data), run.classes, label_regex=label_regex)


def _warnings(run: Run, seen: "Inspected", leaks: "Sequence[Leak]") -> Iterator[str]:
    """What weakens the result."""
    from cnntrain.data.leaks import described

    if run.record.smoke:
        yield "this was a smoke run: its model has learnt next to nothing"
    if seen.skipped:
        first = seen.skipped[0]
        yield f"{len(seen.skipped)} bad pictures are skipped, {first.path} ({first.problem}) first"
    if leaks:
        yield f"a leak is allowed: {described(leaks)}"


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
    return name


def _write_evaluation(found: Evaluation, answers: "Answers") -> None:
    import numpy as np

    from cnntrain.evaluation.answers import predictions_csv
    from cnntrain.plots.confusion import draw_confusion
    from cnntrain.plots.style import to_png

    matrix = np.array(found.metrics.confusion)
    write_json(found.folder / "metrics.json", found.to_json())
    write_text(found.folder / "predictions.csv", predictions_csv(answers))
    write_bytes(found.folder / "confusion.png", to_png(draw_confusion(matrix, answers.classes)))
