"""`cnntrain fit`: trains the model of a configuration."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cnntrain.cli.options import device_option, set_option

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
    smoke: bool,
    all_folds: bool,
    allow_leak: bool,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Train the model that CONFIG describes; the last line printed is the run directory."""
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    fit = api.fit_folds if all_folds else api.fit
    with shown_progress() as show:
        done = fit(
            config,
            run_dir=run_dir,
            overrides=overrides,
            smoke=smoke,
            device=device,
            overwrite=overwrite,
            allow_leak=allow_leak,
            on_event=show,
        )
    if as_json:
        click.echo(json.dumps(done.to_json(), ensure_ascii=False))
        return
    if isinstance(done, api.CrossValidation):
        click.echo(_summary(done))
    click.echo(str(done.path))


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
