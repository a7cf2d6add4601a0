"""`cnntrain split`: splits pictures into training, validation and test."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


def _numbers(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Reads `0.8,0.1,0.1`."""
    try:
        return None if value is None else tuple(float(number) for number in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"expected three numbers with commas between, as 0.8,0.1,0.1; got: {value}") from error


@click.command("split", short_help="Split pictures into training, validation and test.")
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@click.argument("dest", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--train", type=int, metavar="N", help="Training pictures of each class.")
@click.option("--validation", type=int, metavar="N", help="Validation pictures of each class; 0 or absent: none.")
@click.option("--test", type=int, metavar="N", help="Test pictures of each class; 0 or absent: none.")
@click.option(
    "--ratios",
    callback=_numbers,
    metavar="TRAIN,VALIDATION,TEST",
    help="Shares of each class instead of counts; 0 leaves a part out.  [default, without counts: 0.8,0.1,0.1]",
)
@click.option("--seed", type=int, default=1337, show_default=True, help="Another seed gives another split.")
@click.option(
    "--method",
    type=click.Choice(["copy", "hardlink", "symlink"]),
    default="copy",
    show_default=True,
    help="How pictures get into DEST; an archive can only be copied.",
)
@click.option(
    "--near-duplicates",
    type=click.Choice(["together", "drop", "ignore"]),
    default="together",
    show_default=True,
    help="Put pictures that look the same on one side; drop all but one of each set, and all of a set with several "
    "labels, from any part; or do not look for them.",
)
@click.option(
    "--group-by",
    metavar="REGEX",
    help="Keep pictures on one side whose paths have the same match of this pattern, or of its first group.",
)
@click.option("--label-regex", metavar="REGEX", help="Find the class in each path by this pattern's first group.")
@click.option(
    "--folds",
    type=int,
    metavar="K",
    help="Divide training into K cross-validation folds, in the manifest; then there is no validation part.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier split at DEST.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def command(
    source: Path, dest: Path, train: int | None, validation: int | None, test: int | None, as_json: bool, **wishes: Any
) -> None:
    """Split the pictures of SOURCE into DEST/train, DEST/validation and DEST/test, a folder a class in each.

    SOURCE is a folder with a folder a class, or with pictures whose names begin with their class and a dot (cat.0.jpg);
    a CSV or TSV file with the columns path and label; or a .zip or .tar of either. If it is split already its parts are
    kept, unless sizes are given. The same seed gives the same split on every machine, and the same command a second
    time changes nothing. DEST/manifest.csv lists every picture.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    asked = {"train": train, "validation": validation, "test": test}
    counts = {split: number for split, number in asked.items() if number is not None} or None
    with shown_progress() as show:
        result = api.split(source, dest, counts=counts, on_event=show, **wishes)
    lines = [json.dumps(result.to_json(), ensure_ascii=False)] if as_json else [_table(result.counts), *result.lines]
    click.echo("\n".join(lines))


def _table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A row a class and a column a part, aligned."""
    from cnntrain.cli.tables import aligned

    rows = [["class", *counts, "total"]]
    for label in next(iter(counts.values())):
        numbers = [counts[split][label] for split in counts]
        rows.append([label, *map(str, numbers), str(sum(numbers))])
    return aligned(rows)
