"""The log of a run: every line whole or not there."""

import errno
import io
import os
import re
from pathlib import Path
from typing import Any

import pytest

from cnntrain.errors import WriteError
from cnntrain.runs import log as log_module
from cnntrain.runs.log import append_line

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"


def test_lines_are_added_with_their_time(tmp_path: Path) -> None:
    for text in ("epoch 1", "é →"):
        append_line(tmp_path / "log.txt", text)
    assert re.fullmatch(rf"{_TIME} epoch 1\n{_TIME} é →\n", (tmp_path / "log.txt").read_bytes().decode("utf-8"))


@pytest.mark.parametrize("torn", [b"2026-11-", b"a line\nhal", "é".encode()[:1]])
def test_a_new_line_begins_below_a_torn_one(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "log.txt").write_bytes(torn)
    append_line(tmp_path / "log.txt", "goes on")
    append_line(tmp_path / "log.txt", "and on")
    lines = (tmp_path / "log.txt").read_bytes().removeprefix(torn + b"\n").decode("utf-8")
    assert re.fullmatch(rf"{_TIME} goes on\n{_TIME} and on\n", lines)


class _Full(io.FileIO):
    """A file on a disk that takes ten more bytes, and then says so or not."""

    raises = True

    def write(self, content: Any) -> int:
        written = super().write(bytes(content)[:10])
        if self.raises:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written


@pytest.mark.parametrize("raises", [True, False])
def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raises: bool) -> None:
    path = tmp_path / "log.txt"
    append_line(path, "first")
    before = path.read_bytes()
    with monkeypatch.context() as full:
        full.setattr(_Full, "raises", raises)
        full.setattr(Path, "open", lambda path, mode, **_: _Full(path, mode.replace("b", "")))
        with pytest.raises(WriteError) as caught:
            append_line(path, "second")
    assert str(caught.value).startswith(f"cannot write {path}: {os.strerror(errno.ENOSPC)}; free some room")
    assert path.read_bytes() == before


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"cannot write .*gone"):
        append_line(tmp_path / "gone" / "log.txt", "x")


def test_now_is_the_time_in_utc() -> None:
    assert re.fullmatch(_TIME, log_module.now())
