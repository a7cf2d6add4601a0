"""`cnntrain fit`: trains the model of a configuration."""

import json
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cnntrain.cli.options import device_option, set_option
from cnntrain.errors import InterruptedRunError

if TYPE_CHECKING:
    from cnntrain.api import CrossValidation


@click.command("fit", short_help="Train the model of a configuration.")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--run-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the run goes.  [default: runs/CONFIG's name]",
)
@set_option("train.epochs=3")
@click.option("--overwrite", is_flag=True, help="Replace an earlier run in the same folder.")
@click.option("--resume", is_flag=True, help="Go on with the run in the same folder; begin it if there is none.")
@click.option(
    "--force-resume",
    is_flag=True,
    help="Go on though code, configuration or data differ (but not the network); the run records it.",
)
@click.option(
    "--smoke",
    is_flag=True,
    help="Try it: two steps a stage, random weights, generated pictures if the data is missing.",
)
@click.option("--all-folds", is_flag=True, help="One run a cross-validation fold, in RUN_DIR/fold_0 and so on.")
@click.option("--allow-leak", is_flag=True, help="Go on if the same picture is in two splits; the run records it.")
@device_option("train on")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the run directory.")
def command(
    config: Path,
    run_dir: Path | None,
    overrides: tuple[str, ...],
    overwrite: bool,
    resume: bool,
    force_resume: bool,
    smoke: bool,
    all_folds: bool,
    allow_leak: bool,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Train the model that CONFIG describes; the last line printed is the run directory.

    Ctrl-C and SIGTERM save at the end of the batch and end with 130 and 143; a second one ends at once. SIGUSR1 saves
    and goes on.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    _bear_wishes()
    fit = api.fit_folds if all_folds else api.fit
    with shown_progress() as show, _way_on_told():
        done = fit(
            config,
            run_dir=run_dir,
            overrides=overrides,
            smoke=smoke,
            device=device,
            overwrite=overwrite,
            resume=resume,
            force_resume=force_resume,
            allow_leak=allow_leak,
            on_event=show,
        )
    if as_json:
        click.echo(json.dumps(done.to_json(), ensure_ascii=False))
        return
    if isinstance(done, api.CrossValidation):
        click.echo(_summary(done))
    click.echo(str(done.path))


def _bear_wishes() -> None:
    """Lets SIGUSR1, which asks a training for a state, end nothing where none trains yet or any more."""
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda number, frame: None)  # noqa: ARG005


@contextmanager
def _way_on_told() -> Iterator[None]:
    """Adds the command that goes on to what an interruption says."""
    try:
        yield
    except InterruptedRunError as error:
        raise InterruptedRunError(f"{error}; go on with: {_resuming_command()}", error.signal_number) from error


def _resuming_command() -> str:
    """The command that was given, to be given again."""
    context = click.get_current_context()
    words = ["cnntrain", "fit", str(context.params["config"])]
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if not isinstance(option, click.Option) or option.name in ("overwrite", "resume", "force_resume") or not value:
            continue
        if option.is_flag:
            words.append(option.opts[0])
        elif value != option.default:
            values = value if option.multiple else (value,)
            words += [word for one in values for word in (option.opts[0], str(one))]
    return shlex.join([*words, "--resume"])


def _summary(done: "CrossValidation") -> str:
    """A row a fold, and the mean with its interval."""
    from cnntrain.cli.tables import aligned

    rows = [["fold", "epoch", "val_loss", "val_accuracy"]]
    for row in done.to_json()["folds"]:
        rows.append([str(row["fold"]), str(row["epoch"]), f"{row['val_loss']:.4f}", f"{row['val_accuracy']:.4f}"])
    rows.append(["mean", "", f"{done.loss.mean:.4f}", f"{done.accuracy.mean:.4f}"])
    low, high = done.accuracy.low, done.accuracy.high
    interval = f"95 % interval {low:.4f} to {high:.4f}, corrected for overlap"
    return f"{aligned(rows)}\naccuracy {done.accuracy.mean:.4f} ({interval})"
