"""Model and weights files from strangers: refused in one line, or loaded; nothing runs, nothing is read or written."""

import ast
import json
import os
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.hostile_models import judged
from cnntrain.config import load_config
from cnntrain.errors import ModelFileError
from cnntrain.models.backbones import backbones
from cnntrain.models.network import build_network
from cnntrain.models.weights import load_weights
from cnntrain.runs.model_file import load_model, read_class_names, save_model
from cnntrain.untrusted import allowed
from cnntrain.untrusted.hdf5 import read_hdf5
from cnntrain.untrusted.restoring import check_storable, restore_network
from cnntrain.untrusted.span import open_regular
from tests.hostile_models import (
    FLAT,
    HOSTILE,
    WEIGHTS,
    judge,
    read_members,
    save_good,
    watched,
    write_members,
    write_mutant,
)

MUTANTS = 100
PACKAGE = Path(__file__).parent.parent / "cnntrain"
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that the program has written."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    save_good(path)
    return path


# --- hostile files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLAT)
def test_a_hostile_file_ends_in_one_line_and_touches_nothing(good: Path, tmp_path: Path, name: str) -> None:
    place = tmp_path / "run"
    place.mkdir()
    with watched(tmp_path) as outside:
        FLAT[name](read_members(good), place / "model.keras", outside)
        message = judge(place / "model.keras").message
    assert str(place / "model.keras") in message
    assert message.isprintable()
    assert message.count("fit the run again") + message.count("go on with it with cnntrain fit") == 1
    assert [path.name for path in place.iterdir()] == ["model.keras"]


def test_there_are_at_least_fifty_hostile_files() -> None:
    assert len(FLAT) >= 50


def test_the_good_model_is_no_hostile_one(good: Path, tmp_path: Path) -> None:
    """Or nothing above would say anything: written anew from its members it is loaded."""
    write_members(tmp_path / "model.keras", read_members(good))
    assert judge(tmp_path / "model.keras").predictions == judge(good).predictions


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")
def test_a_link_to_a_model_is_followed(good: Path, tmp_path: Path) -> None:
    (tmp_path / "model.keras").symlink_to(good)
    assert judge(tmp_path / "model.keras").predictions == judge(good).predictions


def test_mutants_are_refused_in_one_line_or_are_the_same_model(good: Path, tmp_path: Path) -> None:
    expected, path = judge(good).predictions, tmp_path / "model.keras"
    refused = 0
    for number in range(MUTANTS):
        is_lying = write_mutant(good, path, 1, number)
        verdict = judge(path)
        assert verdict.message.isprintable(), number
        assert verdict.message or is_lying or verdict.predictions == expected, number
        refused += bool(verdict.message)
    assert refused > MUTANTS / 2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process by itself")
@pytest.mark.parametrize("kind", ["sizes", "JSON"])
def test_what_claims_to_be_large_takes_little_memory(kind: str) -> None:
    found = judged(kind, seed=1, count=0)
    assert found["refused"] == found["files"] == len(HOSTILE[kind])
    assert found["peak"] - found["before"] < 150 * MEGABYTE


def test_a_refused_network_leaves_no_variables_behind(good: Path, tmp_path: Path) -> None:
    """Keras keeps a list of the variables that wait for their values, and would make them with the next network."""
    path = tmp_path / "model.keras"
    with watched(tmp_path) as outside:
        FLAT["sizes: 10^6 units"](read_members(good), path, outside)
    assert judge(path).message
    with keras.StatelessScope():
        pass
    assert not keras.src.backend.common.global_state.get_global_attribute("uninitialized_variables")


# --- what is allowed -------------------------------------------------------------------------------------------------

