"""The feature bank on disk: shards, what damages them, who shares them, and who must go when room is short."""

import errno
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from cnntrain.errors import UsageError, WriteError
from cnntrain.training.bank import bank as banks
from cnntrain.training.bank.bank import Bank, Contents, IncompleteBankError, StoredFeatures
from cnntrain.training.bank.shards import find_shards, narrowed, shard_rows
from cnntrain.training.bank.shelf import Shelf, cache_limit, open_shelf, room_for_features

KEY = "0123456789abcdef" * 4
DESCRIPTION = {"backbone": "vgg16", "cut": "block4_pool", "split": "train", "image_size": [150, 150]}
GB = 10**9

# A process of its own that makes a bank: what it is given, then what it does with `shelf`, `contents` and `features`.
_CHILD = """
import sys
from pathlib import Path
import numpy as np
from cnntrain.training.bank.bank import Contents
from cnntrain.training.bank.shelf import Shelf

def features(view, pictures):
    return np.add.outer(np.arange(pictures.start, pictures.stop) % 100 + 100 * view, np.arange(SIDE)).astype(np.float32)

contents = Contents(sys.argv[2], (SIDE,), int(sys.argv[3]), {})
shelf = Shelf(Path(sys.argv[1]), 10**9)
"""


def _contents(shape: tuple[int, ...] = (2, 3), count: int = 8, *, key: str = KEY) -> Contents:
    return Contents(key, shape, count, DESCRIPTION)


def _random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _fill(bank: Bank, features: NDArray[np.float32]) -> None:
    """Writes what is missing of features (views, count, *shape)."""
    for view, rows in enumerate(features):
        for pictures in bank.missing(view):
            bank.write(view, pictures.start, rows[pictures.start : pictures.stop])


def _shards(shelf: Shelf, view: int = 0, *, key: str = KEY) -> list[Path]:
    return [path for _, path in sorted(find_shards(shelf.folder / key / f"view_{view}").items())]


def _all(stored: StoredFeatures) -> NDArray[Any]:
    return stored[np.arange(len(stored))]


def _full_disk(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut is nothing that these tests could make, and syncing takes most of their time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "features", GB)


@pytest.fixture(params=[1, 4])
def small_shards(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """Shards of so few pictures that small banks have several."""
    monkeypatch.setattr(banks, "shard_rows", lambda _: request.param)
    return int(request.param)


@pytest.fixture
def shards_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(banks, "shard_rows", lambda _: 4)


# shards


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((512,), 512),
        ((9, 9, 512), 512),  # 64,000,000 / 82,944 = 771
        ((14, 14, 512), 288),  # 64,000,000 / 200,704 = 318
        ((28, 28, 512), 64),  # 64,000,000 / 802,816 = 79
        ((150, 150, 64), 32),  # 92 MB: fewer would be no batch
    ],
)
def test_rows_of_a_shard(shape: tuple[int, ...], rows: int) -> None:
    assert shard_rows(shape) == rows


@given(arrays.arrays(np.float32, 20, elements=st.floats(-65504, 65504, width=32)))
def test_half_precision_is_as_near_as_it_says(features: NDArray[np.float32]) -> None:
    half = narrowed(features)
    assert half.dtype == np.float16
    exact = features.astype(np.float64)
    assert (np.abs(half.astype(np.float64) - exact) <= np.maximum(np.abs(exact) * 2.0**-11, 2.0**-25)).all()


@pytest.mark.parametrize("too_large", [65520.0, -65520.0, 1e30])
def test_what_overflows_stays_as_it_is(too_large: float) -> None:
    features = np.array([1 / 3, too_large], np.float32)
    assert narrowed(features).dtype == np.float32
    assert (narrowed(features) == features).all()


@pytest.mark.parametrize("value", [65504.0, 65519.0, math.inf, -math.inf, math.nan])
def test_what_does_not_overflow_is_half_precision(value: float) -> None:
    half = narrowed(np.array([value], np.float32))
    assert half.dtype == np.float16
    expected = value if not math.isfinite(value) else 65504.0
    assert np.array_equal(half.astype(np.float64), [expected], equal_nan=True)


