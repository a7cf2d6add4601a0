"""The first writes of commands made to fail one after the other: what stood there before must be as it was.

`fit --overwrite` keeps the earlier run until the new one has begun. What fails later, the new run must survive: its
files are whole, and `--resume` goes on.
"""

import argparse
import errno
import json
import os
import random
import re
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnntrain.files import is_temporary
from cnntrain.runtime import prepare
from tests.failing_writes import Disk, Outcome, run

RUN, EVALUATION, CURVES, SPLIT = "runs/tiny", "runs/tiny/evaluation/test", "runs/tiny/plots/curves.png", "data/tiny"
CONFIG = f"""
data: {{source: {SPLIT}, image_size: [12, 12], batch_size: 4}}
model: {{kind: convnet, blocks: [{{filters: 2}}], head: {{layers: [{{dense: 4}}]}}}}
train: {{epochs: 2}}
"""
SPLIT_COMMAND = ["split", "data/raw", SPLIT, "--ratios", "0.34,0.33,0.33"]
_FIT = ["fit", "tiny.yaml", "--device", "cpu"]
_GO_ON = [*_FIT, "--set", "seed=2", "--resume"]
_EVALUATE = ["evaluate", RUN, "--device", "cpu"]
_PLOT = ["plot", RUN]
# What is written anew, and the command that does it; its files differ from the earlier ones.
COMMANDS = {
    "split": (SPLIT, [*SPLIT_COMMAND, "--seed", "2", "--overwrite"]),
    "fit": (RUN, [*_FIT, "--set", "seed=2", "--overwrite"]),
    "evaluate": (EVALUATION, _EVALUATE),
    "plot": (CURVES, _PLOT),
}
# A full disk stays full; an input/output error strikes once.
ERRORS = {"ENOSPC": (errno.ENOSPC, True), "EIO": (errno.EIO, False)}
Files = dict[str, bytes]
_WITHOUT = ("link", "sendfile", "nameless")  # calls with a way round: no second name, copying by hand, a hidden name


@dataclass(frozen=True)
class Case:
    """One write that fails.

    Args:
        command: A key of `COMMANDS`.
        error: A key of `ERRORS`.
        number: Of the write, from 1.
    """

    command: str
    error: str
    number: int


def _files(path: Path) -> Files:
    """All files at or below a path; links by where they lead."""
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    return {entry.relative_to(path.parent).as_posix(): entry.read_bytes() for entry in found if entry.is_file()}


def write_pictures(folder: Path) -> None:
    from PIL import Image

    for number, label in enumerate(("cat", "dog")):
        (folder / label).mkdir(parents=True)
        for index in range(6):
            shade = (40 + 150 * number + 3 * index, 20 * index, 90)
            Image.new("RGB", (12, 12), shade).save(folder / label / f"{index}.png")


@contextmanager
def _inside(folder: Path) -> Iterator[Disk]:
    """Works in a folder, with the cache in it; gives a disk that does not fail."""
    before = Path.cwd()
    os.chdir(folder)
    os.environ["CNNTRAIN_CACHE_DIR"] = str(folder / "cache")
    try:
        yield Disk((folder,))
    finally:
        os.chdir(before)


def _do(arguments: list[str], folder: Path) -> None:
    """Runs a command while nothing fails."""
    with _inside(folder) as disk:
        outcome = run(arguments, disk, folder.parent / "said")
    if outcome.code:
        raise SystemExit(f"cnntrain {' '.join(arguments)} ends with {outcome.code}: {outcome.said}")


def _prepare(folder: Path) -> None:
    """Makes a split, a run, its evaluation and its curves, and marks the files that commands make the same again."""
    write_pictures(folder / "data" / "raw")
    (folder / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "runs").mkdir()
    for arguments in ([*SPLIT_COMMAND, "--seed", "1"], [*_FIT, "--run-dir", RUN], _EVALUATE, _PLOT):
        _do(arguments, folder)
    for path in [*(folder / EVALUATION).iterdir(), folder / CURVES]:
        path.write_bytes(path.read_bytes() + b"\n")


def _fresh(template: Path) -> Path:
    """A new copy of the template."""
    place = template.parent / "work"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(template, place)
    return place


def _unharmed(command: str, template: Path) -> Files:
    """What a command writes when nothing fails."""
    place = _fresh(template)
    target, arguments = COMMANDS[command]
    _do(arguments, place)
    return _files(place / target)


