"""`cnntrain augment`: what training would see of a picture."""

import json
from pathlib import Path

import click

from cnntrain.cli.options import set_option


@click.command("augment", short_help="Draw changed versions of a picture, as training sees them.")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--count", metavar="N", type=int, default=15, show_default=True, help="Number of versions, up to 400.")
@click.option("--seed", metavar="N", type=int, help="Of the changes.  [default: the configuration's]")
@set_option("augment.rotation=20")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default="augmented.png",
    show_default=True,
    help="The picture to write, replaced where it exists.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the path.")
def command(
    config: Path, image: Path, count: int, seed: int | None, overrides: tuple[str, ...], output: Path, as_json: bool
) -> None:
    """Draw the picture IMAGE as the network of CONFIG gets it, and versions of it as the epochs of training would.

    Size, colours, fit and changes are those of the configuration, which may be a run's config.yaml; its data need not
    be there.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        path = api.augment(config, image, overrides=overrides, count=count, seed=seed, output=output, on_event=show)
    if as_json:
        document = {"format": 1, "path": str(path), "epochs": list(range(1, count + 1))}
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    click.echo(str(path))
