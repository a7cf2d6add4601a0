"""Shows what happens: moving bars on a terminal, one line an epoch elsewhere. All of it on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


@contextmanager
def shown_progress() -> Iterator[Callable[[Any], None]]:
    """Gives the function to hand to `on_event`."""
    if not sys.stderr.isatty():
        yield _print_line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[measured]}"),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
        yield _Bars(progress).show


def _print_line(event: Any) -> None:
    from cnntrain import api

    line = api.as_line(event)
    if line is not None:
        click.echo(line, err=True)


class _Bars:
    """One bar for the work in hand, above it the lines of what is done."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._bar = progress.add_task("starting", total=None, measured="")
        self._task = ""
        self._epoch = 1

    def show(self, event: Any) -> None:
        """Takes an event."""
        from cnntrain import api

        if isinstance(event, api.StepDone):
            self._step(event)
        line = api.as_line(event)
        if line is not None:
            self._progress.console.print(line, markup=False, style=_style(event), soft_wrap=True)
        if isinstance(event, api.EpochDone):
            self._epoch = event.row.epoch + 1

    def _step(self, event: Any) -> None:
        if event.task != self._task or event.step == 1:
            self._task = event.task
            self._progress.reset(self._bar, total=event.steps)
        name = f"epoch {self._epoch}" if event.task == "epoch" else event.task
        measured = "" if event.loss is None else f"loss {event.loss:.4f}  accuracy {event.accuracy:.4f}"
        self._progress.update(self._bar, completed=event.step, description=name, measured=measured)


def _style(event: Any) -> str | None:
    """Bold for the best epoch so far and for the start of a stage."""
    return "bold" if getattr(event, "is_best", False) or hasattr(event, "stages") else None
