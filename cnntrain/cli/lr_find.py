"""`cnntrain lr-find`: which learning rate a configuration's network takes."""

import json
from pathlib import Path
from typing import Any, Literal

import click

from cnntrain.cli.options import device_option, set_option


@click.command("lr-find", short_help="Find a learning rate by a range test.")
@click.argument("config", type=click.Path(path_type=Path))
@set_option("data.batch_size=16")
@click.option("--stage", metavar="NAME", help="The stage to test, on the initial weights.  [default: the first]")
@click.option("--start", type=float, default=1e-7, show_default=True, help="The first learning rate.")
@click.option("--end", type=float, default=10.0, show_default=True, help="The last learning rate.")
@click.option("--steps", type=int, default=100, show_default=True, help="Training steps at the most, 10 or more.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The PNG file to write, with a CSV file beside it.  [default: lr_find/CONFIG's name.png]",
)
@device_option("train on")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def command(
    config: Path,
    overrides: tuple[str, ...],
    stage: str | None,
    start: float,
    end: float,
    steps: int,
    output: Path | None,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Train the network of CONFIG for a few steps while the learning rate grows, and suggest one from the losses.

    The test ends when the loss explodes. It leaves a plot and a table, no run and no model.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        found = api.find_learning_rate(
            config,
            overrides=overrides,
            stage=stage,
            start=start,
            end=end,
            steps=steps,
            output=output,
            device=device,
            on_event=show,
        )
    click.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else _report(found))


def _report(found: Any) -> str:
    """The rates as a table, the line for the configuration, and where the plot is."""
    from cnntrain.cli.tables import aligned

    made = len(found.rates)
    ended = "" if made == found.steps else f": the loss exploded at {found.rates[-1]:.1e}"
    lines = [f"stage {found.stage}: {made} of {found.steps} steps{ended}"]
    if found.suggestion is not None:
        rows = [
            ["", "learning rate"],
            ["suggested, the lower of these:", f"{found.suggestion:.1e}"],
            ["a tenth of that of the smallest loss", f"{found.minimum:.1e}"],
            ["where the loss falls most", f"{found.steepest:.1e}"],
        ]
        lines += [aligned(rows), f"for the configuration: {found.yaml}"]
    return "\n".join([*lines, *([found.note] if found.note else []), f"written to {found.plot}"])
