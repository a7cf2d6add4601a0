"""Integrated gradients: how much each pixel adds to the score of a class, for any network."""

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from cnntrain.interpretation.gradients import PictureGradients, at_pictures
from cnntrain.interpretation.layers import in_single_precision, logits_of

_AT_ONCE = 32  # pictures in a pass through the network
BLACK, GREY = 0.0, 127.5


def integrated_gradients(
    model: keras.Model,
    pictures: NDArray[np.generic],
    targets: Sequence[int],
    *,
    baseline: float = BLACK,
    steps: int = 64,
) -> NDArray[np.float32]:
    """How much each pixel adds to the score of a class, against a picture that is the same everywhere.

    M. Sundararajan, A. Taly and Q. Yan, Axiomatic Attribution for Deep Networks (2017): the difference to the baseline
    times the mean of the gradient on the straight way from there to the picture, here at the middles of equal parts of
    it. All of it adds up to the score of the picture minus that of the baseline (completeness), the better the more
    steps.

    Args:
        model: Pictures (N, height, width, channels), 0 to 255, to logits or to the layer `probabilities`.
        pictures: (N, height, width, channels).
        targets: For each picture the index of a class; of two classes 0 is minus the one logit.
        baseline: Level of the baseline, 0 to 255: `BLACK` has nothing to say about dark pixels, `GREY` about grey ones.
        steps: Gradients a picture.

    Returns:
        float32 (N, height, width, channels), of either sign, in units of logits.
    """
    return integrated(picture_gradients(in_single_precision(model)), pictures, targets, baseline=baseline, steps=steps)


def picture_gradients(model: keras.Model) -> PictureGradients:
    """How the score of a class changes with the pixels of pictures."""
    return at_pictures(keras.Model(model.input, logits_of(model)))


def integrated(
    gradients: PictureGradients,
    pictures: NDArray[np.generic],
    targets: Sequence[int] | NDArray[np.int64],
    *,
    baseline: float = BLACK,
    steps: int = 64,
) -> NDArray[np.float32]:
    """`integrated_gradients` by gradients that are compiled already."""
    ways = (np.arange(steps) + 0.5) / steps
    found = []
    for picture, target in zip(pictures.astype(np.float32), targets, strict=True):
        difference = picture - np.float32(baseline)
        total = np.zeros(picture.shape, np.float64)
        for start in range(0, steps, _AT_ONCE):
            shares = ways[start : start + _AT_ONCE, np.newaxis, np.newaxis, np.newaxis].astype(np.float32)
            between = np.float32(baseline) + shares * difference
            total += gradients(between, np.full(len(between), target, np.int64)).sum(axis=0, dtype=np.float64)
        found.append((difference * total / steps).astype(np.float32))
    return np.stack(found) if found else np.zeros(pictures.shape, np.float32)
