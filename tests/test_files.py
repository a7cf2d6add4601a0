"""Writing of files and folders: whole or not at all."""

import errno
import hashlib
import itertools
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest

from cnntrain import files
from cnntrain.errors import WriteError
from cnntrain.files import (
    cache_folder,
    is_temporary,
    needed_folder,
    new_folder,
    replacing,
    sha256,
    temporary_folder,
    write_bytes,
    write_json,
    write_text,
    write_together,
)

Write = Callable[[Path], None]
Break = Callable[[pytest.MonkeyPatch], None]

WRITERS: dict[str, Write] = {
    "bytes": lambda path: write_bytes(path, b"new"),
    "text": lambda path: write_text(path, "new"),
    "json": lambda path: write_json(path, ["new"]),
}


def _full_disk(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read_only(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def _break_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that is read-only refuses to remove even what is not there."""
    monkeypatch.setattr(Path, "write_bytes", _read_only)
    monkeypatch.setattr(Path, "unlink", _read_only)


def _not_permitted(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def _break_folder_sync(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Files can be made to last, folders cannot."""
    fsync = os.fsync

    def synced(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)


def _fail_at(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, failing: int) -> None:
    """Lets one call of a function fail, the first of them being 1."""
    calls, original = itertools.count(1), getattr(holder, name)

    def called(*arguments: Any) -> Any:
        return _full_disk() if next(calls) == failing else original(*arguments)

    monkeypatch.setattr(holder, name, called)


needs_folder_sync = pytest.mark.skipif(os.name == "nt", reason="Windows syncs no folders")

FAILURES: dict[str, tuple[Break, int]] = {
    "write": (lambda monkeypatch: monkeypatch.setattr(Path, "write_bytes", _full_disk), errno.ENOSPC),
    "fsync": (lambda monkeypatch: monkeypatch.setattr(os, "fsync", _full_disk), errno.ENOSPC),
    "replace": (lambda monkeypatch: monkeypatch.setattr(Path, "replace", _full_disk), errno.ENOSPC),
    "read-only": (_break_read_only, errno.EROFS),
}


def _write_and_fail(path: Path, error: type[BaseException]) -> NoReturn:
    path.write_bytes(b"half")
    raise error("half-way")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _tree(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


# files


def test_what_is_written_is_read_back_and_parents_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    write_bytes(path, b"\x00\r\n\xff")
    assert path.read_bytes() == b"\x00\r\n\xff"
    write_bytes(path, b"")
    assert path.read_bytes() == b""
    assert _names(path.parent) == ["file.bin"]


def test_text_is_utf8_with_line_feeds_on_every_system(tmp_path: Path) -> None:
    write_text(tmp_path / "t", "é\n→")
    assert (tmp_path / "t").read_bytes() == b"\xc3\xa9\n\xe2\x86\x92"


def test_json_is_indented_readable_and_ends_with_a_line_feed(tmp_path: Path) -> None:
    write_json(tmp_path / "j", {"classes": ["ä"]})
    assert (tmp_path / "j").read_text(encoding="utf-8") == '{\n  "classes": [\n    "ä"\n  ]\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_json_that_others_could_not_read_is_refused(tmp_path: Path, value: Any) -> None:
    write_json(tmp_path / "j", 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "j", value)
    assert json.loads((tmp_path / "j").read_text(encoding="utf-8")) == 1
    assert _names(tmp_path) == ["j"]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, failure: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"old \x00 content")
    breaks, code = FAILURES[failure]
    with monkeypatch.context() as broken:
        breaks(broken)
        with pytest.raises(WriteError) as caught:
            WRITERS[writer](path)
    assert str(path) in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 6
    assert path.read_bytes() == b"old \x00 content"
    assert _names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_first_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str) -> None:
    with monkeypatch.context() as broken:
        FAILURES[failure][0](broken)
        with pytest.raises(WriteError):
            write_bytes(tmp_path / "file", b"new")
    assert _names(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_of_the_writer_passes_through_and_leaves_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as temporary:
        _write_and_fail(temporary, error)
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["model.keras"]


def test_the_temporary_file_lies_beside_and_keeps_the_suffixes(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    with replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary != path
        assert temporary.name.endswith("model.weights.h5")
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"


def _note_calls(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, calls: list[str]) -> None:
    original = getattr(holder, name)

    def noting(*arguments: Any) -> Any:
        calls.append(name)
        return original(*arguments)

    monkeypatch.setattr(holder, name, noting)


def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    _note_calls(monkeypatch, os, "fsync", calls)
    _note_calls(monkeypatch, Path, "replace", calls)
    write_bytes(tmp_path / "file", b"new")
    expected = ["fsync", "replace"] if os.name == "nt" else ["fsync", "replace", "fsync"]
    assert calls == expected


@needs_folder_sync
def test_folders_that_are_made_last_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, sync_folder = [], files.sync_folder
    monkeypatch.setattr(files, "sync_folder", lambda folder: (synced.append(folder), sync_folder(folder)))
    write_bytes(tmp_path / "a" / "b" / "file", b"new")
    assert set(synced) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}
    assert synced[-1] == tmp_path / "a" / "b"


@needs_folder_sync
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _break_folder_sync(monkeypatch, code)
    write_bytes(tmp_path / "file", b"new")
    assert _tree(tmp_path) == {"file": b"new"}


@needs_folder_sync
@pytest.mark.parametrize("earlier", [{}, {"file": b"old"}])
def test_what_stood_there_is_put_back_when_the_folder_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: dict[str, bytes]
) -> None:
    for name, content in earlier.items():
        (tmp_path / name).write_bytes(content)
    _break_folder_sync(monkeypatch, errno.EIO)
    with pytest.raises(WriteError, match=rf"cannot write .*file: {os.strerror(errno.EIO)}"):
        write_bytes(tmp_path / "file", b"new")
    assert _tree(tmp_path) == earlier


def test_a_file_system_without_hard_links_is_good_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "link", _not_permitted)
    write_bytes(tmp_path / "file", b"new")
    assert _tree(tmp_path) == {"file": b"new"}


