"""Model files that strangers could have made, and mutants of a good one, for the tests and for the benchmark."""

import io
import json
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

CLASSES = ("cat", "dog", "horse")
SIDE = 16
CONFIG, METADATA, WEIGHTS, NAMES = "config.json", "metadata.json", "model.weights.h5", "cnntrain.json"
_KERNEL = "layers/conv2d/vars/0"
_MUTATED_BYTES = 8

Members = dict[str, bytes]


class Verdict(NamedTuple):
    """What came of one file.

    Args:
        message: Of the error that it ends in; nothing where it was loaded.
        predictions: What the model says about one picture where it was loaded.
        seconds: How long that took.
    """

    message: str
    predictions: tuple[float, ...]
    seconds: float


def save_good(path: Path) -> None:
    """Writes a small model of every kind of layer that has weights, by the program's own means."""
    import keras

    from cnntrain.config import load_config
    from cnntrain.models.network import build_network
    from cnntrain.runs.model_file import save_model

    blocks = [{"filters": 4, "batch_norm": True}, {"filters": 3, "separable": True, "dropout": 0.2}]
    model = {"kind": "convnet", "blocks": blocks, "head": {"layers": [{"dense": 4}]}}
    config = load_config({"data": {"source": "none", "image_size": [SIDE, SIDE]}, "model": model}).config
    keras.utils.set_random_seed(1)
    save_model(path, build_network(config, len(CLASSES)).model, CLASSES)


def judge(path: Path) -> Verdict:
    """Loads a file and asks the model about one picture; an error that is not a ModelFileError comes through."""
    from cnntrain.errors import ModelFileError
    from cnntrain.runs.model_file import load_model, read_class_names

    start = time.perf_counter()
    try:
        read_class_names(path)
        model = load_model(path)
    except ModelFileError as error:
        return Verdict(str(error), (), time.perf_counter() - start)
    picture = np.random.default_rng(0).uniform(0, 255, (1, *model.input_shape[1:])).astype("float32")
    answers = tuple(map(float, np.asarray(model(picture, training=False)).ravel()))
    return Verdict("", answers, time.perf_counter() - start)


