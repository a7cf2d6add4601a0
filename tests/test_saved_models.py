"""Models as files: written whole, read back equal, and refused in one line when they are none."""

import json
import shutil
import signal
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import cnntrain
from cnntrain.config import load_config
from cnntrain.data.examples import Example
from cnntrain.data.few import spread
from cnntrain.errors import InterruptedRunError, ModelFileError, WriteError
from cnntrain.models.network import Network, build_network
from cnntrain.runs.model_file import load_model, read_class_names, save_model
from cnntrain.training import session, verifying

CLASSES = ("кот", "собака", "鸟, 魚")

CONVNET = {
    "kind": "convnet",
    "blocks": [{"filters": 4, "batch_norm": True, "pooling": "average", "dropout": 0.2}, {"filters": 3}],
    "head": {"layers": [{"dropout": 0.5}, {"dense": 6, "activation": "gelu"}]},
}


RESIDUAL = {
    "filters": 4,
    "convolutions": 2,
    "separable": True,
    "batch_norm": True,
    "norm_first": True,
    "residual": True,
}
XCEPTION = {
    "kind": "convnet",
    "blocks": [{"filters": 4, "bias": False}, {**RESIDUAL, "pool_size": 3, "pool_stride": 2, "dropout": 0.1}, RESIDUAL],
    "head": {"pooling": "global_average", "layers": [{"dropout": 0.5}]},
}


def backbone(name: str) -> dict[str, Any]:
    return {"kind": "pretrained", "backbone": name, "weights": "none", "head": {"pooling": "global_average"}}


def network(model: dict[str, Any], *, color: str = "rgb", mixed_precision: bool = False) -> Network:
    """A network of three classes with random weights, for pictures of 32 × 32 pixels."""
    data = {"source": "x", "image_size": [32, 32], "color": color}
    config = load_config({"data": data, "model": model}).config
    return build_network(config, 3, mixed_precision=mixed_precision)


def network_model(model: dict[str, Any], *, color: str = "rgb", mixed_precision: bool = False) -> Any:
    return network(model, color=color, mixed_precision=mixed_precision).model