ACTIVATIONS = ("relu", "elu", "selu", "gelu", "silu", "leaky_relu", "tanh", "sigmoid", "linear")
BLOCKS = [
    {"filters": 4, "activation": activation, "batch_norm": number % 2 == 0, "pooling": pooling, "padding": "same"}
    for number, (activation, pooling) in enumerate(zip(ACTIVATIONS, ("max", "average", *["none"] * 7), strict=True))
]
CONVNETS: dict[str, dict[str, Any]] = {
    "all activations": {"blocks": BLOCKS, "head": {"layers": [{"dense": 3, "activation": a} for a in ACTIVATIONS]}},
    "residual": {
        "blocks": [{"filters": 4, "residual": True, "separable": True, "norm_first": True, "dropout": 0.1}],
        "head": {"pooling": "global_max"},
    },
    "strides": {
        "blocks": [
            {"filters": 4, "stride": 2, "pool_size": 3, "pool_stride": 2, "pool_padding": "same", "bias": False}
        ],
        "head": {"pooling": "global_average", "layers": [{"dropout": 0.5}]},
    },
}
SMALL = ("convnexttiny", "densenet121", "efficientnetb0", "efficientnetv2b0", "inceptionv3", "mobilenet")
SMALL += ("mobilenetv2", "mobilenetv3small", "nasnetmobile", "resnet50", "resnet50v2", "vgg16", "xception")


def network(model: dict[str, Any], *, classes: int = 3, color: str = "rgb", mixed_precision: bool = False) -> Any:
    data = {"source": "none", "image_size": [75, 75], "color": color}
    config = load_config({"data": data, "model": model}).config
    return build_network(config, classes, mixed_precision=mixed_precision).model


@pytest.mark.parametrize("name", CONVNETS)
@pytest.mark.parametrize("mixed_precision", [False, True])
def test_every_option_of_a_convnet_can_be_stored(tmp_path: Path, name: str, mixed_precision: bool) -> None:
    model = network({"kind": "convnet", **CONVNETS[name]}, classes=2, mixed_precision=mixed_precision)
    check_storable(model)
    save_model(tmp_path / "model.keras", model, ("a", "b"))
    found = load_model(tmp_path / "model.keras")
    expected = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.get_config() for layer in found.layers] == [layer.get_config() for layer in expected.layers]
    assert [weight.path for weight in found.weights] == [weight.path for weight in expected.weights]
    for one, other in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
def test_every_kind_of_backbone_can_be_stored(name: str, color: str) -> None:
    """The tables of `untrusted.allowed` are literal; a new version of Keras may need new lines."""
    with keras.StatelessScope(initialize_variables=False):
        model = network(pretrained(name), color=color)
        check_storable(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(backbones()))
def test_every_backbone_can_be_stored(name: str) -> None:
    with keras.StatelessScope(initialize_variables=False):
        check_storable(network(pretrained(name)))


def pretrained(name: str) -> dict[str, Any]:
    return {"kind": "pretrained", "backbone": name, "weights": "none", "head": {"pooling": "global_average"}}


@pytest.fixture(autouse=True)
def _without_leftover_variables() -> Iterator[None]:
    yield
    keras.src.backend.common.global_state.set_global_attribute("uninitialized_variables", [])


def test_only_what_the_networks_need_is_allowed() -> None:
    """Every line of the tables is used by one of the networks above."""
    used: set[tuple[str, str]] = set()
    for model in [pretrained("inceptionresnetv2"), *map(pretrained, SMALL), *CONVNETS.values()]:
        with keras.StatelessScope(initialize_variables=False):
            built = network({"kind": "convnet", **model})
        used |= set(_objects(keras.saving.serialize_keras_object(built)["config"]["layers"]))
    assert used == set(allowed.LAYERS)