def test_a_link_is_replaced_and_put_back_as_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to("there")
    with monkeypatch.context() as broken:
        _break_folder_sync(broken, errno.EIO)
        with pytest.raises(WriteError):
            write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").readlink() == Path("there")
    write_bytes(tmp_path / "link", b"new")
    assert _tree(tmp_path) == {"there": b"old", "link": b"new"}


# files that belong together


def test_files_that_belong_together_are_written(tmp_path: Path) -> None:
    write_together({tmp_path / "a" / "one": b"1", tmp_path / "b" / "two": b"2"})
    assert _tree(tmp_path) == {"a": None, "a/one": b"1", "b": None, "b/two": b"2"}


@pytest.mark.parametrize("failing", range(1, 4))
@pytest.mark.parametrize("call", [(Path, "write_bytes"), (Path, "replace"), (os, "fsync")])
@pytest.mark.parametrize("earlier", [{}, {"a": b"old a", "c": b"old c"}])
def test_all_of_them_change_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: tuple[Any, str], failing: int, earlier: dict[str, bytes]
) -> None:
    for name, content in earlier.items():
        (tmp_path / name).write_bytes(content)
    with monkeypatch.context() as broken:
        _fail_at(broken, *call, failing)
        with pytest.raises(WriteError) as caught:
            write_together({tmp_path / name: b"new" for name in "abc"})
    assert str(caught.value).startswith(f"cannot write {tmp_path / 'abc'[failing - 1]}: ")
    assert _tree(tmp_path) == earlier


@needs_folder_sync
@pytest.mark.parametrize("failing", range(4, 7))
def test_all_of_them_are_put_back_when_a_folder_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with monkeypatch.context() as broken:
        _fail_at(broken, os, "fsync", failing)
        with pytest.raises(WriteError):
            write_together({tmp_path / name: b"new" for name in "abc"})
    assert _tree(tmp_path) == {"a": b"old"}


# names of what is temporary


def test_what_is_temporary_is_known_by_its_name(tmp_path: Path) -> None:
    with (
        replacing(tmp_path / "model.keras") as file,
        new_folder(tmp_path / "data") as folder,
        temporary_folder(tmp_path) as other,
    ):
        assert all(is_temporary(path.name) for path in (file, folder, other))
        file.write_bytes(b"new")
    assert not any(
        is_temporary(name) for name in ("model.keras", ".git", ".1.txt", ".tmp-x", ".DS_Store", "1.12345678.x")
    )


