"""`cnntrain split`: splits pictures into training, validation and test."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cnntrain.api import SplitResult


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
    help="How pictures get into DEST; a zip can only be copied.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier split at DEST.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def command(
    source: Path,
    dest: Path,
    train: int | None,
    validation: int | None,
    test: int | None,
    ratios: tuple[float, ...] | None,
    seed: int,
    method: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Split the pictures of SOURCE into DEST/train, DEST/validation and DEST/test, a folder a class in each.

    SOURCE is a folder or a .zip with a folder a class, or with pictures whose names begin with their class and a dot
    (cat.0.jpg). The same seed gives the same split on every machine. DEST/manifest.csv lists every picture.
    """
    from cnntrain import api

    asked = {"train": train, "validation": validation, "test": test}
    counts = {split: number for split, number in asked.items() if number is not None} or None
    result = api.split(source, dest, counts=counts, ratios=ratios, seed=seed, method=method, overwrite=overwrite)
    click.echo(_document(result) if as_json else _table(result.counts))
    if result.left_out and not as_json:
        click.echo(f"{result.left_out} pictures are in no part", err=True)


def _document(result: "SplitResult") -> str:
    """The result as JSON."""
    values = {"dest": str(result.dest), "counts": result.counts, "seed": result.seed, "left_out": result.left_out}
    return json.dumps(values, ensure_ascii=False)


def _table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A row a class and a column a part, aligned."""
    rows = [["class", *counts, "total"]]
    for label in next(iter(counts.values())):
        numbers = [counts[split][label] for split in counts]
        rows.append([label, *map(str, numbers), str(sum(numbers))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))])
        for name, *cells in rows
    )
