"""cnntrain: image classifiers from one YAML file. The calls of `cnntrain.api` can be used from here."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnntrain.api import (
        augment,
        compare,
        evaluate,
        explain_activations,
        explain_filters,
        explain_gradcam,
        export,
        find_learning_rate,
        fit,
        fit_folds,
        likely_mislabelled,
        load_run,
        plot,
        predict,
        report,
        scan,
        split,
        stream_predictions,
        summary,
    )

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "augment",
    "compare",
    "evaluate",
    "explain_activations",
    "explain_filters",
    "explain_gradcam",
    "export",
    "find_learning_rate",
    "fit",
    "fit_folds",
    "likely_mislabelled",
    "load_run",
    "plot",
    "predict",
    "report",
    "scan",
    "split",
    "stream_predictions",
    "summary",
]


def __getattr__(name: str) -> Any:
    """Loads `cnntrain.api` on first use, so that `import cnntrain` and `cnntrain --help` stay quick."""
    if name in __all__:
        from cnntrain import api

        return getattr(api, name)
    raise AttributeError(f"module 'cnntrain' has no attribute {name!r}")
