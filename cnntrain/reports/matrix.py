"""The confusion matrix with the pictures in its cells."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cnntrain.evaluation.answers import Answers
from cnntrain.reports.content import Cell, Shown


def picture_order(answers: Answers) -> NDArray[np.int64]:
    """The order in which pictures get room: all wrong ones before the right ones, the cells taking turns.

    In a cell of wrong ones the most confident come first, in one of right ones the least confident.

    Returns:
        int64 (N,), positions in the answers.
    """
    cells = answers.truth * len(answers.classes) + answers.predicted
    is_right = answers.truth == answers.predicted
    confidence = answers.probabilities.max(axis=1)
    by_cell = np.lexsort((np.where(is_right, confidence, -confidence), cells))
    positions = np.arange(len(cells))
    begins = np.diff(cells[by_cell], prepend=-1) != 0
    turns = np.empty_like(positions)
    turns[by_cell] = positions - np.maximum.accumulate(np.where(begins, positions, 0))
    order: NDArray[np.int64] = np.lexsort((cells, turns, is_right))
    return order


def shown_pictures(
    answers: Answers, positions: Sequence[int], names: Sequence[str], images: Sequence[str]
) -> tuple[Shown, ...]:
    """Pictures with what the model said about them.

    Args:
        answers: Of all pictures.
        positions: Which of them, n.
        names: N names, of all pictures.
        images: n data URIs.
    """
    return tuple(
        Shown(
            names[position],
            answers.classes[int(answers.truth[position])],
            answers.classes[int(answers.predicted[position])],
            float(answers.probabilities[position].max()),
            image,
        )
        for position, image in zip(positions, images, strict=True)
    )


def cells_of(
    answers: Answers, counts: Sequence[Sequence[int]], positions: Sequence[int], shown: Sequence[Shown]
) -> tuple[tuple[Cell, ...], ...]:
    """The matrix, each picture in its cell.

    Args:
        answers: Of all pictures.
        counts: C rows of C counts.
        positions: Of the n pictures that are shown.
        shown: These pictures.
    """
    inside: dict[tuple[int, int], list[Shown]] = defaultdict(list)
    for position, picture in zip(positions, shown, strict=True):
        inside[int(answers.truth[position]), int(answers.predicted[position])].append(picture)
    return tuple(
        tuple(
            Cell(truth, predicted, count, count / sum(row) if count else 0.0, tuple(inside[truth, predicted]))
            for predicted, count in enumerate(row)
        )
        for truth, row in enumerate(counts)
    )
