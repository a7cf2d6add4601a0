"""The reliability diagram: how often answers of some confidence are right, and how many there are."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cnntrain.plots import style

Bin = tuple[float, float, int, float, tuple[float, float, float]]
"""Where it begins and ends, number of pictures, their mean confidence, and their accuracy with its interval."""


@style.look()
def draw_calibration(bins: Sequence[Bin], error: float) -> Figure:
    """Draws accuracy against confidence over the number of pictures.

    Args:
        bins: From low to high confidence, those that have pictures.
        error: Expected calibration error, from 0 to 1.
    """
    figure = Figure(figsize=(5.4, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _draw_accuracy(upper, bins)
    title = f"expected calibration error {error:.4f}"
    figure.legend(title=title, loc="outside upper left", alignment="left", ncols=2)
    _draw_counts(lower, bins)
    style.settle_texts(figure)
    return figure


def _draw_accuracy(axes: Axes, bins: Sequence[Bin]) -> None:
    accuracies = [each[4][0] for each in bins]
    axes.bar(_starts(bins), accuracies, _widths(bins), align="edge", color=style.COLORS[4], edgecolor="w", alpha=0.4)
    axes.plot([0, 1], [0, 1], color=style.MUTED, linestyle=":", label="as often right as confident")
    below, above = ([abs(each[4][end] - each[4][0]) for each in bins] for end in (1, 2))
    axes.errorbar(
        [each[3] for each in bins],
        accuracies,
        (below, above),
        fmt="o",
        markersize=4,
        color=style.COLORS[0],
        linewidth=1.2,
        clip_on=False,
        label="measured, 95 % interval",
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))


def _draw_counts(axes: Axes, bins: Sequence[Bin]) -> None:
    bars = axes.bar(_starts(bins), [each[2] for each in bins], _widths(bins), align="edge", color=style.MUTED)
    axes.bar_label(bars, fontsize=7, padding=1)
    axes.margins(y=0.2)
    axes.set(xlabel="confidence: probability of the predicted class", ylabel="pictures")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _starts(bins: Sequence[Bin]) -> list[float]:
    return [each[0] for each in bins]


def _widths(bins: Sequence[Bin]) -> list[float]:
    return [0.94 * (each[1] - each[0]) for each in bins]
