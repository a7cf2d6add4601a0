"""Single writes of whole commands made to fail; `python -m benchmarks.failing_writes` tries all of the first fifty."""

import builtins
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnntrain.files import write_bytes
from tests.failing_writes import Disk, failing

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each command runs in a forked process")


def test_every_write_below_the_place_is_counted_and_none_elsewhere(tmp_path: Path) -> None:
    place, other = tmp_path / "place", tmp_path / "other"
    with failing(Disk((tmp_path.resolve() / "place",))) as disk:
        write_bytes(other / "file", b"1")
        assert disk.writes == []
        write_bytes(place / "file", b"1")
    calls = [call for call, _ in disk.writes]
    assert calls == ["mkdir", "open", "write", "open", "fsync", "link", "replace", "fsync"]
    assert (place / "file").read_bytes() == b"1"
    assert disk.struck is None


@pytest.mark.parametrize(("stays_full", "second"), [(True, False), (False, True)])
def test_the_chosen_write_fails_and_on_a_full_disk_those_after_it(
    tmp_path: Path, stays_full: bool, second: bool
) -> None:
    with failing(Disk((tmp_path.resolve(),), 2, errno.ENOSPC, stays_full)) as disk:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (tmp_path / "a").write_bytes(b"1")
        try:
            (tmp_path / "b").write_bytes(b"1")
        except OSError:
            assert not second
        else:
            assert second
    assert disk.struck == ("write", str(tmp_path.resolve() / "a"))


def test_all_is_as_before_afterwards(tmp_path: Path) -> None:
    before = (io.open, builtins.open, os.open, os.fsync, os.replace)
    with failing(Disk((tmp_path,))):
        assert io.open is not before[0]
    assert (io.open, builtins.open, os.open, os.fsync, os.replace) == before


@pytest.mark.slow
def test_no_failed_write_harms_what_was_there() -> None:
    """Of the writes of each command a few, by chance; a promise that is broken is an exit code."""
    command = [sys.executable, "-m", "benchmarks.failing_writes", "--sample", "4", "--seed", "6"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_no_failed_write_of_a_plot_harms_the_one_before() -> None:
    command = [sys.executable, "-m", "benchmarks.failing_writes", "--commands", "plot", "split"]
    done = subprocess.run(
        [*command, "--sample", "3", "--seed", "6"], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| plot | EIO |" in done.stdout
