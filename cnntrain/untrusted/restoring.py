"""A network from its stored form: checked, built without memory, and only then given its weights."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras.src.backend.common import global_state

from cnntrain.untrusted.allowed import LARGEST_OUTPUT, check_network, is_constant

_COLOURS = 3


def restore_network(network: Any, check: Callable[[Any], None]) -> Any:
    """Builds a network from its stored form.

    Until `check` is done, the weights have shapes and no values, so a network of any size takes next to no memory.

    Args:
        network: Anything that JSON can hold.
        check: Gets the network; raises ValueError where it is not to be.

    Raises:
        ValueError: The form is not one that cnntrain stores, or is too large; or what `check` raises.
    """
    check_network(network)
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = _build(network["config"])
            check(model)
    except BaseException:
        global_state.set_global_attribute("uninitialized_variables", [])  # or Keras would make them next time
        raise
    with keras.StatelessScope():
        pass  # at the end of it Keras makes the variables that have no value yet
    return model


def check_storable(model: Any) -> None:
    """Makes sure that a network can be restored from the form in which it is stored.

    Raises:
        ValueError: It has layers that are not allowed, or one of its layers gives too much.
    """
    check_network(json.loads(json.dumps(keras.saving.serialize_keras_object(model))))
    for operation in model.operations:
        _check_output(operation.name, operation.output)


def _build(options: Mapping[str, Any]) -> Any:
    """Calls the layers one after the other, as the checked form says."""
    tensors: dict[str, Any] = {}
    for form in options["layers"]:
        name = form["config"]["name"]
        layer = keras.saving.deserialize_keras_object(
            {key: form[key] for key in ("module", "class_name", "config", "registered_name")}, safe_mode=True
        )
        tensors[name] = _call(layer, form["inbound_nodes"], tensors)
        _check_output(name, tensors[name])
    first, last = (options["layers"][place]["config"]["name"] for place in (0, -1))
    return keras.Model(tensors[first], tensors[last], name=options["name"])


def _call(layer: Any, calls: Any, tensors: Mapping[str, Any]) -> Any:
    if not calls:
        return layer.output
    arguments = [_argument(value, tensors) for value in calls[0]["args"]]
    if isinstance(layer, keras.layers.Normalization) and arguments[0].shape[-1] != _COLOURS:
        raise ValueError(f"its layer {layer.name} normalizes something else than colours")  # it computes at once
    return layer(*arguments, **calls[0]["kwargs"])


def _argument(value: Any, tensors: Mapping[str, Any]) -> Any:
    """What stands for a tensor, tensors, a constant or an index, as such."""
    if is_constant(value):
        return keras.ops.convert_to_tensor(value["config"]["value"], dtype=value["config"]["dtype"])
    if isinstance(value, dict):
        return tensors[value["config"]["keras_history"][0]]
    if isinstance(value, list):
        if value[0] == {"class_name": "__ellipsis__", "config": {}}:
            return (Ellipsis, value[1])
        return [_argument(part, tensors) for part in value]
    return value


def _check_output(name: str, output: Any) -> None:
    """Raises ValueError where a layer gives no tensor of known size, or too large a one."""
    if not isinstance(output, keras.KerasTensor) or None in output.shape[1:]:
        raise ValueError(f"its layer {name} gives no tensor of known size")
    if math.prod(output.shape[1:]) > LARGEST_OUTPUT:
        shape = " × ".join(map(str, output.shape[1:]))
        raise ValueError(f"its layer {name} makes {shape} numbers of one picture, more than {LARGEST_OUTPUT:,}")
