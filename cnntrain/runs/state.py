"""The resumable state on disk: files of arrays whose names carry what their bytes hash to, of which two are kept."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cnntrain.errors import RunError
from cnntrain.files import has_named_checksum, named_checksum, short_checksum, write_bytes

Arrays = Mapping[str, npt.NDArray[Any]]
_FORMAT = 1
_KEPT = 2
_NAME = re.compile(r"([0-9]{8,})-[0-9a-f]{16}\.safetensors")
_INFO = "info"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, SafetensorError)
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class State:
    """What a training needs to go on.

    Args:
        arrays: What changes while it trains, by name.
        frozen: Gives what does not, by name; asked only where that is needed, since it may be much.
        info: Everything else, of JSON's types.
    """

    arrays: Arrays
    frozen: Callable[[], Arrays]
    info: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """The newest state that is whole.

    Args:
        state: Its contents.
        path: Its file.
        damaged: Files of newer states that are not whole.
    """

    state: State
    path: Path
    damaged: tuple[Path, ...]


class States:
    """The states in the folder of a run.

    Every file is written whole or not at all, and a new state is there before the oldest goes. What never changes lies
    in a file of its own, which is written once, and which each state names.

    Args:
        folder: Made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._frozen: str | None = None
        self._anchor = ""
        self._damaged: set[Path] = set()

    def write(self, state: State, *, is_anchor: bool = False) -> Path:
        """Writes a state, and removes all but this, the one before and the last anchor, and what `read` found damaged.

        What is frozen is written once, by the run that begins here.

        Args:
            state: Its contents.
            is_anchor: Whether it stays until the next of its kind.

        Returns:
            Its file.

        Raises:
            WriteError: It cannot be written; the earlier ones are as they were.
        """
        if self._frozen is None:
            self._frozen = self._write_frozen(state.frozen())
        about = {"format": _FORMAT, "frozen": self._frozen, "anchor": "" if is_anchor else self._anchor}
        content = _packed(state.arrays, {**about, **state.info})
        earlier = self._numbered()
        path = self.folder / f"{max(earlier, default=0) + 1:08d}-{short_checksum(content)}{_SUFFIX}"
        write_bytes(path, content)
        whole = [earlier[number] for number in sorted(earlier, reverse=True) if earlier[number] not in self._damaged]
        self._anchor = path.name if is_anchor else self._anchor
        for old in (*whole[_KEPT - 1 :], *self._damaged):
            if old.name != self._anchor:
                with suppress(OSError):
                    old.unlink()
        return path

    def __bool__(self) -> bool:
        return bool(self._numbered())

    def read(self, frozen: Callable[[], Arrays]) -> Found:
        """Reads the newest state that is whole.

        Args:
            frozen: Gives what does not change, made anew. It stands in for a damaged file if it is the same.

        Raises:
            RunError: None is whole.
            WriteError: A damaged file of what is frozen cannot be written again.
        """
        damaged: list[Path] = []
        for _, path in sorted(self._numbered().items(), reverse=True):
            try:
                state = self._read(path, frozen)
            except _UNREADABLE:
                damaged.append(path)
                self._damaged.add(path)
            else:
                self._anchor, self._frozen = state.info["anchor"] or path.name, state.info["frozen"]
                return Found(state, path, tuple(damaged))
        names = ", ".join(path.name for path in damaged) or "none is there"
        raise RunError(f"no state in {self.folder} is whole ({names}); train anew with --overwrite")

    def read_anchor(self, frozen: Callable[[], Arrays]) -> State:
        """Reads the last anchor, or what `read` gives where it is damaged; arguments and errors are the same."""
        try:
            return self._read(self.folder / self._anchor, frozen)
        except _UNREADABLE:
            return self.read(frozen).state

    def _read(self, path: Path, frozen: Callable[[], Arrays]) -> State:
        """Raises one of `_UNREADABLE` if it is damaged."""
        arrays, info = _unpacked(_checked(path))
        if info["format"] != _FORMAT:
            raise ValueError(f"{path} is of another format")
        fixed = self._read_frozen(info["frozen"], frozen)
        return State(arrays, lambda: fixed, info)

    def remove(self) -> None:
        """Removes all of them; what cannot be removed stays."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_frozen(self, frozen: Arrays) -> str:
        if not frozen:
            return ""
        content = _packed(frozen, {})
        path = self.folder / _frozen_name(content)
        if not has_named_checksum(path):
            write_bytes(path, content)
        return path.name

    def _read_frozen(self, name: str, anew: Callable[[], Arrays]) -> Arrays:
        """Raises OSError or ValueError where it is damaged and `anew` does not give the same."""
        if not name:
            return {}
        path = self.folder / name
        try:
            return _unpacked(_checked(path))[0]
        except (OSError, ValueError):
            made = anew()
            if name != _frozen_name(_packed(made, {})):
                raise
            self._write_frozen(made)
            return made

    def _numbered(self) -> dict[int, Path]:
        """The files of all states by their numbers, not looked into."""
        try:
            names = sorted(path.name for path in self.folder.iterdir())
        except OSError:
            return {}
        return {int(match[1]): self.folder / match[0] for match in map(_NAME.fullmatch, names) if match}


def _packed(arrays: Arrays, info: Mapping[str, Any]) -> bytes:
    text = np.frombuffer(json.dumps(info).encode(), np.uint8)
    return save({_INFO: text, **{name: np.asarray(array, order="C") for name, array in arrays.items()}})


def _unpacked(content: bytes) -> tuple[Arrays, dict[str, Any]]:
    arrays = load(content)
    return arrays, json.loads(arrays.pop(_INFO).tobytes())


def _frozen_name(content: bytes) -> str:
    return f"frozen-{short_checksum(content)}{_SUFFIX}"


def _checked(path: Path) -> bytes:
    """The bytes of a file. Raises ValueError if they are not those that its name stands for."""
    content = path.read_bytes()
    if short_checksum(content) != named_checksum(path):
        raise ValueError(f"{path} is damaged")
    return content
