"""Which pictures probably have the wrong label: those that a classifier that never saw them takes for another class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FOLDS = 5
_INVERSE_REGULARIZATION = 10.0  # for features of unit mean square length; the result changes little within a decade
_MOST_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture that may have the wrong label.

    Args:
        path: Of the picture.
        split: Of which it is.
        label: Its class, as given.
        suggested: The class that it looks like.
        label_probability: Of the class as given, out of fold.
        suggested_probability: Of the other one.
        is_confident: Whether confident learning counts it among the label errors.
    """

    path: str
    split: str
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float
    is_confident: bool


@dataclass(frozen=True, slots=True, eq=False)
class Disagreements:
    """Where labels and out-of-fold probabilities disagree, the worst first.

    Args:
        order: int64 (M,), pictures whose most probable class is not their label, by falling distance between the two.
        suggested: int64 (M,), the most probable class of each.
        is_confident: bool (M,), whether that class is more probable than it is on average for pictures of its own
            label: a label error as confident learning counts them.
        probabilities: float64 (N, C), out of fold, of all pictures.
    """

    order: NDArray[np.int64]
    suggested: NDArray[np.int64]
    is_confident: NDArray[np.bool_]
    probabilities: NDArray[np.float64]


def find_disagreements(features: NDArray[np.float32], labels: NDArray[np.int64], class_count: int) -> Disagreements:
    """Confident learning (C. G. Northcutt, L. Jiang, I. L. Chuang, JAIR 70, 2021, 1373-1411) on features of a network.

    The probabilities are those of a logistic regression that was fitted to four fifths of the pictures without the one
    in question. It is fitted twice: the second time without the pictures that were label errors by the first.

    Args:
        features: float32 (N, D), one row a picture.
        labels: int64 (N,), 0 to `class_count` - 1.
        class_count: C, number of classes.

    Returns:
        Nothing in any order where fewer than two classes have two pictures; never the only picture of its class.
    """
    folds = _folds(labels)
    scaled = _scaled(features)
    is_kept = np.ones(len(labels), np.bool_)
    for _ in range(2):
        probabilities = _out_of_fold(scaled, labels, folds, is_kept, class_count)
        is_kept = ~_is_confident(probabilities, labels)
    own = _own(probabilities, labels)
    best = probabilities.argmax(axis=1)
    distance = probabilities.max(axis=1) - own
    order = np.lexsort((np.arange(len(labels)), -distance))
    order = order[best[order] != labels[order]]
    return Disagreements(order, best[order], ~is_kept[order], probabilities)


def _folds(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fold of each picture: the pictures of a class are dealt out in turn, in an order drawn at random."""
    folds = np.zeros(len(labels), np.int64)
    draw = np.random.default_rng(0)
    for label in np.unique(labels):
        (members,) = np.nonzero(labels == label)
        folds[draw.permutation(members)] = np.arange(len(members)) % _FOLDS
    return folds


def _scaled(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Features around 0 with a mean square length of 1."""
    centered = features - features.mean(axis=0, dtype=np.float64)
    length = np.sqrt((centered**2).sum(axis=1).mean())
    return np.asarray(centered / (length or 1.0), np.float64)


def _out_of_fold(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    is_kept: NDArray[np.bool_],
    class_count: int,
) -> NDArray[np.float64]:
    """Probabilities (N, C) of each picture by a regression on the kept pictures of the other folds.

    Where these are of one class only, or no other picture has its label, nothing is known: a picture's own label has
    probability 1.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    probabilities = np.zeros((len(labels), class_count))
    for fold in np.unique(folds):
        inside, others = folds == fold, (folds != fold) & is_kept
        known = np.unique(labels[others])
        if len(known) < 2:
            probabilities[inside, labels[inside]] = 1.0
            continue
        regression = LogisticRegression(C=_INVERSE_REGULARIZATION, max_iter=_MOST_ITERATIONS)
        with threadpool_limits(1):  # more threads wait for each other, many times as long where cores are busy
            regression.fit(features[others], labels[others])
        probabilities[np.ix_(inside, known)] = regression.predict_proba(features[inside])
    alone = np.bincount(labels)[labels] == 1
    probabilities[alone] = np.eye(class_count)[labels[alone]]
    return probabilities


def _is_confident(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which labels are errors: another class is likelier than it usually is for pictures that have its label.

    Of several such classes the likeliest counts, and the label itself is one of them where it is as likely as usual.
    """
    own = _own(probabilities, labels)
    usual = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels):
        usual[label] = own[labels == label].mean()
    likely = np.where(probabilities >= usual, probabilities, -1.0)
    is_error: NDArray[np.bool_] = (likely.max(axis=1) >= 0) & (likely.argmax(axis=1) != labels)
    return is_error


def _own(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The probability of each picture's own label."""
    own: NDArray[np.float64] = probabilities[np.arange(len(labels)), labels]
    return own
