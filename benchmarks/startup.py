"""How long `cnntrain --help` takes as a process, against an empty Python process."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.setting import show

ROUNDS = 15


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    script = Path(sys.executable).parent / "cnntrain"
    commands = {"cnntrain --help": [str(script), "--help"], "python -c pass": [sys.executable, "-c", "pass"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            seconds[name].append(_seconds(command))
    show(
        "start-up, median seconds (goal for --help: 0.15)", [(n, statistics.median(s), "s") for n, s in seconds.items()]
    )


if __name__ == "__main__":
    main()
