"""Options that several commands take in the same form."""

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def device_option(use: str) -> Decorator:
    """`--device`, which reaches the command as `device`.

    Args:
        use: What the device is for: `run on` or `train on`.
    """
    choices = click.Choice(["auto", "cpu", "gpu"])
    return click.option("--device", type=choices, default="auto", show_default=True, help=f"What to {use}.")


def set_option(example: str) -> Decorator:
    """`--set KEY=VALUE`, which reaches the command as the tuple `overrides`.

    Args:
        example: A change that makes sense for the command.
    """
    change = f"Change a key, as {example}; may be repeated."
    return click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help=change)
