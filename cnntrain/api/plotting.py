"""`cnntrain plot`: the curves of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.api.fonts import tell_missing_fonts
from cnntrain.errors import RunError, UsageError
from cnntrain.files import write_bytes
from cnntrain.runs.run import Run, open_run
from cnntrain.training.events import OnEvent, ignore

if TYPE_CHECKING:
    from cnntrain.plots.curves import Curves

SMOOTHING = 0.8


def plot(
    runs: Run | str | Path | Sequence[Run | str | Path],
    *,
    smoothing: float = SMOOTHING,
    output: str | Path | None = None,
    on_event: OnEvent | None = None,
) -> Path:
    """Draws the curves of one run, or of several on the same axes.

    Args:
        runs: Runs or their folders, one at least.
        smoothing: Weight of the past in the moving average, 0 to below 1.
        output: The PNG to write; when absent `plots/curves.png` of a single run, else `curves.png` here.
        on_event: Told where a name cannot be drawn.

    Returns:
        The file that was written.

    Raises:
        UsageError: There is nothing to draw, or the weight is out of its range.
        RunError: There is no such run, or no epoch of it is over.
        WriteError: The file cannot be written.
    """
    if not runs or not 0.0 <= smoothing < 1.0:
        raise UsageError(f"plot needs a run and a smoothing from 0 to below 1; got: {runs} and {smoothing}")
    from cnntrain.plots.curves import draw_curves
    from cnntrain.plots.style import to_png

    runs = [runs] if isinstance(runs, Run | str | Path) else runs
    opened = [run if isinstance(run, Run) else open_run(Path(run)) for run in runs]
    default = opened[0].directory.curves if len(opened) == 1 else Path("curves.png")
    path = Path(output) if output is not None else default
    if path.suffix.lower() != ".png":
        raise UsageError(f"curves are written as PNG; got: {path}; give a name that ends in .png")
    tell_missing_fonts(on_event or ignore, [run.name for run in opened])
    write_bytes(path, to_png(draw_curves([curves_of(run) for run in opened], smoothing=smoothing)))
    return path


def curves_of(run: Run) -> "Curves":
    """The history of a run as the series that are drawn. Raises RunError where no epoch of it is over."""
    from cnntrain.plots.curves import Curves

    rows = run.history
    if not rows:
        raise RunError(f"no epoch of the run {run.path} is over, so there are no curves; fit it again")
    has_validation = rows[0].val_loss is not None
    first_epochs = {row.stage: row.epoch for row in reversed(rows)}
    return Curves(
        name=run.name,
        epochs=tuple(row.epoch for row in rows),
        loss=tuple(row.loss for row in rows),
        accuracy=tuple(row.accuracy for row in rows),
        val_loss=tuple(row.monitored("val_loss") for row in rows) if has_validation else None,
        val_accuracy=tuple(row.monitored("val_accuracy") for row in rows) if has_validation else None,
        stages=tuple(sorted(first_epochs.items(), key=lambda stage: stage[1])),
    )
