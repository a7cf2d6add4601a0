"""Shards: files of some pictures' features each, whose names carry what their bytes must hash to."""

import errno
import io
import math
import mmap
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnntrain.files import has_named_checksum, replacing, short_checksum

Stored = NDArray[np.float16] | NDArray[np.float32]


@dataclass(frozen=True)
class Shard:
    """A shard that is read from disk where and when it is used.

    Args:
        features: (rows, *shape).
        memory: What holds them.
    """

    features: Stored
    memory: mmap.mmap

    def let_go(self) -> None:
        """Takes what was read out of this process's memory; the system may keep it in its own."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.memory.madvise(mmap.MADV_DONTNEED)


RESERVE = 1_000_000_000  # bytes that a bank leaves free on its disk, where the run may have to save its model
_STEP = 32  # a shard is made of whole batches of any usual size
_MOST_ROWS = 512
_BYTES = 64_000_000  # of a shard in float16, about
_NAME = re.compile(r"([0-9]{5,})-([0-9a-f]{16})\.npy")


def shard_rows(shape: Sequence[int]) -> int:
    """How many pictures share a shard: a multiple of 32 from 32 to 512, with about 64 MB in float16 at the most.

    Args:
        shape: Of one picture's features. Nothing else matters, so that a bank can be gone on with at any time.
    """
    fitting = _BYTES // (2 * max(1, math.prod(shape)))
    return min(max(fitting // _STEP * _STEP, _STEP), _MOST_ROWS)


def narrowed(features: NDArray[np.float32]) -> Stored:
    """The features as float16, or as they are where a finite number would become infinite.

    The largest float16 is 65,504. Below it the error is at most 2⁻¹¹ of a number, or 2⁻²⁵ for those under 2⁻¹⁴.
    """
    with np.errstate(over="ignore", under="ignore"):
        half = features.astype(np.float16)
    overflows = (np.isinf(half) & np.isfinite(features)).any()
    return features if overflows else half


def write_shard(folder: Path, number: int, features: NDArray[np.float32]) -> Path:
    """Writes a shard, whole or not at all, in place of any other of its number.

    Args:
        folder: Where a view's shards lie; made if missing.
        number: Of the shard in its view, from 0.
        features: (rows, *shape).

    Returns:
        Its path.

    Raises:
        WriteError: It cannot be written, or too little would be left on the disk; then nothing is left of it.
    """
    stream = io.BytesIO()
    np.save(stream, narrowed(features), allow_pickle=False)
    content = stream.getbuffer()
    path = folder / f"{number:05d}-{short_checksum(content)}.npy"
    with replacing(path) as temporary:
        if shutil.disk_usage(folder).free < len(content) + RESERVE:
            raise OSError(errno.ENOSPC, f"less than {RESERVE / 1e9:.0f} GB would be left on the disk")
        temporary.write_bytes(content)
    for other in folder.glob(f"{number:05d}-*.npy"):
        if other != path:
            remove(other)
    return path


def find_shards(folder: Path) -> dict[int, Path]:
    """The shards in a folder by their numbers, not looked into; none where there is no such folder."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return {}
    return {int(match[1]): folder / match[0] for match in map(_NAME.fullmatch, names) if match}


def is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a shard has the checksum of its name, and features (rows, *shape) in it. Reads all of it, in pieces."""
    try:
        return has_named_checksum(path) and mapped(path).features.shape == shape
    except (OSError, ValueError):
        return False


def mapped(path: Path) -> Shard:
    """Opens a shard. Raises OSError or ValueError."""
    with path.open("rb") as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{path} has an unknown format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        start = stream.tell()
        memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return Shard(np.frombuffer(memory, dtype, offset=start).reshape(shape), memory)


def allow_open_files(count: int) -> None:
    """Asks the system for that many open files more, as far as it lets anybody.

    Python keeps a mapped file open, and the limit that a process starts with is low (1,024 on Linux, 256 on macOS).
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + count if hard == resource.RLIM_INFINITY else min(soft + count, hard)
    if soft != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def remove(path: Path) -> None:
    """Removes a file if it can be."""
    with suppress(OSError):
        path.unlink()
