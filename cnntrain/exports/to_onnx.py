"""A model as an ONNX file, by tf2onnx, with what that lacks for the networks of Keras."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cnntrain.exports.kinds import INPUT, OUTPUT

_OPSET = 17


def write_onnx(model: Any, path: Path) -> None:
    """Writes a model with one input and one output as ONNX.

    Keras's own export takes constants of the graph, such as means that are subtracted from colours, for inputs; and
    tf2onnx knows neither the complementary error function, in GELU, nor what is left to XLA, as grouped convolutions.

    Args:
        model: Pictures (N, height, width, channels) to probabilities (N, outputs), in float32.
        path: The file to write.
    """
    import onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx  # for NumPy 2
    from tf2onnx import convert, tf_loader

    patch_tf2onnx()
    traced = _traced(model)
    source, result = traced.inputs[0].name, traced.outputs[0].name
    converted, _ = convert.from_graph_def(
        tf_loader.from_function(traced, [source], [result]),
        name=model.name,
        input_names=[source],
        output_names=[result],
        opset=_OPSET,
        custom_op_handlers={"Erfc": (_as_erf, [])},
        tensors_to_rename={source: INPUT, result: OUTPUT},
    )
    for value in (converted.graph.input[0], converted.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(converted, path)


def _traced(model: Any) -> Any:
    """The model as a graph of TensorFlow's operations alone, no function in it that is compiled by XLA."""
    pictures = tf.TensorSpec(model.input_shape, tf.float32, INPUT)
    with _functions_opened():
        return tf.function(lambda batch: model(batch, training=False)).get_concrete_function(pictures)


@contextmanager
def _functions_opened() -> Iterator[None]:
    """Puts the content of functions into the graph that is traced in the block, in place of calls of them."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _as_erf(graph: Any, node: Any, name: str, arguments: Any) -> None:  # noqa: ARG001 - as tf2onnx calls it
    """Replaces a node erfc(x) by 1 - erf(x)."""
    kind, shapes, types = node.name, node.output_shapes, node.output_dtypes
    one = graph.make_const(f"{kind}/one", np.float32(1.0))
    error = graph.make_node("Erf", node.input, shapes=shapes, dtypes=types)
    graph.remove_node(node.name)
    graph.make_node(
        "Sub", [one.output[0], error.output[0]], outputs=node.output, name=kind, shapes=shapes, dtypes=types
    )
