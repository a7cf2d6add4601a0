"""The history of a training: a row an epoch, in `history.csv`."""

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cnntrain.errors import RunError
from cnntrain.files import write_text


@dataclass(frozen=True, slots=True)
class EpochRow:
    """What one epoch gave.

    Args:
        stage: Name of its stage.
        epoch: Counted from 1 through all stages.
        loss: Mean training loss, nats, as the weights changed.
        accuracy: Training accuracy, 0 to 1, as the weights changed.
        val_loss: Loss on the validation set after the epoch, absent without one.
        val_accuracy: Accuracy on the validation set after the epoch, absent without one.
        learning_rate: At the end of the epoch.
        seconds: Of the whole epoch.
        images_per_second: Training pictures a second, validation excluded.
    """

    stage: str
    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    learning_rate: float
    seconds: float
    images_per_second: float

    @property
    def is_finite(self) -> bool:
        """Whether the losses that were measured are finite."""
        return math.isfinite(self.loss) and (self.val_loss is None or math.isfinite(self.val_loss))

    def monitored(self, monitor: str) -> float:
        """The value of `loss`, `accuracy`, `val_loss` or `val_accuracy`; not a number where it is absent."""
        value = getattr(self, monitor)
        return float("nan") if value is None else float(value)


COLUMNS = tuple(field.name for field in fields(EpochRow))


def write_history(path: Path, rows: Iterable[EpochRow]) -> None:
    """Writes the rows as CSV; numbers so that reading them gives the same. Raises WriteError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(["" if value is None else value for value in asdict(row).values()] for row in rows)
    write_text(path, text.getvalue())


def read_history(path: Path) -> tuple[EpochRow, ...]:
    """Reads what `write_history` wrote; no rows when the file is missing, since the first epoch may not be over.

    Raises:
        RunError: The file is damaged.
    """
    if not path.exists():
        return ()
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        return tuple(_row(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is not the history of a run ({error}); fit the run again") from error


def _row(row: dict[str, str]) -> EpochRow:
    numbers = {name: float(row[name]) if row[name] else None for name in COLUMNS[2:]}
    return EpochRow(stage=row["stage"], epoch=int(row["epoch"]), **numbers)  # type: ignore[arg-type]
