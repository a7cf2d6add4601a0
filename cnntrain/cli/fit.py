"""`cnntrain fit`: trains the model of a configuration."""

import json
from pathlib import Path
from typing import Literal

import click


@click.command("fit", short_help="Train the model of a configuration.")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--run-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the run goes.  [default: runs/CONFIG's name]",
)
@click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change a key, as train.epochs=3; may be repeated."
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier run in the same folder.")
@click.option(
    "--smoke",
    is_flag=True,
    help="Try it: two steps a stage, random weights, generated pictures if the data is missing.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True, help="What to train on."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the run directory.")
def command(
    config: Path,
    run_dir: Path | None,
    overrides: tuple[str, ...],
    overwrite: bool,
    smoke: bool,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Train the model that CONFIG describes; the last line printed is the run directory."""
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        run = api.fit(
            config,
            run_dir=run_dir,
            overrides=overrides,
            smoke=smoke,
            device=device,
            overwrite=overwrite,
            on_event=show,
        )
    click.echo(json.dumps(run.to_json(), ensure_ascii=False) if as_json else str(run.path))
