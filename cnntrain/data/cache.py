"""Where decoded pictures are kept between epochs."""

from typing import Literal

import numpy as np

from cnntrain.data.decoder import Preprocessing

Cache = Literal["memory", "disk", "none"]


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