def _try(case: Case, template: Path, whole: Files) -> tuple[str, list[str], Outcome]:
    """Lets one write fail in a copy of the template; gives the verdict and the promises that are broken."""
    place = _fresh(template)
    target, arguments = COMMANDS[case.command]
    before = _files(place / target)
    code, stays_full = ERRORS[case.error]
    with _inside(place):
        outcome = run(arguments, Disk((place,), case.number, code, stays_full), place.parent / "said")
    if outcome.struck is None:
        return "no such write", [f"exit code {outcome.code}"] if outcome.code else [], outcome
    left = (path for path in place.rglob("*") if is_temporary(path.name) or path.name.startswith(".cnntrain."))
    broken, after = [f"left {path.relative_to(place)}" for path in left], _files(place / target)
    if not outcome.code:
        return "done without", [*broken, *_done_wrongly(outcome, case, place, after, whole)], outcome
    broken += _told_wrongly(outcome, case, target)
    if after == before:
        return "as it was", broken, outcome
    if case.command == "fit":
        return "new run failed", [*broken, *_not_whole(place / target), *_goes_not_on(place)], outcome
    return "changed", [*broken, f"{target} is not as it was"], outcome


def _done_wrongly(outcome: Outcome, case: Case, place: Path, after: Files, whole: Files) -> Iterator[str]:
    """A command may only go on without what can be done without, and then all else is as if nothing had failed."""
    call, path = outcome.struck or ("", "")
    if not (Path(path).is_relative_to(place / "cache") or call in _WITHOUT):
        yield "exit code 0"
    if after.keys() != whole.keys():
        yield f"differs in {sorted(after.keys() ^ whole.keys())[0]}"
    elif case.command != "fit" and after != whole:  # a run holds its times
        yield "differs"


def _told_wrongly(outcome: Outcome, case: Case, target: str) -> Iterator[str]:
    lines = outcome.said.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if outcome.code != 6:
        yield f"exit code {outcome.code}"
    if len(errors) != 1 or "Traceback" in outcome.said:
        yield f"not one line: {outcome.said[-600:]!r}"
    elif target.split("/")[0] not in errors[0] or re.search(r"/\.\d+\.\w{8}\.", errors[0]):
        yield f"does not name the path: {errors[0]}"
    elif os.strerror(ERRORS[case.error][0]) not in errors[0]:
        yield f"does not say why: {errors[0]}"


def _not_whole(path: Path) -> Iterator[str]:
    """What of a failed new run cannot be read."""
    for file in path.rglob("*.json"):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            yield f"{file.name} is not whole"
    for file in path.rglob("*.keras"):
        if not zipfile.is_zipfile(file):
            yield f"{file.name} is not whole"
    if not (path / "run.json").is_file():
        yield "there is neither the earlier run nor a new one"


def _goes_not_on(place: Path) -> Iterator[str]:
    """A run that has failed goes on once there is room."""
    with _inside(place) as disk:
        outcome = run(_GO_ON, disk, place.parent / "said")
    if outcome.code:
        yield f"does not go on: {outcome.said[-300:]!r}"


def _cases(commands: list[str], errors: list[str], writes: int, sample: int, seed: int) -> Iterator[Case]:
    chosen = random.Random(seed)
    for command in commands:
        for error in errors:
            numbers = range(1, writes + 1)
            for number in sorted(chosen.sample(numbers, sample)) if sample else numbers:
                yield Case(command, error, number)


def _show(found: Counter[tuple[str, str, str]], wrong: int) -> None:
    verdicts = ("as it was", "new run failed", "done without", "no such write", "broken")
    print("| command | error | " + " | ".join(verdicts) + " |\n|---|---|" + "---|" * len(verdicts))
    for command, error in sorted({key[:2] for key in found}):
        print(f"| {command} | {error} | " + " | ".join(str(found[command, error, word]) for word in verdicts) + " |")
    print(f"\n{wrong} promises broken")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--errors", nargs="+", choices=ERRORS, default=list(ERRORS))
    parser.add_argument("--count", type=int, default=50, help="writes of each command, from the first")
    parser.add_argument("--sample", type=int, default=0, help="so many of them, by chance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="tell of every case")
    given = parser.parse_args()
    prepare("cpu")  # every child has TensorFlow then
    import matplotlib.figure  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        wrong = _try_all(given, Path(folder).resolve() / "template")
    sys.exit(1 if wrong else 0)


def _try_all(given: argparse.Namespace, template: Path) -> int:
    """Tries all cases and prints the table; gives the number of those with a broken promise."""
    found: Counter[tuple[str, str, str]] = Counter()
    wrong, ended = 0, set()
    _prepare(template)
    whole = {command: _unharmed(command, template) for command in given.commands}
    for case in _cases(given.commands, given.errors, given.count, given.sample, given.seed):
        if (case.command, case.error) in ended:
            continue
        verdict, broken, outcome = _try(case, template, whole[case.command])
        found[case.command, case.error, verdict] += 1
        found[case.command, case.error, "broken"] += bool(broken)
        wrong += bool(broken)
        if verdict == "no such write":
            ended.add((case.command, case.error))
        if broken or given.verbose:
            print(case, outcome.struck, verdict, broken, outcome.said.strip()[-300:], file=sys.stderr, flush=True)
    _show(found, wrong)
    return wrong


if __name__ == "__main__":
    main()
