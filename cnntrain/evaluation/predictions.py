"""What a model says about pictures whose classes nobody knows: probabilities as a table, CSV and JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.evaluation.answers import probabilities_csv


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """One row a picture.

    Args:
        paths: N paths of pictures, as they are to be shown.
        probabilities: float32 array of shape (N, C), each row summing to 1.
        classes: C names in the order of the model's outputs.
        problems: What is wrong with each picture that could not be used, by its path.
    """

    paths: tuple[str, ...]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    problems: Mapping[str, str]

    def top(self, count: int = 1) -> list[tuple[str, tuple[tuple[str, float], ...]]]:
        """Each path with its most probable classes and their probabilities, falling; of equals the first class first.

        Args:
            count: How many classes, one or more; all of them where there are fewer.
        """
        best = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        return [
            (path, tuple((self.classes[index], float(row[index])) for index in order))
            for path, row, order in zip(self.paths, self.probabilities, best, strict=True)
        ]

    def to_csv(self) -> str:
        """The columns path, predicted, confidence and `p_CLASS` for each class; bad pictures have no row."""
        best = np.argmax(self.probabilities, axis=1)
        rows = ((path, self.classes[index]) for path, index in zip(self.paths, best, strict=True))
        return probabilities_csv(("path", "predicted"), rows, self.probabilities, self.classes)

    def records(self, *, top: int = 1) -> Iterator[dict[str, Any]]:
        """One mapping a picture, numbers with six significant digits; at the end those with problems.

        Args:
            top: How many classes stand in `top`; `probabilities` always has all of them.
        """
        yield from self._answered(top)
        yield from self._unanswered()

    def to_json(self, *, top: int = 1) -> dict[str, Any]:
        """All of it as one document; `top` as in `records`."""
        return {"format": 1, "predictions": list(self._answered(top)), "problems": list(self._unanswered())}

    def _answered(self, top: int) -> Iterator[dict[str, Any]]:
        for (path, best), row in zip(self.top(top), self.probabilities.tolist(), strict=True):
            yield {
                "path": path,
                "top": [{"class": name, "probability": _rounded(probability)} for name, probability in best],
                "probabilities": dict(zip(self.classes, map(_rounded, row), strict=True)),
            }

    def _unanswered(self) -> Iterator[dict[str, Any]]:
        return ({"path": path, "problem": problem} for path, problem in self.problems.items())


def _rounded(value: float) -> float:
    """What `predictions.csv` shows, as a number."""
    return float(f"{value:.6g}")
