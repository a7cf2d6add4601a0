"""A finished or unfinished run, as later commands read it."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cnntrain.config import Config, load_config
from cnntrain.errors import RunError
from cnntrain.files import write_json
from cnntrain.runs.directory import RunDirectory, open_directory
from cnntrain.runs.history import EpochRow, read_history
from cnntrain.runs.record import RunRecord, read_record


@dataclass(frozen=True)
class Run:
    """A run directory, read when asked.

    Args:
        directory: Where everything lies.
    """

    directory: RunDirectory

    @property
    def path(self) -> Path:
        """The folder."""
        return self.directory.path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @cached_property
    def config(self) -> Config:
        """The complete configuration."""
        return load_config(self.directory.config).config

    @cached_property
    def record(self) -> RunRecord:
        """Status, versions, device, timings."""
        return read_record(self.directory.record)

    @cached_property
    def history(self) -> tuple[EpochRow, ...]:
        """A row an epoch."""
        return read_history(self.directory.history)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs."""
        return tuple(self._json(self.directory.classes, "classes")["classes"])

    @cached_property
    def preprocessing(self) -> dict[str, Any]:
        """Decoding and resizing, as `preprocessing.json` says it."""
        return self._json(self.directory.preprocessing, "height", "width", "channels")

    def to_json(self) -> dict[str, Any]:
        """Where the run is and how it went, for scripts."""
        record = self.record
        best = asdict(record.best) if record.best else None
        return {"run_dir": str(self.path), "status": record.status, "epochs": len(self.history), "best": best}

    def _json(self, path: Path, *keys: str) -> dict[str, Any]:
        """A JSON file of the run, which has at least these keys."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path} ({error}); the run is damaged, fit it again") from error
        if not isinstance(value, dict) or value.get("format") != 1 or not set(keys) <= set(value):
            raise RunError(f"{path} is not of format 1; it is damaged or of another version, fit the run again")
        return value


def open_run(path: Path) -> Run:
    """The run at `path`.

    Raises:
        RunError: There is no run, or its record is damaged.
    """
    run = Run(open_directory(path))
    _ = run.record
    return run


def write_classes(path: Path, classes: tuple[str, ...]) -> None:
    """Writes `classes.json`: the names, and what the model's outputs are. Raises WriteError."""
    outputs = f"one number, the probability of {classes[1]}" if len(classes) == 2 else "a probability for each class"
    write_json(path, {"format": 1, "classes": list(classes), "outputs": outputs})
