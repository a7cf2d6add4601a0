"""What can be done with cnntrain, one function a command: the only place that puts the rooms together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.config import Config, LoadedConfig, Problem, load_config
from cnntrain.config.resolving import SMOKE_STEPS, resolve
from cnntrain.config.resolving import smoke as smoke_config
from cnntrain.config.stages import plan_stages
from cnntrain.data.split import SplitResult, split_source
from cnntrain.errors import DataError, RunError
from cnntrain.files import write_bytes, write_json
from cnntrain.runs.directory import RunDirectory, check_vacant, create
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import EpochDone, Event, Message, OnEvent, StageStarted, StepDone, as_line

if TYPE_CHECKING:
    from cnntrain.data.data_set import DataSet
    from cnntrain.evaluation.metrics import Metrics
    from cnntrain.models.network import Network
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

Source = Config | str | Path | Mapping[str, Any]
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


@dataclass(frozen=True)
class _Prepared:
    """A configuration without problems, and the pictures that it names; no pictures in a smoke run without data."""

    config: Config
    data_set: "DataSet | None"
    classes: tuple[str, ...]


def fit(
    config: Source,
    *,
    run_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
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
    loaded = load_config(config, overrides=overrides)
    path = Path(run_dir) if run_dir is not None else Path("runs") / Path(loaded.name).stem
    check_vacant(path, overwrite=overwrite)
    found = prepare(device)
    import keras

    from cnntrain.models.network import build_network
    from cnntrain.training.session import Job, Session

    prepared = _prepare(loaded, smoke=smoke)
    keras.utils.set_random_seed(prepared.config.seed)
    network = build_network(
        prepared.config, len(prepared.classes), mixed_precision=prepared.config.train.mixed_precision
    )
    data_set = prepared.data_set and _inspected(prepared.data_set)
    directory = create(path, overwrite=overwrite)
    if data_set is None:
        listener(Message(f"{prepared.config.data.source} is not there: training on generated pictures"))
        data_set = _generated(prepared, directory)
    resolved = _resolved(prepared.config, data_set, directory)
    session = Session(Job(resolved, data_set, network, found, smoke), directory, listener)
    try:
        session.run()
    finally:
        _draw_curves_of(Run(directory))
    return open_run(path)


def _prepare(loaded: LoadedConfig, *, smoke: bool) -> _Prepared:
    """Looks at everything that can be wrong with a configuration, and names all of it at once."""
    from cnntrain.data.data_set import find_data_set, names_without_data, smoke_examples
    from cnntrain.models.checks import check

    config = smoke_config(loaded.config) if smoke else loaded.config
    problems = check(config)
    if smoke and not Path(config.data.source).exists():
        _raise(loaded, problems, [])
        return _Prepared(config, None, names_without_data(config.data.classes))
    data_set, data_problems = find_data_set(config.data)
    _raise(loaded, problems, data_problems)
    if data_set is None:
        raise DataError(f"{config.data.source} holds no data set")
    if smoke:
        data_set = smoke_examples(data_set, batch_size=config.data.batch_size, steps=SMOKE_STEPS)
    return _Prepared(config, data_set, data_set.classes)


def _raise(loaded: LoadedConfig, problems: list[Problem], data_problems: list[Problem]) -> None:
    """Raises what there is; when only the data is wrong, as a DataError."""
    if not problems and not data_problems:
        return
    error = loaded.locate([*problems, *data_problems])
    raise error if problems else DataError(str(error))


def _inspected(data_set: "DataSet") -> "DataSet":
    """The data set with a checksum a picture, after every picture was decoded once."""
    from cnntrain.data.data_set import DataSet
    from cnntrain.data.inspection import inspect_all

    return DataSet(inspect_all(data_set.examples), data_set.classes)


def _generated(prepared: _Prepared, directory: RunDirectory) -> "DataSet":
    """Pictures made for a smoke run, in the run directory."""
    from cnntrain.data.data_set import DataSet
    from cnntrain.data.generated import write_generated
    from cnntrain.data.inspection import inspect_all
    from cnntrain.data.sources import find_split_examples

    data, classes = prepared.config.data, prepared.classes
    write_generated(
        directory.generated_pictures,
        classes=classes,
        image_size=data.image_size,
        channels=3 if data.color == "rgb" else 1,
        counts={"train": data.batch_size * SMOKE_STEPS, "validation": data.batch_size, "test": data.batch_size},
        seed=prepared.config.seed,
    )
    examples = find_split_examples(directory.generated_pictures.absolute())
    return DataSet(inspect_all(examples), classes)


def _resolved(config: Config, data_set: "DataSet", directory: RunDirectory) -> Config:
    """The configuration with every open choice made."""
    import shutil

    from cnntrain.data.cache import choose_cache, machine_memory
    from cnntrain.data.decoder import preprocessing_of

    kept = [*data_set.split("train"), *data_set.split("validation")]
    cache = config.data.cache
    if cache == "auto":
        cache = choose_cache(
            len(kept),
            preprocessing_of(config.data),
            memory=machine_memory(),
            disk=shutil.disk_usage(directory.path).free,
        )
    generated = directory.generated_pictures
    return resolve(
        config,
        source=generated if generated.exists() else Path(config.data.source),
        classes=data_set.classes,
        cache=cache,
        has_validation=bool(data_set.split("validation")),
    )


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


def evaluate(
    run: Run | str | Path,
    *,
    split: str = "test",
    data: str | Path | None = None,
    name: str | None = None,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> Evaluation:
    """Measures a run's model on one of its splits or on other pictures, and writes `RUN/evaluation/NAME/`.

    Args:
        run: A run, or its folder.
        split: `train`, `validation` or `test`.
        data: A folder of class folders to measure on instead.
        name: What `data` is called; its folder's name when absent.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged.
        DataError: The pictures are missing, damaged or of unknown classes.
        WriteError: The files cannot be written.
    """
    run = run if isinstance(run, Run) else load_run(run)
    listener = on_event or _ignore
    prepare(device)
    from cnntrain.data.decoder import preprocessing_from_json
    from cnntrain.data.inspection import inspect_all
    from cnntrain.data.pipeline import open_pictures
    from cnntrain.evaluation.answering import answer
    from cnntrain.evaluation.metrics import compute_metrics
    from cnntrain.evaluation.selection import examples_of_data, examples_of_split
    from cnntrain.models.saved import load_model

    model = load_model(run.directory.model)
    notes: tuple[str, ...] = ()
    if data is None:
        name, examples = split, examples_of_split(run, split)
    else:
        name = name or Path(data).resolve().name
        examples, notes = examples_of_data(Path(data), run.classes)
    for note in notes:
        listener(Message(note))
    pictures = open_pictures(inspect_all(examples), run.classes, preprocessing_from_json(run.preprocessing))
    answers = answer(
        model, pictures, run.classes, on_batch=lambda step, steps: listener(StepDone("pictures", step, steps))
    )
    metrics = compute_metrics(answers)
    folder = run.directory.evaluation(name)
    _write_evaluation(folder, name, answers, metrics)
    return Evaluation(name, folder, metrics, notes)


def _write_evaluation(folder: Path, name: str, answers: Any, metrics: "Metrics") -> None:
    import numpy as np

    from cnntrain.evaluation.answers import write_predictions
    from cnntrain.plots.confusion import draw_confusion
    from cnntrain.plots.style import to_png

    write_json(folder / "metrics.json", {"name": name, **metrics.to_json()})
    write_predictions(folder / "predictions.csv", answers)
    write_bytes(folder / "confusion.png", to_png(draw_confusion(np.array(metrics.confusion), answers.classes)))


def plot(runs: Sequence[Run | str | Path], *, smoothing: float = SMOOTHING, output: str | Path | None = None) -> Path:
    """Draws the curves of one run, or of several on the same axes.

    Args:
        runs: Runs or their folders, one at least.
        smoothing: Weight of the past in the moving average, 0 to below 1.
        output: The PNG to write; when absent `plots/curves.png` of a single run, else `curves.png` here.

    Returns:
        The file that was written.

    Raises:
        RunError: There is no such run, or no epoch of it is over.
        WriteError: The file cannot be written.
    """
    from cnntrain.plots.curves import draw_curves
    from cnntrain.plots.style import to_png

    opened = [run if isinstance(run, Run) else load_run(run) for run in runs]
    default = opened[0].directory.curves if len(opened) == 1 else Path("curves.png")
    path = Path(output) if output is not None else default
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

    problems = check(loaded.config)
    classes = names_without_data(loaded.config.data.classes)
    data_problems: list[Problem] = []
    if loaded.config.data.classes is None:
        data_set, data_problems = find_data_set(loaded.config.data)
        classes = data_set.classes if data_set else classes
    _raise(loaded, problems, data_problems)
    network: Network = build_network(smoke_config(loaded.config), len(classes))
    return summarize(network, {plan.name: plan.unfreeze for plan in plan_stages(loaded.config)})