def peak_memory() -> int:
    """The most memory that this process has taken so far, in bytes; Linux only.

    The number of `getrusage` is no use: a new process begins with that of the one that started it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def read_members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: Mapping[str, bytes], *, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


# --- ways to change a good model -------------------------------------------------------------------------------------

Hostile = Callable[[Members, Path, Path], None]
"""Writes a file to the second argument, from the members of a good model; what is outside lies in the third."""


def _with_config(change: Callable[[dict[str, Any], Path], None]) -> Hostile:
    """Changes the configuration as an object."""

    def write(members: Members, path: Path, outside: Path) -> None:
        config = json.loads(members[CONFIG])
        change(config, outside)
        write_members(path, {**members, CONFIG: json.dumps(config).encode()})

    return write


def _layer(config: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(layer for layer in config["config"]["layers"] if layer["class_name"] == kind)
    return found


def _with_layer(kind: str, **form: Any) -> Hostile:
    """Changes the stored form of the first layer of a class."""
    return _with_config(lambda config, outside: _layer(config, kind).update(deepcopy(_placed(form, outside))))


def _with_options(kind: str, **options: Any) -> Hostile:
    """Changes options of the first layer of a class."""
    return _with_config(lambda config, outside: _layer(config, kind)["config"].update(_placed(options, outside)))


def _placed(value: Any, outside: Path) -> Any:
    """Puts the folder that is outside into strings that name it."""
    return json.loads(json.dumps(value).replace("OUTSIDE", outside.as_posix()))


def _object(module: str | None, name: str, config: Any, registered: str | None = None) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def _function(module: str, name: str) -> dict[str, Any]:
    return _object(module, "function", name, name)


def _with_weights(change: Callable[[Any, Path], None]) -> Hostile:
    """Changes the weights with h5py."""

    def write(members: Members, path: Path, outside: Path) -> None:
        stream = io.BytesIO(members[WEIGHTS])
        with h5py.File(stream, "r+") as file:
            change(file, outside)
        write_members(path, {**members, WEIGHTS: stream.getvalue()})

    return write


def _replaced(make: Callable[[Any, Any, Path], None]) -> Hostile:
    """Puts something else in the place of a kernel: `make` gets its group, its values and what is outside."""

    def change(file: Any, outside: Path) -> None:
        values = file[_KERNEL][()]
        del file[_KERNEL]
        make(file[_KERNEL.rpartition("/")[0]], values, outside)

    return _with_weights(change)


def _with_names(names: Any) -> Hostile:
    """Gives the member with the names of the classes other contents."""
    content = names if isinstance(names, bytes) else json.dumps(names).encode()
    return lambda members, path, _outside: write_members(path, {**members, NAMES: content})


def _with_member(name: str, content: bytes = b"x", *, attributes: int = 0o600 << 16) -> Hostile:
    def write(members: Members, path: Path, outside: Path) -> None:
        write_members(path, members)
        info = zipfile.ZipInfo(name.replace("OUTSIDE", outside.as_posix()))
        info.external_attr = attributes
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(info, content)

    return write


def _with_bytes(change: Callable[[bytes], bytes]) -> Hostile:
    def write(members: Members, path: Path, outside: Path) -> None:
        write_members(path, members)
        path.write_bytes(change(path.read_bytes()))

    return write


def _with_config_bytes(content: Callable[[bytes], bytes]) -> Hostile:
    return lambda members, path, _outside: write_members(path, {**members, CONFIG: content(members[CONFIG])})


# --- code ------------------------------------------------------------------------------------------------------------


def _lambda_of_keras(members: Members, path: Path, outside: Path) -> None:
    """A Lambda as Keras itself stores one."""
    import keras

    from cnntrain.runs.model_file import save_model

    canary = str(outside / "canary")
    inputs = keras.Input((SIDE, SIDE, 3), name="pictures")
    outputs = keras.layers.Lambda(lambda x: (Path(canary).touch(), x)[1])(inputs)
    (outside / "canary").unlink(missing_ok=True)
    outputs = keras.layers.Dense(3, name="probabilities")(keras.layers.Flatten()(outputs))
    model = keras.Model(inputs, outputs)
    (outside / "canary").unlink(missing_ok=True)
    save_model(path, model, CLASSES)


_PLOT = {"function": _function("keras.utils", "plot_model"), "arguments": {"to_file": "OUTSIDE/canary.png"}}


def _lambda_in_sequential(config: dict[str, Any], outside: Path) -> None:
    inner = _object("keras.layers", "Lambda", {"name": "inner", **_placed(_PLOT, outside)})
    options = {"name": "flat", "trainable": True, "layers": [inner], "build_input_shape": [None, SIDE, SIDE, 3]}
    layer = _layer(config, "Rescaling")
    options["dtype"] = layer["config"]["dtype"]
    layer.update(_object("keras", "Sequential", {**options, "name": "rescaling"}))


_CODE: dict[str, Hostile] = {
    "Lambda as Keras stores it": _lambda_of_keras,
    "Lambda around plot_model": _with_layer("Rescaling", class_name="Lambda", config={"name": "rescaling", **_PLOT}),
    "Lambda by a registered name": _with_layer("Rescaling", registered_name="keras.layers>Lambda"),
    "Lambda by its private module": _with_layer(
        "Rescaling", module="keras.src.layers.core.lambda_layer", class_name="Lambda", config={"name": "rescaling"}
    ),
    "Lambda in a Sequential": _with_config(_lambda_in_sequential),
    "Lambda in a wrapper": _with_layer(
        "Rescaling",
        class_name="TimeDistributed",
        config={"name": "rescaling", "layer": _object("keras.layers", "Lambda", {"name": "inner", **_PLOT})},
    ),
    "lambda as an activation": _with_options(
        "Activation", activation=_object(None, "__lambda__", {"value": "4wAAAA=="})
    ),
    "function as an activation": _with_options("Activation", activation=_function("keras.utils", "get_file")),
    "builtin as an activation": _with_options("Activation", activation=_function("builtins", "eval")),
    "function as an initializer": _with_options("Dense", kernel_initializer=_function("keras.utils", "get_file")),
    "custom class": _with_layer("Rescaling", module="os", class_name="system", registered_name="os>system"),
    "saved model from a folder": _with_layer(
        "Rescaling", class_name="TFSMLayer", config={"name": "rescaling", "filepath": "OUTSIDE"}
    ),
    "vocabulary from a file": _with_layer(
        "Rescaling", class_name="StringLookup", config={"name": "rescaling", "vocabulary": "OUTSIDE/secret"}
    ),
    "loss to compile with": _with_config(
        lambda config, _outside: config.update(
            compile_config={"loss": _object(None, "__lambda__", {"value": "4wAAAA=="})}
        )
    ),
    "quantization by an object": _with_options("Dense", quantization_config=_object("keras", "Int8Config", {})),
    "layer name that leads outside": _with_options("Conv2D", name="../../outside/canary"),
}

# --- archives --------------------------------------------------------------------------------------------------------


def _twice(members: Members, path: Path, outside: Path) -> None:
    write_members(path, {**members, "config.jsox": members[CONFIG]})
    path.write_bytes(path.read_bytes().replace(b"config.jsox", CONFIG.encode()))


def _packed(name: str, content: bytes) -> Hostile:
    return lambda members, path, _outside: write_members(path, {**members, name: content}, method=zipfile.ZIP_DEFLATED)


def _many_members(content: bytes) -> bytes:
    """An archive that lists one member 300,000 times."""
    end = content.rindex(b"PK\5\6")
    (start,) = struct.unpack_from("<I", content, end + 16)
    entry = content[start : start + 46 + len(METADATA)]
    directory = entry * 300_000
    # More than 65,535 members need the larger form of the end of the directory.
    large = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 300_000, 300_000, len(directory), start)
    place = struct.pack("<4sIQI", b"PK\6\7", 0, start + len(directory), 1)
    last = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return content[:start] + directory + large + place + last


def _with_end(place: int, layout: str, value: int) -> Hostile:
    """Changes a number in the end of the directory."""

    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        struct.pack_into(layout, changed, content.rindex(b"PK\5\6") + place, value)
        return bytes(changed)

    return _with_bytes(change)


def _with_entry(place: int, layout: str, value: int) -> Hostile:
    """Changes a number in the directory's entry of the weights."""

    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        entry = content.rindex(WEIGHTS.encode()) - 46
        struct.pack_into(layout, changed, entry + place, value)
        return bytes(changed)

    return _with_bytes(change)


