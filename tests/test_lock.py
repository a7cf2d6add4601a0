"""One run directory, one process: who gets the lock, what the others are told, and what is left."""

import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cnntrain.errors import WriteError
from cnntrain.files import write_json
from cnntrain.runs import lock as lock_module
from cnntrain.runs.lock import HOLDER, LOCK, is_lock, locked

_HOLDING = (
    "import sys; from pathlib import Path; from cnntrain.runs.lock import locked\nwith locked(Path(sys.argv[1])): "
)
_UNTIL_TOLD = _HOLDING + "print('held', flush=True); sys.stdin.read()"
# One of many: starts when the file appears, tells whether it got the lock, and holds it until it is told.
_RACING = """
import sys, time
from pathlib import Path
from cnntrain.errors import WriteError
from cnntrain.runs.lock import locked
print("ready", flush=True)
sys.stdin.readline()
try:
    with locked(Path(sys.argv[1])):
        print("won", flush=True)
        sys.stdin.readline()
except WriteError as error:
    print(error, flush=True)
"""


def _start(program: str, path: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8")


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@contextmanager
def _held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    with _start(_UNTIL_TOLD, path) as process:
        assert _line(process) == "held"
        yield process
        process.kill()


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def _refusal(path: Path) -> str:
    with pytest.raises(WriteError) as caught, locked(path):
        pass
    return str(caught.value)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "_PATIENCE", 0.1)