# a bank


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9])
def test_what_is_written_is_read_back(shelf: Shelf, small_shards: int, count: int) -> None:
    features = _random(3, count, 2, 3)
    bank = shelf.open(_contents(count=count))
    assert [list(pictures) for pictures in bank.missing(1)] == [
        list(range(count))[first : first + small_shards] for first in range(0, count, small_shards)
    ]
    _fill(bank, features)
    for opened in (bank, shelf.open(_contents(count=count))):
        assert [opened.missing(view) for view in range(4)] == [[], [], [], opened.contents.shards]
        stored = opened.open(3)
        assert stored.dtype == np.float16
        assert (stored.shape, len(stored)) == ((3 * count, 2, 3), 3 * count)
        assert (_all(stored) == features.reshape(-1, 2, 3).astype(np.float16)).all()
    assert weakref.ref(stored)() is stored


def test_a_bank_grows_by_views(shelf: Shelf, shards_of_four: None) -> None:
    features = _random(2, 8, 2, 3)
    _fill(shelf.open(_contents()), features[:1])
    before = {path: path.stat().st_mtime_ns for path in _shards(shelf)}
    _fill(shelf.open(_contents()), features)
    assert (_all(shelf.open(_contents()).open(2)) == features.reshape(-1, 2, 3).astype(np.float16)).all()
    assert (_all(shelf.open(_contents()).open(1)) == features[0].astype(np.float16)).all()
    assert {path: path.stat().st_mtime_ns for path in _shards(shelf)} == before


def test_one_overflow_widens_its_shard_alone_and_what_is_read(shelf: Shelf, shards_of_four: None) -> None:
    features = _random(1, 8, 2, 3)
    features[0, 5, 1, 1] = 70_000
    bank = shelf.open(_contents())
    _fill(bank, features)
    assert [np.load(path).dtype for path in _shards(shelf)] == [np.float16, np.float32]
    stored = bank.open(1)
    assert stored.dtype == np.float32
    found = stored[np.array([5, 0])]
    assert found.dtype == np.float32
    assert (found[0] == features[0, 5]).all()
    assert (found[1] == features[0, 0].astype(np.float16)).all()


def test_a_bank_without_pictures_is_whole(shelf: Shelf) -> None:
    bank = shelf.open(_contents(count=0))
    assert bank.missing(0) == []
    assert bank.open(2)[np.arange(0)].shape == (0, 2, 3)


