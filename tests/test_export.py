"""`cnntrain export`: other runtimes give the answers of the model, or nothing is left of the export."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import WritePictures
from test_saved_models import XCEPTION, backbone, network_model, noise

import cnntrain
from cnntrain.cli import group
from cnntrain.errors import ModelFileError, UsageError, WriteError
from cnntrain.exports import checking, kinds
from cnntrain.exports.checking import write_checked
from cnntrain.exports.kinds import Kind, check_kind
from cnntrain.models.agreement import TOLERANCE, largest_difference, outputs_of, spread_batches
from cnntrain.runs.run import Run

KINDS: tuple[Kind, ...] = ("onnx", "litert", "saved_model")
MODELS = {"onnx": {"model.onnx"}, "litert": {"model.tflite"}, "saved_model": {"saved_model.pb", "variables"}}
DOCS = Path(__file__).parent.parent / "docs" / "export.md"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Run:
    """Three classes, gray, no test part."""
    folder = tmp_path_factory.mktemp("digits")
    for split in ("train", "validation"):
        write_pictures(folder / "data" / split, {"one": 4, "two": 4, "три": 4}, size=(12, 12), mode="L")
    raw = {
        "data": {"source": str(folder / "data"), "image_size": [12, 12], "batch_size": 8, "color": "grayscale"},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}], "head": {"layers": [{"dense": 4}]}},
        "train": {"epochs": 1},
    }
    return cnntrain.fit(raw, run_dir=folder / "runs" / "digits")


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Run:
    """Two classes in colour, a residual network trained in float16."""
    folder = tmp_path_factory.mktemp("pets")
    for split in ("train", "validation", "test"):
        write_pictures(folder / "data" / split, {"cat": 4, "dog": 4}, size=(12, 12))
    blocks = [{"filters": 4}, {"filters": 4, "residual": True, "separable": True, "batch_norm": True, "dropout": 0.2}]
    raw = {
        "data": {"source": str(folder / "data"), "image_size": [12, 12], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": blocks, "head": {"pooling": "global_average"}},
        "train": {"epochs": 1, "mixed_precision": True},
    }
    return cnntrain.fit(raw, run_dir=folder / "runs" / "pets")


@pytest.fixture(scope="module", params=[(name, kind) for name in ("digits", "pets") for kind in KINDS])
def told(request: pytest.FixtureRequest, digits: Run, pets: Run) -> tuple[Run, Kind, Result]:
    """Each run in each format, where it goes by itself."""
    name, kind = request.param
    run = {"digits": digits, "pets": pets}[name]
    return run, kind, _export(run.path, "--format", kind)


@pytest.fixture
def copied(digits: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits.path, tmp_path / "run", ignore=shutil.ignore_patterns("export")))


def _export(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["export", *map(str, arguments)])


# --- agreement -------------------------------------------------------------------------------------------------------


def test_the_largest_difference_is_that_of_the_worst_probability() -> None:
    expected = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    assert largest_difference(expected, expected) == 0.0
    found = expected + np.array([[0.0, 0.125], [-0.25, 0.0]], np.float32)
    assert largest_difference(found, expected) == largest_difference(expected, found) == 0.25


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_and_other_shapes_never_agree(bad: float) -> None:
    good, damaged = np.zeros((2, 1), np.float32), np.array([[0.0], [bad]], np.float32)
    for found, expected in [(damaged, good), (good, damaged), (damaged, damaged), (np.zeros((1, 2)), good)]:
        assert largest_difference(found, expected) > TOLERANCE


def test_a_model_is_asked_in_batches_of_several_sizes() -> None:
    pictures = np.arange(12)[:, np.newaxis]
    assert [len(batch) for batch in spread_batches(pictures)] == [1, 8, 3]
    assert np.concatenate(spread_batches(pictures)).tolist() == pictures.tolist()
    assert [len(batch) for batch in spread_batches(pictures[:1])] == [1]


# --- kinds of networks -----------------------------------------------------------------------------------------------


def _hard() -> Any:
    """What converters stumble over: grouped convolutions, GELU, constants in the graph, batch normalization."""
    inputs = keras.Input((8, 8, 4), name="pictures")
    x = keras.layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[4.0, 3.0, 2.0, 1.0])(inputs / 25.0)
    x = keras.layers.Conv2D(8, 3, groups=4, activation="gelu", padding="same")(x - keras.ops.array([0.5, 0, 1, 2]))
    x = keras.layers.LayerNormalization()(keras.layers.DepthwiseConv2D(3, strides=2, activation="hard_silu")(x))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")
def test_networks_of_all_sorts_keep_their_answers(kind: Kind, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    networks = {"hard": _hard(), "xception": network_model(XCEPTION)}
    for name, model in networks.items():
        for weight in model.weights:
            weight.assign(random.uniform(0.1, 0.9, weight.shape) if "moving" in weight.path else weight)
        pictures = random.integers(0, 256, (11, *model.input_shape[1:]), np.uint8)
        (tmp_path / name).mkdir()
        assert write_checked(kind, model, tmp_path / name, pictures) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["vgg16", "resnet50", "mobilenetv2", "efficientnetv2b0", "convnexttiny"])
@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")
def test_backbones_keep_their_answers(kind: Kind, name: str, tmp_path: Path) -> None:
    assert write_checked(kind, network_model(backbone(name)), tmp_path, noise().astype(np.uint8)) < 1e-5


# --- the command -----------------------------------------------------------------------------------------------------


def test_an_export_is_written_and_told(told: tuple[Run, Kind, Result]) -> None:
    run, kind, result = told
    split, count, outputs, channels = {"digits": ("validation", 12, 3, 1), "pets": ("test", 8, 1, 3)}[run.name]
    folder = run.path / "export" / kind
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert re.fullmatch(rf"written to {re.escape(str(folder))} \(\d\.\d MB\)", first)
    assert re.search(rf"on {count} {split} pictures; largest difference (0|\de-0[678])$", second)
    assert {path.name for path in folder.iterdir()} >= MODELS[kind]
    beside = {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("classes", "preprocessing")}
    assert beside["classes"] == json.loads(run.directory.classes.read_text("utf-8"))
    how = beside["preprocessing"]
    assert {**how, "steps": 0, "model": 0} == {**run.preprocessing, "steps": 0, "model": 0}
    assert how["steps"][:-1] == run.preprocessing["steps"][:-1]
    assert how["model"]["input"]["shape"] == [None, 12, 12, channels]
    assert how["model"]["output"]["shape"] == [None, outputs]


def test_the_answers_of_an_exported_file_are_those_of_the_saved_model(digits: Run, tmp_path: Path) -> None:
    import onnxruntime

    exported = cnntrain.export(digits, "onnx", output=tmp_path / "new")
    session = onnxruntime.InferenceSession(exported.file)
    (source,), (result,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.type, source.shape) == ("pictures", "tensor(float)", ["batch", 12, 12, 1])
    assert (result.name, result.shape) == ("probabilities", ["batch", 3])
    pictures = np.random.default_rng(1).uniform(0, 255, (5, 12, 12, 1)).astype(np.float32)
    expected = keras.models.load_model(digits.directory.model).predict(pictures, verbose=0)
    np.testing.assert_allclose(session.run(None, {"pictures": pictures})[0], expected, atol=1e-6)


def test_a_saved_model_stores_every_weight_once(pets: Run, tmp_path: Path) -> None:
    import tensorflow as tf

    folder = cnntrain.export(pets, "saved_model", output=tmp_path / "new").folder
    stored = [
        math.prod(shape) for _, shape in tf.train.list_variables(str(folder / "variables" / "variables")) if shape
    ]
    assert sum(stored) == keras.models.load_model(pets.directory.model).count_params()
    assert tf.saved_model.load(folder).signatures.keys() == {"serving_default"}


def test_json_says_the_same(digits: Run, tmp_path: Path) -> None:
    result = _export(digits.path, "--format", "saved_model", "--output", tmp_path / "new", "--json")
    printed = json.loads(result.stdout)
    assert 0.0 <= printed.pop("largest_difference") < 1e-6
    assert printed.pop("size") == sum(path.stat().st_size for path in (tmp_path / "new").rglob("*") if path.is_file())
    folder = str(tmp_path / "new")
    assert printed == {
        "format": 1,
        "kind": "saved_model",
        "folder": folder,
        "file": folder,
        "pictures": 12,
        "of": "validation",
    }


def test_the_command_says_nothing_on_stderr(digits: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cnntrain", "export", digits.path, "--format", "litert", "--json"]
    done = subprocess.run([*command, "--output", tmp_path / "new"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout)["folder"] == str(tmp_path / "new")


def test_without_its_pictures_a_run_is_checked_on_noise(copied: Path) -> None:
    table = copied / "examples.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(".png", ".gone"), encoding="utf-8")
    result = _export(copied, "--format", "saved_model")
    assert result.exit_code == 0
    assert result.stderr == "the run's pictures are not here: the export is checked on noise\n"
    assert "on 32 pictures of noise; largest difference" in result.stdout


# --- what cannot be exported -----------------------------------------------------------------------------------------


def _one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_that_gives_other_answers_is_removed(
    kind: Kind, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cnntrain.export(copied, kind)
    earlier = {path: path.read_bytes() for path in (copied / "export" / kind).rglob("*") if path.is_file()}
    right = checking.write

    def wrong(kind: Kind, model: Any, folder: Path) -> None:
        twin = keras.models.clone_model(model)
        twin.set_weights([values + (0.01 if values.ndim == 1 else 0.0) for values in model.get_weights()])
        right(kind, twin, folder)

    monkeypatch.setattr(checking, "write", wrong)
    with pytest.raises(ModelFileError, match=r"gives other answers than the model: .* allowed is 0.0001") as caught:
        cnntrain.export(copied, kind, overwrite=True)
    _one_line(caught)
    with pytest.raises(ModelFileError):
        cnntrain.export(copied, kind, output=copied / "elsewhere")
    assert not (copied / "elsewhere").exists()
    assert {path: path.read_bytes() for path in (copied / "export").rglob("*") if path.is_file()} == earlier


def test_what_a_converter_raises_becomes_one_line(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("no such\n  operation")

    monkeypatch.setattr(checking, "write", failing)
    with pytest.raises(ModelFileError, match="cannot be exported for LiteRT: no such operation; choose") as caught:
        cnntrain.export(copied, "litert")
    _one_line(caught)
    assert not (copied / "export").exists()


def test_a_full_disk_is_told_by_the_folder_of_the_user(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("x" * 300 + "; No space left on device")

    monkeypatch.setattr(checking, "write", failing)
    with pytest.raises(WriteError, match=rf"cannot write {copied}/export/onnx: No space left on device; free"):
        cnntrain.export(copied, "onnx")
    assert not (copied / "export").exists()


@pytest.mark.parametrize(
    ("kind", "package"), [("onnx", "tf2onnx"), ("onnx", "onnxruntime"), ("litert", "ai_edge_litert")]
)
def test_a_missing_package_is_told_with_the_way_to_get_it(
    kind: Kind, package: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(UsageError, match=re.escape(f"pip install 'cnntrain[{kind}]'")) as caught:
        cnntrain.export(copied, kind)
    assert package.replace("_", "-") in _one_line(caught)
    assert check_kind("saved_model") == "saved_model"


def test_an_unknown_format_is_told() -> None:
    with pytest.raises(UsageError, match="exported as onnx, litert, saved_model; got: tflite"):
        check_kind("tflite")
    assert _export("x", "--format", "tflite").exit_code == 2


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, cnntrain.api.exporting\n"
        "print([name for name in ('tensorflow', 'keras', 'onnx', 'onnxruntime', 'tf2onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_exports_are_replaced_and_only_when_that_is_asked_for(copied: Path, tmp_path: Path) -> None:
    first = cnntrain.export(copied, "saved_model")
    assert first.folder == first.file == copied / "export" / "saved_model"
    with pytest.raises(WriteError, match="exists already; replace it with --overwrite"):
        cnntrain.export(copied, "saved_model")
    shutil.rmtree(first.folder / "variables")
    cnntrain.export(copied, "saved_model", overwrite=True)
    assert (first.folder / "variables").is_dir()
    (tmp_path / "empty").mkdir()
    assert cnntrain.export(copied, "saved_model", output=tmp_path / "empty").file == tmp_path / "empty"
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for other in (copied, tmp_path / "file", tmp_path):
        with pytest.raises(WriteError, match="is not an export, so it is not replaced"):
            cnntrain.export(copied, "saved_model", output=other, overwrite=True)
    assert (copied / "model.keras").is_file()


# --- the documentation -----------------------------------------------------------------------------------------------

BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_the_documentation_has_a_program_a_format() -> None:
    assert len(BLOCKS) == 1 + len(KINDS)
    for kind, block in zip(KINDS, BLOCKS[1:], strict=True):
        assert f"export/{kind}" in block


def test_the_programs_of_the_documentation_print_the_class(
    told: tuple[Run, Kind, Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    write_pictures: WritePictures,
) -> None:
    run, kind, _ = told
    mode = "L" if run.name == "digits" else "RGB"
    pictures = write_pictures(tmp_path, dict.fromkeys(run.classes, 1), size=(20, 30), mode=mode)
    shutil.copytree(run.path / "export" / kind, tmp_path / "runs" / "digits" / "export" / kind)
    monkeypatch.chdir(tmp_path)
    model = keras.models.load_model(run.directory.model)
    for picture in pictures:
        shutil.copy(picture, "photo.png")
        scope: dict[str, Any] = {}
        exec(BLOCKS[0] + BLOCKS[1 + KINDS.index(kind)], scope)
        outputs = outputs_of(model, scope["read_picture"]("photo.png", scope["folder"]))[0]
        best = int(outputs.argmax()) if len(outputs) > 1 else int(outputs[0] > 0.5)
        assert capfd.readouterr().out == f"{run.classes[best]}\n"
