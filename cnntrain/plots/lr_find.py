"""The learning-rate range test: the loss over a growing learning rate."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cnntrain.plots import style

_SIZE = (7.2, 4.8)  # inches


@style.look()
def draw_range_test(
    name: str,
    *,
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None = None,
) -> Figure:
    """Draws the loss of each batch faint, its moving average strong over it, and the suggested rate.

    Where the loss explodes it leaves the figure, so that its fall can be seen.

    Args:
        name: What was tested.
        rates: The learning rate of each step, above zero, growing.
        losses: Finite loss of each step.
        smoothed: Its moving average.
        suggestion: The suggested rate; absent without one.

    Raises:
        ValueError: There are no steps, or the series differ in length.
    """
    if not rates or not len(rates) == len(losses) == len(smoothed):
        raise ValueError(f"there must be a loss for each rate; got {len(rates)}, {len(losses)}, {len(smoothed)}")
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=style.TRAINING, linewidth=1.0, alpha=0.4, label="loss of a batch")
    axes.plot(rates, smoothed, color=style.TRAINING, linewidth=2.0, label="smoothed")
    if suggestion is not None:
        label = f"suggested: {suggestion:.1e}"
        axes.axvline(suggestion, color=style.VALIDATION, linewidth=1.5, label=label, zorder=1)
    _dress(axes, rates)
    axes.set_ylim(*_limits(losses, smoothed))
    figure.suptitle(style.shorten(name, 60), color=style.INK)
    figure.legend(loc="outside lower center", ncols=3)
    style.settle_texts(figure)
    return figure


def _dress(axes: Axes, rates: Sequence[float]) -> None:
    """Sets labels and a logarithmic scale of rates with plain numbers, more of them where it is short."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if rates[-1] > 100 * rates[0] else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")


def _limits(losses: Sequence[float], smoothed: Sequence[float]) -> tuple[float, float]:
    """The smallest and largest loss that is shown: all before the smallest average, and some room for the rise."""
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    shown = [*losses[: lowest + 1], *smoothed[: lowest + 1]]
    low, high = min(shown), max(shown)
    room = max(high - low, 0.1 * abs(high), 1e-6)
    return low - 0.1 * room, high + 0.5 * room
