"""The curves of training: accuracy and loss over the epochs of one run or several."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cnntrain.plots import style

Quantity = Literal["accuracy", "loss"]
Part = Literal["training", "validation"]
_Place = Literal["outside upper center", "outside lower center"]

_QUANTITIES: tuple[Quantity, ...] = ("accuracy", "loss")
_SIZE = (11.0, 4.8)  # inches
_LETTER = 0.0145  # width of a stage name's letter, as a share of a panel's width


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """What one run measured, epoch by epoch.

    Args:
        name: What the run is called in the figure.
        epochs: Epoch numbers, rising, at least one.
        loss: Training loss of each epoch, in nats; not a number where there is none.
        accuracy: Training accuracy of each epoch, between 0 and 1.
        val_loss: The same of the validation pictures, or None without them.
        val_accuracy: Likewise.
        stages: Each stage's name and its first epoch, in their order.

    Raises:
        ValueError: There is no epoch, or a series has another length than `epochs`.
    """

    name: str
    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    val_loss: tuple[float, ...] | None = None
    val_accuracy: tuple[float, ...] | None = None
    stages: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.epochs:
            raise ValueError("curves need at least one epoch")
        for series in (self.loss, self.accuracy, self.val_loss, self.val_accuracy):
            if series is not None and len(series) != len(self.epochs):
                raise ValueError(f"a series must have a value for each of {len(self.epochs)} epochs; has {len(series)}")

    def series(self, quantity: Quantity) -> Iterator[tuple[Part, tuple[float, ...]]]:
        """The parts of the data that `quantity` was measured on, each with its values."""
        yield "training", self.accuracy if quantity == "accuracy" else self.loss
        validation = self.val_accuracy if quantity == "accuracy" else self.val_loss
        if validation is not None:
            yield "validation", validation


@dataclass(frozen=True, slots=True)
class _Pen:
    """How a line is drawn; a faint one shows what was measured, the others what the eye is to follow."""

    color: str
    linestyle: str = "-"
    faint: bool = False

    def line(self) -> dict[str, Any]:
        """The same as properties of a `Line2D`."""
        weight = {"linewidth": 1.0, "alpha": 0.4} if self.faint else {"linewidth": 2.0, "alpha": 1.0}
        return {"color": self.color, "linestyle": self.linestyle, **weight}


_Pens = Mapping[Part, _Pen]


def smooth(values: Sequence[float], weight: float) -> tuple[float, ...]:
    """Exponential moving average mₜ = weight · mₜ₋₁ + (1 - weight) · xₜ from m₀ = 0, divided by 1 - weightᵗ.

    The division makes up for the start at zero (Kingma and Ba, Adam, 2015, section 3), so that the first values do not
    weigh more than the later ones. A value that is not finite stays what it is and is left out of the average.

    Args:
        values: The x, in their order.
        weight: Share of the past, from 0 (nothing is smoothed) to below 1.

    Returns:
        As many values as were given.

    Raises:
        ValueError: `weight` is out of its range.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"the smoothing weight must be at least 0 and below 1; received {weight}")
    smoothed: list[float] = []
    average, share = 0.0, 0.0  # the average, and the share of it that is values rather than the zero at its start
    for value in values:
        if math.isfinite(value):
            average, share = weight * average + (1 - weight) * value, weight * share + (1 - weight)
        smoothed.append(average / share if math.isfinite(value) else value)
    return tuple(smoothed)


@style.look()
def draw_curves(runs: Sequence[Curves], *, smoothing: float = 0.8) -> Figure:
    """Draws accuracy and loss side by side, measured values faint and smoothed ones strong over them.

    One run has a colour for training and one for validation. Of several, each has its colour, with training dashed.
    Where a stage begins stands a vertical line with its name.

    Args:
        runs: The runs, at least one.
        smoothing: Weight of the moving average, see `smooth`; 0 draws the measured values alone.

    Raises:
        ValueError: There is no run, or `smoothing` is out of its range.
    """
    if not runs:
        raise ValueError("there must be at least one run to draw")
    figure = Figure(figsize=_SIZE, layout="constrained")
    pens = _pens(len(runs))
    for axes, quantity in zip(figure.subplots(1, 2), _QUANTITIES, strict=True):
        for run, pen in zip(runs, pens, strict=True):
            _draw_run(axes, run, quantity, pen, smoothing)
        _dress(axes, quantity, runs)
        _mark_stages(axes, runs, pens)
    _add_title(figure, runs, pens)
    _add_key(figure, runs, pens, smoothing)
    style.settle_texts(figure)
    return figure


def _pens(count: int) -> list[_Pens]:
    """How each run's training and validation are drawn."""
    if count == 1:
        return [{"training": _Pen(style.TRAINING), "validation": _Pen(style.VALIDATION)}]
    colors = style.COLORS[:count]
    if count > len(style.COLORS):
        colors = tuple(to_hex(color) for color in colormaps["viridis"]([0.95 * i / (count - 1) for i in range(count)]))
    return [{"training": _Pen(color, "--"), "validation": _Pen(color)} for color in colors]


