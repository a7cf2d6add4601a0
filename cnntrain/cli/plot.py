"""`cnntrain plot`: the curves of one run or several on the same axes."""

import json
from pathlib import Path

import click


@click.command("plot", short_help="Draw the curves of one run or several.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--smooth",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.8,
    show_default=True,
    help="Weight of the past in the exponential moving average; 0 draws the measured values alone.",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The PNG file to write; when absent, plots/curves.png in a single run, else curves.png here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the path.")
def command(runs: tuple[Path, ...], smooth: float, output: Path | None, as_json: bool) -> None:
    """Draw accuracy and loss of each RUN over its epochs, for training and validation, as measured and smoothed."""
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        written = api.plot(runs, smoothing=smooth, output=output, on_event=show)
    click.echo(json.dumps({"plot": str(written)}, ensure_ascii=False) if as_json else str(written))
