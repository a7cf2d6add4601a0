"""How a model fares, with the pictures that show it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnntrain.data.decoder import Preprocessing
from cnntrain.data.examples import Example
from cnntrain.data.inspection import changed_files
from cnntrain.data.pipeline import image_batches, open_pictures
from cnntrain.errors import DataError
from cnntrain.evaluation.answering import changes_told
from cnntrain.evaluation.answers import Answers, worst_mistakes
from cnntrain.evaluation.metrics import Metrics
from cnntrain.interpretation.heat_maps import METHOD_NAMES, choose_method, heat_maps
from cnntrain.plots.heat_map import overlaid
from cnntrain.reports.content import Chart, Measured, Mistake
from cnntrain.reports.images import BUDGET, enlarged, large, thumbnails
from cnntrain.reports.matrix import cells_of, picture_order, shown_pictures

MOST_MISTAKES = 12

_BATCH = 32
_CELL = 800  # bytes of a cell, its pictures excluded


def measured(
    split: str,
    answers: Answers,
    metrics: Metrics,
    *,
    pictures: Callable[[Sequence[int]], Iterator[NDArray[np.uint8]]],
    names: Sequence[str],
    charts: Sequence[Chart],
    model: Any,
) -> Measured:
    """Puts together what a page says about one part of the data.

    Args:
        split: Which part.
        answers: Of the model, for N pictures.
        metrics: All measures of the answers.
        pictures: Gives the pictures (height, width, channels) at some positions, one after the other, as the network
            sees them; none where their files are gone.
        names: N names of pictures.
        charts: Figures of the answers.
        model: For the heat maps of the worst mistakes.
    """
    order = [int(position) for position in picture_order(answers)]
    budget = BUDGET - _CELL * int(np.count_nonzero(metrics.confusion))
    images = thumbnails(pictures(order), (names[position] for position in order), budget=budget)
    seen = order[: len(images)]
    shown = shown_pictures(answers, seen, names, images)
    worst = worst_mistakes(answers, MOST_MISTAKES)
    large_ones = list(pictures(worst))
    return Measured(
        split=split,
        metrics=metrics,
        matrix=cells_of(answers, metrics.confusion, seen, shown),
        left_out=len(order) - len(images) if images else 0,
        mistakes=_mistakes(answers, worst, names, large_ones, model) if large_ones else (),
        heat_by=METHOD_NAMES[choose_method(model)[0]],
        size="{} × {}".format(*model.input_shape[1:3]),
        charts=tuple(charts),
    )


def pictures_at(
    examples: Sequence[Example], preprocessing: Preprocessing, positions: Sequence[int]
) -> Iterator[NDArray[np.uint8]]:
    """The pictures of examples at some positions, decoded one batch after the other; none where there are no examples.

    Raises:
        DataError: A picture has gone or changed since it was looked at.
    """
    chosen = [examples[position] for position in positions] if examples else []
    if not chosen:
        return
    labels = sorted({example.label for example in chosen})
    batches = image_batches(open_pictures(chosen, labels, preprocessing), min(_BATCH, len(chosen)))
    groups = (_unchanged(chosen[start : start + _BATCH]) for start in range(0, len(chosen), _BATCH))
    with changes_told():
        for _, batch in zip(groups, batches.as_numpy_iterator(), strict=True):
            yield from batch


def _unchanged(examples: Sequence[Example]) -> Sequence[Example]:
    """The examples themselves: no answer may stand below another picture. Raises DataError."""
    if changed := changed_files(examples):
        raise DataError(f"{changed[0]} is gone or not what it was when the run was fitted; put it back and try again")
    return examples


def _mistakes(
    answers: Answers, positions: Sequence[int], names: Sequence[str], pictures: Sequence[NDArray[np.uint8]], model: Any
) -> tuple[Mistake, ...]:
    """Mistakes with what the network looked at when it chose the class that it did."""
    targets = [int(answers.predicted[position]) for position in positions]
    heats = heat_maps(model, np.stack(pictures), targets)
    shown = shown_pictures(answers, positions, names, [large(picture) for picture in pictures])
    return tuple(
        Mistake(one, large(_under_heat(picture, heat)), _truth_probability(answers, position))
        for one, picture, heat, position in zip(shown, pictures, heats, positions, strict=True)
    )


def _under_heat(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture under its heat map, which is smooth even where the picture has few pixels."""
    shown = enlarged(picture)
    size = (shown.shape[1], shown.shape[0])
    return overlaid(shown, np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR)))


def _truth_probability(answers: Answers, position: int) -> float:
    return float(answers.probabilities[position, answers.truth[position]])
