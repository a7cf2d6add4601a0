"""`cnntrain explain`: pictures of what a network sees."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cnntrain.cli.options import Decorator, device_option

if TYPE_CHECKING:
    from cnntrain.api import HeatMapPictures

_RUN = click.argument("run")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of paths.")
_METHODS = ["gradcam", "gradcam++", "integrated-gradients"]


def _weights_option(what: str) -> Decorator:
    """`--weights`, for pretrained networks."""
    return click.option(
        "--weights",
        metavar="imagenet|none|FILE",
        help=f"Weights of a pretrained:NAME {what} top; none is random.  [default: imagenet, downloaded once]",
    )


def _output_option(default: str) -> Decorator:
    """`--output`, a folder."""
    return click.option(
        "--output",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help=f"The new folder to write.  [default: RUN/explain/{default}, replaced]",
    )


def _filters(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | tuple[int, ...] | None:
    """A count as it is; numbers and ranges as all their numbers."""
    if value is None or re.fullmatch(r"\d{1,5}", value):
        return value if value is None else int(value)
    numbers: list[int] = []
    for part in value.removesuffix(",").split(","):
        bounds = re.fullmatch(r"\s*(\d{1,5})(?:-(\d{1,5}))?\s*", part)
        if bounds is None or int(bounds[2] or bounds[1]) < int(bounds[1]):
            raise click.BadParameter(f"must be a count, or numbers such as 3,17,40-47; got: {value}")
        numbers += range(int(bounds[1]), int(bounds[2] or bounds[1]) + 1)
    return tuple(numbers)


@click.group("explain", short_help="Draw what the network of a run sees.")
def command() -> None:
    """Draw what the network of a run sees.

    In place of RUN, pretrained:NAME takes a network of keras.applications, such as pretrained:vgg16, as it was trained
    on ImageNet; its pictures go to explain/pretrained_NAME in the current folder.
    """


@command.command("activations", short_help="Draw what each layer makes of a picture.")
@_RUN
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--layer",
    "layers",
    metavar="NAME",
    multiple=True,
    help="A layer to draw, may be repeated.  [default: all convolution and pooling layers]",
)
@_weights_option("without its")
@_output_option("activations/IMAGE_STEM")
@device_option("run on")
@_JSON
def activations(
    run: str,
    image: Path,
    layers: tuple[str, ...],
    weights: str | None,
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
        drawn = api.explain_activations(
            run, image, layers=layers, weights=weights, output=output, device=device, on_event=show
        )
    if as_json:
        click.echo(json.dumps(drawn.to_json(), ensure_ascii=False))
        return
    for path in (drawn.picture, *drawn.layers.values()):
        click.echo(str(path))


@command.command("filters", short_help="Draw what excites the filters of a layer most.")
@_RUN
@click.option("--layer", metavar="NAME", required=True, help="The layer whose filters are looked at.")
@click.option(
    "--filters",
    metavar="N|LIST",
    callback=_filters,
    help="The first N filters, or those of a list such as 3,17,40-47 (one alone: 3,).  [default: all]",
)
@click.option("--steps", type=click.IntRange(1), default=30, show_default=True, help="Steps of gradient ascent.")
@click.option(
    "--size", type=click.IntRange(1, 4096), default=128, show_default=True, help="Side of a picture in pixels."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the noise to begin with.")
@_weights_option("without its")
@_output_option("filters/LAYER")
@device_option("run on")
@_JSON
def filters(
    run: str,
    layer: str,
    filters: int | tuple[int, ...] | None,
    steps: int,
    size: int,
    seed: int,
    weights: str | None,
    output: Path | None,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Draw for each filter of a layer of RUN the picture that excites it most, 64 a file, and print the files.

    It is found by gradient ascent from grey noise. A filter is called silent when no pixel changed
    its output in all steps. A step takes about three times as long as the layers up to NAME take for 64 pictures.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        found = api.explain_filters(
            run,
            layer,
            filters=filters,
            steps=steps,
            size=size,
            seed=seed,
            weights=weights,
            output=output,
            device=device,
            on_event=show,
        )
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    for path in found.grids:
        click.echo(str(path))
    if found.silent:
        numbers = ", ".join(map(str, found.silent))
        click.echo(f"silent, {len(found.silent)} of {len(found.filters)}: {numbers}")


@command.command("gradcam", short_help="Draw what in a picture speaks for a class.")
@_RUN
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--class", "classes", metavar="NAME", multiple=True, help="A class to draw, may be repeated.")
@click.option(
    "--top", metavar="K", type=click.IntRange(1), help="Draw the K likeliest classes.  [default: 3, or both of two]"
)
@click.option("--layer", metavar="NAME", help="Whose maps are looked at.  [default: the last with several places]")
@click.option(
    "--method",
    type=click.Choice(_METHODS),
    help="[default: gradcam, or integrated-gradients where the network has no such layer]",
)
@_weights_option("with its")
@_output_option("gradcam/IMAGE_STEM")
@device_option("run on")
@_JSON
def gradcam(
    run: str,
    images: tuple[Path, ...],
    classes: tuple[str, ...],
    top: int | None,
    layer: str | None,
    method: str | None,
    weights: str | None,
    output: Path | None,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Draw where in each IMAGE that lies which speaks for a class, as the network of RUN sees it.

    For each class a heat map over the picture in its own size, and a summary of them; files and probabilities are
    printed. What speaks against a class is left clear. With --output, FOLDER gets a folder a picture.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    chosen: Any = (method or "auto").replace("-", "_")
    with shown_progress() as show:
        found = api.explain_gradcam(
            run,
            images,
            classes=classes,
            top=top,
            method=chosen,
            layer=layer,
            weights=weights,
            output=output,
            device=device,
            on_event=show,
        )
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        _print_heat_maps(found)


def _print_heat_maps(found: "HeatMapPictures") -> None:
    """A row a heat map, after that of the summary of its picture."""
    for one in found.pictures:
        click.echo(str(one.summary))
        for heat in one.heat_maps:
            click.echo(f"{heat.file}  {heat.probability:.4f}  {heat.name}")
