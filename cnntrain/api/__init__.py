"""What can be done with cnntrain, one function a command: the only room that puts the others together."""

from pathlib import Path

from cnntrain.api.data import split, write_dataset
from cnntrain.api.evaluation import Evaluation, evaluate
from cnntrain.api.plotting import SMOOTHING, plot
from cnntrain.api.training import fit, summary
from cnntrain.data.split import SplitResult
from cnntrain.runs.run import Run, open_run
from cnntrain.training.events import EpochDone, Event, Message, StageStarted, StepDone, as_line

__all__ = [
    "SMOOTHING",
    "EpochDone",
    "Evaluation",
    "Event",
    "Message",
    "Run",
    "SplitResult",
    "StageStarted",
    "StepDone",
    "as_line",
    "evaluate",
    "fit",
    "load_run",
    "plot",
    "split",
    "summary",
    "write_dataset",
]


def load_run(path: str | Path) -> Run:
    """Opens a run directory. Raises RunError where there is none."""
    return open_run(Path(path))
