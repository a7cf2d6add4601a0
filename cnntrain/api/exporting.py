"""`cnntrain export`: a run's model for other runtimes."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.errors import WriteError
from cnntrain.exports.describing import describe, is_export
from cnntrain.exports.kinds import FILES, RUNTIMES, Kind, check_kind
from cnntrain.files import folder_size, new_folder, reported
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, native_stderr_held_back, prepare, whole_float32
from cnntrain.training.events import Message, OnEvent, ignore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOGGERS = ("tf2onnx", "absl", "tensorflow")


@dataclass(frozen=True)
class Export:
    """An exported model, which has been run.

    Args:
        kind: `onnx`, `litert` or `saved_model`.
        folder: Where it lies, with `classes.json` and `preprocessing.json`.
        size: Bytes of all files.
        pictures: Number of the pictures that it was compared on.
        of: The split that they are of, or `noise`.
        largest_difference: Of a probability, between the model and the export; at most 1e-4.
    """

    kind: Kind
    folder: Path
    size: int
    pictures: int
    of: str
    largest_difference: float

    @property
    def file(self) -> Path:
        """What the other runtime loads: a file, or the folder itself for a SavedModel."""
        return self.folder / FILES[self.kind]

    @property
    def runtime(self) -> str:
        """The name of what has run it."""
        return RUNTIMES[self.kind]

    def to_json(self) -> dict[str, Any]:
        """The same, for scripts."""
        compared = {"pictures": self.pictures, "of": self.of, "largest_difference": self.largest_difference}
        return {
            "format": 1,
            "kind": self.kind,
            "folder": str(self.folder),
            "file": str(self.file),
            "size": self.size,
            **compared,
        }


def export(
    run: Run | str | Path,
    format: str,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> Export:
    """Writes a run's model in another format, with its classes and its preprocessing, and runs what it has written.

    The exported model takes pictures as float32 (N, height, width, channels) from 0 to 255, any N, as `pictures`, and
    gives `probabilities` as the model itself: (N, 1), of the second class, where there are two, else (N, classes).
    It is compared with the model on up to 32 pictures of the run, of its test part if there is one; nothing is left of
    it when a probability differs by more than 1e-4.

    Args:
        run: A run, or its folder.
        format: `onnx`, `litert` or `saved_model`.
        output: The folder to make; `RUN/export/FORMAT` when absent.
        overwrite: Whether an earlier export there is replaced.
        device: What the model runs on: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        UsageError: There is no such format, or a package for it is missing.
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged, cannot be exported, or gives other answers then.
        WriteError: The folder exists already or cannot be written.
    """
    kind = check_kind(format)
    run = run if isinstance(run, Run) else open_run(Path(run))
    listener = on_event or ignore
    folder = Path(output) if output is not None else run.directory.path / "export" / kind
    _check_vacant(folder, overwrite=overwrite)
    prepare(device)
    from cnntrain.evaluation.trust import SMOKE_NOTE, open_model
    from cnntrain.exports.pictures import trial_pictures

    model, preprocessing = open_model(run)
    if run.record.smoke:
        listener(Message(SMOKE_NOTE))
    trial = trial_pictures(run, preprocessing)
    if trial.of == "noise":
        listener(Message("the run's pictures are not here: the export is checked on noise"))
    with new_folder(folder, overwrite=overwrite) as place:
        difference = _written(kind, model, place, trial.pictures)
        describe(kind, place, run, preprocessing)
        size = folder_size(place)
    return Export(kind, folder, size, len(trial.pictures), trial.of, difference)


def _written(kind: Kind, model: Any, place: Path, pictures: "NDArray[np.uint8]") -> float:
    from cnntrain.exports.checking import write_checked

    with _quiet(), whole_float32():
        return write_checked(kind, model, place, pictures)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps away what converters and runtimes print, log and warn of: an export is checked by running it."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), native_stderr_held_back():
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_vacant(folder: Path, *, overwrite: bool) -> None:
    """Makes sure, before anything takes time, that an export may be written. Raises WriteError."""
    with reported(folder):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return
        if not (folder.is_dir() and is_export(folder)):
            raise WriteError(
                f"{folder} exists already and is not an export, so it is not replaced; choose another place"
            )
    if not overwrite:
        raise WriteError(f"{folder} exists already; replace it with --overwrite, or choose another place with --output")
