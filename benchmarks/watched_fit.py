"""`cnntrain fit` with a listener that logs every epoch: `python -m benchmarks.watched_fit [OPTIONS] LOG fit CONFIG …`.

It is the command itself, as the shell runs it. A line of the log is one of JSON, as the plain script's.
"""

import time

START = time.perf_counter()  # what is imported from here on counts, too

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from dataclasses import asdict  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from cnntrain.cli import main as run_command  # noqa: E402
from cnntrain.cli import progress  # noqa: E402


def _watching(log: Path, *, target: float | None, first_batch: bool) -> Callable[[], Any]:
    """A `shown_progress` whose listener also writes the log, and ends the process when what was asked for is there."""
    shown = progress.shown_progress

    @contextmanager
    def shown_and_watched() -> Iterator[Callable[[Any], None]]:
        with shown() as show:

            def listen(event: Any) -> None:
                show(event)
                name = type(event).__name__
                if name == "StepDone" and event.task == "epoch" and first_batch:
                    os._exit(0)
                if name == "EpochDone":
                    _write(log, event.row)
                    if target is not None and event.row.val_accuracy >= target:
                        os._exit(0)

            yield listen

    return shown_and_watched


def _write(log: Path, row: Any) -> None:
    line = {**asdict(row), "wall": time.perf_counter() - START, "cpu": time.process_time()}
    with log.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--target", type=float, help="validation accuracy to stop at")
    parser.add_argument("--first-batch", action="store_true", help="stop at the end of the first training batch")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="of cnntrain, with its options")
    given = parser.parse_args()
    progress.shown_progress = _watching(given.log, target=given.target, first_batch=given.first_batch)
    run_command(given.command)


if __name__ == "__main__":
    main()
