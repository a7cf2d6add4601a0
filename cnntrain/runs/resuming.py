"""Whether a run directory holds something to go on with, and whether it would be the same training."""

from pathlib import Path

from cnntrain.config import Config
from cnntrain.config.resolving import smoke_config
from cnntrain.errors import RunError
from cnntrain.runs.directory import RunDirectory
from cnntrain.runs.identity import as_json, config_differences
from cnntrain.runs.run import Run, open_run
from cnntrain.runs.state import States


def find_unfinished(path: Path) -> Run | None:
    """The run at `path` that can be gone on with, or is finished; nothing where there is none, or it had just begun.

    Raises:
        RunError: Its record is damaged, or it has a model and nothing to go on from.
    """
    directory = RunDirectory(path)
    if not directory.record.is_file():
        return None
    run = open_run(path)
    if run.record.status == "finished" or States(directory.state):
        return run
    if directory.model.exists():
        raise RunError(
            f"{path} holds a model and no state to go on from; choose another --run-dir, or train anew with --overwrite"
        )
    return None


def demand_same(run: Run, config: Config, *, smoke: bool, force: bool) -> None:
    """Makes sure that a run is of this configuration, as it was asked for or as it was resolved.

    Nothing can be said of a run whose cnntrain did not yet record what was asked for.

    Raises:
        RunError: It is of another one, and that matters.
    """
    if not run.record.asked:
        return
    if run.record.smoke != smoke and not force:
        what = "is no smoke run; leave --smoke out" if smoke else "is a smoke run; give --smoke to go on with it"
        raise RunError(f"{run.path} {what}, choose another --run-dir, or train anew with --overwrite")
    now = as_json(smoke_config(config) if smoke else config)
    differing = min((config_differences(then, now) for then in (run.record.asked, as_json(run.config))), key=len)
    if not differing:
        return
    if run.record.status == "finished":
        raise RunError(
            f"{run.path} is finished, and its configuration was another: {'; '.join(differing)}; "
            "choose another --run-dir, or train anew with --overwrite"
        )
    if not force:
        raise RunError(
            f"{run.path} is of another configuration: {'; '.join(differing)}; put that back, take --force-resume, or "
            "train anew with --overwrite"
        )