def test_a_missing_folder_is_made_and_removed_when_nothing_is_put_into_it(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "digits"
    with locked(path):
        assert _names(path) == {LOCK, HOLDER}
        assert all(is_lock(name) for name in _names(path))
    assert _names(tmp_path) == set()


def test_what_is_put_into_the_folder_stays_and_the_lock_goes(tmp_path: Path) -> None:
    with locked(tmp_path / "runs" / "digits"):
        (tmp_path / "runs" / "digits" / "run.json").write_bytes(b"{}")
    assert _names(tmp_path / "runs" / "digits") == {"run.json"}


def test_a_folder_that_was_there_stays_though_empty(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    assert _names(tmp_path) == set()


def test_it_says_who_holds_it(tmp_path: Path) -> None:
    with locked(tmp_path):
        held = json.loads((tmp_path / HOLDER).read_text(encoding="utf-8"))
    assert held["format"] == 1
    assert held["process"] == os.getpid()
    assert held["host"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", held["since"])


def test_a_second_process_is_refused_in_one_line_that_names_the_first(tmp_path: Path, impatient: None) -> None:
    path = tmp_path / "digits"
    with _held_by_another(path) as holder:
        host = json.loads((path / HOLDER).read_text(encoding="utf-8"))["host"]
        message = _refusal(path)
        assert message.startswith(f"{path} is in use by process {holder.pid} on host {host} since 20")
        assert message.endswith("; wait for it, or choose another --run-dir")
        assert "\n" not in message
        assert _names(path) == {LOCK, HOLDER}
    with locked(path):
        pass


def test_it_exits_with_six() -> None:
    assert WriteError("").exit_code == 6


def test_a_killed_holder_is_no_obstacle(tmp_path: Path, impatient: None) -> None:
    path = tmp_path / "digits"
    with _held_by_another(path):
        pass
    assert _names(path) == {LOCK, HOLDER}
    with locked(path):
        assert json.loads((path / HOLDER).read_text(encoding="utf-8"))["process"] == os.getpid()
    assert _names(path) == set()


def test_an_error_inside_passes_and_frees_the_lock(tmp_path: Path) -> None:
    for error in (OSError(errno.EIO, "not ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, locked(tmp_path / "run"):
            raise error
        assert caught.value is error
    assert _names(tmp_path) == set()


def test_the_same_thread_does_not_get_it_twice(tmp_path: Path, impatient: None) -> None:
    with locked(tmp_path):
        assert f"process {os.getpid()} " in _refusal(tmp_path)
        assert _names(tmp_path) == {LOCK, HOLDER}


def test_other_folders_are_free(tmp_path: Path) -> None:
    with locked(tmp_path / "a"), locked(tmp_path / "b"):
        pass


@pytest.mark.parametrize("content", ["", "[]", '{"process": "x"}', "\x00", '{"process": 1, "host": 2, "since": ""}'])
def test_a_holder_that_does_not_say_who_he_is(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(lock_module, "_LOOKS", 2)
    with locked(tmp_path):
        (tmp_path / HOLDER).write_text(content, encoding="utf-8")
        assert _refusal(tmp_path).startswith(f"{tmp_path} is in use by another process; ")


def test_what_another_wrote_stays_in_one_line(tmp_path: Path, impatient: None) -> None:
    with locked(tmp_path):
        write_json(tmp_path / HOLDER, {"process": 7, "host": "a\nb\x1b[31m", "since": "now"})
        assert "process 7 on host ab[31m since now;" in _refusal(tmp_path)


def test_a_holder_who_is_about_to_go_is_waited_for(tmp_path: Path) -> None:
    holding, got = threading.Event(), []

    def hold() -> None:
        with locked(tmp_path / "run"):
            holding.set()
            time.sleep(0.1)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        holding.wait()
        with locked(tmp_path / "run"):
            got.append(True)
    assert got
    assert _names(tmp_path / "run") == set()


# races


def test_of_many_processes_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "digits"
    processes = [_start(_RACING, path) for _ in range(8)]
    try:
        assert {_line(process) for process in processes} == {"ready"}
        for process in processes:
            process.stdin.write("\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        said = {process.pid: _line(process) for process in processes}
        (winner,) = (pid for pid, line in said.items() if line == "won")
        losers = [line for pid, line in said.items() if pid != winner]
        assert all(f"is in use by process {winner} on host " in line for line in losers)
    finally:
        for process in processes:
            process.communicate("\n")
    assert not any(entry.is_file() for entry in tmp_path.rglob("*"))


@pytest.mark.parametrize("is_kept", [True, False], ids=["folder there", "folder made and removed"])
def test_never_two_at_once_and_everybody_in_the_end(tmp_path: Path, is_kept: bool) -> None:
    """The trap: a lock file that is removed while another has it open, or a folder while another looks into it."""
    path = tmp_path / "run"
    if is_kept:
        path.mkdir()
    inside, most, rounds = [0], [0], [0]

    def enter() -> None:
        while True:
            try:
                with locked(path):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0.001)
                    rounds[0] += 1
                    inside[0] -= 1
                return
            except WriteError as error:
                assert "is in use by" in str(error)  # noqa: PT017 - it may come or not

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: enter(), range(60)))
    assert (rounds, most) == ([60], [1])
    assert path.exists() or not is_kept
    assert not path.exists() or _names(path) == set()


# places where it cannot be


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        message = _refusal(path)
        assert message.startswith(f"cannot write {path}: ")
        assert message.endswith("; choose another --run-dir")
    assert _names(tmp_path) == {"file"}


def _breaking(code: int) -> Callable[..., Any]:
    def flock(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    return flock


@pytest.mark.skipif(os.name == "nt", reason="Windows has other locks")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr("fcntl.flock", _breaking(code))
    with locked(tmp_path / "run"), locked(tmp_path / "run"):
        pass
    assert _names(tmp_path) == set()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other locks")
def test_where_the_kernel_has_no_call_for_locks_a_file_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    monkeypatch.setattr("fcntl.flock", _breaking(errno.ENOSYS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with locked(tmp_path / "run"):
            assert "is in use by process" in _refusal(tmp_path / "run")
        with locked(tmp_path / "run"):
            pass
    assert _names(tmp_path) == set()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other locks")
def test_a_disk_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", _breaking(errno.EIO))
    message = _refusal(tmp_path / "run")
    assert message == f"cannot write {tmp_path / 'run'}: {os.strerror(errno.EIO)}; choose another --run-dir"


def test_a_full_disk_is_one_line_and_frees_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", _breaking(errno.ENOSPC))
        assert f"cannot write {tmp_path / 'run' / HOLDER}: " in _refusal(tmp_path / "run")
    assert _names(tmp_path) == set()
    with locked(tmp_path / "run"):
        pass


def test_the_lock_loads_nothing_heavy() -> None:
    heavy = "{'tensorflow', 'keras', 'numpy', 'pydantic'}"
    program = f"import sys, cnntrain.runs.lock; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.strip() == "[]"