def _draw_run(axes: Axes, run: Curves, quantity: Quantity, pens: _Pens, smoothing: float) -> None:
    """Draws the training and the validation values of one run."""
    for part, values in run.series(quantity):
        measured = [value if math.isfinite(value) else math.nan for value in values]
        strong, faint = pens[part].line(), replace(pens[part], faint=True).line()
        # A line of one point cannot be seen: such a point gets a marker.
        lone = _lone(measured)
        axes.plot(run.epochs, smooth(measured, smoothing), label=part, marker="o", markevery=lone, zorder=3, **strong)
        if smoothing and len(measured) > 1:
            axes.plot(run.epochs, measured, label=f"{part}, measured", zorder=2, **faint)


def _lone(values: Sequence[float]) -> list[int]:
    """The indices of the numbers that have no number beside them."""
    known = [False, *map(math.isfinite, values), False]
    return [index for index in range(len(values)) if known[index : index + 3] == [False, True, False]]


def _dress(axes: Axes, quantity: Quantity, runs: Sequence[Curves]) -> None:
    """Sets labels, limits and whole-numbered ticks."""
    first, last = min(run.epochs[0] for run in runs), max(run.epochs[-1] for run in runs)
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity)


def _mark_stages(axes: Axes, runs: Sequence[Curves], pens: Sequence[_Pens]) -> None:
    """Marks where each stage begins, half an epoch before its first one, in the run's colour if it is one run's."""
    starts: dict[int, tuple[list[str], set[str]]] = {}
    for run, pen in zip(runs, pens, strict=True):
        reached = [(name, first) for name, first in run.stages if first <= run.epochs[-1]]
        for name, first in reached if len(reached) > 1 else ():
            names, colors = starts.setdefault(first, ([], set()))
            colors.add(pen["validation"].color)
            if name not in names:
                names.append(name)
    labels = {first: style.shorten(" / ".join(names), 24) for first, (names, _) in starts.items()}
    tilted = _collide(axes, labels)
    for first, (_, colors) in starts.items():
        own = min(colors) if len(runs) > 1 and len(colors) == 1 else style.MUTED
        _mark_stage(axes, first - 0.5, labels[first], color=own, tilted=tilted)


def _collide(axes: Axes, labels: Mapping[int, str]) -> bool:
    """Whether the names of stages, each written to the right of its boundary, would run into one another."""
    left, right = axes.get_xlim()
    ends = [*sorted(labels)[1:], right]
    return any(
        style.columns(label) * _LETTER > (end - first) / (right - left)
        for (first, label), end in zip(sorted(labels.items()), ends, strict=False)
    )


def _mark_stage(axes: Axes, boundary: float, label: str, *, color: str, tilted: bool) -> None:
    """Draws one boundary, its name above the panel where it covers no data."""
    left, _ = axes.get_xlim()
    if boundary > left:
        axes.axvline(boundary, color=color, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1)
    axes.text(
        boundary,
        1.015,
        label,
        transform=axes.get_xaxis_transform(),
        color=style.INK if color == style.MUTED else color,
        fontsize=9,
        horizontalalignment="left",
        verticalalignment="bottom",
        rotation=35 if tilted else 0,
        rotation_mode="anchor",
    )


def _add_title(figure: Figure, runs: Sequence[Curves], pens: Sequence[_Pens]) -> None:
    """Writes above the panels whose curves these are: one run's name, or each name beside its colour."""
    if len(runs) == 1:
        figure.suptitle(style.shorten(runs[0].name, 60), color=style.INK)
        return
    names = [style.shorten(run.name, 44) for run in runs]
    columns = max(1, int(_SIZE[0] / (0.7 + 0.085 * max(map(style.columns, names)))))
    colors = [_Pen(pen["validation"].color) for pen in pens]
    _add_legend(figure, names, colors, place="outside upper center", columns=columns)


def _add_key(figure: Figure, runs: Sequence[Curves], pens: Sequence[_Pens], smoothing: float) -> None:
    """Writes under the panels what each kind of line means."""
    labels: dict[str, _Pen] = {}
    for part in dict.fromkeys(part for run in runs for name in _QUANTITIES for part, _ in run.series(name)):
        labels[part] = pens[0][part] if len(runs) == 1 else replace(pens[0][part], color=style.INK)
    if smoothing and any(len(run.epochs) > 1 for run in runs):
        labels[f"as measured (strong lines: smoothed, {smoothing:g})"] = _Pen(style.INK, faint=True)
    _add_legend(figure, list(labels), list(labels.values()), place="outside lower center", columns=len(labels))


def _add_legend(figure: Figure, labels: Sequence[str], pens: Sequence[_Pen], *, place: _Place, columns: int) -> None:
    """Adds a legend outside the panels, where it covers no data."""
    samples = [Line2D([], [], **pen.line()) for pen in pens]
    # Matplotlib below 3.10 leaves out labels that begin with an underscore: the texts are set when the entries stand.
    legend = figure.legend(samples, ["-"] * len(samples), loc=place, ncols=columns)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)
