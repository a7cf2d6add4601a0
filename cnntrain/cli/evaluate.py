"""`cnntrain evaluate`: measures a run's model."""

import json
from pathlib import Path
from typing import Any, Literal

import click

from cnntrain.cli.options import device_option


@click.command("evaluate", short_help="Measure the model of a run.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Which of the run's own pictures.  [default: test]",
)
@click.option(
    "--data", metavar="SOURCE", type=click.Path(path_type=Path), help="Other pictures: a folder, a table or an archive."
)
@click.option("--name", help="What the other pictures are called in the run.  [default: their folder's name]")
@click.option("--label-regex", metavar="REGEX", help="Find the class in each path of the other pictures.")
@click.option(
    "--bad-images",
    type=click.Choice(["error", "skip"]),
    help="Whether bad ones among the other pictures are an error.  [default: as the run was fitted]",
)
@click.option("--allow-leak", is_flag=True, help="Measure even on pictures that the run was trained on.")
@click.option("--tta", is_flag=True, help="Average over the mirror images that the run was trained with.")
@device_option("run on")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def command(
    run: Path,
    split: str | None,
    data: Path | None,
    name: str | None,
    label_regex: str | None,
    bad_images: Literal["error", "skip"] | None,
    allow_leak: bool,
    tta: bool,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Measure the model of RUN and write metrics, predictions and the confusion matrix into RUN/evaluation."""
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        evaluation = api.evaluate(
            run,
            split=split,
            data=data,
            name=name,
            label_regex=label_regex,
            bad_images=bad_images,
            allow_leak=allow_leak,
            tta=tta,
            device=device,
            on_event=show,
        )
    if as_json:
        click.echo(json.dumps(evaluation.to_json(), ensure_ascii=False))
    else:
        _print(evaluation)


def _print(evaluation: Any) -> None:
    metrics = evaluation.metrics
    low, high = metrics.accuracy.low, metrics.accuracy.high
    averaged = f", averaged with their mirror images ({evaluation.tta})" if evaluation.tta else ""
    click.echo(f"{metrics.images} {evaluation.name} pictures{averaged}")
    click.echo(
        f"accuracy {metrics.accuracy.value:.4f} (95 % interval {low:.4f} to {high:.4f}), loss {metrics.loss:.4f}"
    )
    width = max(len("class"), *(len(row.name) for row in metrics.classes))
    click.echo(f"{'class':<{width}}  precision  recall      f1  pictures")
    for row in metrics.classes:
        numbers = "  ".join(
            f"{_number(value):>{size}}" for value, size in ((row.precision, 9), (row.recall, 6), (row.f1, 6))
        )
        click.echo(f"{row.name:<{width}}  {numbers}  {row.support:>8}")
    click.echo(f"written to {evaluation.folder}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
