"""Filters: for each channel of a layer the picture that excites it most, by gradient ascent from grey noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import UsageError
from cnntrain.interpretation.gradients import AscentStep, ascent_step
from cnntrain.interpretation.layers import in_single_precision, map_of
from cnntrain.models.network import resize

BATCH = 64
_GREY, _NOISE = 128.0, 10.0  # levels of 0 to 255: the mean, and the most that a pixel differs from it
_JITTER = 16  # a picture is shifted by up to the sixteenth part of its side
_LENGTH = 2.0  # levels, root of the mean of squares, by which one step changes a picture


@dataclass(frozen=True)
class FilterPictures:
    """What excites filters.

    Args:
        filters: Their numbers in the layer, counted from 0.
        pictures: float32 (filters, size, size, channels), 0 to 255.
        is_silent: bool (filters,): whether no noise was found of which a pixel changes the output of a filter; its
            picture is noise.
    """

    filters: tuple[int, ...]
    pictures: NDArray[np.float32]
    is_silent: NDArray[np.bool_]


def choose_filters(model: keras.Model, layer: str, wanted: int | Sequence[int] | None) -> tuple[int, ...]:
    """The numbers of filters of a layer, each once, in the order given.

    Args:
        model: A flat network.
        layer: Name of a layer whose output is a map a filter.
        wanted: How many, from the first on; or which; or all when absent.

    Raises:
        UsageError: There is no such layer, its output is no map, or it has no such filters.
    """
    count = int(map_of(model, layer).shape[-1])
    if isinstance(wanted, int):
        if not 1 <= wanted <= count:
            raise UsageError(f"the layer {layer} has {count} filters; got: the first {wanted}; ask for 1 to {count}")
        return tuple(range(wanted))
    chosen = tuple(range(count)) if wanted is None else tuple(dict.fromkeys(wanted))
    wrong = next((number for number in chosen if not 0 <= number < count), None)
    if wrong is not None or not chosen:
        raise UsageError(
            f"the layer {layer} has the filters 0 to {count - 1}; got: {'none' if wrong is None else wrong}"
        )
    return chosen


def excite(
    model: keras.Model,
    layer: str,
    filters: Sequence[int],
    *,
    steps: int = 30,
    size: int = 128,
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda *_: None,
) -> FilterPictures:
    """Finds the picture that excites each filter most, 64 of them in one pass through the network.

    Gradient ascent on the mean of the filter's map, by L2-normalised gradients, from grey noise, with a random shift
    (jitter) in each step (D. Erhan et al., Visualizing Higher-Layer Features of a Deep Network, 2009; A. Mordvintsev
    et al., Inceptionism, 2015). A filter whose gradient is zero gets other noise of twice the strength in the next
    step, until there is a way up. Only the layers up to `layer` run. The noise of a filter depends on the seed and its
    number alone, so its picture does not depend on which others are asked for.

    Args:
        model: A flat network that takes pictures (N, height, width, channels), 0 to 255.
        layer: Name of a layer whose output is a map a filter.
        filters: Numbers of filters of the layer.
        steps: Of the ascent.
        size: Height and width of the pictures in pixels, whatever the network was trained on.
        seed: Of the noise and the jitter.
        on_step: Told the number of steps done and of all.

    Raises:
        UsageError: There is no such layer, or it takes no pictures of that size.
    """
    view = _up_to(model, layer, size)
    step = ascent_step(view, _LENGTH)
    batches = [tuple(filters[start : start + BATCH]) for start in range(0, len(filters), BATCH)]
    rows = min(BATCH, len(filters))
    parts = []
    for number, batch in enumerate(batches):
        done = number * steps
        filled = batch + batch[-1:] * (rows - len(batch))  # or another number of rows would be compiled again

        def tell(count: int, before: int = done) -> None:
            on_step(before + count, steps * len(batches))

        pictures, is_silent = _ascend(view, step, filled, steps=steps, seed=seed, on_step=tell)
        parts.append((pictures[: len(batch)], is_silent[: len(batch)]))
    pictures, is_silent = (np.concatenate(part) for part in zip(*parts, strict=True))
    return FilterPictures(tuple(filters), pictures, is_silent)


def _up_to(model: keras.Model, layer: str, size: int) -> keras.Model:
    """The layers from pictures of size × size to the maps of `layer`, sharing all weights."""
    part = in_single_precision(keras.Model(model.input, map_of(model, layer)))
    try:
        return resize(part, (size, size))[0]
    except ValueError as error:
        raise UsageError(
            f"pictures of {size} × {size} are too small for the layer {layer}; choose a larger size"
        ) from error


def _ascend(
    view: keras.Model,
    step: AscentStep,
    filters: Sequence[int],
    *,
    steps: int,
    seed: int,
    on_step: Callable[[int], None],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Pictures (filters, size, size, channels) after all steps, and whether each has never moved."""
    height, width, channels = view.input_shape[1:]
    pictures = np.stack([_noise((height, width, channels), seed=seed, number=number) for number in filters])
    chosen = np.eye(view.output_shape[-1], dtype=np.float32)[list(filters)]
    most = max(1, height // _JITTER)
    shifts = np.random.default_rng([seed, 0]).integers(-most, most, (steps, 2), endpoint=True, dtype=np.int32)
    current = keras.ops.convert_to_tensor(pictures)
    one_hot = keras.ops.convert_to_tensor(chosen)
    has_moved = np.zeros(len(filters), bool)
    for number, shift in enumerate(shifts, start=1):
        current, norms = step(current, one_hot, keras.ops.convert_to_tensor(shift))
        has_moved |= keras.ops.convert_to_numpy(norms) > 0
        if not has_moved.all():
            current = _shaken(current, filters, ~has_moved, seed=seed, attempt=number)
        on_step(number)
    return keras.ops.convert_to_numpy(current), ~has_moved


def _shaken(pictures: Any, filters: Sequence[int], is_chosen: NDArray[np.bool_], *, seed: int, attempt: int) -> Any:
    """Pictures as a tensor, the chosen ones of which are noise again."""
    changed = np.array(keras.ops.convert_to_numpy(pictures))
    for row in np.flatnonzero(is_chosen).tolist():
        changed[row] = _noise(changed.shape[1:], seed=seed, number=filters[row], attempt=attempt)
    return keras.ops.convert_to_tensor(changed)


def _noise(shape: tuple[int, ...], *, seed: int, number: int, attempt: int = 0) -> NDArray[np.float32]:
    """Grey with noise, a function of the seed and the filter's number: a little, and twice as much in each attempt."""
    strength = min(_GREY - 1, _NOISE * 2.0 ** min(attempt, 8))
    noise = np.random.default_rng([seed, 1, number, attempt]).uniform(_GREY - strength, _GREY + strength, shape)
    return noise.astype(np.float32)
