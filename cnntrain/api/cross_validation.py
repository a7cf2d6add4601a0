"""`cnntrain fit --all-folds`: one run a fold, and what they say together."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.api.training import fit, run_directory_of
from cnntrain.config import Source, load_config
from cnntrain.errors import DataError, WriteError
from cnntrain.files import write_json
from cnntrain.runs.run import Run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, ignore

if TYPE_CHECKING:
    from cnntrain.evaluation.intervals import CorrectedInterval

FOLDS_FILE = "folds.json"


@dataclass(frozen=True)
class CrossValidation:
    """One run a fold.

    Args:
        path: The folder that holds them.
        runs: In the order of the folds.
        accuracy: Mean validation accuracy of the best epochs, with its interval.
        loss: Mean validation loss of the best epochs, likewise.
    """

    path: Path
    runs: tuple[Run, ...]
    accuracy: "CorrectedInterval"
    loss: "CorrectedInterval"

    def to_json(self) -> dict[str, Any]:
        """What `folds.json` holds."""
        from dataclasses import asdict

        rows = []
        for run in self.runs:
            best = _best_row(run)
            row = {"run_dir": run.name, "fold": run.config.data.fold, "epoch": best.epoch}
            rows.append({**row, "val_accuracy": best.val_accuracy, "val_loss": best.val_loss})
        return {
            "format": 1,
            "folds": rows,
            "interval": "95 %, corrected resampled t (Nadeau and Bengio 2003)",
            "val_accuracy": asdict(self.accuracy),
            "val_loss": asdict(self.loss),
        }


def fit_folds(
    config: Source,
    *,
    run_dir: str | Path | None = None,
    overrides: str | Sequence[str] = (),
    smoke: bool = False,
    device: DeviceChoice = "auto",
    overwrite: bool = False,
    allow_leak: bool = False,
    on_event: OnEvent | None = None,
) -> CrossValidation:
    """Fits a configuration once for each fold of its data, into `run_dir/fold_0`, … and writes `run_dir/folds.json`.

    Args: as `fit` takes them.

    Returns:
        The runs, and the means of their validation results with the interval of Nadeau and Bengio.

    Raises:
        DataError: The data has no folds; besides, whatever `fit` raises.
        WriteError: `run_dir` exists or cannot be written.
    """
    listener = on_event or ignore
    overrides = [overrides] if isinstance(overrides, str) else list(overrides)
    loaded = load_config(config, overrides=overrides)
    path = run_directory_of(loaded, run_dir)
    prepare(device)
    numbers = _folds(loaded.config.data)
    _vacate(path, overwrite=overwrite)
    runs: list[Run] = []
    for number in numbers:
        listener(Message(f"fold {number} ({len(runs) + 1} of {len(numbers)})"))
        runs.append(
            fit(
                config,
                run_dir=path / f"fold_{number}",
                overrides=[*overrides, f"data.fold={number}"],
                smoke=smoke,
                device=device,
                allow_leak=allow_leak,
                on_event=on_event,
            )
        )
        _forget_network()
    found = _together(path, runs)
    write_json(path / FOLDS_FILE, found.to_json())
    return found


def _folds(data: Any) -> tuple[int, ...]:
    from cnntrain.data.data_set import folds_of

    numbers = folds_of(data)
    if len(numbers) < 2:
        raise DataError(
            f"{data.source} has no folds in its manifest; make them with `cnntrain split SOURCE DEST --folds 5`"
        )
    return numbers


def _vacate(path: Path, *, overwrite: bool) -> None:
    """Makes sure that the runs may be written at `path`; removes earlier ones where that is allowed."""
    try:
        names = {entry.name for entry in path.iterdir()} if path.is_dir() else {path.name} if path.exists() else set()
        if not names:
            return
        if not overwrite:
            raise WriteError(f"{path} exists already; choose another --run-dir, or replace it with --overwrite")
        if any(name != FOLDS_FILE and not name.startswith("fold_") for name in names):
            raise WriteError(f"{path} does not hold folds alone, so --overwrite does not touch it; choose --run-dir")
        shutil.rmtree(path)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}; choose another --run-dir") from error


def _forget_network() -> None:
    """Lets the memory of the last fold's network go."""
    import keras

    keras.backend.clear_session(free_memory=True)


def _best_row(run: Run) -> Any:
    """The epoch that the run kept."""
    best = run.record.best
    if best is None:
        raise ValueError("a finished run has a best epoch")
    return run.history[best.epoch - 1]


def _together(path: Path, runs: Sequence[Run]) -> CrossValidation:
    from cnntrain.evaluation.intervals import corrected_interval

    best = [_best_row(run) for run in runs]
    images = [run.record.data["images"] for run in runs]
    share = sum(counts["validation"] for counts in images) / sum(counts["train"] for counts in images)
    return CrossValidation(
        path,
        tuple(runs),
        corrected_interval([row.val_accuracy for row in best], test_share=share),
        corrected_interval([row.val_loss for row in best], test_share=share),
    )
