"""What a stored network may be made of: the layers, operations and options that cnntrain itself stores.

The tables are literal. `tests/test_model_files.py` builds networks of every kind and holds the tables to them.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

LARGEST_COUNT = 1 << 20  # units, filters, sides of kernels
LARGEST_OUTPUT = 1 << 27  # numbers that a layer makes of one picture
MOST_LAYERS = 4096
_MOST_INPUTS = 64
_DEEPEST_VALUE = 4
_MOST_PADDING = 64
_NAME = re.compile(r"[A-Za-z0-9_]{1,100}")


class Rule(NamedTuple):
    """What a value must be: in words, and as a function that says whether it is."""

    what: str
    holds: Callable[[Any], bool]


def _one_of(*allowed: Any) -> Rule:
    """One of some values, which `true` and 1, or 1 and 1.0, are not the same of."""
    known = {(type(value), value) for value in allowed}
    what = " or ".join("null" if value is None else str(value).lower() for value in allowed)
    return Rule(what, lambda value: not isinstance(value, dict | list) and (type(value), value) in known)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_COUNT


def _is_whole(value: Any, smallest: int = 1, largest: int = LARGEST_COUNT) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and smallest <= value <= largest


def _is_numbers(value: Any, depth: int = 0) -> bool:
    """Whether it is a number or a list of at most 64, of lists in turn."""
    if not isinstance(value, list):
        return _is_number(value)
    few = depth < _DEEPEST_VALUE and len(value) <= _MOST_INPUTS
    return few and all(_is_numbers(part, depth + 1) for part in value)


def _is_list(value: Any, count: int, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(holds, value))


def _is_padding(value: Any) -> bool:
    return _is_list(value, 2, lambda side: _is_list(side, 2, lambda part: _is_whole(part, 0, _MOST_PADDING)))


def _is_shape(value: Any) -> bool:
    """Whether it is [null, …] with sizes of at most three axes."""
    return isinstance(value, list) and 2 <= len(value) <= 4 and value[0] is None and all(map(_is_whole, value[1:]))


def _is_object(value: Any, allowed: Mapping[str, Mapping[str, Rule]], module: str) -> bool:
    """Whether it is a Keras object of a table."""
    if not isinstance(value, dict) or value.get("registered_name") is not None or value.get("module") != module:
        return False
    options, known = value.get("config"), {"module", "class_name", "config", "registered_name", "shared_object_id"}
    rules = allowed.get(value["class_name"]) if isinstance(value.get("class_name"), str) else None
    if rules is None or not isinstance(options, dict) or not value.keys() <= known:
        return False
    return options.keys() == rules.keys() and all(rules[key].holds(option) for key, option in options.items())


NAME = Rule("a name of letters, digits and _", lambda value: isinstance(value, str) and bool(_NAME.fullmatch(value)))
_BOOL = _one_of(True, False)
_FALSE = _one_of(False)
_NULL = _one_of(None)
_NUMBER = Rule(f"a number up to {LARGEST_COUNT:,}", _is_number)
_NUMBER_OR_NULL = Rule(f"a number up to {LARGEST_COUNT:,}, or null", lambda value: value is None or _is_number(value))
_COUNT = Rule(f"a whole number from 1 to {LARGEST_COUNT:,}", _is_whole)
_SIDES = Rule(f"two {_COUNT.what[2:]}".replace("number", "numbers"), lambda value: _is_list(value, 2, _is_whole))
_PADDING = Rule(f"two pairs of whole numbers from 0 to {_MOST_PADDING}", _is_padding)
_SHAPE = Rule("a shape of one to three sizes after null", _is_shape)
_TARGET = Rule("one to three sizes", lambda value: isinstance(value, list) and _is_shape([None, *value]))
_AXIS = _one_of(-1, 3)
_AXES = Rule("[-1] or [3]", lambda value: _is_list(value, 1, _AXIS.holds))
_CHANNELS = Rule("null, or three numbers", lambda value: value is None or _is_list(value, 3, _is_number))
_NOISE = Rule("null or [null, 1, 1, 1]", lambda value: value in (None, [None, 1, 1, 1]))
_EDGES = _one_of("valid", "same")
_LAST = _one_of("channels_last")
_FLOAT = _one_of("float32", "float16")
ACTIVATION = _one_of(
    *("relu", "elu", "selu", "gelu", "silu", "leaky_relu", "tanh", "sigmoid", "linear", "softmax", "hard_silu")
)

_AXES_OF_INITIALIZER = {"seed": _NUMBER_OR_NULL, "input_axes": _NULL, "output_axes": _NULL}
_INITIALIZERS: Mapping[str, Mapping[str, Rule]] = {
    "GlorotUniform": _AXES_OF_INITIALIZER,
    "HeNormal": _AXES_OF_INITIALIZER,
    "VarianceScaling": {
        **_AXES_OF_INITIALIZER,
        "scale": _NUMBER,
        "mode": _one_of("fan_in", "fan_out", "fan_avg"),
        "distribution": _one_of("truncated_normal", "untruncated_normal", "uniform"),
    },
    "Zeros": {},
    "Ones": {},
}
_INITIALIZER = Rule(
    f"one of the initializers {', '.join(_INITIALIZERS)}",
    lambda value: _is_object(value, _INITIALIZERS, "keras.initializers"),
)
_POLICIES = {"DTypePolicy": {"name": _one_of("float32", "mixed_float16")}}
_POLICY = Rule("the policy float32 or mixed_float16", lambda value: _is_object(value, _POLICIES, "keras"))

_LAYER = {"name": NAME, "trainable": _BOOL, "dtype": _POLICY}
_POOLING = {**_LAYER, "pool_size": _SIDES, "padding": _EDGES, "strides": _SIDES, "data_format": _LAST}
_GLOBAL_POOLING = {**_LAYER, "data_format": _LAST, "keepdims": _BOOL}
_BIAS = {"use_bias": _BOOL, "bias_initializer": _INITIALIZER, "bias_regularizer": _NULL, "bias_constraint": _NULL}
_SCALED = {
    "epsilon": _NUMBER,
    "center": _BOOL,
    "scale": _BOOL,
    **{f"{weight}_initializer": _INITIALIZER for weight in ("beta", "gamma")},
    **{f"{weight}_{what}": _NULL for weight in ("beta", "gamma") for what in ("regularizer", "constraint")},
}


def _kernel(*kernels: str) -> dict[str, Rule]:
    return {
        **_LAYER,
        **_BIAS,
        "activation": ACTIVATION,
        **{f"{kernel}_initializer": _INITIALIZER for kernel in kernels},
        **{f"{kernel}_{what}": _NULL for kernel in kernels for what in ("regularizer", "constraint")},
    }


def _convolution(*kernels: str) -> dict[str, Rule]:
    sizes = {"kernel_size": _SIDES, "strides": _SIDES, "dilation_rate": _SIDES, "padding": _EDGES}
    return {**_kernel(*kernels), **sizes, "data_format": _LAST, "activity_regularizer": _NULL}


INPUT = ("keras.layers", "InputLayer")
SEQUENTIAL = ("keras", "Sequential")
_KERAS_LAYERS: Mapping[str, Mapping[str, Rule]] = {
    "Activation": {**_LAYER, "activation": ACTIVATION},
    "Add": _LAYER,
    "AveragePooling2D": _POOLING,
    "BatchNormalization": {
        **_LAYER,
        **_SCALED,
        "axis": _AXIS,
        "momentum": _NUMBER,
        **{f"moving_{what}_initializer": _INITIALIZER for what in ("mean", "variance")},
        "synchronized": _FALSE,
        "renorm": _FALSE,
        "renorm_clipping": _NULL,
        "renorm_momentum": _NUMBER,
    },
    "Concatenate": {**_LAYER, "axis": _AXIS},
    "Conv2D": {**_convolution("kernel"), "filters": _COUNT, "groups": _COUNT},
    "Cropping2D": {**_LAYER, "cropping": _PADDING, "data_format": _LAST},
    "Dense": {**_kernel("kernel"), "units": _COUNT, "quantization_config": _NULL},
    "DepthwiseConv2D": {**_convolution("depthwise"), "depth_multiplier": _COUNT},
    "Dropout": {**_LAYER, "rate": _NUMBER, "seed": _NUMBER_OR_NULL, "noise_shape": _NOISE},
    "Flatten": {**_LAYER, "data_format": _LAST},
    "GlobalAveragePooling2D": _GLOBAL_POOLING,
    "GlobalMaxPooling2D": _GLOBAL_POOLING,
    "InputLayer": {
        "name": NAME,
        "batch_shape": _SHAPE,
        "dtype": _one_of("float32"),
        "sparse": _FALSE,
        "ragged": _FALSE,
        "optional": _FALSE,
    },
    "LayerNormalization": {**_LAYER, **_SCALED, "axis": _AXES, "rms_scaling": _FALSE},
    "MaxPooling2D": _POOLING,
    "Multiply": _LAYER,
    "Normalization": {**_LAYER, "axis": _AXES, "invert": _FALSE, "mean": _CHANNELS, "variance": _CHANNELS},
    "ReLU": {**_LAYER, "max_value": _NUMBER_OR_NULL, "negative_slope": _NUMBER, "threshold": _NUMBER},
    "Rescaling": {**_LAYER, "scale": _NUMBER, "offset": _NUMBER},
    "Reshape": {**_LAYER, "target_shape": _TARGET},
    "SeparableConv2D": {**_convolution("depthwise", "pointwise"), "filters": _COUNT, "depth_multiplier": _COUNT},
    "ZeroPadding2D": {**_LAYER, "padding": _PADDING, "data_format": _LAST},
}
_OPERATIONS: Mapping[str, Mapping[str, Rule]] = {
    **{name: {"name": NAME} for name in ("Add", "GetItem", "Multiply", "Subtract", "TrueDivide")},
    "Stack": {"name": NAME, "axis": _AXIS},
}

LAYERS: Mapping[tuple[str, str], Mapping[str, Rule]] = {
    **{("keras.layers", name): rules for name, rules in _KERAS_LAYERS.items()},
    **{("keras.src.ops.numpy", name): rules for name, rules in _OPERATIONS.items()},
    ("keras.src.applications.convnext", "LayerScale"): {**_LAYER, "init_values": _NUMBER, "projection_dim": _COUNT},
    ("keras.src.applications.inception_resnet_v2", "CustomScaleLayer"): {**_LAYER, "scale": _NUMBER},
    SEQUENTIAL: {
        **_LAYER,
        "build_input_shape": _SHAPE,
        "layers": Rule("a list of InputLayer, Conv2D and LayerNormalization", lambda value: isinstance(value, list)),
    },
}
_IN_SEQUENTIAL = {("keras.layers", name) for name in ("InputLayer", "Conv2D", "LayerNormalization")}
_KEYS = {"module", "class_name", "config", "registered_name", "build_config", "compile_config", "shared_object_id"}
_CALLED = {"name", "inbound_nodes"}


def check_layer(layer: Any, *, allowed: Collection[tuple[str, str]] = LAYERS.keys()) -> None:
    """Makes sure that the stored form of a layer or an operation is one that cnntrain writes.

    Args:
        layer: Anything that JSON can hold.
        allowed: Modules and classes that may be.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(layer, dict) or not layer.keys() <= _KEYS | _CALLED or layer.get("compile_config"):
        raise ValueError("its configuration has something in its list of layers that is none")
    module, kind = layer.get("module"), layer.get("class_name")
    if not isinstance(module, str) or not isinstance(kind, str) or (module, kind) not in allowed:
        raise ValueError(f"it has a layer {f'{module}.{kind}'[:100]!r}, which cnntrain does not use")
    if layer.get("registered_name") not in (None, kind):
        raise ValueError(f"it has a layer registered as {str(layer['registered_name'])[:100]!r}")
    options, rules = layer.get("config"), LAYERS[module, kind]
    if not isinstance(options, dict) or options.keys() != rules.keys():
        raise ValueError(f"it has a layer {kind} with other options than cnntrain's")
    for key, value in options.items():
        if not rules[key].holds(value):
            raise ValueError(f"{key} of its layer {kind} must be {rules[key].what}; got {shown(value)}")
    for inner in options.get("layers", ()):
        check_layer(inner, allowed=_IN_SEQUENTIAL)
        if not _is_built(inner.get("build_config")):
            raise ValueError(f"it has a layer {kind} with parts that are built for {shown(inner['build_config'])}")


