"""When a model should rather not answer: a confidence below which it says that it does not know."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cnntrain.errors import DataError, UsageError
from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.intervals import Estimate, wilson
from cnntrain.evaluation.temperature import fit_temperature, with_temperature

FEWEST = 50  # validation pictures: of fewer the share that is answered is hardly known


@dataclass(frozen=True, slots=True)
class Abstention:
    """A rule: at `temperature`, a picture whose confidence is below `threshold` is not answered.

    Args:
        temperature: What logits are divided by.
        threshold: The smallest confidence, that is probability of the likeliest class, that is answered.
        coverage: The share of validation pictures that was to be answered at least.
        pictures: Validation pictures that it was fitted on.
        answered: The share of them that is answered.
        accuracy: Share of right answers among those that are answered.
        accuracy_of_all: Share of right answers among all of them.
    """

    temperature: float
    threshold: float
    coverage: float
    pictures: int
    answered: Estimate
    accuracy: Estimate
    accuracy_of_all: Estimate

    def __str__(self) -> str:
        return (
            f"unknown below a confidence of {self.threshold:.4f} at temperature {self.temperature:.3f}: of "
            f"{self.pictures:,} validation pictures {_shown(self.answered)} are answered, of these "
            f"{_shown(self.accuracy)} rightly; without abstaining it would be {_shown(self.accuracy_of_all)}"
        )

    def to_json(self) -> dict[str, Any]:
        """The numbers, for scripts."""
        return asdict(self)


def fit_abstention(answers: Answers, *, coverage: float = 0.95) -> Abstention:
    """Fits temperature and threshold on answers to validation pictures.

    The threshold is the largest one at which at least `coverage` of them are answered; pictures as confident as that
    are answered, so that ties may answer more.

    Args:
        answers: Of at least 50 pictures that the model was not trained on.
        coverage: Above 0 and at most 1.

    Raises:
        UsageError: `coverage` is no such share.
        DataError: There are fewer pictures.
    """
    check_coverage(coverage)
    count = len(answers.paths)
    check_enough(count)
    temperature = fit_temperature(answers)
    confidences = with_temperature(answers.probabilities, temperature).max(axis=1)
    wanted = math.ceil(coverage * count - 1e-9)  # 0.07 * 100 is a little more than 7
    threshold = float(np.sort(confidences)[count - max(wanted, 1)])
    is_answered, is_right = confidences >= threshold, answers.predicted == answers.truth
    answered = int(is_answered.sum())
    return Abstention(
        temperature=temperature,
        threshold=threshold,
        coverage=coverage,
        pictures=count,
        answered=wilson(answered, count),
        accuracy=wilson(int((is_answered & is_right).sum()), answered),
        accuracy_of_all=wilson(int(is_right.sum()), count),
    )


def check_coverage(coverage: float) -> None:
    """Raises UsageError where a coverage is not above 0 and at most 1."""
    if not 0 < coverage <= 1:
        raise UsageError(f"a coverage is a share of pictures, above 0 and at most 1; got: {coverage}; such as 0.95")


def check_enough(count: int) -> None:
    """Raises DataError where there are too few validation pictures to fit on."""
    if count < FEWEST:
        raise DataError(
            f"abstaining needs at least {FEWEST} validation pictures to fit its threshold on, and the run has {count}; "
            "fit again with more, or leave --abstain out"
        )


def _shown(share: Estimate) -> str:
    return f"{share.value:.4f} ({share.low:.4f} to {share.high:.4f})"
