"""`cnntrain report`: everything about a run in one HTML file."""

import json
from pathlib import Path
from typing import Literal

import click

from cnntrain.cli.options import device_option


@click.command("report", short_help="Write everything about a run as one HTML file.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Which pictures it is measured on; without test pictures those of validation.",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The HTML file to write.  [default: RUN/report.html, replaced]",
)
@device_option("run on")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the path.")
def command(run: Path, split: str, output: Path | None, device: Literal["auto", "cpu", "gpu"], as_json: bool) -> None:
    """Write everything about RUN as one HTML file and print its path.

    The page holds results with intervals, the confusion matrix with the pictures behind each number, the worst
    mistakes with what the network looked at, calibration, labels that are probably wrong, curves, data, configuration
    and the command to repeat the training. It loads nothing, so it can be sent to anybody. It does contain pictures of
    the data: the wrong ones first, the others as far as they fit into 5 MB.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        written = api.report(run, split=split, output=output, device=device, on_event=show)
    click.echo(json.dumps({"report": str(written)}, ensure_ascii=False) if as_json else str(written))
