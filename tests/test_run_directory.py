"""Making a run directory: what counts as vacant, what is replaced when, and what killed processes leave."""

import errno
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from cnntrain.errors import WriteError
from cnntrain.files import temporary_beside, temporary_folder, write_bytes
from cnntrain.runs.directory import RunDirectory, check_vacant, new_run, sweep
from cnntrain.runs.lock import HOLDER, LOCK, locked

_RUN = {"run.json": b"{}", "model.keras": b"old", "state": None, "state/1": b"1", "plots": None, "plots/a.png": b"a"}
_BEGUN = {"run.json": b"new", "config.yaml": b"new"}


def _tree(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def _write(path: Path, contents: dict[str, bytes | None]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if content is None:
            (path / name).mkdir()
        else:
            (path / name).write_bytes(content)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with everything in it."""
    _write(tmp_path / "run", _RUN)
    return tmp_path / "run"


def _leave_half_written(path: Path) -> list[Path]:
    """What killed writers leave in a run directory."""
    files = [temporary_beside(path / name) for name in ("run.json", "state/2.safetensors", "plots/curves.png")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"half")
    folders = [temporary_beside(path / "generated"), temporary_beside(path / "tmp")]
    for folder in folders:
        _write(folder, {"cat": None, "cat/1.png": b"half"})
    return [*files, *folders]


def test_the_folder_of_states_is_state(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path).state == tmp_path / "state"


# vacant or not


@pytest.mark.parametrize("overwrite", [False, True])
def test_lock_and_leavings_are_no_contents(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "run"
    check_vacant(path, overwrite=overwrite)
    with locked(path), temporary_folder(path):
        temporary_beside(path / "run.json").write_bytes(b"half")
        check_vacant(path, overwrite=overwrite)


@pytest.mark.parametrize("name", ["run.json", ".git", "lock", ".1.json", ".tmp-1", LOCK[:-1]])
def test_whatever_else_lies_there_is_not_overwritten_unasked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WriteError, match="exists already"):
        check_vacant(tmp_path, overwrite=False)
    assert _tree(tmp_path) == {name: b"x"}


def test_what_is_no_run_is_never_overwritten(tmp_path: Path) -> None:
    _write(tmp_path, {"thesis.tex": b"x", ".cnntrain.earlier": None})
    with (
        pytest.raises(WriteError, match="is not a run, so neither --overwrite nor --resume touches it"),
        new_run(tmp_path, overwrite=True),
    ):
        pass
    assert _tree(tmp_path) == {"thesis.tex": b"x", ".cnntrain.earlier": None}


def test_a_file_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(WriteError, match="is not a run"):
        check_vacant(tmp_path / "file", overwrite=True)


# making one


def test_a_new_one_is_empty_but_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "digits"
    with locked(path), new_run(path, overwrite=False) as directory:
        assert directory == RunDirectory(path)
        assert set(_tree(path)) == {LOCK, HOLDER}
        write_bytes(directory.record, b"{}")
    assert _tree(path) == {"run.json": b"{}"}


def test_an_earlier_run_is_replaced_whole(run: Path) -> None:
    with locked(run), new_run(run, overwrite=True) as directory:
        assert {path.name for path in run.iterdir() if not path.name.startswith(".cnntrain.")} == set()
        write_bytes(directory.record, b"new")
        assert {LOCK, HOLDER} <= set(_tree(run))
    assert _tree(run) == {"run.json": b"new"}


def _begin_and_fail(path: Path, error: BaseException, *, overwrite: bool) -> NoReturn:
    with locked(path), new_run(path, overwrite=overwrite) as directory:
        _write(path, {**_BEGUN, "plots": None, "generated": None, "generated/1.png": b"1"})
        temporary_beside(directory.model).write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [WriteError("full"), KeyboardInterrupt(), OSError(errno.EIO, "")])
def test_a_run_that_cannot_begin_leaves_the_earlier_one(run: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        _begin_and_fail(run, error, overwrite=True)
    assert caught.value is error
    assert _tree(run) == _RUN


def test_a_first_run_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "digits"
    with pytest.raises(WriteError, match="full"):
        _begin_and_fail(path, WriteError("full"), overwrite=False)
    assert _tree(tmp_path) == {}


def _fail(*_: Any) -> NoReturn:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("failing", range(1, 7))  # four entries, their folder, and its removal in the end
def test_a_run_that_cannot_be_set_aside_stays(run: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    rename, calls = Path.rename, [0]

    def renamed(self: Path, target: Path) -> Path:
        calls[0] += 1
        return _fail() if calls[0] == failing else rename(self, target)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", renamed)
        with pytest.raises(WriteError) as caught, new_run(run, overwrite=True):
            _write(run, _BEGUN)
    assert str(caught.value).startswith(f"cannot make the run directory {run}: {os.strerror(errno.EIO)}; choose")
    assert _tree(run) == _RUN


class _Killed(BaseException):
    """Ends a function where it stands, and nothing in it may tidy up."""


@pytest.mark.parametrize("call", range(1, 20))
@pytest.mark.parametrize("fails", [False, True])
def test_a_kill_at_any_moment_leaves_one_run_or_the_other(
    run: Path, monkeypatch: pytest.MonkeyPatch, call: int, fails: bool
) -> None:
    """Every change of names is a moment; what comes next under the lock finds the earlier run, or the new one."""
    calls = [0]

    def counted(original: Any) -> Any:
        def done(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] >= call:
                raise _Killed
            return original(*arguments, **options)

        return done

    with monkeypatch.context() as dying:
        for name in ("rename", "mkdir", "rmdir", "unlink"):
            dying.setattr(Path, name, counted(getattr(Path, name)))
        try:
            with new_run(run, overwrite=True):
                for name, content in _BEGUN.items():
                    (run / name).write_bytes(content)
                if fails:
                    raise WriteError("full")
        except (_Killed, WriteError):
            pass
    sweep(RunDirectory(run))
    assert _tree(run) in ([_RUN] if fails else [_RUN, _BEGUN])


# what killed processes leave


def test_leavings_are_swept_and_nothing_else(run: Path) -> None:
    left = _leave_half_written(run)
    others = {"evaluation": None, "evaluation/test": None, ".hidden": b"x", ".1.txt": b"x", "plots/.a": b"x"}
    _write(run, others)
    in_use = temporary_beside(run / "evaluation" / "test" / "metrics.json")
    in_use.write_bytes(b"half")
    sweep(RunDirectory(run))
    assert not any(path.exists() for path in left)
    assert _tree(run) == {**_RUN, **others, in_use.relative_to(run).as_posix(): b"half"}


def test_leavings_go_when_a_new_run_is_made(tmp_path: Path) -> None:
    _leave_half_written(tmp_path / "run")
    for name in ("state", "plots"):
        sweep(RunDirectory(tmp_path / "run"))
        (tmp_path / "run" / name).rmdir()
    with new_run(tmp_path / "run", overwrite=False):
        assert _tree(tmp_path / "run") == {}


def test_nothing_is_swept_where_there_is_nothing(tmp_path: Path) -> None:
    sweep(RunDirectory(tmp_path / "nowhere"))
    assert _tree(tmp_path) == {}
