"""How much memory this process can have: the machine's, or less where its container or its shell sets a limit."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_ASSUMED = 4 << 30
_SYSTEM = Path("/")  # where proc/ and sys/ are
_MOUNTS = {"": ("sys/fs/cgroup", "sys/fs/cgroup/unified"), "memory": ("sys/fs/cgroup/memory",)}


def machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or less where its container is limited.

    Where the system does not tell (Windows), 4 GiB are assumed.
    """
    physical = _physical()
    return _ASSUMED if physical is None else min([physical, *_container_limits(swap=0)])


def attainable_memory() -> int | None:
    """Bytes of memory that this process could ever get, whatever others hold now: swap counts, limits hold.

    Returns:
        The smallest of what machine, container and `ulimit -v` allow; nothing where the system does not tell.
    """
    physical = _physical()
    if physical is None:
        return None
    swap = _swap()
    return min([physical + swap, *_container_limits(swap=swap), *_shell_limit()])


def memory_left() -> int | None:
    """Bytes of memory that are still to be had: what is free, swap too, in the machine and in the container.

    What the system keeps of files counts as free. Nothing where the system does not tell (only Linux does).
    """
    machine = _fields(_SYSTEM / "proc/meminfo")
    if "MemAvailable" not in machine:
        return None
    swap = machine.get("SwapFree", 0) << 10
    return min([(machine["MemAvailable"] << 10) + swap, *_left_in_containers(swap)])


def _left_in_containers(swap: int) -> Iterator[int]:
    for folder in _groups():
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            known = _fields(folder / "memory.stat")
            kinds = ("active_file", "inactive_file")  # in version 1 those of the groups within it are not in these
            files = sum(known.get(f"total_{kind}", known.get(kind, 0)) for kind in kinds)
            yield limit - used + files + swap


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _swap() -> int:
    """Bytes of swap; where the system makes it as it is needed (macOS), what is free on the disk."""
    if (_SYSTEM / "proc").is_dir():
        return _fields(_SYSTEM / "proc/meminfo").get("SwapTotal", 0) << 10
    return shutil.disk_usage(_SYSTEM).free


def _container_limits(*, swap: int) -> Iterator[int]:
    """What each control group that this process is in, and each around it, allows together with so much swap."""
    for folder in _groups():
        memory = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        own_swap, both = _number(folder / "memory.swap.max"), _number(folder / "memory.memsw.limit_in_bytes")
        if memory is not None:
            yield memory + (swap if own_swap is None else min(swap, own_swap))
        if both is not None:
            yield both


def _groups() -> Iterator[Path]:
    """The folders of these groups, in both versions of the interface (Linux, cgroups(7)).

    In a container the group may be named as the machine knows it, while the folder that is mounted is the group itself.
    """
    for line in _lines(_SYSTEM / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        inner = PurePosixPath(path.lstrip("/"))
        for controller in set(controllers.split(",")) & set(_MOUNTS):
            for mount in _MOUNTS[controller]:
                yield from (_SYSTEM / mount / part for part in (inner, *inner.parents))


def _shell_limit() -> Iterator[int]:
    """What `ulimit -v` allows."""
    if sys.platform == "win32":
        return
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield soft


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file that has a name and a number in each line."""
    words = [line.replace(":", " ").split() for line in _lines(path)]
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdecimal()}


def _number(path: Path) -> int | None:
    """The number that a file holds; nothing where there is no file, or no limit in it."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None


def _lines(path: Path) -> list[str]:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8").splitlines()
    return []
