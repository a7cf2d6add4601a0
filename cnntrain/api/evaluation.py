"""`cnntrain evaluate`: how good a run's model is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.data.examples import SPLITS
from cnntrain.errors import UsageError
from cnntrain.files import write_bytes, write_json, write_text
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, StepDone, ignore

if TYPE_CHECKING:
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
    """

    name: str
    folder: Path
    metrics: "Metrics"
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return {"name": self.name, "notes": list(self.notes), **self.metrics.to_json()}


def evaluate(
    run: Run | str | Path,
    *,
    split: str | None = None,
    data: str | Path | None = None,
    name: str | None = None,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> Evaluation:
    """Measures a run's model on one of its splits or on other pictures, and writes `RUN/evaluation/NAME/`.

    Args:
        run: A run, or its folder.
        split: `train`, `validation` or `test`, which is taken when neither it nor `data` is given.
        data: A folder of class folders to measure on instead.
        name: What `data` is called; its folder's name when absent.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        UsageError: The arguments contradict each other, or the name is that of a split or no folder's name.
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged.
        DataError: The pictures are missing, damaged or of unknown classes.
        WriteError: The files cannot be written.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    listener = on_event or ignore
    name = _evaluation_name(split, data, name)
    folder = run.directory.evaluation(name)
    prepare(device)
    from cnntrain.data.decoder import preprocessing_from_json
    from cnntrain.data.inspection import inspect_all
    from cnntrain.data.pipeline import open_pictures
    from cnntrain.evaluation.answering import answer
    from cnntrain.evaluation.metrics import compute_metrics
    from cnntrain.evaluation.selection import examples_of_data, examples_of_split
    from cnntrain.runs.model_file import load_model

    model = load_model(run.directory.model)
    notes: tuple[str, ...] = ()
    if data is None:
        examples = examples_of_split(run, split or "test")
    else:
        examples, notes = examples_of_data(Path(data), run.classes)
    if run.record.smoke:
        notes = ("this was a smoke run: its model has learnt next to nothing", *notes)
    for note in notes:
        listener(Message(note))
    pictures = open_pictures(inspect_all(examples), run.classes, preprocessing_from_json(run.preprocessing))
    answers = answer(
        model, pictures, run.classes, on_batch=lambda step, steps: listener(StepDone("pictures", step, steps))
    )
    found = Evaluation(name, folder, compute_metrics(answers), notes)
    _write_evaluation(found, answers)
    return found


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
