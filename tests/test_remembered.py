"""The store of looks: what is found again, by which rules, and what is let go of."""

import ast
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from cnntrain.data import rules
from cnntrain.data.scanning import look_at, remembered
from cnntrain.data.scanning.look import Look
from cnntrain.data.scanning.look_at import look_at_all
from cnntrain.data.scanning.remembered import RememberedLooks

DATA = Path(remembered.__file__).parent.parent
SEEN = Look("ab" * 32, "png", 1, 2, 3, ("alpha", "16_bit"), "damaged", "a phrase", b"\0\1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the source text that decides, read anew each time."""
    shutil.copytree(DATA, tmp_path / "sources")
    monkeypatch.setattr(rules, "files", lambda _: tmp_path / "sources")
    monkeypatch.setattr(rules, "_source_hash", rules._source_hash.__wrapped__)
    return tmp_path / "sources"


def _keep(*looks: Look, max_pixels: int = 1) -> None:
    with closing(RememberedLooks(max_pixels=max_pixels)) as store:
        store.keep(looks)


def _find(*checksums: str, max_pixels: int = 1) -> dict[str, Look]:
    with closing(RememberedLooks(max_pixels=max_pixels)) as store:
        return store.find_many(checksums)


def _rows(cache: Path) -> int:
    """How many looks lie in the file, under whatever rules."""
    with closing(sqlite3.connect(cache / remembered.FILE)) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return sum(store.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables)


def test_what_is_kept_is_found_until_closing() -> None:
    store = RememberedLooks(max_pixels=1)
    store.keep([SEEN, Look("", fault="unreadable")])
    assert store.find_many([SEEN.sha256, "cd" * 32, SEEN.sha256]) == {SEEN.sha256: SEEN}
    store.close()
    assert store.find_many([SEEN.sha256]) == {}


def test_what_is_no_checksum_is_not_found() -> None:
    _keep(SEEN)
    assert _find("", "ab", "no checksum", "AB" * 32) == {}


def test_many_are_found_at_once() -> None:
    looks = [Look(f"{number:064x}", "png") for number in range(2500)]
    _keep(*looks)
    assert _find(*(look.sha256 for look in looks)) == {look.sha256: look for look in looks}


@pytest.mark.parametrize("module", remembered._MODULES)
def test_other_rules_find_nothing_and_take_the_place(sources: Path, cache: Path, module: str) -> None:
    _keep(SEEN)
    _keep(SEEN, max_pixels=2)
    with (sources / module).open("a", encoding="utf-8") as text:
        text.write("# another rule\n")
    assert _find(SEEN.sha256) == {}
    assert _rows(cache) == 0
    _keep(SEEN)
    assert _find(SEEN.sha256) == {SEEN.sha256: SEEN}


def test_other_limits_stay(cache: Path) -> None:
    _keep(SEEN, max_pixels=2)
    _keep(SEEN)
    assert _rows(cache) == 2
    assert _find(SEEN.sha256, max_pixels=2) == {SEEN.sha256: SEEN}


def test_a_store_of_the_first_form_is_emptied(cache: Path) -> None:
    cache.mkdir()
    with closing(sqlite3.connect(cache / remembered.FILE)) as store:
        store.execute("CREATE TABLE looks_1 (sha256 BLOB)")
        store.execute("INSERT INTO looks_1 VALUES (x'ab')")
        store.commit()
    assert _find(SEEN.sha256) == {}
    assert _rows(cache) == 0


def test_the_rules_are_in_all_modules_that_a_look_goes_through() -> None:
    """Those of `data` that look.py imports, and what they import."""
    ours, waiting = set(), ["scanning/look.py"]
    while waiting:
        ours.add(module := waiting.pop())
        for node in ast.walk(ast.parse((DATA / module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnntrain.data."):
                found = str(node.module).removeprefix("cnntrain.data.").replace(".", "/") + ".py"
                waiting += [found] if found not in ours else []
    assert ours == set(remembered._MODULES)


def test_the_store_is_asked_once_for_many_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    find_many = RememberedLooks.find_many

    def counted(self: RememberedLooks, checksums: Iterable[str]) -> dict[str, Look]:
        asked.append(len(given := list(checksums)))
        return find_many(self, given)

    monkeypatch.setattr(RememberedLooks, "find_many", counted)
    paths = [str(tmp_path / f"{number}.txt") for number in range(40)]
    for path in paths:
        Path(path).write_text(path, encoding="utf-8")
    first = look_at_all([*paths, str(tmp_path / "missing")], max_pixels=1)
    assert sorted(asked) == [8, 32]
    asked.clear()
    monkeypatch.setattr(look_at, "_READ_TOGETHER", 3 * len(paths[0]))  # large files are not held together
    assert look_at_all([*paths, str(tmp_path / "missing")], max_pixels=1) == first
    assert len(asked) > 10
    assert max(asked) <= 4
