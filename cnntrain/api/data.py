"""`cnntrain data` and `cnntrain split`: pictures before any training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cnntrain.data.split import SplitResult, split_source
from cnntrain.runtime import prepare


def write_dataset(name: str, dest: str | Path) -> int:
    """Writes a well-known data set as PNG class folders.

    Args:
        name: `digits` (needs no download), `mnist`, `fashion_mnist`, `cifar10` or `cifar100`.
        dest: The folder to make.

    Returns:
        The number of pictures.

    Raises:
        DataError: The data set cannot be downloaded.
        WriteError: `dest` exists or cannot be written.
    """
    from cnntrain.data.datasets import write_digits, write_keras_dataset

    if name == "digits":
        return write_digits(Path(dest))
    prepare("cpu")
    return write_keras_dataset(name, Path(dest))  # type: ignore[arg-type]


def split(
    source: str | Path,
    dest: str | Path,
    *,
    counts: Mapping[str, int] | None = None,
    ratios: Sequence[float] | None = None,
    seed: int = 1337,
    method: str = "copy",
    overwrite: bool = False,
) -> SplitResult:
    """Splits a folder or zip of labelled pictures; see `cnntrain.data.split.split_source`."""
    return split_source(
        Path(source), Path(dest), counts=counts, ratios=ratios, seed=seed, method=method, overwrite=overwrite
    )
