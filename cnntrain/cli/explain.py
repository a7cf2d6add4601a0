"""`cnntrain explain`: pictures of what a run's network sees."""

import json
from pathlib import Path
from typing import Literal

import click

from cnntrain.cli.options import device_option


@click.group("explain", short_help="Draw what the network of a run sees.")
def command() -> None:
    """Draw what the network of a run sees."""


@command.command("activations", short_help="Draw what each layer makes of a picture.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--layer",
    "layers",
    metavar="NAME",
    multiple=True,
    help="A layer to draw, may be repeated.  [default: all convolution and pooling layers]",
)
@click.option(
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="The new folder to write.  [default: RUN/explain/activations/IMAGE_STEM, replaced]",
)
@device_option("run on")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of paths.")
def activations(
    run: Path,
    image: Path,
    layers: tuple[str, ...],
    output: Path | None,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Draw every channel of the layers of RUN for the picture IMAGE, a grid a layer, and print the files.

    Each channel goes from dark at its smallest value to light at its largest; one that is the same everywhere is
    black. `cnntrain summary RUN/config.yaml` lists the layers.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        drawn = api.explain_activations(run, image, layers=layers, output=output, device=device, on_event=show)
    if as_json:
        click.echo(json.dumps(drawn.to_json(), ensure_ascii=False))
        return
    for path in (drawn.picture, *drawn.layers.values()):
        click.echo(str(path))
