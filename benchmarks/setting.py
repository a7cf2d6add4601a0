"""What the comparisons share: options, pictures, processes, a machine's description, rounds taken in turn, a table."""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cnntrain
from benchmarks.results import DEFAULT, ROOT, Results, Round, numbers, source_digest

CONFIGS = ROOT / "configs"
_NOT_PARAMETERS = {"results", "any_source", "rounds", "minutes"}  # they do not change what a round finds

Side = Callable[[], "float | Mapping[str, float]"]


def options(description: str | None, *, rounds: int | None) -> argparse.ArgumentParser:
    """A parser with the options that every comparison has; what a script adds to them is taken as a parameter.

    Args:
        description: Of the comparison.
        rounds: How many are added unless said; absent where they are chosen otherwise.
    """
    parser = argparse.ArgumentParser(description=description)
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"to add, 0 for none; default {rounds}")
    parser.add_argument(
        "--results", type=Path, default=DEFAULT, metavar="FILE", help="default benchmarks/results.jsonl"
    )
    parser.add_argument("--any-source", action="store_true", help="count rounds of other states of the code, too")
    return parser


def with_pictures(parser: argparse.ArgumentParser, images: int, what: str) -> argparse.ArgumentParser:
    """Adds the options for a data set of a given number of pictures, or of one's own."""
    parser.add_argument("--images", type=int, default=images, help=f"{what}; default {images}")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a split data set instead, whole")
    return parser


