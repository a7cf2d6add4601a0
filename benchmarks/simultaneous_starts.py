"""Many `cnntrain fit` in one directory at the same time: one trains, each of the others ends with one line."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failing_writes import CONFIG, RUN, SPLIT_COMMAND, write_pictures

_COMMAND = [sys.executable, "-m", "cnntrain", "fit", "tiny.yaml", "--device", "cpu", "--set", "train.epochs=20"]
_MIB = 2**20
_MOST_MEMORY = 300 * _MIB  # TensorFlow alone takes more


@dataclass(frozen=True)
class Ended:
    """How one of them ended.

    Args:
        process: Its number.
        code: Its exit code.
        said: Its lines on stderr.
        memory: The most it had, bytes; 0 where the system does not tell.
        seconds: From the first start to its end.
    """

    process: int
    code: int
    said: list[str]
    memory: int
    seconds: float


def _race(folder: Path, count: int) -> list[Ended]:
    """Starts them all, and waits for them."""
    start = time.perf_counter()
    files = [(folder / f"said_{number}").open("w+", encoding="utf-8") for number in range(count)]
    environment = {**os.environ, "CNNTRAIN_CACHE_DIR": str(folder / "cache")}
    processes = {
        subprocess.Popen(_COMMAND, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=file).pid: file
        for file in files
    }
    ended = []
    for _ in range(count):
        process, status, used = os.wait4(-1, 0)
        memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        processes[process].seek(0)
        said = processes[process].read().splitlines()
        code = os.waitstatus_to_exitcode(status)
        ended.append(Ended(process, code, said, memory, time.perf_counter() - start))
    for file in files:
        file.close()
    return ended


def _faults(ended: list[Ended]) -> list[str]:
    """Every promise that was broken."""
    winners = [one for one in ended if one.code == 0]
    if len(winners) != 1:
        return [f"{len(winners)} winners", *(str(one) for one in ended if one.code not in (0, 6))]
    holder = f"error: {RUN} is in use by process {winners[0].process} on host "
    faults = []
    for one in ended:
        if one is not winners[0] and (one.code != 6 or len(one.said) != 1 or not one.said[0].startswith(holder)):
            faults.append(f"exit code {one.code}: {one.said[-5:]}")
        if one is not winners[0] and one.memory > _MOST_MEMORY:
            faults.append(f"takes {one.memory / _MIB:.0f} MiB before it is refused")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="starts")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    faults = []
    print("| round | exit codes | seconds to the last refusal | most memory of a refused one |\n|---|---|---|---|")
    for number in range(1, given.rounds + 1):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            write_pictures(folder / "data" / "raw")
            (folder / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
            subprocess.run(
                [sys.executable, "-m", "cnntrain", *SPLIT_COMMAND], cwd=folder, check=True, capture_output=True
            )
            ended = _race(folder, given.count)
            faults += _faults(ended)
            left = [path.name for path in (folder / RUN).iterdir() if path.name.startswith(".")]
            faults += [f"left {name}" for name in left]
        refused = [one for one in ended if one.code] or ended
        codes = ", ".join(f"{count} × {code}" for code, count in sorted(Counter(one.code for one in ended).items()))
        slowest, most = max(one.seconds for one in refused), max(one.memory for one in refused) / _MIB
        print(f"| {number} | {codes} | {slowest:.1f} | {most:.0f} MiB |", flush=True)
    print(f"\n{len(faults)} promises broken", *faults, sep="\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
