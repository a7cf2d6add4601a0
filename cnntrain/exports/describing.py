"""What lies beside an exported model, for whoever runs it without cnntrain."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.exports.kinds import FILES, INPUT, OUTPUT, RUNTIMES, Kind
from cnntrain.files import write_json
from cnntrain.runs.run import Run, write_classes

if TYPE_CHECKING:
    from cnntrain.data.decoder import Preprocessing

CLASSES, PREPROCESSING = "classes.json", "preprocessing.json"
_MODELS = ("model.onnx", "model.tflite", "saved_model.pb")


def describe(kind: Kind, folder: Path, run: Run, preprocessing: "Preprocessing") -> None:
    """Writes the names of the classes, and how a file becomes what the exported model takes. Raises WriteError."""
    write_classes(folder / CLASSES, run.classes)
    write_json(folder / PREPROCESSING, _for_export(kind, preprocessing, len(run.classes)))


def _for_export(kind: Kind, preprocessing: "Preprocessing", class_count: int) -> dict[str, Any]:
    """The run's own preprocessing; in it what goes into the model and what comes out."""
    described = preprocessing.to_json()
    size = f"{preprocessing.height} x {preprocessing.width} x {preprocessing.channels}"
    last = (
        f"Give the model float32 values from 0 to 255, N x {size} (pictures, height, width, channels), N from 1; it"
        " scales them itself."
    )
    one: dict[str, Any] = {"dtype": "float32"}
    taken = {**one, "name": INPUT, "shape": [None, *preprocessing.shape], "layout": "NHWC", "range": [0, 255]}
    given = {**one, "name": OUTPUT, "shape": [None, 1 if class_count == 2 else class_count], "range": [0, 1]}
    model = {"file": FILES[kind], "runtime": RUNTIMES[kind], "input": taken, "output": given}
    return {**described, "steps": [*described["steps"][:-1], last], "model": model}


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export, which is what may be replaced. Raises OSError."""
    names = {path.name for path in folder.iterdir()}
    return {CLASSES, PREPROCESSING} <= names and not names.isdisjoint(_MODELS)
