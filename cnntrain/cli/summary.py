"""`cnntrain summary`: the layers of a configuration's network."""

import json
from pathlib import Path
from typing import Any

import click

from cnntrain.cli.options import set_option


@click.command("summary", short_help="Show the layers of a configuration's network.")
@click.argument("config", type=click.Path(path_type=Path))
@set_option("data.image_size=[96,96]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def command(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show every layer of the network that CONFIG describes: shape, activations, parameters, when it trains.

    Below the table stands which layers run only once, and what that costs and saves.
    """
    from cnntrain import api

    found = api.summary(config, overrides=overrides)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    for line in _lines(found.network):
        click.echo(line)
    if plan := found.features.to_lines():
        click.echo("\n".join(["", *plan]))


def _lines(found: Any) -> list[str]:
    """A table of plain text, every column as wide as it must be."""
    rows = [("layer", "kind", "output", "activations", "parameters", "trains in")]
    rows += [
        (
            layer.name,
            layer.kind,
            " × ".join(map(str, layer.shape)),
            f"{layer.activations:,}",
            f"{layer.parameters:,}",
            ", ".join(layer.trains) or "-",
        )
        for layer in found.layers
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [_aligned(row, widths) for row in rows]
    totals = [
        ("parameters", found.parameters),
        ("parameters without the head", found.parameters_without_head),
        *((f"parameters that train in {stage}", count) for stage, count in found.trainable.items()),
        ("activations", found.activations),
    ]
    label = max(len(name) for name, _ in totals)
    return [
        lines[0],
        "-" * len(lines[0]),
        *lines[1:],
        "",
        *(f"{name:<{label}}  {count:>14,}" for name, count in totals),
    ]


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        f"{cell:>{width}}" if column in (3, 4) else f"{cell:<{width}}"
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
