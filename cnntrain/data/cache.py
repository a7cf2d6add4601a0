"""Where decoded pictures are kept between epochs, and how much room there is for them."""

import os
from pathlib import Path
from typing import Literal

import numpy as np

from cnntrain.data.decoder import Preprocessing

Cache = Literal["memory", "disk", "none"]
_ASSUMED_MEMORY = 4 << 30
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or less where its container is limited.

    Where the system does not tell (Windows), 4 GiB are assumed.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _ASSUMED_MEMORY
    try:
        limit = _CONTAINER_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdecimal() else memory


def choose_cache(count: int, preprocessing: Preprocessing, *, memory: int, disk: int) -> Cache:
    """Where decoded pictures are kept: in a quarter of the memory, else in half of the free disk, else nowhere.

    Args:
        count: Number of pictures.
        preprocessing: Gives the bytes of one.
        memory: Bytes of memory that the machine has.
        disk: Bytes free on the disk.
    """
    needed = count * int(np.prod(preprocessing.shape))
    if needed <= memory // 4:
        return "memory"
    return "disk" if needed <= disk // 2 else "none"