@settings(deadline=None)
@given(st.data())
def test_gathering_is_that_of_an_array(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    count, views = data.draw(st.integers(1, 11)), data.draw(st.integers(1, 3))
    shape = data.draw(arrays.array_shapes(max_dims=3, max_side=3))
    features = _random(views, count, *shape)
    rows = np.array(data.draw(st.lists(st.integers(0, views * count - 1), max_size=30)), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banks, "shard_rows", lambda _: 4)
        patch.setattr(banks, "_RESIDENT", data.draw(st.sampled_from([0, GB])))
        folder = tmp_path_factory.mktemp("shelf")
        bank = Shelf(folder, GB).open(_contents(shape, count))
        _fill(bank, features)
        found = bank.open(views)[rows]
    shutil.rmtree(folder)
    assert found.dtype == np.float16
    assert np.array_equal(found, features.reshape(-1, *shape).astype(np.float16)[rows])


@pytest.mark.parametrize("row", [-1, 8])
def test_a_row_that_is_not_there_is_an_error(shelf: Shelf, row: int) -> None:
    bank = shelf.open(_contents())
    _fill(bank, _random(1, 8, 2, 3))
    with pytest.raises(IndexError, match="0 to 7"):
        bank.open(1)[np.array([0, row])]


@pytest.mark.parametrize(("first", "shape"), [(1, (4, 2, 3)), (0, (3, 2, 3)), (0, (8, 2, 3)), (4, (4, 3, 2))])
def test_only_whole_shards_are_written(shelf: Shelf, shards_of_four: None, first: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no shard"):
        shelf.open(_contents()).write(0, first, np.zeros(shape, np.float32))


@pytest.mark.parametrize("key", ["", "abc", "../" + KEY[3:], KEY.upper(), KEY + "\n"])
def test_a_key_is_64_hexadecimal_digits(key: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal"):
        _contents(key=key)


def test_memory_does_not_hold_what_was_read(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 MB are read of a bank that counts as large; their pages are part of this process while they are mapped in."""
    contents = _contents((64, 128), 1536)
    monkeypatch.setattr(banks, "_RESIDENT", 1 << 20)
    bank = shelf.open(contents)
    _fill(bank, np.ones((1, 1536, 64, 128), np.float32))
    stored = bank.open(1)
    before = _file_pages()
    for first in range(0, 1536, 32):
        assert stored[np.arange(first, first + 32)].sum(dtype=np.int64) == 32 * 64 * 128
    assert _file_pages() - before < 6 << 20


def _file_pages() -> int:
    """Bytes of files in this process's memory; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))


def test_more_shards_than_files_may_be_open(shelf: Shelf, shards_of_four: None) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    bank = shelf.open(_contents(count=400))
    _fill(bank, _random(1, 400, 2, 3))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 20, hard))
    try:
        assert len(bank.open(1)) == 400
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# damage


def test_any_flipped_bit_and_any_missing_end_is_found(shelf: Shelf) -> None:
    """Each of the 1,280 bits of a shard, and each of its lengths."""
    features = _random(1, 8, 2)
    bank = shelf.open(_contents((2,)))
    _fill(bank, features)
    (path,) = _shards(shelf)
    content = path.read_bytes()
    flipped = [_with_flipped(content, bit) for bit in range(8 * len(content))]
    for damaged in [*flipped, *(content[:length] for length in range(len(content)))]:
        path.write_bytes(damaged)
        assert Bank(path.parent.parent, bank.contents).missing(0) == [range(8)]
        assert not path.exists()
    again = shelf.open(_contents((2,)))
    _fill(again, features)
    assert path.read_bytes() == content
    assert again.missing(0) == []


def _with_flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_only_the_damaged_shard_is_made_again(shelf: Shelf, shards_of_four: None) -> None:
    features = _random(2, 12, 2, 3)
    _fill(shelf.open(_contents(count=12)), features)
    damaged = _shards(shelf, 1)[1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    bank = shelf.open(_contents(count=12))
    with pytest.raises(IncompleteBankError):
        bank.open(2)
    assert [bank.missing(view) for view in (0, 1)] == [[], [range(4, 8)]]
    assert len(bank.open(1)) == 12
    _fill(bank, features)
    assert (_all(bank.open(2)) == features.reshape(-1, 2, 3).astype(np.float16)).all()


def test_a_shard_of_another_size_is_none_of_this_bank(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = shelf.open(_contents())
    monkeypatch.setattr(banks, "shard_rows", lambda _: 8)
    _fill(bank, _random(1, 8, 2, 3))
    monkeypatch.setattr(banks, "shard_rows", lambda _: 4)
    assert shelf.open(_contents()).missing(0) == [range(4), range(4, 8)]


def test_a_shard_that_was_removed_meanwhile_is_missing(shelf: Shelf) -> None:
    bank = shelf.open(_contents())
    _fill(bank, _random(1, 8, 2, 3))
    _shards(shelf)[0].unlink()
    with pytest.raises(IncompleteBankError):
        bank.open(1)


def test_a_shard_is_checked_once(shelf: Shelf, shards_of_four: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(shelf.open(_contents()), _random(1, 8, 2, 3))
    checked: list[Path] = []

    def is_whole(path: Path, shape: tuple[int, ...]) -> bool:
        checked.append(path)
        return shape == (4, 2, 3)

    monkeypatch.setattr(banks, "is_whole", is_whole)
    bank = shelf.open(_contents())
    for _ in range(2):
        assert bank.missing(0) == []
        bank.open(1)
    assert checked == _shards(shelf)


def test_a_bank_whose_description_is_lost_keeps_its_shards(shelf: Shelf) -> None:
    """Another process that begins the same bank is about to write it."""
    _fill(shelf.open(_contents()), _random(1, 8, 2, 3))
    (shelf.folder / KEY / "bank.json").unlink()
    assert shelf.open(_contents()).missing(0) == []
    assert shelf.banks()[0].description == DESCRIPTION


def test_other_features_replace_a_shard(shelf: Shelf) -> None:
    bank = shelf.open(_contents())
    for seed in (1, 2):
        bank.write(0, 0, _random(8, 2, 3, seed=seed))
    assert [path.name for path in (shelf.folder / KEY / "view_0").iterdir()] == [_shards(shelf)[0].name]
    assert (_all(bank.open(1)) == _random(8, 2, 3, seed=2).astype(np.float16)).all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 10_000,
        "[]",
        "{}",
        '{"format": 2, "shape": [2, 3], "count": 8}',
        '{"format": 1, "shape": [3, 2], "count": 8}',
        '{"format": 1, "shape": [2, 3], "count": 9}',
        "\xff",
    ],
)
def test_a_bank_that_does_not_fit_its_key_is_begun_anew(shelf: Shelf, text: str) -> None:
    _fill(shelf.open(_contents()), _random(1, 8, 2, 3))
    (shelf.folder / KEY / "bank.json").write_text(text, encoding="latin-1")
    bank = shelf.open(_contents())
    assert bank.missing(0) == [range(8)]
    described = json.loads((shelf.folder / KEY / "bank.json").read_text(encoding="utf-8"))
    assert described == {"format": 1, "description": DESCRIPTION, "shape": [2, 3], "count": 8}
    assert sorted(path.name for path in shelf.folder.iterdir()) == [KEY]


@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.write_bytes", "pathlib.Path.replace"])
def test_a_full_disk_leaves_what_was_written(
    shelf: Shelf, shards_of_four: None, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    features = _random(1, 8, 2, 3)
    bank = shelf.open(_contents())
    bank.write(0, 0, features[0, :4])
    before = _tree(shelf.folder)
    with monkeypatch.context() as patch:
        patch.setattr(broken, _full_disk)
        with pytest.raises(WriteError, match="No space left") as caught:
            bank.write(0, 4, features[0, 4:])
    assert "\n" not in str(caught.value)
    assert _tree(shelf.folder) == before
    assert bank.missing(0) == [range(4, 8)]
    _fill(bank, features)
    assert (_all(bank.open(1)) == features[0].astype(np.float16)).all()


def test_room_is_left_for_the_model_of_the_run(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bank that took the last of a disk would cost the run its model."""
    bank = shelf.open(_contents())
    features = _random(1, 8, 2, 3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=GB))
    assert not shelf.make_room(1, keep={KEY})
    assert shelf.capacity() < 1000  # its description
    with pytest.raises(WriteError, match="less than 1 GB would be left on the disk; free some room"):
        bank.write(0, 0, features[0])
    assert bank.missing(0) == [range(8)]


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# processes


def _child(code: str, shelf: Shelf, contents: Contents) -> subprocess.Popen[str]:
    code = (_CHILD + code).replace("SIDE", str(contents.shape[0]))
    command = [sys.executable, "-c", code, str(shelf.folder), contents.key, str(contents.count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _child_features(contents: Contents, views: int) -> NDArray[np.float16]:
    numbers = np.concatenate([np.arange(contents.count) % 100 + 100 * view for view in range(views)])
    return (numbers[:, None] + np.arange(contents.shape[0])).astype(np.float16)


_FOR_EVER = """
bank = shelf.open(contents)
view = 0
while True:
    for pictures in bank.missing(view):
        bank.write(view, pictures.start, features(view, pictures))
        print(view, pictures.start, flush=True)
    view += 1
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("seed", range(4))
def test_a_kill_loses_one_shard_at_most(shelf: Shelf, seed: int) -> None:
    contents = _contents((1000,), 1500)
    with _child(_FOR_EVER, shelf, contents) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(random.Random(seed).uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
    written = {(view, first) for view, first in (map(int, line.split()) for line in lines)}
    views = max(view for view, _ in written) + 2
    bank = shelf.open(contents)
    missing = {(view, pictures.start) for view in range(views) for pictures in bank.missing(view)}
    whole = {(view, first) for view in range(views) for first in range(0, 1500, 512)} - missing
    assert written <= whole
    assert len(whole - written) <= 1  # written, and killed before it could tell
    expected = _child_features(contents, views)
    _fill(bank, expected.astype(np.float32).reshape(views, 1500, 1000))
    assert (_all(bank.open(views)) == expected).all()


_MAKE = """
from contextlib import nullcontext
with LOCK:
    bank = shelf.open(contents)
    missing = [(view, pictures) for view in range(3) for pictures in bank.missing(view)]
    for view, pictures in missing:
        bank.write(view, pictures.start, features(view, pictures))
    stored = bank.open(3)
print(len(missing), int(stored[np.arange(len(stored))].sum(dtype=np.int64)))
"""


@pytest.mark.parametrize("lock", ["shelf.lock(contents.key, waiting=lambda: None)", "nullcontext()"])
def test_two_processes_make_one_bank(shelf: Shelf, lock: str) -> None:
    contents = _contents((100,), 1500)
    makers = [_child(_MAKE.replace("LOCK", lock), shelf, contents) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0].split() for process in makers]
    assert [process.returncode for process in makers] == [0, 0]
    expected = _child_features(contents, 3)
    assert {answer[1] for answer in answers} == {str(expected.sum(dtype=np.int64))}
    if "shelf" in lock:
        assert sorted(int(answer[0]) for answer in answers) == [0, 9]
    assert (_all(shelf.open(contents).open(3)) == expected).all()
    assert not list(shelf.folder.rglob(".*"))


_HOLD = """
import time
with shelf.lock(contents.key, waiting=lambda: None):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_maker(shelf: Shelf) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the bank KEY until it is killed."""
    with _child(_HOLD, shelf, _contents((2,))) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_maker_is_told_once_and_waits(shelf: Shelf, other_maker: subprocess.Popen[str]) -> None:
    told: list[str] = []

    def waiting() -> None:
        told.append("waiting")
        other_maker.kill()

    for _ in range(2):
        with shelf.lock(KEY, waiting=waiting):
            assert told == ["waiting"]
            assert not shelf.remove(KEY)


def test_a_bank_that_is_being_made_stays(shelf: Shelf, other_maker: subprocess.Popen[str]) -> None:
    _fill(shelf.open(_contents()), _random(1, 8, 2, 3))
    assert not shelf.remove(KEY)
    assert not Shelf(shelf.folder, 0).make_room(0, keep=())
    assert shelf.open(_contents()).missing(0) == []
    other_maker.kill()
    other_maker.wait()
    assert shelf.remove(KEY)
    assert list(shelf.folder.iterdir()) == []


def test_a_file_system_without_locks_will_do(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock.BaseFileLock.acquire", no_locks)
    with shelf.lock(KEY, waiting=no_locks):
        _fill(shelf.open(_contents()), _random(1, 8, 2, 3))
    assert shelf.remove(KEY)
    assert shelf.banks() == []


def test_what_goes_wrong_under_the_lock_is_not_swallowed(shelf: Shelf) -> None:
    with pytest.raises(OSError, match="No space"), shelf.lock(KEY, waiting=lambda: None):
        _full_disk()
    with shelf.lock(KEY, waiting=_full_disk):
        assert shelf.banks() == []


# the shelf


def _shelve(shelf: Shelf, letter: str, *, used: float, views: int = 1) -> int:
    """Puts a bank on the shelf that was used that many seconds after 1970; gives its bytes."""
    contents = _contents(key=64 * letter)
    _fill(shelf.open(contents), _random(views, 8, 2, 3))
    os.utime(shelf.folder / contents.key / "bank.json", (used, used))
    return sum(path.stat().st_size for path in (shelf.folder / contents.key).rglob("*") if path.is_file())


def _letters(shelf: Shelf) -> str:
    return "".join(bank.key[0] for bank in shelf.banks())


def test_banks_are_listed_with_what_they_hold(shelf: Shelf) -> None:
    assert shelf.banks() == []
    sizes = {"a": _shelve(shelf, "a", used=100), "b": _shelve(shelf, "b", used=200, views=2)}
    (shelf.folder / "notes.txt").write_text("mine", encoding="utf-8")
    last, first = shelf.banks()
    assert (last.key, last.views, last.bytes, last.last_used) == (64 * "b", 2, sizes["b"], 200.0)
    assert (first.key, first.views, first.bytes, first.last_used) == (64 * "a", 1, sizes["a"], 100.0)
    assert (first.description, first.count) == (DESCRIPTION, 8)


@pytest.mark.parametrize("text", ["", "[]", '{"description": 1, "count": "8"}', None])
def test_a_bank_that_cannot_be_read_is_listed_all_the_same(shelf: Shelf, text: str | None) -> None:
    _shelve(shelf, "a", used=100)
    path = shelf.folder / (64 * "a") / "bank.json"
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    (bank,) = shelf.banks()
    assert (bank.key, bank.description, bank.count) == (64 * "a", {}, 0)
    assert bank.bytes > 0
    assert shelf.remove(bank.key)
    assert shelf.banks() == []


def test_opening_is_use(shelf: Shelf) -> None:
    for used, letter in enumerate("abc"):
        _shelve(shelf, letter, used=used)
    assert _letters(shelf) == "cba"
    shelf.open(_contents(key=64 * "a"))
    assert _letters(shelf) == "acb"
    assert abs(shelf.banks()[0].last_used - time.time()) < 60


@pytest.mark.parametrize(
    ("limit", "needed", "keep", "is_room", "left"),
    [
        (5, 1, "", True, "dcba"),  # numbers of banks, of which there are four
        (4, 1, "", True, "dcb"),
        (4, 3, "", True, "d"),
        (4, 3, "a", True, "a"),
        (4, 3, "bd", False, "dcba"),  # in vain, so nothing goes
        (4, 5, "", False, "dcba"),
        (2, 0, "", True, "dc"),
        (0, 0, "", True, ""),
    ],
)
def test_the_oldest_banks_make_room(shelf: Shelf, limit: int, needed: int, keep: str, is_room: bool, left: str) -> None:
    (size,) = {_shelve(shelf, letter, used=used) for used, letter in enumerate("abcd")}
    shelf.limit = limit * size
    assert shelf.make_room(needed * size, keep={64 * letter for letter in keep}) is is_room
    assert _letters(shelf) == left


def test_a_small_disk_is_a_limit_too(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    (size,) = {_shelve(shelf, letter, used=used) for used, letter in enumerate("abc")}
    monkeypatch.setattr("cnntrain.training.bank.shelf._free", lambda _: size // 2)
    assert not shelf.make_room(4 * size, keep=())
    assert _letters(shelf) == "cba"
    assert shelf.make_room(2 * size, keep=())
    assert _letters(shelf) == "c"


def test_what_a_shelf_could_hold_is_bounded_by_limit_and_disk(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    size = sum(_shelve(shelf, letter, used=1) for letter in "ab")
    monkeypatch.setattr("cnntrain.training.bank.shelf._free", lambda _: 1000)
    assert shelf.capacity() == size + 1000
    shelf.limit = 500
    assert shelf.capacity() == 500
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "file"))  # so that there is no shelf
    assert room_for_features(tmp_path) == 1000
    monkeypatch.setenv("CNNTRAIN_CACHE_LIMIT", "0")
    assert room_for_features(tmp_path) == 0


def test_room_on_a_shelf_that_is_not_there_yet(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "not" / "there", GB)
    assert shelf.make_room(GB, keep=())
    assert not shelf.make_room(GB + 1, keep=())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove what is in use")
def test_a_removed_bank_can_be_read_on(shelf: Shelf) -> None:
    bank = shelf.open(_contents())
    _fill(bank, _random(1, 8, 2, 3))
    stored = bank.open(1)
    assert shelf.remove(KEY)
    assert list(shelf.folder.iterdir()) == []
    assert (_all(stored) == _random(1, 8, 2, 3)[0].astype(np.float16)).all()


def test_what_cannot_be_removed_is_told_and_stays(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    size = _shelve(shelf, "a", used=1)
    _shelve(shelf, "b", used=2)
    rename = Path.rename

    def in_use(self: Path, target: Path) -> Path:
        if self.name.startswith("a"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", in_use)
    assert not shelf.remove(64 * "a")
    shelf.limit = 2 * size
    assert shelf.make_room(size, keep=())
    assert _letters(shelf) == "a"
    assert shelf.open(_contents(key=64 * "a")).missing(0) == []


def test_a_shelf_that_can_only_be_read_is_read(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(shelf.open(_contents()), _random(1, 8, 2, 3))

    def read_only(*_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("os.utime", "filelock.BaseFileLock.acquire", "pathlib.Path.mkdir", "pathlib.Path.write_bytes"):
        monkeypatch.setattr(name, read_only)
    with shelf.lock(KEY, waiting=read_only):
        assert len(Shelf(shelf.folder, GB).open(_contents()).open(1)) == 8
    with pytest.raises(WriteError, match="Read-only"):
        shelf.open(_contents(key=64 * "a"))


def test_leftovers_of_killed_processes_are_swept(shelf: Shelf) -> None:
    _fill(shelf.open(_contents()), _random(1, 8, 2, 3))
    before = _tree(shelf.folder)
    half = {name: shelf.folder / KEY / "view_0" / f".{name}.00000-0000000000000000.npy" for name in ("1", "2")}
    removed = shelf.folder / ".removed-aaaaaaaaaaaa-1-2" / "view_0"
    removed.mkdir(parents=True)
    for path in (*half.values(), shelf.folder / KEY / ".3.bank.json", removed / "00000-0000000000000000.npy"):
        path.write_bytes(b"half")
        if path != half["2"]:
            os.utime(path, (1, 1))
    Shelf(shelf.folder, GB)
    assert half["2"].exists()  # just begun, perhaps by a process that lives
    half["2"].unlink()
    assert _tree(shelf.folder) == before
    assert not removed.exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GB", 20 * 10**9),
        ("500MB", 500 * 10**6),
        ("1.5 tb", 1_500_000_000_000),
        ("64KB", 64_000),
        ("1GiB", 2**30),
        ("0", 0),
        ("0GB", 0),
        (" ", 20 * 10**9),
        (None, 20 * 10**9),
    ],
)
def test_the_limit_is_read(monkeypatch: pytest.MonkeyPatch, text: str | None, size: int) -> None:
    monkeypatch.setenv("CNNTRAIN_CACHE_LIMIT", text or "")
    if text is None:
        monkeypatch.delenv("CNNTRAIN_CACHE_LIMIT")
    assert cache_limit() == size
    assert open_shelf().limit == size


@pytest.mark.parametrize("text", ["20", "GB", "-1GB", "1e3GB", "20 gigabytes", "20GB 30GB", "nanGB", "٣GB"])
def test_a_limit_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CNNTRAIN_CACHE_LIMIT", text)
    with pytest.raises(UsageError, match="CNNTRAIN_CACHE_LIMIT") as caught:
        open_shelf()
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