def test_threads_that_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    path, contents = tmp_path / "file", [bytes([number]) * 200_000 for number in range(8)]
    with ThreadPoolExecutor(len(contents)) as pool:
        for _ in range(5):
            list(pool.map(lambda content: write_bytes(path, content), contents))
            assert path.read_bytes() in contents
    assert _names(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "x" * 250 + ".json"])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    write_bytes(tmp_path / name, b"old")
    write_bytes(tmp_path / name, b"new")
    with new_folder(tmp_path / f"{name[:-1]}y") as folder:
        (folder / "a").write_bytes(b"1")
    assert _tree(tmp_path) == {name: b"new", f"{name[:-1]}y": None, f"{name[:-1]}y/a": b"1"}


def test_folders_made_for_a_file_that_cannot_be_written_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_bytes", _full_disk)
    with pytest.raises(WriteError):
        write_bytes(tmp_path / "a" / "b" / "file", b"new")
    assert _names(tmp_path) == []


def test_a_needed_folder_goes_when_nothing_was_put_into_it(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for path, kept in {"there": True, "a/b": False}.items():
        with needed_folder(tmp_path / path):
            assert (tmp_path / path).is_dir()
        assert (tmp_path / path).exists() == kept
    with needed_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "file").write_bytes(b"")
    assert _tree(tmp_path / "a") == {"file": b""}


def test_nothing_written_to_the_temporary_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="file"), replacing(tmp_path / "file"):
        pass
    assert _names(tmp_path) == []


def _below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"x")
    return tmp_path / "file" / "target"


def _far_below_a_file(tmp_path: Path) -> Path:
    return _below_a_file(tmp_path) / "deeper"


def _long_name(tmp_path: Path) -> Path:
    return tmp_path / ("x" * 300)


@pytest.mark.parametrize("place", [_below_a_file, _far_below_a_file, _long_name])
def test_an_impossible_place_is_one_line(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    path = place(tmp_path)
    before = _tree(tmp_path)
    for attempt in (lambda: write_bytes(path, b"new"), lambda: new_folder(path).__enter__()):
        with pytest.raises(WriteError) as caught:
            attempt()
        assert str(caught.value).startswith(f"cannot write {path}: ")
        assert "\n" not in str(caught.value)
    assert _tree(tmp_path) == before


def test_a_folder_is_no_place_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match="folder"):
        write_bytes(tmp_path / "folder", b"new")
    assert _names(tmp_path) == ["folder"]


# folders


def test_an_error_inside_names_the_folder_that_the_user_knows(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with pytest.raises(WriteError) as caught, new_folder(path) as folder:
        write_bytes(folder / ("x" * 300), b"new")
    assert str(caught.value).startswith(f"cannot write {path / ('x' * 300)}: ")
    assert _names(tmp_path) == []


@needs_folder_sync
@pytest.mark.parametrize("earlier", [{}, {"data": None, "data/old": b"0"}])
def test_a_folder_whose_name_cannot_be_synced_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: dict[str, bytes | None]
) -> None:
    path = _old_folder(tmp_path) if earlier else tmp_path / "data"
    _break_folder_sync(monkeypatch, errno.EIO)
    with pytest.raises(WriteError, match="data"), new_folder(path, overwrite=True) as folder:
        (folder / "a").write_bytes(b"1")
    assert _tree(tmp_path) == earlier