def with_device(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds the options for the device and the precision."""
    parser.add_argument("--device", choices=["auto", "cpu", "gpu"], default="cpu", help="default cpu")
    parser.add_argument("--mixed-precision", action="store_true")
    return parser


def with_weights(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds the option for VGG16's weights: the file where CNNTRAIN_TEST_DATA has it, else random ones."""
    place = os.environ.get("CNNTRAIN_TEST_DATA")
    default = str(Path(place) / "weights" / "vgg16-imagenet-notop.weights.h5") if place else "none"
    parser.add_argument("--weights", default=default, metavar="FILE", help="of VGG16, or imagenet, or none for random")
    return parser


def results_of(
    benchmark: str, given: argparse.Namespace, *, reads: Sequence[Path] = (), code: Sequence[Path] | None = None
) -> Results:
    """Where the rounds of a comparison are kept.

    Args:
        benchmark: Its name, that of its module.
        given: The parsed options.
        reads: Configurations that it trains.
        code: Files and folders that decide about the values; by default `reads`, all of cnntrain, the plain scripts and
            the module of the comparison.

    Raises:
        SystemExit: The file holds something else: this is found before anything is measured.
    """
    from cnntrain.runtime import versions

    ours = (ROOT / "cnntrain", ROOT / "benchmarks" / "plain", ROOT / "benchmarks" / f"{benchmark}.py")
    code = code or (*ours, *reads)
    setting = {"machine": machine(), "versions": versions(), "source": source_digest(code)}
    chosen = {name: value for name, value in vars(given).items() if name not in _NOT_PARAMETERS}
    parameters = {name: str(value) if isinstance(value, Path) else value for name, value in chosen.items()}
    parameters["are_real"] = "CNNTRAIN_TEST_DATA" in os.environ  # the pictures, or generated
    results = Results(given.results, benchmark, setting, parameters, given.any_source)
    results.rounds()
    return results


def alternate(results: Results, sides: Mapping[str, Side], rounds: int) -> list[Round]:
    """Measures all sides one after the other, in the opposite order every other round, and keeps what they give.

    Args:
        results: Where rounds go.
        sides: Each by its name; what gives several numbers names them, and they are kept as `SIDE NAME`.
        rounds: How many to add.

    Returns:
        All rounds gathered so far.

    Raises:
        SystemExit: There is none.
    """
    before = len(results.rounds())
    for number in range(before, before + rounds):
        values: dict[str, float] = {}
        for name in list(sides)[:: -1 if number % 2 else 1]:
            values |= _named(name, sides[name]())
        results.add(values)
    gathered = results.rounds()
    if not gathered:
        raise SystemExit(f"{results.path} holds no round of {results.benchmark} with these parameters; measure some")
    return gathered


def _named(side: str, found: "float | Mapping[str, float]") -> dict[str, float]:
    if isinstance(found, Mapping):
        return {f"{side} {name}": value for name, value in found.items()}
    return {side: found}


def photos(folder: Path, *, train: int, validation: int = 0, test: int = 0) -> Path:
    """A split data set of two classes in `folder`: the real photos where CNNTRAIN_TEST_DATA has them, else generated.

    Args:
        folder: An existing, temporary folder.
        train: Training pictures a class.
        validation: Validation pictures a class.
        test: Test pictures a class.
    """
    place = os.environ.get("CNNTRAIN_TEST_DATA")
    counts = {"train": train, "validation": validation, "test": test}
    if place:
        source = Path(place) / "data" / "dogs-vs-cats-4000.zip"
        cnntrain.split(source, folder / "photos", counts=counts, near_duplicates="ignore")
        return folder / "photos"
    from cnntrain.data.generated import write_generated

    write_generated(folder / "photos", classes=("cat", "dog"), image_size=(180, 180), channels=3, counts=counts, seed=1)
    return folder / "photos"


def training_data(given: argparse.Namespace, folder: Path) -> Path:
    """The data set that `--data` names, else one of `--images` training pictures and half as many for validation."""
    if given.data:
        return Path(given.data).resolve()
    return photos(folder, train=given.images // 2, validation=max(given.images // 4, 1))


def run_python(arguments: Sequence[str], folder: Path, *, device: str = "cpu", seconds: float | None = None) -> float:
    """Runs Python as a process of its own, in the root of the repository and with cnntrain's cache in `folder`.

    Args:
        arguments: What follows `python`.
        folder: For the cache; what the process writes to stdout goes into its file `stdout`.
        device: `cpu` hides a GPU.
        seconds: After how many it is ended, which is not an error.

    Returns:
        Seconds from its start to its end.

    Raises:
        SystemExit: It fails; what it said last is told.
    """
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"} if device == "cpu" else {}
    ours = {"CNNTRAIN_CACHE_DIR": str(folder / "cache"), "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.perf_counter()
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        try:
            code = subprocess.run(
                [sys.executable, *arguments],
                check=False,
                cwd=ROOT,
                env={**os.environ, **ours, **hidden},
                stdout=stdout,
                stderr=stderr,
                timeout=seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            code = 0
    if code:
        said = (folder / "stderr").read_text(encoding="utf-8", errors="replace")[-2000:]
        raise SystemExit(f"python {' '.join(arguments)[:200]} ends with {code}:\n{said}")
    return time.perf_counter() - start


@cache
def machine() -> str:
    """Processor, cores, graphics card and operating system in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1] for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join([model, f"{cores} cores", *_graphics_cards(), platform.system()])


def _graphics_cards() -> list[str]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    told = subprocess.run(query, check=False, capture_output=True, text=True, encoding="utf-8")
    return told.stdout.split("\n")[:-1] if told.returncode == 0 else []


def show(title: str, rows: Sequence[tuple[str, float, str]], *, results: Results | None = None) -> None:
    """Prints a title, the machine, versions and number of rounds, and a row a figure: what, value, unit."""
    print(title)
    print(machine())
    if results is not None:
        versions = results.setting["versions"]
        known = ", ".join(f"{name} {versions[name]}" for name in ("cnntrain", "tensorflow", "keras", "python"))
        print(f"{known}; {len(results.rounds())} rounds in {results.path.name}")
    width = max(len(name) for name, _, _ in rows)
    for name, value, unit in rows:
        print(f"  {name:<{width}}  {value:>9.3f} {unit}", flush=True)


def median_ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios of pairs that were measured one after the other."""
    return statistics.median(a / b for a, b in zip(ours, other, strict=True))


def median(rounds: Sequence[Round], name: str) -> float:
    """The median of what the rounds found for `name`; not a number where none did."""
    found = numbers(rounds, name)
    return statistics.median(found) if found else float("nan")


def ratio(rounds: Sequence[Round], ours: str, other: str) -> float:
    """The median ratio of two values of the same round; not a number where no round has both."""
    both = [values for values in rounds if numbers([values], ours) and numbers([values], other)]
    return median_ratio(numbers(both, ours), numbers(both, other)) if both else float("nan")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a training's log, an epoch each; a last line that was cut off is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
