"""Whether one model is better than another: tests of two tables of answers about the same pictures."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.areas import macro_roc_auc
from cnntrain.evaluation.intervals import LEVEL, Estimate, percentile

ALPHA = 0.05
POWER = 0.8
_ALL_PAIRS = 3  # of more runs, each is compared with the first


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on the same pictures.

    Args:
        first: Name of one.
        second: Name of the other.
        difference: Accuracy of the second minus that of the first.
        only_first_right: Number of pictures that only the first has right.
        only_second_right: Number of pictures that only the second has right.
        p_value: Of McNemar's mid-p test that both are right equally often.
        adjusted_p_value: The same, corrected for the number of pairs after Holm.
        shown: Whether the adjusted p-value is below 0.05.
        roc_auc_difference: That of the mean areas under the ROC curve, second minus first; None where all pictures are
            of one class.
        smallest_shown: The smallest true difference in accuracy that one test of as many pictures, on which as many
            answers disagree, would show with probability 0.8; None where no difference is so large.
    """

    first: str
    second: str
    difference: Estimate
    only_first_right: int
    only_second_right: int
    p_value: float
    adjusted_p_value: float
    shown: bool
    roc_auc_difference: Estimate | None
    smallest_shown: float | None

    def to_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return asdict(self)


def compare_answers(answers: Sequence[tuple[str, Answers]]) -> tuple[Pair, ...]:
    """Compares all pairs of two or three models, or each of more with the first.

    Args:
        answers: Name and answers of each model, aligned row by row and class by class.
    """
    pairs = (
        list(combinations(answers, 2)) if len(answers) <= _ALL_PAIRS else [(answers[0], each) for each in answers[1:]]
    )
    counts = [disagreement(first, second) for (_, first), (_, second) in pairs]
    p_values = [mid_p(*each) for each in counts]
    return tuple(
        Pair(
            first=first_name,
            second=second_name,
            difference=paired_difference(*count, len(first.paths)),
            only_first_right=count[0],
            only_second_right=count[1],
            p_value=p_value,
            adjusted_p_value=adjusted,
            shown=adjusted < ALPHA,
            roc_auc_difference=roc_auc_difference(first, second),
            smallest_shown=smallest_shown(len(first.paths), sum(count) / len(first.paths)),
        )
        for ((first_name, first), (second_name, second)), count, p_value, adjusted in zip(
            pairs, counts, p_values, holm(p_values), strict=True
        )
    )


def disagreement(first: Answers, second: Answers) -> tuple[int, int]:
    """Number of pictures that only the first has right, and number that only the second has."""
    one, other = (answers.predicted == answers.truth for answers in (first, second))
    return int((one & ~other).sum()), int((other & ~one).sum())


def mid_p(only_first: int, only_second: int) -> float:
    """McNemar's mid-p test: how probable so uneven a disagreement is if both models are right equally often.

    M. W. Fagerland, S. Lydersen and P. Laake, The McNemar test for binary matched-pairs data, BMC Medical Research
    Methodology 13, 2013, 91: the two-sided exact probability less half of what was observed.

    Returns:
        From 0 to 1; 1 where the models never disagree.
    """
    from scipy.stats import binom

    total, fewer = only_first + only_second, min(only_first, only_second)
    if not total:
        return 1.0
    observed = float(binom.pmf(fewer, total, 0.5))
    if only_first == only_second:
        return 1 - observed / 2
    return 2 * float(binom.cdf(fewer, total, 0.5)) - observed


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for their number (S. Holm, Scandinavian Journal of Statistics 6, 1979, 65-70)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for done, index in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def paired_difference(only_first: int, only_second: int, pictures: int) -> Estimate:
    """Difference in accuracy, second minus first, with the 95 % interval for shares of the same pictures.

    D. G. Bonett and R. M. Price, Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data, Journal of Educational and Behavioral Statistics 37, 2012, 479-488.
    """
    from scipy.stats import norm

    first, second = (only_first + 1) / (pictures + 2), (only_second + 1) / (pictures + 2)
    middle = second - first
    reach = _quantile(norm) * math.sqrt((first + second - middle**2) / (pictures + 2))
    value = (only_second - only_first) / pictures
    return Estimate(value, max(-1.0, middle - reach), min(1.0, middle + reach), LEVEL, "bonett-price")


def roc_auc_difference(first: Answers, second: Answers) -> Estimate | None:
    """Difference of the mean areas under the ROC curve, second minus first, both measured on the same samples."""
    found = macro_roc_auc(first, second)
    if found is None:
        return None
    measured, samples = found
    return percentile(float(measured[1] - measured[0]), samples[1] - samples[0])


def smallest_shown(pictures: int, disagreeing: float) -> float | None:
    """The smallest true difference in accuracy that McNemar's test at 0.05 shows with probability 0.8.

    Solves N d² = (z(0.975) √ψ + z(0.8) √(ψ - d²))² for d, where ψ is the share of pictures that exactly one model has
    right (R. J. Connor, Sample size for testing differences in proportions for the paired-sample design, Biometrics 43,
    1987, 207-211).

    Args:
        pictures: N, at least 1.
        disagreeing: ψ, from 0 to 1.

    Returns:
        d, above 0 and at most ψ, which no difference can exceed; None where even that would not be shown.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    def lacking(difference: float) -> float:
        alternative = float(norm.ppf(POWER)) * math.sqrt(disagreeing - difference**2)
        return _quantile(norm) * math.sqrt(disagreeing) + alternative - math.sqrt(pictures) * difference

    if lacking(disagreeing) > 0 or not disagreeing:
        return None
    return float(brentq(lacking, 0.0, disagreeing))


def _quantile(norm: Any) -> float:
    """Of the normal distribution, for a two-sided 95 %: 1.96."""
    return float(norm.ppf((1 + LEVEL) / 2))
