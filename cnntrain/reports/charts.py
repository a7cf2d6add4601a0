"""Figures of the page: PNG on white, as the commands write them."""

from matplotlib.figure import Figure

from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.curves import precision_recall_curves, roc_curves
from cnntrain.evaluation.metrics import Metrics
from cnntrain.plots.calibration import draw_calibration
from cnntrain.plots.curves import Curves, draw_curves
from cnntrain.plots.precision_recall import draw_precision_recall
from cnntrain.plots.roc import draw_roc
from cnntrain.plots.style import to_png
from cnntrain.reports.content import Chart
from cnntrain.reports.images import png_uri

_DPI = 120
_SMOOTHING = 0.6


def charts_of(answers: Answers, metrics: Metrics) -> tuple[Chart, ...]:
    """Calibration, and the ROC and precision-recall curves where there are any."""
    error = metrics.calibration.error.value
    charts = [
        _chart(
            "Reliability",
            draw_calibration(metrics.calibration.measured, error),
            f"How often the model is right against how sure it is; expected calibration error {error:.4f}",
            "Below the dotted line the model is surer than it should be, above it not sure enough.",
        )
    ]
    if curves := roc_curves(answers, metrics):
        charts.append(_chart("ROC", draw_roc(curves), "Recall against the share of others that are taken for a class"))
    if curves := precision_recall_curves(answers, metrics):
        charts.append(_chart("Precision and recall", draw_precision_recall(curves), "Precision against recall"))
    return tuple(charts)


def training_chart(curves: Curves) -> Chart:
    """Accuracy and loss over the epochs."""
    return _chart(
        "Accuracy and loss",
        draw_curves([curves], smoothing=_SMOOTHING),
        f"Accuracy and loss over {len(curves.epochs)} epochs, for training and validation",
    )


def _chart(title: str, figure: Figure, description: str, caption: str = "") -> Chart:
    return Chart(title, png_uri(to_png(figure, dpi=_DPI)), description, caption)
