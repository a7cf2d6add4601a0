"""`cnntrain fit --all-folds`: one run a fold, and what they say together."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.api.training import fit, run_directory_of
from cnntrain.config import LoadedConfig, Problem, Source, load_config
from cnntrain.config.resolving import smoke_config
from cnntrain.data.sources.walking import is_junk
from cnntrain.errors import UsageError, WriteError
from cnntrain.files import write_json
from cnntrain.runs.directory import RunDirectory
from cnntrain.runs.lock import is_lock, locked
from cnntrain.runs.run import Run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, ignore

if TYPE_CHECKING:
    from cnntrain.evaluation.intervals import CorrectedInterval

FOLDS_FILE = "folds.json"
_FOLD = re.compile(r"fold_\d+", re.ASCII)


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
        """What `folds.json` holds at the end."""
        from dataclasses import asdict

        return {
            "format": 1,
            "status": "finished",
            "folds": _rows(self.runs),
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
    resume: bool = False,
    force_resume: bool = False,
    allow_leak: bool = False,
    on_event: OnEvent | None = None,
) -> CrossValidation:
    """Fits a configuration once for each fold of its data, into `run_dir/fold_0`, … and writes `run_dir/folds.json`.

    That file is written anew after every fold; its status is `running` until all are done. With `overwrite` an earlier
    cross-validation is removed once fold 0 has been prepared without an error, and nothing else ever is. With `resume`
    finished folds stay as they are, and the one that was not is gone on with.

    Args: as `fit` takes them.

    Returns:
        The runs, and the means of their validation results with the interval of Nadeau and Bengio.

    Raises:
        UsageError: `data.fold` is given, or it is a smoke run without data.
        DataError: The data has no folds; besides, whatever `fit` raises.
        WriteError: `run_dir` exists or cannot be written.
    """
    listener = on_event or ignore
    overrides = [overrides] if isinstance(overrides, str) else list(overrides)
    loaded = load_config(config, overrides=overrides)
    path = run_directory_of(loaded, run_dir)
    goes_on = resume or force_resume
    if overwrite and goes_on:
        raise UsageError("--resume goes on with the runs and --overwrite replaces them; give one of them")
    with locked(path):
        earlier = () if goes_on else _earlier(path, overwrite=overwrite)
        prepare(device)
        numbers = _folds(loaded, smoke=smoke)
        if earlier:
            first = load_config(config, overrides=[*overrides, f"data.fold={numbers[0]}"])
            _demand_fit(first, smoke=smoke, allow_leak=allow_leak, on_event=listener)
            _remove(path, earlier)
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
                    resume=resume,
                    force_resume=force_resume,
                    allow_leak=allow_leak,
                    on_event=on_event,
                )
            )
            write_json(path / FOLDS_FILE, {"format": 1, "status": "running", "folds": _rows(runs)})
            _forget_network()
        found = _together(path, runs)
        write_json(path / FOLDS_FILE, found.to_json())
        return found


def _folds(loaded: LoadedConfig, *, smoke: bool) -> tuple[int, ...]:
    """The numbers of the folds; everything that is wrong with the configuration besides is told as `fit` tells it."""
    from cnntrain.data.data_set import SOURCE, find_data_set
    from cnntrain.data.splitting.folds import fold_numbers
    from cnntrain.models.checks import check

    data = loaded.config.data
    if data.fold is not None:
        raise UsageError(f"--all-folds holds out one fold after the other; got: data.fold={data.fold}; leave that out")
    if smoke and not Path(data.source).expanduser().exists():
        raise UsageError(f"--all-folds needs data with folds, and {data.source} is not there; leave --all-folds out")
    data_set, problems = find_data_set(data)
    loaded.raise_for([*check(smoke_config(loaded.config) if smoke else loaded.config), *problems])
    numbers = fold_numbers(data_set.examples) if data_set else ()
    if len(numbers) < 2:
        what = f"{data.source} has no folds in its manifest; make them with `cnntrain split SOURCE DEST --folds 5`"
        loaded.raise_for([Problem(key=SOURCE, what=what)])
    return numbers


def _earlier(path: Path, *, overwrite: bool) -> tuple[Path, ...]:
    """What of an earlier cross-validation is to be removed. Raises WriteError where anything else is in the way."""
    try:
        if not path.exists():
            return ()
        entries = tuple(entry for entry in sorted(path.iterdir()) if not (is_junk(entry.name) or is_lock(entry.name)))
        foreign = [entry for entry in entries if not _is_ours(entry)]
    except OSError as error:
        raise _unwritable(path, error) from error
    if entries and not overwrite:
        raise WriteError(
            f"{path} exists already; go on with it with --resume, replace it with --overwrite, or choose another "
            "--run-dir"
        )
    if foreign:
        raise WriteError(
            f"{path} does not hold folds alone, but {foreign[0].name} too, so --overwrite does not touch it; "
            "choose another --run-dir"
        )
    return entries


def _is_ours(entry: Path) -> bool:
    """Whether a file or folder is what `fit_folds` makes."""
    if entry.is_symlink():
        return False
    if entry.name == FOLDS_FILE:
        return entry.is_file()
    return bool(_FOLD.fullmatch(entry.name)) and RunDirectory(entry).record.is_file()


def _demand_fit(loaded: LoadedConfig, *, smoke: bool, allow_leak: bool, on_event: OnEvent) -> None:
    """Makes sure that a run can begin before an earlier one is removed; raises what `fit` raises."""
    from cnntrain.training.preparing import prepare_fit

    prepare_fit(loaded, smoke=smoke, allow_leak=allow_leak, on_event=on_event)
    _forget_network()


def _remove(path: Path, entries: Sequence[Path]) -> None:
    try:
        for entry in entries:
            if entry.name == FOLDS_FILE:
                entry.unlink()
            else:
                shutil.rmtree(entry)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> WriteError:
    return WriteError(f"cannot write {path}: {error.strerror or error}; choose another --run-dir")


def _forget_network() -> None:
    """Lets the memory of the last fold's network go."""
    import keras

    keras.backend.clear_session(free_memory=True)


def _rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What each run came to."""
    rows = []
    for run in runs:
        best = _best_row(run)
        row = {"run_dir": run.name, "fold": run.config.data.fold, "epoch": best.epoch}
        rows.append({**row, "val_accuracy": best.val_accuracy, "val_loss": best.val_loss})
    return rows


def _best_row(run: Run) -> Any:
    """The epoch that the run kept; measured again where the weights between two epochs were better."""
    best = run.record.best
    if best is None:
        raise ValueError("a finished run has a best epoch")
    row = run.history[best.epoch - 1]
    for tried in run.record.interpolation:
        if tried.alpha == best.alpha:
            return replace(row, val_loss=tried.val_loss, val_accuracy=tried.val_accuracy)
    return row


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
