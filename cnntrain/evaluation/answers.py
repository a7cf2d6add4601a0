"""A model's answers: one aligned table of pictures, their true classes and the probabilities the model gave."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import DataError

_COLUMNS = ("path", "label", "predicted", "correct")
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One row a picture, all columns in the same order, so that no number can slip to another picture.

    Args:
        paths: N paths of pictures, as they are to be shown.
        truth: int64 array of shape (N,): for each picture the index of its true class in `classes`.
        probabilities: float32 array of shape (N, C), each row summing to 1 within 1e-3.
        classes: C different names, at least two, in the order of the model's outputs.

    Raises:
        ValueError: The columns do not fit together or hold impossible values.
    """

    paths: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        self._check_classes()
        self._check_truth()
        self._check_probabilities()

    @property
    def predicted(self) -> NDArray[np.int64]:
        """int64 array of shape (N,): the most probable class of each picture, the first of equals."""
        best: NDArray[np.int64] = np.argmax(self.probabilities, axis=1)
        return best

    def _check_classes(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must be at least two different names; received {self.classes}")

    def _check_truth(self) -> None:
        expected = (len(self.paths),)
        if self.truth.dtype != np.int64 or self.truth.shape != expected:
            raise ValueError(f"truth must be int64 of shape {expected}; received {_described(self.truth)}")
        if np.any((self.truth < 0) | (self.truth >= len(self.classes))):
            raise ValueError(f"truth must lie between 0 and {len(self.classes) - 1}, the index of the last class")

    def _check_probabilities(self) -> None:
        table = self.probabilities
        expected = (len(self.paths), len(self.classes))
        if table.dtype != np.float32 or table.shape != expected:
            raise ValueError(f"probabilities must be float32 of shape {expected}; received {_described(table)}")
        if not np.all(np.isfinite(table)) or np.any(table < 0):
            raise ValueError("probabilities must be finite and not negative")
        if np.any(np.abs(table.sum(axis=1, dtype=np.float64) - 1) > _SUM_TOLERANCE):
            raise ValueError(f"each row of probabilities must sum to 1 within {_SUM_TOLERANCE}")


def worst_mistakes(answers: Answers, most: int) -> list[int]:
    """Positions of the pictures with wrong answers, at most `most`, the most confident first, of equals by path."""
    wrong = np.flatnonzero(answers.predicted != answers.truth).tolist()
    confidence = answers.probabilities.max(axis=1)
    return sorted(wrong, key=lambda row: (-confidence[row], answers.paths[row]))[:most]


def predictions_csv(answers: Answers) -> str:
    """The answers as CSV, a header and a row a picture.

    The columns are path, label, predicted, correct (`true` or `false`), confidence (the probability of the predicted
    class) and `p_CLASS` for each class; numbers have as many digits as tell them from every other float32.
    """
    rows = (
        (path, answers.classes[truth], answers.classes[predicted], "true" if truth == predicted else "false")
        for path, truth, predicted in zip(answers.paths, answers.truth, answers.predicted, strict=True)
    )
    return probabilities_csv(_COLUMNS, rows, answers.probabilities, answers.classes)


def read_predictions(path: Path) -> Answers:
    """Reads what `predictions_csv` wrote, every number as it was.

    Raises:
        DataError: The file is missing or is not such a table.
    """
    try:
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        first = len(_COLUMNS) + 1  # the confidence is found again
        classes = tuple(name.removeprefix("p_") for name in header[first:])
        index = {name: number for number, name in enumerate(classes)}
        return Answers(
            paths=tuple(row[0] for row in rows),
            truth=np.array([index[row[1]] for row in rows], np.int64),
            probabilities=np.array([row[first:] for row in rows], np.float32).reshape(len(rows), len(classes)),
            classes=classes,
        )
    except (OSError, ValueError, LookupError, csv.Error) as error:
        raise DataError(
            f"{path} must be a table that cnntrain evaluate wrote ({type(error).__name__}: {error}); evaluate again"
        ) from error


def sorted_by_content(answers: Answers) -> Answers:
    """The same rows, sorted by true class, then by probabilities: one order, whoever brought them in whichever."""
    return rows_of(answers, np.lexsort((*answers.probabilities.T[::-1], answers.truth)))


def rows_of(answers: Answers, rows: NDArray[np.integer]) -> Answers:
    """Some of the answers.

    Args:
        answers: N of them.
        rows: Integer array of shape (M,) of positions, in the order wanted.
    """
    paths = tuple(answers.paths[row] for row in rows)
    return Answers(paths, answers.truth[rows], answers.probabilities[rows], answers.classes)


def probabilities_csv(
    columns: Sequence[str], rows: Iterable[Sequence[str]], probabilities: NDArray[np.float32], classes: Sequence[str]
) -> str:
    """Probabilities as CSV, a header and a row a picture.

    Args:
        columns: Names of the leading columns.
        rows: Their cells, for each of N pictures.
        probabilities: float32 array of shape (N, C).
        classes: C names.

    Returns:
        The leading columns, then confidence (the largest probability) and `p_CLASS` for each class, numbers with the
        digits that a float32 needs to be read back as it was.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, "confidence", *(f"p_{name}" for name in classes)])
    for cells, row in zip(rows, probabilities, strict=True):
        shown = [digits.removesuffix(".0") for digits in row.astype(str).tolist()]
        writer.writerow([*cells, shown[int(np.argmax(row))], *shown])
    return text.getvalue()


def _described(array: NDArray[np.generic]) -> str:
    """What an array is, for a message."""
    return f"{array.dtype} of shape {array.shape}"
