"""`cnntrain fit` and `cnntrain summary`: from a configuration to a run."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.api.plotting import plot
from cnntrain.config import LoadedConfig, Source, load_config
from cnntrain.config.resolving import without_weights
from cnntrain.config.stages import plan_stages
from cnntrain.errors import CnntrainError
from cnntrain.runs.directory import check_vacant, create
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import OnEvent, ignore

if TYPE_CHECKING:
    from cnntrain.models.summary import Summary


def fit(
    config: Source,
    *,
    run_dir: str | Path | None = None,
    overrides: str | Sequence[str] = (),
    smoke: bool = False,
    device: DeviceChoice = "auto",
    overwrite: bool = False,
    allow_leak: bool = False,
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
        allow_leak: Whether the same picture may be in two splits; it is recorded.
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
    listener = on_event or ignore
    loaded = load_config(config, overrides=[overrides] if isinstance(overrides, str) else overrides)
    path = run_directory_of(loaded, run_dir)
    check_vacant(path, overwrite=overwrite)
    found = prepare(device)
    from cnntrain.training.preparing import make_job, prepare_fit
    from cnntrain.training.session import Session

    prepared = prepare_fit(loaded, smoke=smoke, allow_leak=allow_leak, on_event=listener)
    directory = create(path, overwrite=overwrite)
    try:
        Session(make_job(prepared, directory, found), directory, listener).run()
    except CnntrainError:
        with suppress(CnntrainError):
            _draw_curves_of(Run(directory))
        raise
    _draw_curves_of(Run(directory))
    return open_run(path)


def run_directory_of(loaded: LoadedConfig, run_dir: str | Path | None) -> Path:
    """Where a run goes: the folder given, else `runs/` with the configuration's name."""
    return Path(run_dir) if run_dir is not None else Path("runs") / Path(loaded.name).stem


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
