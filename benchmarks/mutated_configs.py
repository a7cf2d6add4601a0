"""Mutated YAML files against the reader: no traceback, each rejection with file, line and key, each under a second."""

import argparse
import contextlib
import faulthandler
import io
import os
import tempfile
from collections import defaultdict
from pathlib import Path

from cnntrain.cli import main as command_line
from tests.config_mutations import EDITS, Verdict, broken, judge, mutated

SECONDS = 1.0
HANGS = 120  # seconds after which the process shows where it is, and ends
CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
COMMANDS = ("summary", "fit")


def _told(path: Path, command: str) -> str:
    """What is wrong with the end of a command on a file that does not load; empty where nothing is."""
    said = io.StringIO()
    code: object = 0
    with contextlib.redirect_stderr(said):
        try:
            command_line([command, str(path)])
        except SystemExit as end:
            code = end.code
    lines = tuple(said.getvalue().splitlines())
    return f"{command} ends with {code}: {lines}" if code != 2 else broken(path, lines)


def _show(verdicts: dict[str, list[Verdict]]) -> None:
    print("| edit | files | load | are rejected | lines | slowest in s | broken promises |")
    print("|---|---|---|---|---|---|---|")
    everything = [verdict for found in verdicts.values() for verdict in found]
    for name, found in [*verdicts.items(), ("all", everything)]:
        rejected = [verdict for verdict in found if verdict.lines]
        counts = (len(found), len(found) - len(rejected), len(rejected), sum(len(one.lines) for one in rejected))
        slowest = max((verdict.seconds for verdict in found), default=0.0)
        print(f"| {name} | {' | '.join(map(str, counts))} | {slowest:.3f} | {sum(bool(one.broken) for one in found)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=10, help="one rejected file in so many goes through the commands")
    given = parser.parse_args()
    contents = [path.read_bytes() for path in CONFIGS]
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        path = Path("config.yaml")
        for number in range(given.count):
            faulthandler.dump_traceback_later(HANGS, exit=True)
            name, content = mutated(contents, given.seed, number)
            path.write_bytes(content)
            verdict = judge(path)
            if verdict.lines and number // len(EDITS) % given.every == 0:
                verdict = verdict._replace(broken=verdict.broken or _told(path, COMMANDS[number % len(COMMANDS)]))
            verdict = verdict._replace(broken=verdict.broken or ("too slow" if verdict.seconds > SECONDS else ""))
            verdicts[name].append(verdict)
            if verdict.broken:
                print(f"mutation {number} of seed {given.seed} ({name}): {verdict.broken[:500]}")
        faulthandler.cancel_dump_traceback_later()
        os.chdir("/")
    _show(verdicts)
    if any(verdict.broken for found in verdicts.values() for verdict in found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
