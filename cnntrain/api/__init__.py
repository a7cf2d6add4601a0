"""What can be done with cnntrain, one function a command: the only room that puts the others together."""

from pathlib import Path

from cnntrain.api.augmenting import augment
from cnntrain.api.caching import CacheContents, ClearedCache, clear_cache, list_cache
from cnntrain.api.comparison import Comparison, compare
from cnntrain.api.cross_validation import CrossValidation, fit_folds
from cnntrain.api.data import split, write_dataset
from cnntrain.api.evaluation import Evaluation, answers_of, evaluate
from cnntrain.api.explanation import ActivationPictures, explain_activations
from cnntrain.api.exporting import Export, export
from cnntrain.api.filters import FilterGrids, explain_filters
from cnntrain.api.gradcam import ExplainedPicture, HeatMap, HeatMapPictures, explain_gradcam
from cnntrain.api.lr_finding import LearningRates, find_learning_rate
from cnntrain.api.mislabels import likely_mislabelled
from cnntrain.api.plotting import SMOOTHING, plot
from cnntrain.api.prediction import predict, stream_predictions
from cnntrain.api.reporting import report
from cnntrain.api.scanning import scan, write_scan
from cnntrain.api.training import fit, summary
from cnntrain.data.scanning.findings import Finding, Scan
from cnntrain.data.splitting.report import SplitResult
from cnntrain.evaluation.predictions import Predictions
from cnntrain.runs.run import Run, open_run
from cnntrain.training.bank.shelf import Shelved as CachedBank
from cnntrain.training.events import EpochDone, Event, Message, StageStarted, StepDone, as_line

__all__ = [
    "SMOOTHING",
    "ActivationPictures",
    "CacheContents",
    "CachedBank",
    "ClearedCache",
    "Comparison",
    "CrossValidation",
    "EpochDone",
    "Evaluation",
    "Event",
    "ExplainedPicture",
    "Export",
    "FilterGrids",
    "Finding",
    "HeatMap",
    "HeatMapPictures",
    "LearningRates",
    "Message",
    "Predictions",
    "Run",
    "Scan",
    "SplitResult",
    "StageStarted",
    "StepDone",
    "answers_of",
    "as_line",
    "augment",
    "clear_cache",
    "compare",
    "evaluate",
    "explain_activations",
    "explain_filters",
    "explain_gradcam",
    "export",
    "find_learning_rate",
    "fit",
    "fit_folds",
    "likely_mislabelled",
    "list_cache",
    "load_run",
    "plot",
    "predict",
    "report",
    "scan",
    "split",
    "stream_predictions",
    "summary",
    "write_dataset",
    "write_scan",
]


def load_run(path: str | Path) -> Run:
    """Opens a run directory. Raises RunError where there is none."""
    return open_run(Path(path))
