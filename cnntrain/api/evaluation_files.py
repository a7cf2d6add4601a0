"""What an evaluation writes, and how it is found again."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.api.measuring import evaluation_folder, fingerprint_of, flip_of
from cnntrain.data.examples import in_split, read_examples
from cnntrain.errors import DataError
from cnntrain.files import json_bytes, reported, sha256, write_together
from cnntrain.runs.run import Run

if TYPE_CHECKING:
    from cnntrain.evaluation.answers import Answers
    from cnntrain.evaluation.metrics import Metrics
    from cnntrain.plots.mistakes import Mistake

_FIGURES = ("confusion.png", "roc.png", "precision_recall.png", "calibration.png", "mistakes.png")


def stored_answers(run: Run, split: str, *, tta: bool) -> "Answers | None":
    """The answers of a stored evaluation, if it is of the very model and the very pictures that the run has now."""
    from cnntrain.evaluation.answers import read_predictions

    flip = flip_of(run, tta=tta)
    folder = evaluation_folder(run, split, tta=tta)
    with suppress(OSError, ValueError, LookupError, TypeError, DataError):
        stored = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        answers = read_predictions(folder / "predictions.csv")
        examples = in_split(read_examples(run.directory.examples), split)
        is_same = (
            stored["model"] == sha256(run.directory.model)
            and stored["tta"] == (flip if tta else None)
            and stored["data"]["fingerprint"] == fingerprint_of(examples)
            and answers.classes == run.classes
            and answers.paths == tuple(example.path for example in examples)
        )
        return answers if is_same else None
    return None


def write_evaluation(
    folder: Path, measured: Mapping[str, Any], answers: "Answers", metrics: "Metrics", mistakes: "Sequence[Mistake]"
) -> None:
    """Writes all files or none, so that none is of other pictures than those beside it; stale figures go.

    Args:
        folder: Where to.
        measured: What `metrics.json` is to hold.
        answers: The answers.
        metrics: Their measures.
        mistakes: Pictures to show; no figure is made of none.

    Raises:
        WriteError: A file cannot be written.
    """
    from cnntrain.evaluation.answers import predictions_csv

    contents = {"predictions.csv": predictions_csv(answers).encode("utf-8"), **_figures(answers, metrics, mistakes)}
    contents["metrics.json"] = json_bytes(measured)  # the last: it says whose answers lie beside it
    write_together({folder / name: content for name, content in contents.items()})
    for name in set(_FIGURES) - set(contents):
        with reported(folder / name):
            (folder / name).unlink(missing_ok=True)


def _figures(answers: "Answers", metrics: "Metrics", mistakes: "Sequence[Mistake]") -> dict[str, bytes]:
    """The figures as PNG, those that there is something to show in."""
    import numpy as np

    from cnntrain.evaluation.curves import precision_recall_curves, roc_curves
    from cnntrain.plots.calibration import draw_calibration
    from cnntrain.plots.confusion import draw_confusion
    from cnntrain.plots.mistakes import draw_mistakes
    from cnntrain.plots.precision_recall import draw_precision_recall
    from cnntrain.plots.roc import draw_roc
    from cnntrain.plots.style import to_png

    figures = {
        "confusion.png": draw_confusion(np.array(metrics.confusion), answers.classes),
        "calibration.png": draw_calibration(metrics.calibration.measured, metrics.calibration.error.value),
    }
    if curves := roc_curves(answers, metrics):
        figures["roc.png"] = draw_roc(curves)
        figures["precision_recall.png"] = draw_precision_recall(precision_recall_curves(answers, metrics))
    if mistakes:
        figures["mistakes.png"] = draw_mistakes(mistakes)
    return {name: to_png(figure) for name, figure in figures.items()}
