"""The kinds of exports, their names and what they need, told before anything heavy is loaded."""

from importlib.util import find_spec
from typing import Literal

from cnntrain.errors import UsageError

Kind = Literal["onnx", "litert", "saved_model"]

INPUT, OUTPUT = "pictures", "probabilities"  # what both are called in every kind
FILES: dict[Kind, str] = {"onnx": "model.onnx", "litert": "model.tflite", "saved_model": "."}  # inside the folder
RUNTIMES: dict[Kind, str] = {"onnx": "ONNX Runtime", "litert": "LiteRT", "saved_model": "TensorFlow"}
_PACKAGES: dict[Kind, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
    "litert": ("ai_edge_litert",),
    "saved_model": (),
}


def check_kind(kind: str) -> Kind:
    """The kind by its name, whose packages are installed.

    Raises:
        UsageError: There is no such kind, or a package that it needs is missing.
    """
    for known, packages in _PACKAGES.items():
        if known == kind:
            missing = [name.replace("_", "-") for name in packages if find_spec(name) is None]
            if missing:
                raise UsageError(
                    f"--format {kind} needs {', '.join(missing)}, not installed here; pip install 'cnntrain[{kind}]'"
                )
            return known
    raise UsageError(f"a run is exported as {', '.join(_PACKAGES)}; got: {kind}; choose one of them")