_ARCHIVES: dict[str, Hostile] = {
    "member that leads outside": _with_member("../outside/canary"),
    "member with an absolute path": _with_member("OUTSIDE/canary"),
    "member that is a link": _with_member("link", b"/etc/passwd", attributes=0o120777 << 16),
    "member of another kind": _with_member("assets/rescaling/vocabulary.txt"),
    "configuration twice": _twice,
    "packed configuration": _packed(CONFIG, b" " * (1 << 28)),
    "packed weights": _packed(WEIGHTS, bytes(1 << 28)),
    "300,000 members": _with_bytes(_many_members),
    "directory of 4 GB": _with_end(12, "<I", 0xFFFFFFF0),
    "member of 4 GB": _with_entry(24, "<I", 0xFFFFFFF0),
    "encrypted member": _with_entry(8, "<H", 1),
    "member elsewhere": _with_entry(42, "<I", 7),
    "script before it": _with_bytes(lambda content: b"#!/bin/sh\ntouch canary\n" + content),
    "zip with a comment": _with_bytes(lambda content: content[:-2] + struct.pack("<H", 1000) + bytes(1000)),
}

# --- sizes -----------------------------------------------------------------------------------------------------------


def _chain(config: dict[str, Any], kind: str, count: int, **options: Any) -> None:
    """Puts layers of a class, of which each is called on the one before, after the first layer."""
    layers = config["config"]["layers"]
    pattern, before = layers[1], layers[0]["config"]["name"]
    made = []
    for number in range(count):
        name = f"more_{number}"
        layer = deepcopy(pattern) | {"class_name": kind, "name": name}
        layer["config"] = {"name": name, "trainable": True, "dtype": pattern["config"]["dtype"], **options}
        layer.pop("build_config", None)
        tensor = {"class_name": "__keras_tensor__", "config": {"shape": [], "keras_history": [before, 0, 0]}}
        layer["inbound_nodes"] = [{"args": [[tensor, tensor] if kind == "Concatenate" else tensor], "kwargs": {}}]
        made.append(layer)
        before = name
    pattern["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = before
    layers[1:1] = made


def _circle(config: dict[str, Any], outside: Path) -> None:
    """The first convolution is called on what the last one gives."""
    layer = _layer(config, "Conv2D")
    layer["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "logits"


def _grown(config: dict[str, Any], outside: Path) -> None:
    _chain(config, "Concatenate", 40, axis=-1)


def _normalized(config: dict[str, Any], outside: Path) -> None:
    _chain(config, "Concatenate", 17, axis=-1)
    layer = _layer(config, "Rescaling")
    options = {key: layer["config"][key] for key in ("name", "trainable", "dtype")}
    layer["class_name"] = "Normalization"
    layer["config"] = {**options, "axis": [-1], "invert": False, "mean": None, "variance": None}


def _deep(config: dict[str, Any], outside: Path) -> None:
    _chain(config, "Activation", 20_000, activation="relu")


def _called_often(config: dict[str, Any], outside: Path) -> None:
    layer = _layer(config, "Rescaling")
    layer["inbound_nodes"] *= 10_000


def _constant(config: dict[str, Any], outside: Path) -> None:
    layer = _layer(config, "Rescaling")
    content = {"value": ["x"] * 9, "dtype": "S100000000"}
    layer["inbound_nodes"][0]["args"].append({"class_name": "__numpy__", "config": content})


_SIZES: dict[str, Hostile] = {
    "10^9 units": _with_options("Dense", units=10**9),
    "10^6 units": _with_options("Dense", units=10**6),
    "10^6 filters": _with_options("Conv2D", filters=10**6),
    "kernel of 10^5": _with_options("Conv2D", kernel_size=[10**5, 10**5], padding="same"),
    "input of 10^6": _with_options("InputLayer", batch_shape=[None, 10**6, 10**6, 3]),
    "input of any size": _with_options("InputLayer", batch_shape=[None, None, None, 3]),
    "batch of 10^6": _with_options("InputLayer", batch_shape=[10**6, SIDE, SIDE, 3]),
    "zero padding of 10^6": _with_config(
        lambda config, _outside: _chain(
            config, "ZeroPadding2D", 1, padding=[[10**6, 10**6], [10**6, 10**6]], data_format="channels_last"
        )
    ),
    "zero padding often": _with_config(
        lambda config, _outside: _chain(
            config, "ZeroPadding2D", 1000, padding=[[64, 64], [64, 64]], data_format="channels_last"
        )
    ),
    "upsampling by 10^5": _with_config(
        lambda config, _outside: _chain(config, "UpSampling2D", 1, size=[10**5, 10**5], data_format="channels_last")
    ),
    "resizing to 10^6": _with_config(
        lambda config, _outside: _chain(config, "Resizing", 1, height=10**6, width=10**6, interpolation="bilinear")
    ),
    "doubled 40 times": _with_config(_grown),
    "normalization of 393,216 channels": _with_config(_normalized),
    "20,000 layers": _with_config(_deep),
    "layer called 10,000 times": _with_config(_called_often),
    "layers in a circle": _with_config(_circle),
    "constant of 900 MB": _with_config(_constant),
    "no units": _with_options("Dense", units=0),
    "half a unit": _with_options("Dense", units=0.5),
    "units as truth": _with_options("Dense", units=True),
    "number of 100 digits": _with_options("Dense", units=10**100),
}

# --- weights ---------------------------------------------------------------------------------------------------------


def _elsewhere(group: Any, values: Any, outside: Path) -> None:
    group.create_dataset("0", values.shape, values.dtype, external=[(str(outside / "secret"), 0, h5py.h5f.UNLIMITED)])


def _virtual(group: Any, values: Any, outside: Path) -> None:
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource(str(outside / "secret.h5"), "x", values.shape)
    group.create_virtual_dataset("0", layout)


def _bomb(group: Any, values: Any, outside: Path) -> None:
    group.create_dataset("0", (1 << 15, 1 << 15), "f4", compression="gzip", chunks=(1 << 10, 1 << 10))


def _never_written(group: Any, values: Any, outside: Path) -> None:
    group.create_dataset("0", (1 << 15, 1 << 15), "f4")


def _text(group: Any, values: Any, outside: Path) -> None:
    group.create_dataset("0", values.shape, h5py.string_dtype())


def _references(group: Any, values: Any, outside: Path) -> None:
    group.create_dataset("0", values.shape, h5py.ref_dtype)


def _set(name: str, value: Any) -> Callable[[Any, Any, Path], None]:
    def make(group: Any, values: Any, outside: Path) -> None:
        group[name] = value(values, outside) if callable(value) else value

    return make


def _circle_of_groups(file: Any, outside: Path) -> None:
    file["layers/circle"] = file["layers"]


def _shared(file: Any, outside: Path) -> None:
    """Two names for one array."""
    del file["layers/conv2d/vars/0"]
    file["layers/conv2d/vars/0"] = file["layers/dense/vars/0"]


def _surplus(file: Any, outside: Path) -> None:
    file["layers/more/vars/0"] = np.zeros(3, "float32")


_WEIGHTS: dict[str, Hostile] = {
    "external link": _replaced(_set("0", lambda _values, outside: h5py.ExternalLink(str(outside / "secret.h5"), "x"))),
    "soft link": _replaced(_set("0", h5py.SoftLink("/layers/dense/vars/0"))),
    "array in another file": _replaced(_elsewhere),
    "virtual array": _replaced(_virtual),
    "packed array of 4 GB": _replaced(_bomb),
    "array of 4 GB that was never written": _replaced(_never_written),
    "array of texts": _replaced(_text),
    "array of references": _replaced(_references),
    "array of another shape": _replaced(_set("0", np.zeros((3, 3, 3, 5), "float32"))),
    "array of another type": _replaced(_set("0", lambda values, _outside: values.astype("float64"))),
    "group in place of an array": _replaced(lambda group, _values, _outside: group.create_group("0").create_group("1")),
    "missing array": _replaced(lambda _group, _values, _outside: None),
    "array too many": _with_weights(_surplus),
    "groups in a circle": _with_weights(_circle_of_groups),
    "one array twice": _with_weights(_shared),
    "HDF5 of another version": lambda members, path, _outside: write_members(path, members | {WEIGHTS: _latest()}),
}


def _latest() -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="latest") as file:
        file[_KERNEL] = np.zeros((3, 3, 3, 4), "float32")
    return stream.getvalue()


# --- other files -----------------------------------------------------------------------------------------------------


class _Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._place),)


