"""`cnntrain cache`: what is kept for later runs, and how to be rid of it."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cnntrain.errors import WriteError

if TYPE_CHECKING:
    from cnntrain.api import CacheContents, CachedBank

_DIGITS = 12  # of a key, in a table


@click.group("cache", short_help="List or clear what is kept for later runs.")
def command() -> None:
    """List or clear what is kept for later runs: the features of frozen layers, and looks at pictures.

    It lies in the user's cache folder, or in the one that CNNTRAIN_CACHE_DIR names. All features together take at most
    20 GB, or what CNNTRAIN_CACHE_LIMIT says (as 500MB); those that were not used for longest make room.
    """


@command.command("list", short_help="List the feature banks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def list_(as_json: bool) -> None:
    """List the feature banks, the one used last first, and what they take."""
    from cnntrain import api

    found = api.list_cache()
    click.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else _table(found))


@command.command("clear", short_help="Remove feature banks.")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def clear(keys: tuple[str, ...], as_json: bool) -> None:
    """Remove the feature banks whose keys begin with KEY; without one all of them, and the remembered looks.

    All of it is made again when it is needed. A run that reads a bank goes on; a bank that a run makes is kept.
    """
    from cnntrain import api

    cleared = api.clear_cache(keys)
    if as_json:
        click.echo(json.dumps(cleared.to_json(), ensure_ascii=False))
    else:
        for bank in cleared.removed:
            click.echo(f"removed {bank.key[:_DIGITS]}  {_what(bank.description)}  {_size(bank.bytes)}")
        click.echo(f"removed {_size(cleared.bytes)} in all")
    if cleared.kept:
        names = ", ".join(bank.key[:_DIGITS] for bank in cleared.kept)
        raise WriteError(f"kept {names}, which another process makes or you may not remove; try again later")


def _table(found: "CacheContents") -> str:
    """A row a bank, then what they take together."""
    from cnntrain.cli.tables import aligned

    rows = [("key", "what", "split", "pictures", "views", "size", "last used"), *map(_row, found.banks)]
    totals = [
        f"feature banks: {_size(found.bytes)} of at most {_size(found.limit)}",
        f"remembered looks at pictures: {_size(found.looks_bytes)}",
        f"in {found.folder}",
    ]
    return "\n".join([aligned(rows), "", *totals] if found.banks else totals)


def _row(bank: "CachedBank") -> tuple[str, ...]:
    from datetime import datetime

    used = datetime.fromtimestamp(bank.last_used).astimezone().strftime("%Y-%m-%d %H:%M")
    split = str(bank.description.get("split", "?"))
    what = _what(bank.description)
    return (bank.key[:_DIGITS], what, split, f"{bank.count:,}", str(bank.views), _size(bank.bytes), used)


def _what(description: Mapping[str, Any]) -> str:
    """As `vgg16 to block4_pool at 150×150`."""
    sides = description.get("image_size")
    size = "×".join(map(str, sides)) if isinstance(sides, list) else "?"
    return f"{description.get('backbone', '?')} to {description.get('cut', '?')} at {size}"


def _size(count: float) -> str:
    """Bytes with three digits or so."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
