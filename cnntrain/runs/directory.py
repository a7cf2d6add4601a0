"""The names of all files in a run directory, and how one is made."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cnntrain.errors import RunError, UsageError, WriteError
from cnntrain.files import is_temporary, sync_folder, temporary_beside
from cnntrain.runs.lock import is_lock

_EARLIER = ".cnntrain.earlier"  # a run that is being replaced, whole
_MOVING = ".cnntrain.moving"  # a part of it, on the way there or back; the rest lies beside


@dataclass(frozen=True)
class RunDirectory:
    """A run's folder and the files in it.

    Args:
        path: The folder as the user gave it.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The complete configuration."""
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        """Status, versions, device, timings."""
        return self.path / "run.json"

    @property
    def examples(self) -> Path:
        """Every picture used."""
        return self.path / "examples.csv"

    @property
    def classes(self) -> Path:
        """Class names in the order of the model's outputs."""
        return self.path / "classes.json"

    @property
    def preprocessing(self) -> Path:
        """Decoding and resizing."""
        return self.path / "preprocessing.json"

    @property
    def history(self) -> Path:
        """A row an epoch."""
        return self.path / "history.csv"

    @property
    def model(self) -> Path:
        """The best model, whole."""
        return self.path / "model.keras"

    @property
    def log(self) -> Path:
        """What was said while it ran."""
        return self.path / "log.txt"

    @property
    def state(self) -> Path:
        """The folder with what a training needs to go on."""
        return self.path / "state"

    @property
    def curves(self) -> Path:
        """Accuracy and loss over the epochs."""
        return self.path / "plots" / "curves.png"

    @property
    def generated_pictures(self) -> Path:
        """Pictures made for a smoke run that had no data."""
        return self.path / "generated"

    def evaluation(self, name: str) -> Path:
        """The folder of one evaluation: a split's name, or that of other data.

        Raises:
            UsageError: The name is not that of one folder.
        """
        if name != Path(name).name or name in ("", ".", ".."):
            raise UsageError(f"the name of an evaluation is one folder name; got: {name}; choose another --name")
        return self.path / "evaluation" / name

    @property
    def explanations(self) -> Path:
        """The folder with what the network sees: a folder a kind of picture."""
        return self.path / "explain"


def check_vacant(path: Path, *, overwrite: bool) -> None:
    """Makes sure that a new run may be made at `path`, whose lock is held.

    An earlier run that a killed process had set aside is put back first.

    Args:
        path: The folder of the run to be.
        overwrite: Whether an earlier run there may be replaced.

    Raises:
        WriteError: Something stands there that is not to be replaced.
    """
    with _told(path):
        _restore_earlier(path)
        if not path.exists() or (path.is_dir() and not _contents(path)):
            return
    if not RunDirectory(path).record.is_file():
        raise WriteError(
            f"{path} exists already and is not a run, so neither --overwrite nor --resume touches it; choose another "
            "--run-dir"
        )
    if not overwrite:
        raise WriteError(
            f"{path} exists already; go on with it with --resume, replace it with --overwrite, or choose another "
            "--run-dir"
        )


@contextmanager
def new_run(path: Path, *, overwrite: bool) -> Iterator[RunDirectory]:
    """Gives the empty directory of a new run, whose lock is held, to write into what a run begins with.

    When the block fails, nothing of it is left, and an earlier run is where it was; it is removed when the block ends
    well. Until then it lies in a hidden folder inside; where a process is killed meanwhile, whoever holds the lock next
    puts it back (`check_vacant`, `sweep`).

    Args:
        path: The folder of the run.
        overwrite: Whether an earlier run there may be replaced.

    Raises:
        WriteError: It cannot be made, or something stands there that is not to be replaced.
    """
    check_vacant(path, overwrite=overwrite)
    directory = RunDirectory(path)
    with _told(path):
        path.mkdir(parents=True, exist_ok=True)
        sweep(directory)
        if entries := _contents(path):
            _set_aside(path, entries)
    try:
        yield directory
        _discard_earlier(path)
    except BaseException:
        with suppress(OSError, WriteError):
            _clear(path)
            sweep(directory)
        raise


def _set_aside(path: Path, entries: Sequence[Path]) -> None:
    """Moves a run into a hidden folder inside its own. Raises OSError, and then it is where it was."""
    moving = path / _MOVING
    try:
        moving.mkdir()
        for entry in entries:
            entry.rename(moving / entry.name)
        sync_folder(moving)
        moving.rename(path / _EARLIER)
        sync_folder(path)
    except OSError:
        _restore_earlier(path)
        raise


def _restore_earlier(path: Path) -> None:
    """Puts back an earlier run that was set aside, in place of the one that has not begun; else does nothing.

    Raises:
        WriteError: It cannot be put back. It is still there, in a hidden folder, and the next call goes on.
    """
    earlier, moving = path / _EARLIER, path / _MOVING
    with _told(path):
        if RunDirectory(earlier).record.is_file():
            _clear(path)
            earlier.rename(moving)
        if moving.is_dir():
            for entry in moving.iterdir():
                entry.rename(path / entry.name)
            moving.rmdir()
            sync_folder(path)


def _discard_earlier(path: Path) -> None:
    """Removes an earlier run that was set aside: at once out of the way, then file by file. Raises WriteError."""
    earlier = path / _EARLIER
    with _told(path):
        if earlier.is_dir():
            shutil.rmtree(earlier.rename(temporary_beside(earlier)), ignore_errors=True)


def sweep(directory: RunDirectory) -> None:
    """Cleans a run directory, whose lock is held, of what killed trainings have left half-written or half-replaced.

    Temporary files where other commands write, such as those of an evaluation, may be in use and stay.

    Raises:
        WriteError: An earlier run that was set aside cannot be put back.
    """
    _restore_earlier(directory.path)
    for folder in (directory.path, directory.state, directory.curves.parent):
        with suppress(OSError):
            for entry in folder.iterdir():
                if is_temporary(entry.name):
                    _remove(entry)


def _contents(path: Path) -> list[Path]:
    """What lies in a run directory besides its lock and what is temporary. Raises OSError."""
    hidden = (_EARLIER, _MOVING)
    return [
        entry
        for entry in path.iterdir()
        if not (is_lock(entry.name) or is_temporary(entry.name) or entry.name in hidden)
    ]


def _clear(path: Path) -> None:
    """Removes all that a run directory contains. Raises OSError."""
    for entry in _contents(path):
        _remove(entry)


def _remove(entry: Path) -> None:
    """Removes a file, a link or a whole folder. Raises OSError."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns an operating-system error into one that names the run directory."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"cannot make the run directory {path}: {error.strerror or error}; choose another --run-dir"
        ) from error


def open_directory(path: Path) -> RunDirectory:
    """The run directory at `path`.

    Raises:
        RunError: There is no run.
    """
    directory = RunDirectory(path)
    try:
        is_run = directory.record.is_file()
        if (path / "fold_0").is_dir():
            raise RunError(f"{path} holds the runs of a cross-validation; give one of them, such as {path / 'fold_0'}")
        what = "has no run.json" if path.is_dir() else "is not a folder" if path.exists() else "does not exist"
    except OSError as error:
        is_run, what = False, f"cannot be read ({error.strerror or error})"
    if not is_run:
        raise RunError(f"{path} {what}, so it is not a run; give a folder that cnntrain fit made")
    return directory
