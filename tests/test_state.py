"""States on disk: whole or not at all, two of them, and no flipped bit goes unseen."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cnntrain.errors import RunError, WriteError
from cnntrain.runs.state import State, States

DTYPES = st.sampled_from([np.float32, np.float16, np.int64, np.uint32, np.uint8, np.bool_])
ARRAYS = st.dictionaries(
    st.text("abcdef/0123456789", min_size=1, max_size=8),
    DTYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))),
    max_size=5,
)


def _state(number: int, *, frozen: float = 7.0) -> State:
    moving = {"set_0/0": np.full((3, 2), number, np.float32), "optimizer/0": np.array(number)}
    return State(moving, lambda: {"weights/1": np.full(5, frozen, np.float32)}, {"progress": {"step": number}})


def _frozen() -> dict[str, np.ndarray]:
    return dict(_state(0).frozen())


def _number(states: States) -> int:
    return int(states.read(_frozen).state.info["progress"]["step"])


def _flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@given(moving=ARRAYS, frozen=ARRAYS, words=st.text(max_size=20))
@settings(max_examples=40, deadline=None)
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, moving: dict, frozen: dict, words: str
) -> None:
    states = States(tmp_path_factory.mktemp("state"))
    states.write(State(moving, lambda: frozen, {"progress": words}))
    found = states.read(lambda: frozen)
    for given_arrays, read in ((moving, found.state.arrays), (frozen, found.state.frozen())):
        assert set(read) == set(given_arrays)
        for name, array in given_arrays.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array, strict=True)
    assert found.state.info["progress"] == words
    assert found.damaged == ()


def test_two_states_are_kept_and_what_is_frozen_is_written_once(tmp_path: Path) -> None:
    states = States(tmp_path / "state")
    assert not states
    for number in range(4):
        states.write(_state(number))
    assert states
    names = sorted(path.name for path in states.folder.iterdir())
    assert [name.partition("-")[0] for name in names] == ["00000003", "00000004", "frozen"]
    assert _number(States(states.folder)) == 3


def test_numbers_go_on_in_another_process(tmp_path: Path) -> None:
    for number in range(3):
        path = States(tmp_path / "state").write(_state(number))
    assert path.name.startswith("00000003-")


def test_a_damaged_newest_state_falls_back_to_the_one_before_and_says_so(tmp_path: Path) -> None:
    states = States(tmp_path / "state")
    states.write(_state(1))
    newest = states.write(_state(2))
    newest.write_bytes(newest.read_bytes()[:-1])
    found = states.read(_frozen)
    assert found.damaged == (newest,)
    assert found.state.info["progress"] == {"step": 1}


def test_a_damaged_state_is_none_of_the_two_that_are_kept(tmp_path: Path) -> None:
    states = States(tmp_path / "state")
    whole, damaged = states.write(_state(1)), states.write(_state(2))
    damaged.write_bytes(b"")
    states.read(_frozen)
    _flip(states.write(_state(3)), 4)
    assert whole.exists()
    assert not damaged.exists()
    assert _number(states) == 1


def test_two_damaged_states_are_an_error_of_one_line(tmp_path: Path) -> None:
    states = States(tmp_path / "state")
    for number in (1, 2):
        _flip(states.write(_state(number)), 4)
    with pytest.raises(RunError, match=r"no state in .* is whole \(00000002-.*, 00000001-.*\); train anew") as caught:
        states.read(_frozen)
    assert "\n" not in str(caught.value)


def test_frozen_weights_that_are_damaged_or_gone_are_written_again_if_they_are_the_same(tmp_path: Path) -> None:
    states = States(tmp_path / "state")
    states.write(_state(1))
    (file,) = states.folder.glob("frozen-*")
    content = file.read_bytes()
    for damage in (lambda: _flip(file, 300), file.unlink):
        damage()
        assert _number(states) == 1
        assert file.read_bytes() == content
    file.unlink()
    with pytest.raises(RunError, match="is whole"):
        states.read(_state(1, frozen=8.0).frozen)


def test_no_flipped_bit_goes_unseen(tmp_path: Path) -> None:
    states = States(tmp_path / "state")
    paths = [states.write(_state(number)) for number in (1, 2)]
    whole = paths[1].read_bytes()
    draw = random.Random(6)
    for _ in range(100):
        _flip(paths[1], draw.randrange(8 * len(whole)))
        assert states.read(_frozen).damaged == (paths[1],)
        paths[1].write_bytes(whole)
    assert _number(states) == 2


def test_a_state_that_cannot_be_written_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = States(tmp_path / "state")
    for number in (1, 2):
        states.write(_state(number))
    before = {path: path.read_bytes() for path in states.folder.iterdir()}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(WriteError, match=r"cannot write .*00000003-.*No space left"):
            states.write(_state(3))
    assert {path: path.read_bytes() for path in states.folder.iterdir()} == before


def test_the_last_anchor_stays_however_many_states_follow(tmp_path: Path) -> None:
    states = States(tmp_path / "state")
    for number in range(6):
        states.write(_state(number), is_anchor=number in (0, 2))
    assert [path.name[:8] for path in sorted(states.folder.glob("0*"))] == ["00000003", "00000005", "00000006"]
    again = States(states.folder)
    assert _number(again) == 5
    assert again.read_anchor(_frozen).info["progress"] == {"step": 2}
    again.write(_state(7))
    anchor = min(states.folder.glob("0*"))
    assert anchor.name.startswith("00000003")
    _flip(anchor, 99)
    assert again.read_anchor(_frozen).info["progress"] == {"step": 7}


def test_all_can_be_removed(tmp_path: Path) -> None:
    states = States(tmp_path / "state")
    states.write(_state(1))
    states.remove()
    assert not states
    assert not states.folder.exists()
