"""The names of all files in a run directory, and how one is made."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from cnntrain.errors import RunError, UsageError, WriteError


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

    def activations(self, picture: str) -> Path:
        """The folder with what the layers make of one picture, which is called by its file's name without suffix."""
        return self.path / "explain" / "activations" / picture


def check_vacant(path: Path, *, overwrite: bool) -> None:
    """Makes sure that a new run may be made at `path`.

    Args:
        path: The folder of the run to be.
        overwrite: Whether an earlier run there may be replaced.

    Raises:
        WriteError: Something stands there that is not to be replaced.
    """
    try:
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return
    except OSError as error:
        raise _unwritable(path, error) from error
    if not overwrite:
        raise WriteError(f"{path} exists already; choose another --run-dir, or replace it with --overwrite")
    if not RunDirectory(path).record.is_file():
        raise WriteError(f"{path} is not a run, so --overwrite does not touch it; choose another --run-dir")


def create(path: Path, *, overwrite: bool) -> RunDirectory:
    """Makes the folder of a new run, removing an earlier run where that is allowed.

    Raises:
        WriteError: It cannot be made, or something stands there that is not to be replaced.
    """
    check_vacant(path, overwrite=overwrite)
    try:
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    return RunDirectory(path)


def _unwritable(path: Path, error: OSError) -> WriteError:
    return WriteError(f"cannot make the run directory {path}: {error.strerror or error}; choose another --run-dir")


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
