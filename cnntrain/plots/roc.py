"""ROC curves as a picture."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from cnntrain.plots import style
from cnntrain.plots.lines import Curve, draw_square


@style.look()
def draw_roc(curves: Sequence[Curve]) -> Figure:
    """Draws ROC curves over the diagonal of a guess.

    Args:
        curves: Name, area, false-positive rates and recalls of each; of several the first is their mean.
    """
    figure = draw_square(
        curves,
        x_label="share of the other pictures taken for the class",
        y_label="share of the class's pictures found",
        area="area under the ROC curve",
    )
    figure.axes[0].plot([0, 1], [0, 1], color=style.MUTED, linewidth=1.0, linestyle=":", zorder=1)
    style.settle_texts(figure)
    return figure