def test_a_folder_appears_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    with new_folder(path) as folder:
        assert folder.parent == path.parent
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_bytes(b"1")
        assert not path.exists()
    assert _tree(path) == {"sub": None, "sub/a": b"1"}
    assert _names(path.parent) == ["data"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_folder_leaves_nothing(tmp_path: Path, error: type[BaseException], overwrite: bool) -> None:
    with pytest.raises(error), new_folder(tmp_path / "data", overwrite=overwrite) as folder:
        _write_and_fail(folder / "a", error)
    assert _names(tmp_path) == []


def test_a_full_disk_is_told_by_the_name_that_the_user_knows(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with pytest.raises(WriteError) as caught, new_folder(path):
        _full_disk()
    assert str(caught.value).startswith(f"cannot write {path}: {os.strerror(errno.ENOSPC)}")
    assert _names(tmp_path) == []


def _old_folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    (path / "old").write_bytes(b"0")
    return path


def test_a_folder_that_holds_something_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = _old_folder(tmp_path)
    with pytest.raises(WriteError, match="exists already") as caught:
        new_folder(path).__enter__()
    assert str(path) in str(caught.value)
    assert _tree(tmp_path) == {"data": None, "data/old": b"0"}


def test_a_file_is_not_replaced_by_a_folder_unasked(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"0")
    with pytest.raises(WriteError, match="exists already"):
        new_folder(tmp_path / "data").__enter__()
    assert _tree(tmp_path) == {"data": b"0"}


def test_an_empty_folder_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with new_folder(tmp_path / "data") as folder:
        (folder / "a").write_bytes(b"1")
    assert _tree(tmp_path) == {"data": None, "data/a": b"1"}


def test_overwriting_replaces_the_whole_folder(tmp_path: Path) -> None:
    path = _old_folder(tmp_path)
    with new_folder(path, overwrite=True) as folder:
        (folder / "a").write_bytes(b"1")
        assert _tree(path) == {"old": b"0"}
    assert _tree(tmp_path) == {"data": None, "data/a": b"1"}


def test_overwriting_replaces_a_file_and_leaves_nothing_aside(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"0")
    with new_folder(tmp_path / "data", overwrite=True) as folder:
        (folder / "a").write_bytes(b"1")
    assert _tree(tmp_path) == {"data": None, "data/a": b"1"}


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    path = _old_folder(tmp_path / "disk")
    (tmp_path / "link").symlink_to(path)
    with new_folder(tmp_path / "link", overwrite=True) as folder:
        assert folder.parent == path.parent
        (folder / "a").write_bytes(b"1")
    assert (tmp_path / "link").readlink() == path
    assert _tree(path) == {"a": b"1"}
    assert _names(tmp_path / "disk") == ["data"]


def test_a_link_to_nowhere_gets_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "data")
    with new_folder(tmp_path / "link") as folder:
        (folder / "a").write_bytes(b"1")
    assert _tree(tmp_path / "disk") == {"data": None, "data/a": b"1"}


@pytest.mark.parametrize("place", [".", "..", "../../link", "../inner"])
def test_the_working_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "outer")
    monkeypatch.chdir(tmp_path / "outer" / "inner")
    with pytest.raises(WriteError, match="working folder") as caught:
        new_folder(Path(place), overwrite=True).__enter__()
    assert str(caught.value).startswith(f"{place} is or holds")
    assert _tree(tmp_path) == {"outer": None, "outer/inner": None, "link": None}


def test_a_failed_overwriting_leaves_the_old_folder(tmp_path: Path) -> None:
    path = _old_folder(tmp_path)
    with pytest.raises(ValueError, match="half-way"), new_folder(path, overwrite=True) as folder:
        _write_and_fail(folder / "a", ValueError)
    assert _tree(tmp_path) == {"data": None, "data/old": b"0"}


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failed_exchange_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    path, rename, calls = _old_folder(tmp_path), Path.rename, []

    def renamed(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            _full_disk()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(WriteError, match="data"), new_folder(path, overwrite=True) as folder:
        (folder / "a").write_bytes(b"1")
    assert len(calls) >= failing
    assert _tree(tmp_path) == {"data": None, "data/old": b"0"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o755), (0o027, 0o750)])
def test_a_new_folder_has_the_permissions_of_any_other(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        with new_folder(tmp_path / "data"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "data").stat().st_mode & 0o777 == mode


# checksums


def test_sha256_of_the_standard_example(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_sha256_of_more_than_one_piece(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096 * 2 + b"end"
    (tmp_path / "large").write_bytes(content)
    assert sha256(tmp_path / "large") == hashlib.sha256(content).hexdigest()


# the cache folder


def test_the_cache_folder_is_made_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "deep" / "cache"))
    assert cache_folder() == tmp_path / "deep" / "cache"
    assert cache_folder().is_dir()


@pytest.mark.parametrize("value", ["", None])
def test_the_cache_folder_is_the_users_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **_: tmp_path / name)
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", "")
    if value is None:
        monkeypatch.delenv("CNNTRAIN_CACHE_DIR")
    assert cache_folder() == tmp_path / "cnntrain"


def test_a_cache_folder_that_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(WriteError, match="CNNTRAIN_CACHE_DIR") as caught:
        cache_folder()
    assert str(tmp_path / "file") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_cache_folder_of_the_tests_is_temporary(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert cache_folder().is_relative_to(tmp_path_factory.getbasetemp())
