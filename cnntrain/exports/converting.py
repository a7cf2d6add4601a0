"""A model written in another format, and loaded again by that format's own runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cnntrain.exports.kinds import FILES, INPUT, OUTPUT, Kind
from cnntrain.exports.to_onnx import write_onnx

Ask = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def write(kind: Kind, model: Any, folder: Path) -> None:
    """Writes a model into a folder, with one input, `pictures`, and one output, `probabilities`.

    Args:
        kind: The format.
        model: Pictures (N, height, width, channels), 0 to 255, to probabilities, in float32.
        folder: Exists; gets `FILES[kind]`, whose batches may have any size.
    """
    _WRITERS[kind](model, folder / FILES[kind])


def _write_litert(model: Any, path: Path) -> None:
    named = keras.Model(model.input, {OUTPUT: model.output})
    signature = [keras.InputSpec(shape=model.input_shape, dtype="float32", name=INPUT)]
    named.export(path, format="litert", verbose=False, input_signature=signature)


def _write_saved_model(model: Any, path: Path) -> None:
    """Not by Keras's own export, which stores every weight twice."""

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32, INPUT)])  # type: ignore[untyped-decorator]
    def serve(pictures: Any) -> Any:
        return {OUTPUT: model(pictures, training=False)}

    served = tf.Module()
    served.serve = serve
    served.weights = serve.get_concrete_function().variables
    tf.saved_model.save(served, path, signatures=serve)


_WRITERS: dict[Kind, Callable[[Any, Path], None]] = {
    "onnx": write_onnx,
    "litert": _write_litert,
    "saved_model": _write_saved_model,
}


def load(kind: Kind, folder: Path) -> Ask:
    """What `write` has written, as a function.

    Returns:
        Takes pictures, float32 (n, height, width, channels) with any n from 1, gives float32 (n, outputs).
    """
    return _LOADERS[kind](folder / FILES[kind])


def _load_onnx(path: Path) -> Ask:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pictures: np.asarray(session.run([OUTPUT], {INPUT: pictures})[0])


def _load_litert(path: Path) -> Ask:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    return lambda pictures: np.asarray(runner(**{INPUT: pictures})[OUTPUT])


def _load_saved_model(path: Path) -> Ask:
    loaded = tf.saved_model.load(str(path))
    return lambda pictures: np.asarray(loaded.serve(tf.constant(pictures))[OUTPUT])


_LOADERS: dict[Kind, Callable[[Path], Ask]] = {
    "onnx": _load_onnx,
    "litert": _load_litert,
    "saved_model": _load_saved_model,
}
