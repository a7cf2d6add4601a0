"""What a model says about pictures whose classes nobody knows: probabilities as a table, CSV and JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.evaluation.abstention import Abstention
from cnntrain.evaluation.answers import probabilities_csv


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """One row a picture.

    Args:
        paths: N paths of pictures, as they are to be shown.
        probabilities: float32 array of shape (N, C), each row summing to 1.
        classes: C names in the order of the model's outputs.
        problems: What is wrong with each picture that could not be used, by its path.
        abstention: The rule by which pictures are not answered; the probabilities are at its temperature. Absent where
            all are answered.
    """

    paths: tuple[str, ...]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    problems: Mapping[str, str]
    abstention: Abstention | None = None

    @property
    def abstains(self) -> NDArray[np.bool_]:
        """Bool array of shape (N,): which pictures are not answered."""
        threshold = self.abstention.threshold if self.abstention else 0.0
        below: NDArray[np.bool_] = self.probabilities.max(axis=1, initial=0.0) < threshold
        return below

    @property
    def predicted(self) -> tuple[str, ...]:
        """The class of each picture, of equals the first; `unknown_name` of those that are not answered."""
        unknown = unknown_name(self.classes)
        best = self.probabilities.argmax(axis=1)
        return tuple(unknown if no else self.classes[index] for index, no in zip(best, self.abstains, strict=True))

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

    def to_csv(self, *, header: bool = True) -> str:
        """The columns path, predicted, confidence and `p_CLASS` for each class; bad pictures have no row.

        Args:
            header: Whether the names of the columns stand above; a further part of a table needs none.
        """
        rows = zip(self.paths, self.predicted, strict=True)
        text = probabilities_csv(("path", "predicted"), rows, self.probabilities, self.classes)
        return text if header else text.partition("\n")[2]  # names of classes hold no line breaks

    def records(self, *, top: int = 1) -> Iterator[dict[str, Any]]:
        """One mapping a picture, numbers with six significant digits; at the end those with problems.

        Args:
            top: How many classes stand in `top`; `probabilities` always has all of them.
        """
        yield from self._answered(top)
        yield from self._unanswered()

    def to_json(self, *, top: int = 1) -> dict[str, Any]:
        """All of it as one document; `top` as in `records`."""
        rule = {"abstention": self.abstention.to_json()} if self.abstention else {}
        found = {"predictions": list(self._answered(top)), "problems": list(self._unanswered())}
        return {"format": 1, **rule, **found}

    def _answered(self, top: int) -> Iterator[dict[str, Any]]:
        decisions = zip(self.predicted, self.abstains.tolist(), strict=True)
        rows = zip(self.top(top), self.probabilities.tolist(), decisions, strict=True)
        for (path, best), row, (predicted, abstains) in rows:
            yield {
                "path": path,
                **({"predicted": predicted, "abstains": abstains} if self.abstention else {}),
                "top": [{"class": name, "probability": _rounded(probability)} for name, probability in best],
                "probabilities": dict(zip(self.classes, map(_rounded, row), strict=True)),
            }

    def _unanswered(self) -> Iterator[dict[str, Any]]:
        return ({"path": path, "problem": problem} for path, problem in self.problems.items())


def unknown_name(classes: Sequence[str]) -> str:
    """What stands for no answer: `unknown`, with as many underscores as it takes to be no class."""
    name = "unknown"
    while name in classes:
        name += "_"
    return name


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Parts of the same predictions as one, in their order; there is at least one."""
    return Predictions(
        paths=tuple(path for part in parts for path in part.paths),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        classes=parts[0].classes,
        problems={path: problem for part in parts for path, problem in part.problems.items()},
        abstention=parts[0].abstention,
    )


def _rounded(value: float) -> float:
    """Six significant digits, as a number; CSV has all of them."""
    return float(f"{value:.6g}")