def _is_built(value: Any) -> bool:
    """Whether it is nothing, or the shape that a layer is built for."""
    return value is None or (
        isinstance(value, dict) and value.keys() == {"input_shape"} and _is_shape(value["input_shape"])
    )


def check_network(network: Any) -> None:
    """Makes sure that the stored form of a network is one that cnntrain writes: layers that are called once each.

    Args:
        network: Anything that JSON can hold.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(network, dict) or network.get("class_name") != "Functional" or network.get("compile_config"):
        raise ValueError("its configuration is not that of a network")
    options = network.get("config")
    if not isinstance(options, dict) or not isinstance(options.get("layers"), list):
        raise ValueError("its configuration has no layers")
    if not NAME.holds(options.get("name")) or not 0 < len(options["layers"]) <= MOST_LAYERS:
        raise ValueError(f"its configuration has no name, no layers, or more than {MOST_LAYERS:,} of them")
    known: set[str] = set()
    for layer in options["layers"]:
        check_layer(layer)
        _check_call(layer, known)
        known.add(layer["config"]["name"])
    first, last = (options["layers"][place]["config"]["name"] for place in (0, -1))
    if options.get("input_layers") != [first, 0, 0] or options.get("output_layers") != [last, 0, 0]:
        raise ValueError("its configuration does not lead from the first layer to the last")


def _check_call(layer: Mapping[str, Any], known: set[str]) -> None:
    """Raises ValueError where a layer is not called once, on what layers before it give; the first one is the input."""
    name, kind, calls = layer["config"]["name"], layer["class_name"], layer.get("inbound_nodes")
    if layer.get("name") != name or name in known:
        raise ValueError(f"its configuration has two layers {name}, or two names for one")
    if (layer["module"], kind) == INPUT or not known:
        if known or kind != "InputLayer" or calls != []:
            raise ValueError("its configuration has more than one input, or none")
        return
    if not isinstance(calls, list) or len(calls) != 1 or not isinstance(calls[0], dict):
        raise ValueError(f"its layer {name} is not called once")
    arguments = calls[0].get("args")
    if calls[0].keys() != {"args", "kwargs"} or calls[0]["kwargs"] not in ({}, {"mask": None}, {"training": False}):
        raise ValueError(f"its layer {name} is called with unknown options")
    if not isinstance(arguments, list) or not all(_is_argument(argument, known) for argument in arguments):
        raise ValueError(f"its layer {name} is called on something else than layers before it")


def _is_argument(value: Any, known: set[str]) -> bool:
    """Whether it is a tensor or a list of some, a constant, or the index of a channel."""
    if isinstance(value, list):
        if len(value) == 2 and value[0] == {"class_name": "__ellipsis__", "config": {}}:
            return _is_whole(value[1], 0)
        return 0 < len(value) <= _MOST_INPUTS and all(_is_tensor(part, known) for part in value)
    return _is_number(value) or _is_tensor(value, known) or is_constant(value)


def _is_tensor(value: Any, known: set[str]) -> bool:
    if not isinstance(value, dict) or value.keys() != {"class_name", "config"} or not isinstance(value["config"], dict):
        return False
    history = value["config"].get("keras_history")
    if value["class_name"] != "__keras_tensor__" or not isinstance(history, list) or len(history) != 3:
        return False
    return isinstance(history[0], str) and history[0] in known and history[1:] == [0, 0]


def is_constant(value: Any) -> bool:
    """Whether it is the stored form of a few numbers."""
    if not isinstance(value, dict) or value.keys() != {"class_name", "config"} or not isinstance(value["config"], dict):
        return False
    content = value["config"]
    is_tensor = value["class_name"] == "__tensor__" and content.keys() == {"value", "dtype"}
    return is_tensor and _FLOAT.holds(content["dtype"]) and _is_numbers(content["value"])


def shown(value: Any) -> str:
    """A value of a stranger for a message: short, on one line, printable."""
    return ascii(value)[:60]
