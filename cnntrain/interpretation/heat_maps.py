"""Heat maps: where in a picture that lies which speaks for a class, by the method that suits the network."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import ModelFileError, UsageError
from cnntrain.interpretation.gradcam import grad_cam, grad_cam_plus_plus
from cnntrain.interpretation.gradients import MapGradients, at_maps
from cnntrain.interpretation.integrated import integrated, picture_gradients
from cnntrain.interpretation.layers import has_places, in_single_precision, last_map, logits_of, map_of

Method = Literal["auto", "gradcam", "gradcam++", "integrated_gradients"]
HeatMaker = Callable[[NDArray[np.generic], Sequence[int]], NDArray[np.float32]]
_Make = Callable[[NDArray[np.generic], NDArray[np.int64]], tuple[NDArray[Any], NDArray[Any]]]  # maps, scales

METHOD_NAMES = {"gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "integrated_gradients": "integrated gradients"}

_AT_ONCE = 16  # pictures in a pass through the network
_BRIGHTEST = 99.5  # per cent of the pixels that integrated gradients tell apart; the rest is as hot as can be
_ON_MAPS: dict[str, Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]] = {
    "gradcam": grad_cam,
    "gradcam++": grad_cam_plus_plus,
}


def choose_method(
    model: keras.Model, method: Method = "auto", layer: str | None = None
) -> tuple[Literal["gradcam", "gradcam++", "integrated_gradients"], str | None]:
    """The method that is used, and the layer whose maps it looks at; None for integrated gradients, which has none.

    Args:
        model: Pictures to probabilities or logits.
        method: `auto` is Grad-CAM where `last_map` finds a layer or one is named, else integrated gradients.
        layer: Name of a layer whose output is a map; the last one of more than 1 × 1 places when absent.

    Raises:
        UsageError: There is no such layer, it has no maps or but one place, or the method and the layer do not fit.
    """
    if method == "integrated_gradients":
        if layer is not None:
            raise UsageError(f"integrated gradients look at pixels, not at a layer; got: {layer}; leave the layer out")
        return method, None
    if layer is not None and not has_places(map_of(model, layer)):
        raise UsageError(f"the maps of the layer {layer} have one place, which tells nothing; choose an earlier layer")
    chosen = layer or last_map(model)
    if chosen is not None:
        return ("gradcam" if method == "auto" else method), chosen
    if method == "auto":
        return "integrated_gradients", None
    raise UsageError(
        f"the network has no layer with maps of more than one place, as {method} needs; take integrated gradients"
    )


def heat_maps(
    model: keras.Model,
    pictures: NDArray[np.generic],
    targets: Sequence[int],
    *,
    method: Method = "auto",
    layer: str | None = None,
) -> NDArray[np.float32]:
    """Where in pictures that lies which speaks for a class, each picture from 0 to its own hottest place at 1.

    The score of a class is its logit; of two classes, 0 is minus the one logit. What speaks against the class is 0, and
    so is all of a picture in which nothing speaks for it.

    Args:
        model: Pictures (N, height, width, channels), 0 to 255, to logits or to the layer `probabilities`.
        pictures: (N, height, width, channels), as the network takes them.
        targets: For each picture the index of a class.
        method: As in `choose_method`.
        layer: As in `choose_method`.

    Returns:
        float32 (N, height, width), 0 to 1: Grad-CAM's coarse maps enlarged bilinearly (half-pixel centers), integrated
        gradients a pixel, the positive sums over its channels.

    Raises:
        UsageError: As in `choose_method`.
        ValueError: The targets are not one class for each picture.
        ModelFileError: The gradients are not finite.
    """
    return heat_maker(model, method=method, layer=layer)(pictures, targets)


def heat_maker(model: keras.Model, *, method: Method = "auto", layer: str | None = None) -> HeatMaker:
    """`heat_maps` as a function of pictures and targets, compiled once for all of its calls."""
    chosen, name = choose_method(model, method, layer)
    single = in_single_precision(model)
    make = _by_pixel(single) if name is None else _by_place(single, chosen, name)

    def made(pictures: NDArray[np.generic], targets: Sequence[int]) -> NDArray[np.float32]:
        classes = _check_targets(model, pictures, targets)
        if not len(pictures):
            return np.zeros((0, *model.input_shape[1:3]), np.float32)
        found, scale = make(pictures, classes)
        if not np.all(np.isfinite(found)):
            raise ModelFileError("the gradients of the model are not finite; its weights are damaged, fit it again")
        return _normalized(found, scale)

    return made


def _by_pixel(model: keras.Model) -> _Make:
    gradients = picture_gradients(model)

    def make(pictures: NDArray[np.generic], classes: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        found = np.maximum(integrated(gradients, pictures, classes).sum(axis=3), 0.0)
        return found, np.percentile(found, _BRIGHTEST, axis=(1, 2))

    return make


def _by_place(model: keras.Model, method: str, layer: str) -> _Make:
    gradients = map_gradients(model, layer)

    def make(pictures: NDArray[np.generic], classes: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        found = enlarged(coarse_maps(gradients, pictures, classes, method), model.input_shape[1:3])
        return found, found.max(axis=(1, 2))

    return make


def map_gradients(model: keras.Model, layer: str) -> MapGradients:
    """The maps of a layer, and how the score of a class changes with them. Raises UsageError as `check_layer` does."""
    return at_maps(keras.Model(model.input, [map_of(model, layer), logits_of(model)]))


def coarse_maps(
    gradients: MapGradients, pictures: NDArray[np.generic], targets: NDArray[np.int64], method: str
) -> NDArray[np.float32]:
    """Grad-CAM or Grad-CAM++ of at least one picture, of the size of the maps, not normalised: float32 (N, h, w)."""
    parts = []
    for start in range(0, len(pictures), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        parts.append(_ON_MAPS[method](*gradients(pictures[rows].astype(np.float32), targets[rows])))
    return np.concatenate(parts)


def enlarged(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Maps (N, h, w) at another height and width: bilinear, with half-pixel centers, antialiased where they shrink."""
    shown = keras.ops.image.resize(maps[..., np.newaxis], size, interpolation="bilinear", antialias=True)
    found: NDArray[np.float32] = keras.ops.convert_to_numpy(shown)[..., 0].astype(np.float32)
    return found


def _check_targets(model: keras.Model, pictures: NDArray[np.generic], targets: Sequence[int]) -> NDArray[np.int64]:
    classes = np.asarray(targets, np.int64).reshape(-1)
    count = max(2, int(logits_of(model).shape[-1]))
    if len(classes) != len(pictures) or np.any((classes < 0) | (classes >= count)):
        raise ValueError(f"{len(pictures)} pictures need as many targets from 0 to {count - 1}; got: {list(targets)}")
    return classes


def _normalized(found: NDArray[np.float32], scale: NDArray[np.floating]) -> NDArray[np.float32]:
    """Maps (N, h, w) divided by the scale of each (N,), or by its own largest value where that is 0; 1 at the most."""
    largest = found.max(axis=(1, 2), initial=0.0)
    divisors = np.where(scale > 0, scale, largest)[:, np.newaxis, np.newaxis]
    shares = np.zeros(found.shape, np.float64)
    np.divide(found, divisors, out=shares, where=divisors > 0)
    return np.clip(shares, 0.0, 1.0).astype(np.float32)