def _link(target: str) -> Hostile:
    return lambda _members, path, outside: path.symlink_to(target.replace("OUTSIDE", outside.as_posix()))


_TRUNCATED: dict[str, Hostile] = {
    "empty": _with_bytes(lambda _content: b""),
    "cut after a quarter": _with_bytes(lambda content: content[: len(content) // 4]),
    "cut after the half": _with_bytes(lambda content: content[: len(content) // 2]),
    "last byte missing": _with_bytes(lambda content: content[:-1]),
    "weights cut off": lambda members, path, _outside: write_members(
        path, members | {WEIGHTS: members[WEIGHTS][: len(members[WEIGHTS]) // 2]}
    ),
    "weights empty": lambda members, path, _outside: write_members(path, members | {WEIGHTS: b""}),
}
_CLASS_LISTS: dict[str, Hostile] = {
    "format 2": _with_names({"format": 2, "classes": CLASSES}),
    "format as truth": _with_names({"format": True, "classes": CLASSES}),
    "classes as a number": _with_names({"format": 1, "classes": 3}),
    "classes as numbers": _with_names({"format": 1, "classes": [1, 2, 3]}),
    "classes as lists": _with_names({"format": 1, "classes": [["cat"], ["dog"], ["horse"]]}),
    "class twice": _with_names({"format": 1, "classes": ["cat", "cat", "dog"]}),
    "class that moves the cursor": _with_names({"format": 1, "classes": ["cat", "dog", "\x1b[2Jhorse"]}),
    "other number of classes": _with_names({"format": 1, "classes": ["cat", "dog", "horse", "bird"]}),
    "two million classes": _with_names({"format": 1, "classes": list(range(2_000_000))}),
    "names of classes missing": lambda members, path, _outside: write_members(
        path, {name: content for name, content in members.items() if name != NAMES}
    ),
}
_JSON: dict[str, Hostile] = {
    "nested 100,000 times": _with_config_bytes(lambda _content: b"[" * 100_000 + b"]" * 100_000),
    "no UTF-8": _with_config_bytes(lambda content: content.replace(b"cnntrain", b"\xff\xfe")),
    "not a number": _with_config_bytes(lambda content: content.replace(b'"offset": 0.0', b'"offset": NaN')),
    "number of 10,000 digits": _with_config_bytes(
        lambda content: content.replace(b'"offset": 0.0', b'"offset": ' + b"1" * 10_000)
    ),
    "a list": _with_config_bytes(lambda _content: b"[]"),
    "4 MB of lists": _with_config_bytes(lambda _content: b"[" + b"[]," * 1_390_000 + b"[]]"),
    "100 MB of lists": _with_config_bytes(lambda _content: b"[" + b"[]," * 33_000_000 + b"[]]"),
}
_FILES: dict[str, Hostile] = {
    "pickle": lambda _members, path, outside: path.write_bytes(pickle.dumps(_Bomb(outside / "canary"))) and None,
    "folder": lambda _members, path, _outside: path.mkdir(),
    "HDF5": lambda members, path, _outside: path.write_bytes(members[WEIGHTS]) and None,
}
_POSIX: dict[str, Hostile] = {
    "pipe": lambda _members, path, _outside: os.mkfifo(path),
    "link to a device": _link("/dev/zero"),
    "link to nothing": _link("OUTSIDE/nothing"),
    "link to itself": lambda _members, path, _outside: path.symlink_to(path.name),
}

HOSTILE: Mapping[str, Mapping[str, Hostile]] = {
    "code": _CODE,
    "archive": _ARCHIVES,
    "sizes": _SIZES,
    "weights": _WEIGHTS,
    "truncated": _TRUNCATED,
    "class names": _CLASS_LISTS,
    "JSON": _JSON,
    "other files": _FILES | (_POSIX if os.name == "posix" else {}),
}
FLAT: Mapping[str, Hostile] = {
    f"{kind}: {name}": made for kind, files in HOSTILE.items() for name, made in files.items()
}


@contextmanager
def watched(folder: Path) -> Iterator[Path]:
    """Gives a folder that hostile files point to. Raises ValueError where something has changed there."""
    outside = folder / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret" * 1000)
    with h5py.File(outside / "secret.h5", "w") as file:
        file["x"] = np.ones((3, 3, 3, 4), "float32")
    before = _listed(outside)
    yield outside
    if _listed(outside) != before:
        raise ValueError(f"what is outside was changed: {sorted(_listed(outside))}")
    if strays := list(folder.rglob("*canary*")):
        raise ValueError(f"something was made: {strays}")


def _listed(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- mutants ---------------------------------------------------------------------------------------------------------


def write_mutant(good: Path, path: Path, seed: int, number: int) -> bool:
    """Writes the mutant of this number of a good model; whether its checksums are right, as a liar would have them."""
    random = np.random.default_rng([seed, number])
    if random.random() < 0.4:
        path.write_bytes(_mutated(random, good.read_bytes()))
        return False
    members = read_members(good)
    name = str(random.choice([CONFIG, WEIGHTS, WEIGHTS, NAMES]))
    write_members(path, {**members, name: _mutated(random, members[name])})
    return True


def _mutated(random: np.random.Generator, content: bytes) -> bytes:
    """Some bytes changed, a run of bytes lost, doubled or zeroed, or the end cut off."""
    changed, place = bytearray(content), int(random.integers(len(content)))
    length = int(random.integers(1, 64))
    match random.integers(6):
        case 0 | 1:
            for at in random.integers(len(content), size=random.integers(1, _MUTATED_BYTES)):
                changed[at] ^= int(random.integers(1, 256))
        case 2:
            changed[place : place + length] = bytes(min(length, len(content) - place))
        case 3:
            del changed[place : place + length]
        case 4:
            changed[place:place] = changed[place : place + length]
        case _:
            del changed[place:]
    return bytes(changed)
