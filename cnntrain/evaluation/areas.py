"""Areas under curves of one class against the rest, of many weightings of the same pictures at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.resampling import bootstrap_weights


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The pictures of a class among the others by their scores, sorted once for all weightings.

    Args:
        groups: Sparse float32 matrix of shape (3 M, N) for M different scores of the class's N pictures, falling. Row j
            of the first M adds up the weights of the class's pictures with score j, of the next M those of the others
            above it and below the score before, of the last M those of the others with the same score.
    """

    groups: Any

    def areas(self, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Area under the ROC curve, equal scores counted half, and average precision.

        Args:
            weights: Of shape (N, R), not negative; in each column one of the class and one of the others is positive.

        Returns:
            Array of shape (2, R). Average precision is the sum of precision times gain in recall over the different
            scores, as in scikit-learn: no interpolation.
        """
        own, between, tied = (self.groups @ weights).reshape(3, -1, weights.shape[1]).astype(np.float64)
        above = np.cumsum(between, axis=0) + np.cumsum(tied, axis=0) - tied  # others with a higher score
        found = np.cumsum(own, axis=0)
        others = weights.sum(axis=0, dtype=np.float64) - found[-1]
        roc = (own * (others - above - tied / 2)).sum(axis=0) / (found[-1] * others)
        called = found + above + tied
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        return np.stack([roc, (own * precision).sum(axis=0) / found[-1]])


def rank(scores: NDArray[np.floating[Any]], members: NDArray[np.bool_]) -> Ranking:
    """Sorts the pictures of a class among the others.

    Args:
        scores: Array of shape (N,): the higher, the more a picture looks like the class.
        members: bool array of shape (N,): whether it is of the class; at least one is and one is not.
    """
    from scipy.sparse import csr_matrix

    own = np.unique(scores[members])  # rising
    size = len(own)
    place = np.searchsorted(own, scores)  # the lowest score of the class that is not below the picture's
    equal = own[np.minimum(place, size - 1)] == scores
    below = np.where(equal, place, place - 1)  # the highest one that is not above it
    falling = size - 1 - below
    row = np.where(members, falling, np.where(equal, 2 * size + falling, size + falling))
    counted = np.flatnonzero(below >= 0)  # those below all of the class add nothing
    entries = (np.ones(len(counted), np.float32), (row[counted], counted))
    return Ranking(csr_matrix(entries, shape=(3 * size, len(scores))))


def class_scores(answers: Answers, index: int) -> NDArray[np.float32]:
    """How much each picture looks like a class: its probability; of two classes' first, minus that of the second.

    The network of two classes has one output, the second's probability. One minus it, near one, has lost digits.
    """
    first_of_two = len(answers.classes) == 2 and index == 0
    return -answers.probabilities[:, 1] if first_of_two else answers.probabilities[:, index]


def rankings(answers: Answers) -> dict[int, Ranking]:
    """The classes that have pictures while others have some too, by their index: the others have no areas."""
    support = np.bincount(answers.truth, minlength=len(answers.classes))
    present = np.flatnonzero((support > 0) & (support < len(answers.truth))).tolist()
    return {index: rank(class_scores(answers, index), answers.truth == index) for index in present}


def measured_areas(ranked: dict[int, Ranking], pictures: int) -> NDArray[np.float64]:
    """Array of shape (classes ranked, 2): area under the ROC curve and average precision, every picture once."""
    once = np.ones((pictures, 1), np.float32)
    return np.array([ranking.areas(once)[:, 0] for ranking in ranked.values()]).reshape(-1, 2)


def resampled_areas(ranked: dict[int, Ranking], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same in weighted samples: array of shape (classes ranked, 2, R)."""
    return np.array([ranking.areas(weights) for ranking in ranked.values()]).reshape(-1, 2, weights.shape[1])


def macro_roc_auc(first: Answers, second: Answers) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Mean area under the ROC curve of two models on the same pictures, and in the same bootstrap samples.

    Args:
        first: Answers of one model.
        second: Of the other, aligned row by row.

    Returns:
        Array of shape (2,), what was measured, and array of shape (2, R); None where all pictures are of one class.
    """
    both = (rankings(first), rankings(second))
    if not both[0]:
        return None
    count = len(first.paths)
    measured = np.array([measured_areas(ranked, count)[:, 0].mean() for ranked in both])
    samples = [
        [resampled_areas(ranked, weights)[:, 0].mean(axis=0) for ranked in both]
        for weights in bootstrap_weights(first.truth)
    ]
    return measured, np.concatenate(samples, axis=1)
