"""`cnntrain data` and `cnntrain split`: pictures before any training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cnntrain.data.splitting.report import SplitResult
from cnntrain.data.splitting.split import split_source
from cnntrain.data.splitting.wishes import Wishes
from cnntrain.runtime import prepare
from cnntrain.training.events import OnEvent, ignore, pictures_told


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
    near_duplicates: str = "together",
    group_by: str | None = None,
    label_regex: str | None = None,
    folds: int | None = None,
    overwrite: bool = False,
    on_event: OnEvent | None = None,
) -> SplitResult:
    """Splits labelled pictures into training, validation and test, so that nothing leaks from one to another.

    Args:
        source: A folder, a CSV or TSV file, or a `.zip` or `.tar` of either.
        dest: The folder to make. Where the same split is there already, nothing is written.
        counts: Pictures a class of train, validation and test; a part that is absent gets none.
        ratios: Shares of the three instead. Without either, a source that is split already keeps its parts; any other
            is split into 0.8, 0.1 and 0.1, or into 0.9, 0 and 0.1 with folds.
        seed: Another one gives another split.
        method: `copy`, `hardlink` or `symlink` (absolute); an archive can only be copied.
        near_duplicates: `together`: on one side; `drop`: one of each set is used, none of a set with several labels,
            and where parts are kept that of the last part, so that test pictures are dropped too; `ignore`: not looked
            for.
        group_by: A regular expression, searched in each path: pictures with the same match, or first group of it, stay
            on one side. The source's own groups count when it is absent.
        label_regex: A regular expression that finds the class in each path.
        folds: Number of cross-validation folds that training pictures are divided into, in the manifest.
        overwrite: Whether an earlier split is replaced.
        on_event: Told how far it is.

    Raises:
        UsageError: The arguments contradict each other, or one of `source` and `dest` lies inside the other.
        DataError: The source is missing, damaged, unfit or too small, or groups forbid the split.
        WriteError: `dest` exists and is not to be replaced, or cannot be written.
    """
    listener = on_event or ignore
    wishes = Wishes(
        counts=counts,
        ratios=ratios,
        seed=seed,
        method=method,
        near_duplicates=near_duplicates,
        group_by=group_by,
        label_regex=label_regex,
        folds=folds,
    )
    wishes.check()
    if near_duplicates != "ignore":
        prepare("cpu")
    return split_source(
        Path(source),
        Path(dest),
        wishes,
        overwrite=overwrite,
        on_looked=lambda done, count: pictures_told(listener, count)(done),
    )
