"""`cnntrain export`: a run's model for other runtimes."""

import json
from pathlib import Path
from typing import Any, Literal

import click

from cnntrain.cli.options import device_option


@click.command("export", short_help="Write the model of a run for another runtime.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(["onnx", "litert", "saved_model"]),
    required=True,
    help="ONNX, LiteRT (TensorFlow Lite) or TensorFlow's SavedModel.",
)
@click.option(
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="The new folder to write.  [default: RUN/export/FORMAT]",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export there.")
@device_option("run on")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of sentences.")
def command(
    run: Path,
    format_: str,
    output: Path | None,
    overwrite: bool,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Write the model of RUN for another runtime, run it there, and compare.

    It takes pictures as float32 (N, height, width, channels) from 0 to 255 and gives their probabilities;
    classes.json and preprocessing.json beside it say the rest. On pictures of the run its answers must be those of
    the model to 1e-4, or nothing is left of it. ONNX and LiteRT need pip install 'cnntrain[onnx]' or
    'cnntrain[litert]'.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        exported = api.export(run, format_, output=output, overwrite=overwrite, device=device, on_event=show)
    if as_json:
        click.echo(json.dumps(exported.to_json(), ensure_ascii=False))
    else:
        _print(exported)


def _print(exported: Any) -> None:
    pictures = "pictures of noise" if exported.of == "noise" else f"{exported.of} pictures"
    click.echo(f"written to {exported.folder} ({exported.size / 1e6:.1f} MB)")
    click.echo(
        f"{exported.runtime} gives the probabilities of the model on {exported.pictures} {pictures}; "
        f"largest difference {exported.largest_difference:.1g}"
    )
