"""Precision-recall curves as a picture."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from cnntrain.plots import style
from cnntrain.plots.lines import Curve, draw_square


@style.look()
def draw_precision_recall(curves: Sequence[Curve]) -> Figure:
    """Draws precision-recall curves as steps, which is what average precision is the area of.

    Args:
        curves: Name, average precision, recalls and precisions of each; of several the first is their mean.
    """
    figure = draw_square(
        curves,
        x_label="recall: share of the class's pictures found",
        y_label="precision: share that is right",
        area="average precision",
        stepped=True,
    )
    style.settle_texts(figure)
    return figure
