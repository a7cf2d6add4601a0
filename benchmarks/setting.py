"""What the comparisons share: pictures, a machine's description, a table."""

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

import cnntrain


def photos(folder: Path, *, train: int, validation: int = 0) -> Path:
    """A split data set of two classes in `folder`: the real photos where CNNTRAIN_TEST_DATA has them, else generated.

    Args:
        folder: An existing, temporary folder.
        train: Training pictures a class.
        validation: Validation pictures a class.
    """
    place = os.environ.get("CNNTRAIN_TEST_DATA")
    if place:
        source = Path(place) / "data" / "dogs-vs-cats-4000.zip"
        counts = {"train": train, "validation": validation, "test": 0}
        cnntrain.split(source, folder / "photos", counts=counts, near_duplicates="ignore")
        return folder / "photos"
    from cnntrain.data.generated import write_generated

    counts = {"train": 2 * train, "validation": 2 * validation, "test": 0}
    write_generated(folder / "photos", classes=("cat", "dog"), image_size=(180, 180), channels=3, counts=counts, seed=1)
    return folder / "photos"


def machine() -> str:
    """The processor and the number of cores in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1] for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].strip() if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def show(title: str, rows: Sequence[tuple[str, float, str]]) -> None:
    """Prints a title, the machine, and a row a figure: what, value, unit."""
    print(title)
    print(machine())
    width = max(len(name) for name, _, _ in rows)
    for name, value, unit in rows:
        print(f"  {name:<{width}}  {value:>9.3f} {unit}")


def median_ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios of pairs that were measured one after the other."""
    return statistics.median(a / b for a, b in zip(ours, other, strict=True))
