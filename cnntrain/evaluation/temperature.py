"""Temperature scaling: confidences that agree with how often a model is right."""

import numpy as np
from numpy.typing import NDArray

from cnntrain.evaluation.answers import Answers

LOWEST, HIGHEST = 0.05, 20.0
_TINY = float(np.finfo(np.float32).tiny)
_STEP = float(np.finfo(np.float32).eps)  # of two classes one probability is 1 minus the other: it resolves no more


def fit_temperature(answers: Answers) -> float:
    """The temperature at which the mean cross-entropy of answers is lowest (C. Guo et al., On Calibration of Modern
    Neural Networks, 2017, section 4.2).

    It is found on the logarithms of the probabilities, which are logits but for a number a picture that changes
    nothing. Where all answers are right, nothing says how sure to be, and the temperature is 1.

    Args:
        answers: Of pictures that the model was not trained on, at least one.

    Returns:
        Between 0.05 and 20; above 1 where the model is too sure of itself.
    """
    from scipy.optimize import minimize_scalar

    if np.all(answers.predicted == answers.truth):
        return 1.0
    logits = _logits(answers.probabilities)

    def loss(log_temperature: float) -> float:
        return _cross_entropy(logits / np.exp(log_temperature), answers.truth)

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def with_temperature(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities at a temperature: softmax(logits / temperature), which leaves the order of the classes as it is.

    Args:
        probabilities: float32 array of shape (N, C), each row summing to 1.
        temperature: Above 0; at 1 the probabilities stay as they are, at a higher one they come closer to each other.

    Returns:
        A float32 array of shape (N, C), each row summing to 1.
    """
    if temperature == 1.0:
        return probabilities
    scaled: NDArray[np.float32] = np.exp(_log_softmax(_logits(probabilities) / temperature)).astype(np.float32)
    return scaled


def _logits(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logarithms of probabilities (N, C), of zeros that of the smallest number above."""
    smallest = _STEP if probabilities.shape[1] == 2 else _TINY
    return np.asarray(np.log(np.maximum(probabilities.astype(np.float64), smallest)))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import log_softmax

    return np.asarray(log_softmax(logits, axis=1))


def _cross_entropy(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    return -float(np.mean(_log_softmax(logits)[np.arange(len(truth)), truth]))
