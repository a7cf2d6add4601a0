"""Weights between the head's and the fine-tuned ones: WiSE-FT."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from cnntrain.models.network import Network
from cnntrain.runs.record import Interpolated
from cnntrain.training.events import Message, OnEvent
from cnntrain.training.progress import Progress, Weights
from cnntrain.training.stopping import is_improvement

_ALPHAS = tuple(tenths / 10 for tenths in range(11))
Measure = Callable[[], Mapping[str, float]]


def interpolate(network: Network, progress: Progress, *, monitor: str, validate: Measure, on_event: OnEvent) -> None:
    """Tries weights on the line from the head's best to the run's best, and leaves network and progress with the best.

    Wortsman et al., Robust Fine-Tuning of Zero-Shot Models (2022). Among equals those nearest to the fine-tuned weights
    are taken; these are tried too, so nothing is lost by it. Where no try gives a finite value they are kept.

    Args:
        network: Its weights are replaced again and again.
        progress: Of a training whose stages are over.
        monitor: `val_loss` or `val_accuracy`; with any other there are no validation pictures, and nothing is tried.
        validate: Gives `loss` and `accuracy` on the validation pictures, of the weights that the network holds.
        on_event: Told about every try and what was kept.
    """
    if not monitor.startswith("val_"):
        text = f"nothing is interpolated: that needs validation pictures, and {monitor} is monitored"
        on_event(Message(text))
        return
    head, tuned, best = progress.head_weights, progress.best_weights, progress.best
    if head is None or tuned is None or best is None or all(map(np.array_equal, head, tuned)):
        on_event(Message("nothing to interpolate: no fine-tuned weights are better than those of the head"))
        return
    progress.interpolation = tuple(_try(network, head, tuned, alpha, validate, on_event) for alpha in _ALPHAS)
    winner = _best(progress.interpolation, monitor)
    if winner is not None:
        progress.best = replace(best, value=getattr(winner, monitor), alpha=winner.alpha)
        progress.best_weights = between(head, tuned, winner.alpha)
    network.model.set_weights(progress.best_weights)
    kept = (
        "no weights gave a finite value; the fine-tuned ones stay"
        if winner is None
        else f"alpha {winner.alpha:.1f} is kept"
    )
    on_event(Message(f"interpolation: {kept}"))


def between(head: Weights, tuned: Weights, alpha: float) -> Weights:
    """The weights that lie a part `alpha` of the way from `head` (0) to `tuned` (1); equal arrays stay as they are."""
    if alpha == 0.0:
        return head  # exactly, which the difference below is not
    return [new + (1.0 - alpha) * (old - new) for old, new in zip(head, tuned, strict=True)]


def _try(
    network: Network, head: Weights, tuned: Weights, alpha: float, validate: Measure, on_event: OnEvent
) -> Interpolated:
    network.model.set_weights(between(head, tuned, alpha))
    found = validate()
    loss, accuracy = found["loss"], found["accuracy"]
    on_event(Message(f"interpolation: alpha {alpha:.1f}  val_loss {loss:.4f}  val_accuracy {accuracy:.4f}"))
    return Interpolated(alpha, _finite(loss), _finite(accuracy))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _best(tries: tuple[Interpolated, ...], monitor: str) -> Interpolated | None:
    """The try with the best value, of equals the one nearest to the fine-tuned weights; none where none is finite."""
    best, best_value = None, None
    for tried in reversed(tries):
        value = getattr(tried, monitor)
        if value is not None and is_improvement(value, best_value, monitor):
            best, best_value = tried, value
    return best