def noise(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(7).uniform(0, 255, (2, 32, 32, channels)).astype("float32")


@pytest.fixture(scope="module")
def model() -> Any:
    return network_model(CONVNET)


@pytest.fixture
def saved(model: Any, tmp_path: Path) -> Path:
    save_model(tmp_path / "model.keras", model, CLASSES)
    return tmp_path / "model.keras"


@pytest.mark.parametrize(
    ("model", "color"),
    [
        (CONVNET, "rgb"),
        (XCEPTION, "rgb"),
        *(
            (backbone(name), color)
            for name, color in [
                ("vgg16", "grayscale"),
                ("resnet50", "rgb"),
                ("mobilenetv2", "rgb"),
                ("efficientnetv2b0", "rgb"),
                ("efficientnetb0", "rgb"),
                ("convnexttiny", "grayscale"),
            ]
        ),
    ],
)
def test_a_model_gives_the_same_answers_after_saving(tmp_path: Path, model: dict[str, Any], color: str) -> None:
    written = network_model(model, color=color)
    path = tmp_path / "model.keras"
    save_model(path, written, CLASSES)
    images = noise(1 if color == "grayscale" else 3)
    expected = np.asarray(written(images))
    for found in (load_model(path), keras.models.load_model(path)):
        np.testing.assert_allclose(found(images), expected, rtol=1e-5, atol=1e-7)
        assert [layer.name for layer in found.layers] == [layer.name for layer in written.layers]
    assert read_class_names(path) == CLASSES


@pytest.mark.parametrize(
    ("model", "color"),
    [(XCEPTION, "grayscale"), (backbone("vgg16"), "grayscale"), (backbone("mobilenetv2"), "rgb")],
)
def test_a_model_that_was_trained_at_another_size_too_is_saved_as_it_is(
    tmp_path: Path, model: dict[str, Any], color: str
) -> None:
    built = network(model, color=color)
    channels = 1 if color == "grayscale" else 3
    untrained = np.asarray(built.model(noise(channels)))
    resized = built.resized((48, 40))
    resized.thaw("all")
    logits = resized.logits()
    logits.compile(keras.optimizers.SGD(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logits.train_on_batch(np.ones((2, 48, 40, channels), "float32"), np.array([0, 2]))
    resized.logits(resized.features)
    built.thaw("none")
    expected = np.asarray(built.model(noise(channels)))
    assert np.any(expected != untrained)
    path = tmp_path / "model.keras"
    save_model(path, built.model, CLASSES)
    found = keras.models.load_model(path)
    np.testing.assert_allclose(found(noise(channels)), expected, rtol=1e-5, atol=1e-7)
    assert found.input.shape == (None, 32, 32, channels)
    assert [layer.name for layer in found.layers] == [layer.name for layer in built.model.layers]
    assert {len(layer._inbound_nodes) for layer in found.layers} == {1}


def test_a_model_keeps_its_dtypes_after_saving(tmp_path: Path) -> None:
    save_model(tmp_path / "model.keras", network_model(CONVNET, mixed_precision=True), CLASSES)
    found = load_model(tmp_path / "model.keras")
    assert found.get_layer("block1_conv").compute_dtype == "float16"
    assert found.output.dtype == "float32"


def test_class_names_travel_inside_as_utf_8(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        content = archive.read("cnntrain.json")
    assert json.loads(content) == {"format": 1, "classes": list(CLASSES)}
    assert "собака".encode() in content


def test_saving_replaces_what_was_there_and_leaves_nothing_beside_it(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    save_model(path, model, ["a", "b", "c"])
    save_model(path, model, ["x", "y", "z"])
    assert read_class_names(path) == ("x", "y", "z")
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]


def test_a_model_that_cannot_be_written_leaves_the_old_one(
    model: Any, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(WriteError, match="No space left"):
        save_model(saved, model, ["other", "names", "here"])
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == ["model.keras"]


# --- the model of a run ----------------------------------------------------------------------------------------------


def _raw(folder: Path, **train: Any) -> dict[str, Any]:
    return {
        "data": {"source": str(folder), "image_size": [12, 12], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": [{"filters": 4, "batch_norm": True}]},
        "train": {"epochs": 1, **train},
    }


def _disturbed(path: Path, model: Any, classes: Sequence[str]) -> None:
    """Writes a model whose last bias is another than in memory."""
    twin = keras.models.clone_model(model)
    *weights, bias = model.get_weights()
    twin.set_weights([*weights, bias + 0.01])
    save_model(path, twin, classes)


def _cut(path: Path, model: Any, classes: Sequence[str]) -> None:
    save_model(path, model, classes)
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_a_saved_model_that_gives_other_answers_fails_the_run(
    mixed_precision: bool, split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, place = _raw(split_folder, mixed_precision=mixed_precision), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(session, "save_model", _disturbed)
        with pytest.raises(ModelFileError, match=r"does not give the answers .* up to 0\.00.* --resume") as caught:
            cnntrain.fit(raw, run_dir=place)
    assert "\n" not in str(caught.value)
    run = cnntrain.load_run(place)
    assert run.record.status == "failed"
    assert run.record.error == str(caught.value)
    finished = cnntrain.fit(raw, run_dir=place, resume=True)
    assert finished.record.status == "finished"
    assert len(finished.history) == 1


def test_a_saved_model_that_cannot_be_read_fails_the_run(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "save_model", _cut)
    with pytest.raises(ModelFileError, match="is not a model that cnntrain wrote"):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    assert cnntrain.load_run(tmp_path / "run").record.status == "failed"


def test_a_saved_model_is_asked_about_pictures_of_all_classes_that_were_held_out(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    right = verifying.decoded
    monkeypatch.setattr(verifying, "decoded", lambda *arguments: asked.append(arguments[0]) or right(*arguments))
    run = cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    assert [example.label for example in asked[0]] == ["cat"] * 4 + ["dog"] * 4
    assert {example.split for example in asked[0]} == {"validation"}
    log = run.directory.log.read_text(encoding="utf-8")
    assert log.splitlines()[-1].endswith("finished")
    assert not any("answers" in note for note in run.record.notes)
    shutil.rmtree(split_folder / "validation")
    cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "other")
    assert {example.split for example in asked[1]} == {"train"}


@pytest.mark.usefixtures("heard_ctrl_c")
def test_a_signal_during_the_check_comes_too_late_to_stop_the_training(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = session.check_saved

    def check(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        right(*arguments)

    monkeypatch.setattr(session, "check_saved", check)
    with pytest.raises(InterruptedRunError, match="was finished"):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    assert cnntrain.load_run(tmp_path / "run").record.status == "finished"


@pytest.mark.parametrize(("size", "count"), [(1, 8), (8, 8), (9, 8), (100, 32)])
def test_few_examples_are_spread_over_all(size: int, count: int) -> None:
    examples = [Example(str(number), "x") for number in range(size)]
    chosen = [int(example.path) for example in spread(examples, count)]
    assert len(chosen) == len(set(chosen)) == min(size, count)
    assert chosen == sorted(chosen)
    assert chosen[0] == 0
    assert size - chosen[-1] <= size / count + 1


# --- what is no model ------------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    """The message of the one-line error that a file ends in, whether all of it is wanted or the names alone."""
    messages = set()
    for read in (load_model, read_class_names):
        with pytest.raises(ModelFileError) as caught:
            read(path)
        messages.add(str(caught.value))
    (message,) = messages
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "model.keras")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    assert "is not a model that cnntrain wrote" in refused(tmp_path)


def test_a_text_file_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("a model", encoding="utf-8")
    assert "is not a model that cnntrain wrote" in refused(path)


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_truncated_file_is_told(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    assert "is not a model that cnntrain wrote" in refused(saved)


def test_a_keras_file_of_someone_else_is_told(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    model.save(path)
    assert "cnntrain.json" in refused(path)


def test_a_zip_that_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat.0.jpg", b"")
    assert "it holds 'cat.0.jpg', which is no part of a model" in refused(path)


def test_a_zip_with_class_names_and_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cnntrain.json", json.dumps({"format": 1, "classes": ["a", "b"]}))
    assert "it lacks metadata.json, config.json, model.weights.h5" in refused(path)


@pytest.mark.parametrize("member", ["", "[]", "{}", '{"format": 1, "classes": 3}', "{", "\udcff"])
def test_damaged_class_names_are_told(saved: Path, member: str) -> None:
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, member.encode("utf-8", "surrogateescape") if name == "cnntrain.json" else content)
    assert "cnntrain.json in it" in refused(saved)


@pytest.mark.parametrize("of", ["собака".encode(), b"block1_conv", b"HEAP"])
def test_a_flipped_byte_is_told_wherever_it_is(saved: Path, of: bytes) -> None:
    content = saved.read_bytes()
    place = content.index(of)
    saved.write_bytes(content[:place] + b"X" + content[place + 1 :])
    assert "is damaged: its checksum is wrong" in refused(saved)
