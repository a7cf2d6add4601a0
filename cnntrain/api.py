"""What can be done with cnntrain, one function a command: the only place that puts the rooms together."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.config import Source, load_config
from cnntrain.config.resolving import without_weights
from cnntrain.config.stages import plan_stages
from cnntrain.data.examples import SPLITS
from cnntrain.data.split import SplitResult, split_source
from cnntrain.errors import CnntrainError, RunError, UsageError
from cnntrain.files import write_bytes, write_json, write_text
from cnntrain.runs.directory import check_vacant, create
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import EpochDone, Event, Message, OnEvent, StageStarted, StepDone, as_line

if TYPE_CHECKING:
    from cnntrain.evaluation.answers import Answers
    from cnntrain.evaluation.metrics import Metrics
    from cnntrain.models.summary import Summary
    from cnntrain.plots.curves import Curves

__all__ = [
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

SMOOTHING = 0.8


def _ignore(event: Event) -> None:
    """Takes an event and says nothing."""


def write_dataset(name: str, dest: str | Path) -> int:
    """Writes a well-known data set as PNG class folders.

    Args:
        name: `digits` (needs no download), `mnist`, `fashion_mnist`, `cifar10` or `cifar100`.
        dest: The folder to make.

    Returns:
        The number of pictures.

    Raises:
        DataError: The data set cannot be downloaded.
        WriteError: `dest` exists or cannot be written.
    """
    from cnntrain.data.datasets import write_digits, write_keras_dataset

    if name == "digits":
        return write_digits(Path(dest))
    prepare("cpu")
    return write_keras_dataset(name, Path(dest))  # type: ignore[arg-type]


def split(
    source: str | Path,
    dest: str | Path,
    *,
    counts: Mapping[str, int] | None = None,
    ratios: Sequence[float] | None = None,
    seed: int = 1337,
    method: str = "copy",
    overwrite: bool = False,
) -> SplitResult:
    """Splits a folder or zip of labelled pictures; see `cnntrain.data.split.split_source`."""
    return split_source(
        Path(source), Path(dest), counts=counts, ratios=ratios, seed=seed, method=method, overwrite=overwrite
    )


def fit(
    config: Source,
    *,
    run_dir: str | Path | None = None,
    overrides: str | Sequence[str] = (),
    smoke: bool = False,
    device: DeviceChoice = "auto",
    overwrite: bool = False,
    on_event: OnEvent | None = None,
) -> Run:
    """Trains the model of a configuration and writes a run directory.

    Keras's global random state is seeded with the configuration's seed.

    Args:
        config: A configuration, the path of a YAML file, or a mapping of the same shape.
        run_dir: The folder to make; `runs/` with the file's name when absent.
        overrides: `KEY=VALUE` with dotted keys, as `--set` takes them.
        smoke: Two steps a stage with random weights, on generated pictures where the data is not there.
        device: `auto`, `cpu` or `gpu`.
        overwrite: Whether an earlier run in `run_dir` is replaced.
        on_event: Told what happens while it trains.

    Returns:
        The finished run.

    Raises:
        ConfigError: The configuration has problems; all of them are named.
        DataError: Pictures are missing, damaged or too few.
        ModelFileError: The pretrained weights cannot be used.
        TrainingError: The loss is not finite, or the memory is used up.
        InterruptedRunError: Ctrl-C or SIGTERM.
        WriteError: `run_dir` exists or cannot be written.
    """
    listener = on_event or _ignore
    loaded = load_config(config, overrides=[overrides] if isinstance(overrides, str) else overrides)
    path = Path(run_dir) if run_dir is not None else Path("runs") / Path(loaded.name).stem
    check_vacant(path, overwrite=overwrite)
    found = prepare(device)
    from cnntrain.training.preparing import make_job, prepare_fit
    from cnntrain.training.session import Session

    prepared = prepare_fit(loaded, smoke=smoke, on_event=listener)
    directory = create(path, overwrite=overwrite)
    try:
        Session(make_job(prepared, directory, found), directory, listener).run()
    except CnntrainError:
        with suppress(CnntrainError):
            _draw_curves_of(Run(directory))
        raise
    _draw_curves_of(Run(directory))
    return open_run(path)


def load_run(path: str | Path) -> Run:
    """Opens a run directory. Raises RunError where there is none."""
    return open_run(Path(path))


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
    run = run if isinstance(run, Run) else load_run(run)
    listener = on_event or _ignore
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


def plot(
    runs: Run | str | Path | Sequence[Run | str | Path],
    *,
    smoothing: float = SMOOTHING,
    output: str | Path | None = None,
) -> Path:
    """Draws the curves of one run, or of several on the same axes.

    Args:
        runs: Runs or their folders, one at least.
        smoothing: Weight of the past in the moving average, 0 to below 1.
        output: The PNG to write; when absent `plots/curves.png` of a single run, else `curves.png` here.

    Returns:
        The file that was written.

    Raises:
        UsageError: There is nothing to draw, or the weight is out of its range.
        RunError: There is no such run, or no epoch of it is over.
        WriteError: The file cannot be written.
    """
    if not runs or not 0.0 <= smoothing < 1.0:
        raise UsageError(f"plot needs a run and a smoothing from 0 to below 1; got: {runs} and {smoothing}")
    from cnntrain.plots.curves import draw_curves
    from cnntrain.plots.style import to_png

    runs = [runs] if isinstance(runs, Run | str | Path) else runs
    opened = [run if isinstance(run, Run) else load_run(run) for run in runs]
    default = opened[0].directory.curves if len(opened) == 1 else Path("curves.png")
    path = Path(output) if output is not None else default
    if path.suffix.lower() != ".png":
        raise UsageError(f"curves are written as PNG; got: {path}; give a name that ends in .png")
    write_bytes(path, to_png(draw_curves([_curves(run) for run in opened], smoothing=smoothing)))
    return path


def _curves(run: Run) -> "Curves":
    """The history of a run as the series that are drawn."""
    from cnntrain.plots.curves import Curves

    rows = run.history
    if not rows:
        raise RunError(f"no epoch of the run {run.path} is over, so there are no curves; fit it again")
    has_validation = rows[0].val_loss is not None
    first_epochs = {row.stage: row.epoch for row in reversed(rows)}
    return Curves(
        name=run.name,
        epochs=tuple(row.epoch for row in rows),
        loss=tuple(row.loss for row in rows),
        accuracy=tuple(row.accuracy for row in rows),
        val_loss=tuple(row.monitored("val_loss") for row in rows) if has_validation else None,
        val_accuracy=tuple(row.monitored("val_accuracy") for row in rows) if has_validation else None,
        stages=tuple(sorted(first_epochs.items(), key=lambda stage: stage[1])),
    )


def _draw_curves_of(run: Run) -> None:
    """Draws the curves of a run that has just ended, if an epoch of it is over."""
    if run.history:
        plot([run])


def summary(config: Source, *, overrides: Sequence[str] = ()) -> "Summary":
    """Tells every layer of a configuration's network; needs no weights, and no data when `data.classes` is given.

    Raises:
        ConfigError: The configuration has problems.
        DataError: The number of classes is not given and the data is missing.
    """
    loaded = load_config(config, overrides=overrides)
    prepare("cpu")
    from cnntrain.data.data_set import find_data_set, names_without_data
    from cnntrain.models.checks import check
    from cnntrain.models.network import build_network
    from cnntrain.models.summary import summarize

    config = without_weights(loaded.config)
    problems, classes = check(config), names_without_data(config.data.classes)
    if config.data.classes is None:
        data_set, data_problems = find_data_set(config.data)
        problems += data_problems
        classes = data_set.classes if data_set else classes
    loaded.raise_for(problems)
    network = build_network(config, len(classes))
    return summarize(network, {plan.name: plan.unfreeze for plan in plan_stages(config)})
