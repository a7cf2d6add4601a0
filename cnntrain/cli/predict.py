"""`cnntrain predict`: what a run's model says about new pictures."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

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
@click.option(
    "--abstain", is_flag=True, help="Say `unknown` where the model is not sure, by what it knew of validation pictures."
)
@click.option(
    "--coverage",
    metavar="SHARE",
    type=click.FloatRange(0, 1, min_open=True),
    help="With --abstain, the share of validation pictures that is to be answered at least.  [default: 0.95]",
)
@click.option(
    "--jsonl",
    "as_lines",
    is_flag=True,
    help="Print one JSON object a picture, each on a line of its own and as soon as it is known.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@device_option("run on")
def command(
    run: Path,
    paths: tuple[str, ...],
    top: int,
    output: Path | None,
    abstain: bool,
    coverage: float | None,
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
    if coverage is not None and not abstain:
        raise click.UsageError("--coverage is what --abstain answers; give --abstain too")
    options: dict[str, Any] = {"output": output, "abstain": abstain, "coverage": coverage or 0.95, "device": device}
    printed = None if sys.stdout.isatty() else sys.stdout  # a bar takes sys.stdout: its lines go above it
    with shown_progress() as show:
        if as_lines:
            counts = _print_lines(api.stream_predictions(run, paths, on_event=show, **options), top, printed)
        else:
            found = api.predict(run, paths, on_event=show, **options)
            counts = len(found.paths), len(found.problems)
    if as_json:
        click.echo(json.dumps(found.to_json(top=top), ensure_ascii=False))
    elif not as_lines and output is None:
        _print_table(found, top)
    elif not as_lines:
        count = len(found.paths)
        click.echo(f"wrote {count} prediction{'s' if count != 1 else ''} to {output}")
    _tell_bad(*counts)


def _print_lines(parts: "Iterable[Predictions]", top: int, stream: TextIO | None) -> tuple[int, int]:
    """A line a picture, those of a batch together; gives the numbers of good pictures and of bad ones."""
    good = bad = 0
    for part in parts:
        lines = [json.dumps(record, ensure_ascii=False) for record in part.records(top=top)]
        if lines:
            click.echo("\n".join(lines), file=stream)
        good, bad = good + len(part.paths), bad + len(part.problems)
    return good, bad


def _tell_bad(good: int, bad: int) -> None:
    """Raises DataError where there are bad pictures."""
    if bad:
        raise DataError(
            f"{bad} of {good + bad} pictures cannot be used and are named above; mend them or leave them out"
        )


def _print_table(found: "Predictions", top: int) -> None:
    """A row a picture: its path, then class and probability of the likeliest.

    Where the model may abstain, the answer stands after the path, and for one class its confidence besides.
    """
    from cnntrain.cli.tables import aligned

    rows = []
    for (path, best), answer in zip(found.top(top), found.predicted, strict=True):
        cells = [cell for name, probability in best for cell in (name, f"{probability:.4f}")]
        if found.abstention:
            cells = [answer, *(cells[1:] if top == 1 else cells)]
        rows.append([path, *cells])
    click.echo(aligned(rows))
