"""`cnntrain fit` and `cnntrain summary`: from a configuration to a run."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.api.plotting import plot
from cnntrain.config import LoadedConfig, Source, load_config
from cnntrain.config.resolving import without_weights
from cnntrain.config.stages import plan_stages
from cnntrain.errors import CnntrainError, UsageError
from cnntrain.runs.directory import check_vacant, new_run, sweep
from cnntrain.runs.lock import locked
from cnntrain.runs.resuming import demand_same, find_unfinished
from cnntrain.runs.run import Run, open_run
from cnntrain.runs.state import States
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, ignore

if TYPE_CHECKING:
    from cnntrain.models.summary import NetworkSummary
    from cnntrain.training.bank.planning import FeaturePlan
    from cnntrain.training.session import Session


def fit(
    config: Source,
    *,
    run_dir: str | Path | None = None,
    overrides: str | Sequence[str] = (),
    smoke: bool = False,
    device: DeviceChoice = "auto",
    overwrite: bool = False,
    resume: bool = False,
    force_resume: bool = False,
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
        resume: Whether a run in `run_dir` that was not finished is gone on with; if there is none a new one begins.
        force_resume: The same, also where code, configuration or data differ from those of the run; it is recorded.
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
        RunError: The run cannot be gone on with.
        WriteError: `run_dir` exists, is in use or cannot be written, or there is too little room.
        UsageError: `CNNTRAIN_CACHE_LIMIT` is no size, or both `overwrite` and `resume` are asked for.
    """
    goes_on = resume or force_resume
    if overwrite and goes_on:
        raise UsageError("--resume goes on with a run and --overwrite replaces it; give one of them")
    listener = on_event or ignore
    loaded = load_config(config, overrides=[overrides] if isinstance(overrides, str) else overrides)
    path = run_directory_of(loaded, run_dir)
    with locked(path):
        before = find_unfinished(path) if goes_on else None
        if before is not None:
            demand_same(before, loaded.config, smoke=smoke, force=force_resume)
        if before is not None and before.record.status == "finished":
            _tidy_up(before)
            listener(Message(f"{path} is finished after {len(before.history)} epochs: there is nothing to go on with"))
            return before
        if before is None:
            check_vacant(path, overwrite=overwrite or goes_on)
        found = prepare(device)
        from cnntrain.training.preparing import make_job, prepare_fit
        from cnntrain.training.session import Earlier, Session

        prepared = prepare_fit(loaded, smoke=smoke, allow_leak=allow_leak, on_event=listener)
        if before is None:
            with new_run(path, overwrite=overwrite or goes_on) as directory:
                session = Session(make_job(prepared, directory, found), directory, listener)
                session.begin()
        else:
            sweep(before.directory)
            job = make_job(prepared, before.directory, found, like=before.config)
            session = Session(job, before.directory, listener, earlier=Earlier(before.record, forces=force_resume))
            session.begin()
        return _run(session, path)


def run_directory_of(loaded: LoadedConfig, run_dir: str | Path | None) -> Path:
    """Where a run goes: the folder given, else `runs/` with the configuration's name."""
    return Path(run_dir) if run_dir is not None else Path("runs") / Path(loaded.name).stem


def _run(session: "Session", path: Path) -> Run:
    """Trains, and draws the curves however that ends."""
    try:
        session.run()
    except CnntrainError:
        with suppress(CnntrainError):
            _draw_curves_of(open_run(path))
        raise
    run = open_run(path)
    _draw_curves_of(run)
    return run


def _tidy_up(run: Run) -> None:
    """Does what a process has left to do that was killed after its training was over."""
    sweep(run.directory)
    States(run.directory.state).remove()
    if not run.directory.curves.exists():
        _draw_curves_of(run)


def _draw_curves_of(run: Run) -> None:
    """Draws the curves of a run that has just ended, if an epoch of it is over."""
    if run.history:
        plot([run])


@dataclass(frozen=True)
class Summary:
    """What a configuration describes.

    Args:
        network: All layers, with totals.
        features: Which layers run once, and what that costs and saves.
    """

    network: "NetworkSummary"
    features: "FeaturePlan"

    def to_json(self) -> dict[str, Any]:
        """The summary as plain lists and mappings."""
        return {**self.network.to_json(), "features": self.features.to_json()}


def summary(config: Source, *, overrides: Sequence[str] = ()) -> Summary:
    """Tells every layer of a configuration's network, and which of them run only once.

    Needs no weights, and no data when `data.classes` is given.

    Raises:
        ConfigError: The configuration has problems.
        DataError: The number of classes is not given and the data is missing.
        UsageError: `CNNTRAIN_CACHE_LIMIT` is no size.
    """
    loaded = load_config(config, overrides=overrides)
    prepare("cpu")
    from cnntrain.data.data_set import find_data_set, names_without_data
    from cnntrain.models.checks import check
    from cnntrain.models.network import build_network
    from cnntrain.models.summary import summarize
    from cnntrain.training.preparing import plan_for

    config = without_weights(loaded.config)
    problems, data_set = check(config), None
    if config.data.classes is None or Path(config.data.source).expanduser().exists():
        data_set, data_problems = find_data_set(config.data)
        problems += data_problems
    loaded.raise_for(problems)
    classes = data_set.classes if data_set else names_without_data(config.data.classes)
    network = build_network(config, len(classes))
    plan = plan_for(config, network, data_set, Path(), is_timed=data_set is not None)
    return Summary(summarize(network, {plan.name: plan.unfreeze for plan in plan_stages(config)}), plan)
