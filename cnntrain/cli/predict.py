"""`cnntrain predict`: what a run's model says about new pictures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cnntrain.cli.options import device_option
from cnntrain.errors import DataError

if TYPE_CHECKING:
    from cnntrain.api import Predictions


@click.command("predict", short_help="Ask the model of a run about new pictures.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--top", metavar="K", type=click.IntRange(min=1), default=1, show_default=True, help="Show the K likeliest classes."
)
@click.option(
    "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write a CSV file instead of printing a table."
)
@click.option("--jsonl", "as_lines", is_flag=True, help="Print one JSON object a picture, each on a line of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@device_option("run on")
def command(
    run: Path,
    paths: tuple[str, ...],
    top: int,
    output: Path | None,
    as_lines: bool,
    as_json: bool,
    device: Literal["auto", "cpu", "gpu"],
) -> None:
    """Ask the model of RUN which class each picture is of.

    A PATH is a picture, a folder, a CSV or TSV table, a .zip or .tar, or a pattern in quotes. Pictures that cannot be
    decoded are named on stderr, the rest is done, and the exit code is 3.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    if as_json and as_lines:
        raise click.UsageError("--json and --jsonl both print on stdout; give one of them")
    with shown_progress() as show:
        found = api.predict(run, paths, output=output, device=device, on_event=show)
    if as_json:
        click.echo(json.dumps(found.to_json(top=top), ensure_ascii=False))
    elif as_lines:
        for record in found.records(top=top):
            click.echo(json.dumps(record, ensure_ascii=False))
    elif output is None:
        _print(found, top)
    else:
        click.echo(f"wrote {len(found.paths)} predictions to {output}")
    if found.problems:
        bad, count = len(found.problems), len(found.problems) + len(found.paths)
        raise DataError(f"{bad} of {count} pictures cannot be used and are named above; mend them or leave them out")


def _print(found: "Predictions", top: int) -> None:
    """A row a picture: its path, then class and probability of the likeliest."""
    from cnntrain.cli.tables import aligned

    rows = [
        [path, *(cell for name, probability in best for cell in (name, f"{probability:.4f}"))]
        for path, best in found.top(top)
    ]
    click.echo(aligned(rows))
