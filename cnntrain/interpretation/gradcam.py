"""Grad-CAM and Grad-CAM++: where in a feature map that lies which speaks for a class."""

import numpy as np
from numpy.typing import NDArray


def grad_cam(maps: NDArray[np.float32], gradients: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each map weighed by the mean of its gradient, summed, and what is negative left out.

    R. R. Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization (2017),
    equations 1 and 2.

    Args:
        maps: (N, h, w, channels).
        gradients: Of a class's score (its logit) with respect to the maps, of the same shape.

    Returns:
        float32 (N, h, w), 0 or more.
    """
    weights = gradients.astype(np.float64).mean(axis=(1, 2))  # (N, channels)
    return _combined(maps, weights)


def grad_cam_plus_plus(maps: NDArray[np.float32], gradients: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same with weights that count the places where a map speaks for the class, each by how much it can matter.

    A. Chattopadhyay et al., Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks (2018), equations
    5, 15 and 19. The score that they derive is exp(logit) with rectified layers behind the maps: its derivatives are
    powers of that of the logit times the score itself, which cancels but for a factor that is the same everywhere.

    Args:
        maps: (N, h, w, channels).
        gradients: Of a class's logit with respect to the maps, of the same shape.

    Returns:
        float32 (N, h, w), 0 or more.
    """
    slopes = gradients.astype(np.float64)
    squares, cubes = slopes**2, slopes**3
    denominators = 2.0 * squares + maps.astype(np.float64).sum(axis=(1, 2), keepdims=True) * cubes
    shares = np.zeros_like(squares)
    np.divide(squares, denominators, out=shares, where=denominators != 0)
    return _combined(maps, (shares * np.maximum(slopes, 0.0)).sum(axis=(1, 2)))


def _combined(maps: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """The weighted sum of maps (N, h, w, channels) by weights (N, channels), rectified."""
    heat: NDArray[np.float32] = np.maximum(np.einsum("nhwc,nc->nhw", maps, weights), 0.0).astype(np.float32)
    return heat