def _objects(layers: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for layer in layers:
        yield layer["module"], layer["class_name"]
        yield from _objects(layer["config"].get("layers", []))


def test_a_network_is_told_that_it_cannot_be_stored() -> None:
    inputs = keras.Input((8, 8, 3), name="pictures")
    with pytest.raises(ValueError, match="UpSampling2D"):
        check_storable(keras.Model(inputs, keras.layers.UpSampling2D()(inputs)))


def test_a_checked_network_has_no_weights_before_the_check(good: Path) -> None:
    config = json.loads(read_members(good)["config.json"])
    seen = []

    def check(model: Any) -> None:
        seen.extend(weight._value for weight in model.weights)

    restore_network(config, check)
    assert len(seen) == 12
    assert set(seen) == {None}


# --- HDF5 ------------------------------------------------------------------------------------------------------------


@given(
    arrays.arrays(
        st.sampled_from(["<f2", "<f4", "<f8", "<i4", "<i8", "<u4", "<u8"]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    st.lists(
        st.text("abcdefghij_0123456789.", min_size=1, max_size=9).filter(lambda name: name.strip(".")),
        min_size=1,
        max_size=40,
        unique=True,
    ),
)
def test_arrays_are_read_as_h5py_wrote_them(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, names: list[str]
) -> None:
    path = tmp_path_factory.mktemp("hdf5") / "file.h5"
    with h5py.File(path, "w") as file:
        for number, name in enumerate(names):
            file[f"layers/{name}/vars/{number}"] = array
    with open_regular(path) as span:
        found = read_hdf5(span).arrays()
        assert set(found) == {f"layers/{name}/vars/{number}" for number, name in enumerate(names)}
        for stored in found.values():
            read = stored.read(span)
            assert (read.dtype, read.shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("names", [[b"a", b"bc"], ["a", "bc"], []])
def test_lists_of_names_are_read_in_either_form(tmp_path: Path, names: list[Any]) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.create_group("g").attrs["layer_names"] = names
        file["g"].attrs["other"] = "x" * 5000
    with open_regular(tmp_path / "file.h5") as span:
        group: Any = read_hdf5(span).find("g")
    assert group.lists == {"layer_names": ("a", "bc") if names else ()}


def test_many_members_are_read(tmp_path: Path) -> None:
    """More than fit into one node of the tree that lists them."""
    with h5py.File(tmp_path / "file.h5", "w") as file:
        for number in range(2000):
            file[f"{number}"] = np.float32(number)
    with open_regular(tmp_path / "file.h5") as span:
        found = read_hdf5(span).arrays()
        assert {name: float(array.read(span)) for name, array in found.items()} == {str(n): n for n in range(2000)}


def test_a_mutated_hdf5_file_is_read_or_refused(good: Path, tmp_path: Path) -> None:
    content = read_members(good)[WEIGHTS]
    random = np.random.default_rng(5)
    refused = 0
    for _ in range(400):
        changed = bytearray(content)
        for place in random.integers(len(changed), size=4):
            changed[place] = random.choice([0, 1, 0x7F, 0x80, 0xFF])
        (tmp_path / "file.h5").write_bytes(changed)
        try:
            with open_regular(tmp_path / "file.h5") as span:
                read_hdf5(span).arrays()
        except ValueError:
            refused += 1
    assert 20 < refused < 400


def test_claims_that_are_too_large_are_refused_before_anything_is_read(good: Path, tmp_path: Path) -> None:
    content = bytearray(read_members(good)[WEIGHTS])
    heap = content.index(b"HEAP")
    struct.pack_into("<Q", content, heap + 8, 1 << 40)
    (tmp_path / "file.h5").write_bytes(content)
    with open_regular(tmp_path / "file.h5") as span, pytest.raises(ValueError, match="more than it can"):
        read_hdf5(span)


# --- weights files ---------------------------------------------------------------------------------------------------


def small() -> Any:
    pictures = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="first")(pictures)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(pictures, keras.layers.Conv2D(2, 3, name="second")(x))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, folder = small(), tmp_path_factory.mktemp("weights")
    model.save_weights(folder / "good.weights.h5")
    model.save(folder / "good.keras")
    with warnings.catch_warnings(action="ignore"):  # the format is an older one
        model.save(folder / "good.h5")
    return folder


def told(model: Any, path: Path) -> str:
    """The message of the error that a file ends in; the network is then as it was before."""
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(ModelFileError) as caught:
        load_weights(model, path, "small")
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert str(caught.value).isprintable()
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("file", ["good.weights.h5", "good.h5"])
@pytest.mark.parametrize("change", ["external", "soft", "shape", "packed", "missing"])
def test_a_weights_file_is_refused_before_anything_is_changed(
    written: Path, tmp_path: Path, file: str, change: str
) -> None:
    path = tmp_path / file
    path.write_bytes((written / file).read_bytes())
    place = "layers/conv2d_1/vars/0" if file == "good.weights.h5" else "model_weights/second/second/kernel"
    with h5py.File(path, "r+") as stored:
        del stored[place]
        match change:
            case "external":
                stored[place] = h5py.ExternalLink(str(written / file), place)
            case "soft":
                stored[place] = h5py.SoftLink("/elsewhere")
            case "shape":
                stored[place] = np.zeros((3, 3, 2, 4), "float32")
            case "packed":
                stored.create_dataset(place, (3, 3, 4, 2), "f4", compression="gzip")
            case "missing":
                stored[f"{place}x"] = np.zeros((3, 3, 4, 2), "float32")
    expected = {
        "external": "holds links",
        "soft": "a link by name",
        "shape": "has the shape (3, 3, 2, 4), second/kernel of the network (3, 3, 4, 2)",
        "packed": "packed arrays",
        "missing": "it lacks" if file == "good.weights.h5" else "and does not hold it",
    }
    assert expected[change] in told(small(), path)


def test_a_packed_or_damaged_keras_file_with_weights_is_refused(written: Path, tmp_path: Path) -> None:
    members = read_members(written / "good.keras")
    write_members(tmp_path / "packed.keras", members, method=zipfile.ZIP_DEFLATED)
    assert "packed or encrypted" in told(small(), tmp_path / "packed.keras")
    content = bytearray((written / "good.keras").read_bytes())
    content[-2000] ^= 1
    (tmp_path / "flipped.keras").write_bytes(content)
    assert "its checksum is wrong" in told(small(), tmp_path / "flipped.keras")


def test_older_weights_files_with_plain_names_and_wider_numbers_are_read(tmp_path: Path) -> None:
    """As Keras 2 wrote them: fixed-length names, the list of layers at the top, and here numbers of eight bytes."""
    model, random = small(), np.random.default_rng(3)
    values = {weight.path: random.normal(size=weight.shape) for weight in model.weights}
    with h5py.File(tmp_path / "old.h5", "w") as file:
        layers = [layer for layer in model.layers if layer.weights]
        file.attrs["layer_names"] = [b"input_1", *(layer.name.encode() for layer in layers)]
        file.create_group("input_1").attrs["weight_names"] = []
        for layer in layers:
            names = [weight.path for weight in layer.trainable_weights + layer.non_trainable_weights]
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                group[name] = values[name]
    load_weights(model, tmp_path / "old.h5", "small")
    for weight in model.weights:
        np.testing.assert_array_equal(weight.numpy(), values[weight.path].astype("float32"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_a_pipe_is_no_weights_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.weights.h5")
    assert "does not exist" in told(small(), tmp_path / "pipe.weights.h5")


# --- no pickle -------------------------------------------------------------------------------------------------------

RISKY_MODULES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
RISKY_CALLS = {"eval", "exec", "compile", "__import__", "read_pickle", "func_load", "enable_unsafe_deserialization"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_unpickles_or_evaluates(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {name.split(".")[0] for name in _imported(tree)} & RISKY_MODULES
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        assert name not in RISKY_CALLS, f"line {call.lineno}"
        options = {option.arg: ast.unparse(option.value) for option in call.keywords}
        if name.split(".")[-1] in ("load", "save") and name.startswith(("np.", "numpy.")):
            assert options.get("allow_pickle") == "False", f"line {call.lineno}"
        assert options.get("allow_pickle", "False") == "False", f"line {call.lineno}"
        assert options.get("safe_mode", "True") == "True", f"line {call.lineno}"


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_reading_class_names_takes_no_more_than_it_must(tmp_path: Path, good: Path) -> None:
    members = read_members(good)
    names = json.dumps({"format": 1, "classes": ["x" * 5 * MEGABYTE, "y"]}).encode()
    write_members(tmp_path / "model.keras", {**members, "cnntrain.json": names})
    with pytest.raises(ModelFileError, match="more than 4,194,304"):
        read_class_names(tmp_path / "model.keras")
