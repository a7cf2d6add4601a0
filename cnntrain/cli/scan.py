"""`cnntrain scan`: looks at every picture and says what is wrong with the data."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnntrain.errors import DataError

if TYPE_CHECKING:
    from cnntrain.api import Finding, Scan

_NAMED = 3


@click.command("scan", short_help="Look at every picture and say what is wrong with the data.")
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@click.option("--label-regex", metavar="REGEX", help="Find the class in each path by this pattern's first group.")
@click.option(
    "--max-pixels", type=click.IntRange(1, 178_956_970), help="Decode no larger picture.  [default: 50 million]"
)
@click.option("--strict", is_flag=True, help="End with exit code 3 if there is an error, for scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document with all findings and paths.")
@click.option(
    "--csv",
    "table",
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="A row a picture, to FILE or else to stdout.",
)
def command(
    source: Path, label_regex: str | None, max_pixels: int | None, strict: bool, as_json: bool, table: str | None
) -> None:
    """Look at every picture of SOURCE through the decoder that training uses. Nothing is changed.

    SOURCE is a folder, a CSV or TSV file, or a .zip or .tar, split or not, with labels or without.
    """
    from cnntrain import api
    from cnntrain.cli.progress import shown_progress

    if as_json and table == "-":
        raise click.UsageError("--json and --csv both print on stdout; give --csv a FILE")
    with shown_progress() as show:
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        found = api.scan(source, label_regex=label_regex, **limit, on_event=show)
    if table not in (None, "-"):
        api.write_scan(found, Path(str(table)))
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
    elif table == "-":
        click.echo(found.to_csv(), nl=False)
    else:
        _print(found)
    errors = [finding.code for finding in found.findings if finding.level == "error"]
    if strict and errors:
        raise DataError(f"{found.name} has errors ({', '.join(errors)}); mend the data, or scan without --strict")


def _print(found: "Scan") -> None:
    """Counts, sizes and findings, each as a small table."""
    from cnntrain.cli.tables import aligned

    kinds = ", ".join(f"{count} {kind}" for kind, count in found.kinds.items())
    click.echo(f"{len(found.examples)} pictures{f' ({kinds})' if kinds else ''} in {found.name}\n")
    splits = found.counts
    rows = [["class", *(split or "pictures" for split in splits)]]
    rows += [
        [label or "(none)", *(str(splits[split][label]) for split in splits)] for label in next(iter(splits.values()))
    ]
    click.echo(aligned(rows))
    if found.sizes:
        rows = [["pixels", "smallest", "median", "largest"]]
        rows += [[side, *map(str, values.values())] for side, values in found.sizes.items()]
        click.echo(f"\n{aligned(rows)}")
    click.echo()
    for finding in found.findings:
        click.echo("\n".join(_lines(finding)))
    if not found.findings:
        click.echo("nothing to complain about")


def _lines(finding: "Finding") -> Iterator[str]:
    """A finding, and the first pictures it is about."""
    sets, pictures = len(finding.sets), len(finding.pictures)
    number = f" ({pictures} in {sets} set{'s' if sets > 1 else ''})" if sets else f" ({pictures})" if pictures else ""
    yield f"{finding.level:<8} {finding.code}{number}: {finding.what}"
    if finding.sets:
        named = [" = ".join(members) for members in finding.sets]
    elif finding.problems:
        named = [f"{path}: {problem}" for path, problem in zip(finding.pictures, finding.problems, strict=True)]
    else:
        named = list(finding.pictures)
    yield from (f"           {name}" for name in named[:_NAMED])
    if len(named) > _NAMED:
        yield f"           and {len(named) - _NAMED} more"
