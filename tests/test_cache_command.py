"""`cnntrain cache`: what it lists, what it removes, and what it leaves alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cnntrain.cli import group, main
from cnntrain.data.scanning.remembered import FILE
from cnntrain.training.bank.bank import Contents
from cnntrain.training.bank.shelf import open_shelf

TRAIN, VALIDATION = "ab" * 32, "ac" * 32
USED = 1_700_000_000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CNNTRAIN_CACHE_LIMIT", "500MB")
    return tmp_path / "cache"


@pytest.fixture
def filled(cache: Path) -> Path:
    """A cache folder with a bank of training pictures, one of validation pictures, and remembered looks."""
    for key, split, views in ((TRAIN, "train", 2), (VALIDATION, "validation", 1)):
        description = {"backbone": "vgg16", "cut": "block4_pool", "split": split, "image_size": [150, 140]}
        bank = open_shelf().open(Contents(key, (2, 3), 1100, description))
        for view in range(views):
            for pictures in bank.missing(view):
                bank.write(view, pictures.start, np.zeros((len(pictures), 2, 3), np.float32))
        os.utime(cache / "features" / key / "bank.json", (USED + views, USED + views))
    (cache / FILE).write_bytes(bytes(5000))
    return cache


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _invoke(*arguments: str) -> str:
    result = CliRunner().invoke(group, ["cache", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def _json(*arguments: str) -> Any:
    return json.loads(_invoke(*arguments, "--json"))


def _fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["cache", *arguments])
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return int(left.value.code or 0), printed.out, printed.err


def test_the_list_is_a_table(filled: Path) -> None:
    lines = _invoke("list").splitlines()
    assert lines[0].split() == ["key", "what", "split", "pictures", "views", "size", "last", "used"]
    first, second = (line.split() for line in lines[1:3])
    what = ["vgg16", "to", "block4_pool", "at", "150×140"]
    assert first[:8] == [TRAIN[:12], *what, "train", "1,100"]
    assert first[8:11] == ["2", "27.4", "KB"]  # 2 × (1,100 × 12 + 3 × 128) bytes and 200 of bank.json
    assert second[:8] == [VALIDATION[:12], *what, "validation", "1,100"]
    assert second[8] == "1"
    assert first[11].startswith("2023-11-1")  # by the clock of the place, 14 or 15
    assert lines[4].startswith("feature banks: 41.")
    assert lines[4].endswith(" KB of at most 500 MB")
    assert lines[5:] == ["remembered looks at pictures: 5.0 KB", f"in {filled}"]


def test_the_list_as_json(filled: Path) -> None:
    printed = _json("list")
    sizes = {key: _bytes(filled / "features" / key) for key in (TRAIN, VALIDATION)}
    assert [printed[name] for name in ("format", "folder", "limit")] == [1, str(filled), 500_000_000]
    assert (printed["bytes"], printed["looks_bytes"]) == (sum(sizes.values()), 5000)
    assert [bank["key"] for bank in printed["banks"]] == [TRAIN, VALIDATION]
    description = {"backbone": "vgg16", "cut": "block4_pool", "split": "train", "image_size": [150, 140]}
    assert printed["banks"][0] == {
        "key": TRAIN,
        "description": description,
        "count": 1100,
        "views": 2,
        "bytes": sizes[TRAIN],
        "last_used": "2023-11-14T22:13:22+00:00",
    }


def test_an_empty_cache_is_no_error(cache: Path) -> None:
    assert _invoke("list").splitlines() == [
        "feature banks: 0 bytes of at most 500 MB",
        "remembered looks at pictures: 0 bytes",
        f"in {cache}",
    ]
    assert _json("list")["banks"] == []
    assert _invoke("clear") == "removed 0 bytes in all\n"
    assert _json("clear") == {"format": 1, "bytes": 0, "removed": [], "kept": [], "looks_bytes": 0}
    assert list(cache.iterdir()) == []


def test_a_bank_that_nobody_can_read_is_listed_and_removed(filled: Path) -> None:
    (filled / "features" / TRAIN / "bank.json").write_text("{", encoding="utf-8")
    row = next(line for line in _invoke("list").splitlines() if line.startswith(TRAIN[:12]))
    assert row.split()[1:9] == ["?", "to", "?", "at", "?", "?", "0", "2"]
    assert _json("clear", TRAIN)["removed"] == [TRAIN]


def test_all_of_it_is_removed(filled: Path) -> None:
    size = _bytes(filled)
    printed = _json("clear")
    assert printed == {"format": 1, "bytes": size, "removed": [TRAIN, VALIDATION], "kept": [], "looks_bytes": 5000}
    assert [path.relative_to(filled).as_posix() for path in filled.rglob("*")] == ["features"]


def test_what_is_removed_is_told(filled: Path) -> None:
    lines = _invoke("clear").splitlines()
    assert lines[0] == f"removed {TRAIN[:12]}  vgg16 to block4_pool at 150×140  27.4 KB"
    assert lines[1].startswith(f"removed {VALIDATION[:12]}  ")
    assert lines[2].startswith("removed 46.")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("keys", "left"), [(["ab"], [VALIDATION]), ([VALIDATION.upper()], [TRAIN]), (["a"], []), (["ab", "ac"], [])]
)
def test_banks_are_removed_by_how_their_keys_begin(filled: Path, keys: list[str], left: list[str]) -> None:
    removed = _json("clear", *keys)
    assert sorted([*removed["removed"], *left]) == [TRAIN, VALIDATION]
    assert [bank["key"] for bank in _json("list")["banks"]] == left
    assert removed["looks_bytes"] == 0
    assert (filled / FILE).exists()


@pytest.mark.parametrize("keys", [["abc"], ["ab", "ff"], [""], ["../features"]])
def test_an_unknown_key_is_one_line_and_removes_nothing(
    filled: Path, capsys: pytest.CaptureFixture[str], keys: list[str]
) -> None:
    code, out, err = _fails(capsys, "clear", *keys)
    assert (code, out) == (2, "")
    assert repr(keys[-1]) in err
    assert "cnntrain cache list" in err
    assert len(_json("list")["banks"]) == 2


def test_a_bank_that_is_being_made_is_kept_and_named(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_shelf().lock(TRAIN, waiting=lambda: None):
        code, out, err = _fails(capsys, "clear", "--json")
    assert code == 6
    assert (json.loads(out)["removed"], json.loads(out)["kept"]) == ([VALIDATION], [TRAIN])
    assert TRAIN[:12] in err
    assert [bank["key"] for bank in _json("list")["banks"]] == [TRAIN]


@pytest.mark.parametrize("command", ["list", "clear"])
def test_a_wrong_limit_is_one_line(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("CNNTRAIN_CACHE_LIMIT", "plenty")
    code, out, err = _fails(capsys, command)
    assert (code, out) == (2, "")
    assert "CNNTRAIN_CACHE_LIMIT" in err
    assert "plenty" in err
    assert _bytes(filled) > 5000


def test_neither_command_loads_tensorflow(filled: Path) -> None:
    code = (
        "import sys, atexit\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'sklearn'}\n"
        "atexit.register(lambda: print('loaded', sorted(heavy & set(sys.modules))))\n"
        "from cnntrain.cli import group\n"
        "group.main(['cache', 'list'], standalone_mode=False)\n"
        "group.main(['cache', 'clear'], standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "loaded []"
    assert lines[-2].startswith("removed 46.")
    assert _bytes(filled) == 0
