"""`cnntrain compare`: whether one run's model is better than another's."""

import json
from pathlib import Path
from typing import Any, Literal

import click

from cnntrain.cli.options import device_option


@click.command("compare", short_help="Is the difference between runs real?")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Which of the runs' own pictures.",
)
@click.option("--tta", is_flag=True, help="Average over the mirror images that the runs were trained with.")
@device_option("run on")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
def command(
    runs: tuple[Path, ...], split: str, tta: bool, device: Literal["auto", "cpu", "gpu"], as_json: bool
) -> None:
    """Compare the models of two or more runs on the same test pictures.

    Each RUN's accuracy is told with its interval; then, for all pairs of two or three runs, or for each of more with
    the first, the difference, McNemar's mid-p test of it, and how large a difference so many pictures could show at
    all. Runs that have not been evaluated are evaluated first.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    with shown_progress() as show:
        found = api.compare(runs, split=split, tta=tta, device=device, on_event=show)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        _print(found)


def _print(found: Any) -> None:
    from cnntrain.api.comparison import CAVEAT
    from cnntrain.cli.tables import aligned

    averaged = ", averaged with their mirror images" if found.tta else ""
    click.echo(f"{found.images} {found.split} pictures{averaged}\n")
    rows = [[each.run, *_cells(each.accuracy), f"{each.loss:.4f}", *_cells(each.roc_auc)] for each in found.runs]
    click.echo(aligned([["run", "accuracy", "95 % interval", "loss", "ROC AUC", "95 % interval"], *rows]))
    for pair in found.pairs:
        click.echo(f"\n{_told(pair, several=len(found.pairs) > 1)}")
    if len(found.pairs) > 1:
        click.echo(f"\np-values are corrected for {len(found.pairs)} pairs (Holm)")
    click.echo(f"\n{CAVEAT}")


def _told(pair: Any, *, several: bool) -> str:
    """One pair in a few lines."""
    from cnntrain.cli.tables import aligned

    p_value = f"p {_p(pair.p_value)}" + (f", corrected {_p(pair.adjusted_p_value)}" if several else "")
    rows = [["accuracy", *_cells(pair.difference, sign="+"), p_value]]
    if pair.roc_auc_difference:
        rows.append(["ROC AUC", *_cells(pair.roc_auc_difference, sign="+"), ""])
    return "\n".join(
        [
            f"{pair.second} minus {pair.first}: {_verdict(pair)}",
            *(f"  {line}" for line in aligned(rows).splitlines()),
            f"  right in only one of them: {pair.only_second_right} and {pair.only_first_right} pictures",
            f"  {_power(pair.smallest_shown)}",
        ]
    )


def _verdict(pair: Any) -> str:
    if not pair.shown:
        return "no difference shown"
    return "more accurate" if pair.difference.value > 0 else "less accurate"


def _power(smallest: float | None) -> str:
    if smallest is None:
        return "the two agree on so many pictures that no true difference could be shown reliably"
    return f"a true difference in accuracy of {smallest:.4f} would be shown in four of five such tests"


def _p(value: float) -> str:
    return f"= {value:.4f}" if value >= 0.0001 else "< 0.0001"


def _cells(estimate: Any, *, sign: str = "") -> list[str]:
    """An estimate and its interval."""
    if estimate is None:
        return ["-", ""]
    value, low, high = (f"{number:{sign}.4f}" for number in (estimate.value, estimate.low, estimate.high))
    return [value, f"{low} to {high}"]
