"""How long `cnntrain --help` takes as a process, against an empty Python process. 10 seconds."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.setting import alternate, median, options, results_of, show


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    given = options(__doc__, rounds=15).parse_args()
    script = Path(sys.executable).parent / "cnntrain"
    commands = {"cnntrain --help": [str(script), "--help"], "python -c pass": [sys.executable, "-c", "pass"]}
    sides = {name: lambda command=command: _seconds(command) for name, command in commands.items()}
    results = results_of("startup", given)
    rounds = alternate(results, sides, given.rounds)
    title = "start-up, median seconds (goal for --help: 0.15)"
    show(title, [(name, median(rounds, name), "s") for name in commands], results=results)


if __name__ == "__main__":
    main()
