"""`cnntrain evaluate`: measures a run's model."""

import json
from collections.abc import Iterator
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
    """Measure the model of RUN and write metrics, predictions and figures into RUN/evaluation.

    Shown are accuracy, areas under curves, calibration error and, of two classes, a threshold fitted on the run's
    validation pictures, each with the interval that covers the true value in 95 of 100 cases. The figures are the
    confusion matrix, ROC and precision-recall curves, the reliability diagram, and the most confident mistakes.
    """
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
    from cnntrain.cli.tables import aligned

    metrics = evaluation.metrics
    averaged = f", averaged with their mirror images ({evaluation.tta})" if evaluation.tta else ""
    click.echo(f"{metrics.images} {evaluation.name} pictures{averaged}\n")
    click.echo(aligned([["", "", "95 % interval"], *_headline(metrics), *_at_threshold(evaluation.operating_point)]))
    if evaluation.operating_point:
        click.echo(f"\n{_described(evaluation.operating_point.threshold)}")
    rows = [["class", "precision", "recall", "f1", "ROC AUC", "AP", "pictures"], *map(_row, metrics.classes)]
    click.echo(f"\n{aligned(rows)}\n\nwritten to {evaluation.folder}")


def _headline(metrics: Any) -> Iterator[list[str]]:
    """What is said of all pictures together."""
    mean = "" if len(metrics.classes) == 2 else ", mean of classes"
    yield _estimate("accuracy", metrics.accuracy)
    for k, share in metrics.top_k.items():
        yield _estimate(f"top-{k} accuracy", share)
    yield ["loss", f"{metrics.loss:.4f}", ""]
    yield ["macro f1", f"{metrics.macro.f1:.4f}", ""]
    if metrics.macro.roc_auc:
        yield _estimate(f"ROC AUC{mean}", metrics.macro.roc_auc)
        yield _estimate("average precision (AP), mean of classes", metrics.macro.average_precision)
    yield _estimate("expected calibration error", metrics.calibration.error)


def _at_threshold(point: Any) -> Iterator[list[str]]:
    """What the threshold changes."""
    if point is None:
        return
    yield _estimate("at the threshold: accuracy", point.accuracy)
    for name, share in (("sensitivity", point.sensitivity), ("specificity", point.specificity)):
        if share:
            yield _estimate(f"at the threshold: {name}", share)


def _described(threshold: Any) -> str:
    return (
        f"threshold: {threshold.positive} from probability {threshold.value:.4f} on, the best balanced accuracy "
        f"({threshold.balanced_accuracy:.4f})\non {threshold.images} validation pictures; sensitivity is the recall of "
        f"{threshold.positive}, specificity that of the other class"
    )


def _estimate(name: str, estimate: Any) -> list[str]:
    """A number and its interval, which a measure does not have that is the same in all bootstrap samples."""
    interval = f"{estimate.low:.4f} to {estimate.high:.4f}" if estimate.low < estimate.high else "-"
    return [name, f"{estimate.value:.4f}", interval]


def _row(entry: Any) -> list[str]:
    """One class of the table."""
    estimates = (entry.precision, entry.recall, entry.f1, entry.roc_auc, entry.average_precision)
    return [entry.name, *map(_number, estimates), str(entry.support)]


def _number(measure: Any) -> str:
    """A number or the value of an estimate."""
    return "-" if measure is None else f"{getattr(measure, 'value', measure):.4f}"
