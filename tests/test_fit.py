"""`cnntrain.fit` and what is done with a run afterwards, from files to files."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import cnntrain
from cnntrain.config import load_config
from cnntrain.data.examples import read_examples
from cnntrain.errors import (
    ConfigError,
    DataError,
    InterruptedRunError,
    ModelFileError,
    RunError,
    TrainingError,
    UsageError,
    WriteError,
)
from cnntrain.runs.history import read_history
from cnntrain.runs.run import Run
from cnntrain.training.events import EpochDone, Event

FILES = {
    "classes.json",
    "config.yaml",
    "examples.csv",
    "history.csv",
    "log.txt",
    "model.keras",
    "plots/curves.png",
    "preprocessing.json",
    "run.json",
}


def _raw(folder: Path, **train: Any) -> dict[str, Any]:
    return {
        "data": {"source": str(folder), "image_size": [12, 12], "batch_size": 8},
        "augment": {"flip": "horizontal", "rotation": 10},
        "model": {
            "kind": "convnet",
            "blocks": [{"filters": 4}],
            "head": {"layers": [{"dropout": 0.2}, {"dense": 4}]},
        },
        "train": {"epochs": 2, "learning_rate": 0.01, **train},
    }


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(split_folder: Path, tmp_path: Path) -> Run:
    return cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")


def test_a_run_directory_is_complete(run: Run, split_folder: Path) -> None:
    assert _files(run.path) == FILES
    assert run.record.status == "finished"
    assert run.record.data["images"] == {"train": 24, "validation": 12, "test": 12}
    assert run.record.versions["keras"] == keras.__version__
    assert run.classes == ("cat", "dog")
    assert run.preprocessing["height"] == 12
    assert [row.epoch for row in run.history] == [1, 2]
    assert run.record.best is not None
    assert run.record.best.value == min(row.monitored("val_loss") for row in run.history)
    examples = read_examples(run.directory.examples)
    assert len(examples) == 48
    assert all(len(example.sha256) == 64 and Path(example.path).is_absolute() for example in examples)
    assert run.config.data.cache == "memory"
    assert run.config.data.source == split_folder.resolve().as_posix()
    assert run.config.train.stages == ()
    assert "epoch 2/2" in run.directory.log.read_text(encoding="utf-8")


def test_the_model_is_whole_and_reads_without_cnntrain(run: Run, split_folder: Path) -> None:
    model = keras.models.load_model(run.directory.model)
    assert [layer.name for layer in model.layers[-2:]] == ["logits", "probabilities"]
    with zipfile.ZipFile(run.directory.model) as archive:
        assert json.loads(archive.read("cnntrain.json"))["classes"] == ["cat", "dog"]
    picture = np.asarray(Image.open(next((split_folder / "test/cat").iterdir())).resize((12, 12)), np.float32)
    probability = model.predict(picture[np.newaxis], verbose=0)
    assert probability.shape == (1, 1)
    assert 0 <= probability[0, 0] <= 1


def test_fitting_the_config_of_a_run_gives_the_same_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # its paths are absolute
    again = cnntrain.fit(run.directory.config, run_dir="again")
    assert again.config == run.config
    for first, second in zip(run.history, again.history, strict=True):
        assert (first.loss, first.val_loss, first.accuracy) == (second.loss, second.val_loss, second.accuracy)
    first_model, second_model = (keras.models.load_model(each.directory.model) for each in (run, again))
    for first, second in zip(first_model.get_weights(), second_model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_key_of_a_runs_config_can_still_be_overridden(run: Run, tmp_path: Path) -> None:
    again = cnntrain.fit(run.directory.config, run_dir=tmp_path / "again", overrides=["train.epochs=1"])
    assert len(again.history) == 1


def test_evaluation_agrees_with_the_history(run: Run) -> None:
    found = cnntrain.evaluate(run.path, split="validation")
    assert run.record.best is not None
    best = run.history[run.record.best.epoch - 1]
    assert found.metrics.loss == pytest.approx(best.val_loss, rel=1e-4)
    assert found.metrics.accuracy.value == pytest.approx(best.val_accuracy)
    figures = {"confusion.png", "roc.png", "precision_recall.png", "calibration.png"}
    assert _files(found.folder) - {"mistakes.png"} == {"metrics.json", "predictions.csv", *figures}
    assert found.folder == run.path / "evaluation" / "validation"
    stored = json.loads((found.folder / "metrics.json").read_text(encoding="utf-8"))
    assert stored["accuracy"]["value"] == found.metrics.accuracy.value


def test_evaluation_on_other_data_aligns_classes_by_name(run: Run, split_folder: Path, tmp_path: Path) -> None:
    own = cnntrain.evaluate(run)
    other = tmp_path / "other"
    (split_folder / "test").rename(other)
    (other / "ant").mkdir()
    Image.new("RGB", (8, 8)).save(other / "ant/1.png")
    found = cnntrain.evaluate(run, data=other, name="elsewhere")
    assert found.metrics == own.metrics
    assert found.notes == ("1 pictures of the unknown class ant are left out",)
    for path in (other / "cat").iterdir():
        path.unlink()
    found = cnntrain.evaluate(run, data=other)
    assert "there are no pictures of the class cat" in found.notes
    assert [row.support for row in found.metrics.classes] == [0, 6]
    assert own.metrics.classes[1].recall == found.metrics.classes[1].recall


def test_an_evaluation_stays_in_its_own_folder(run: Run, split_folder: Path) -> None:
    own = split_folder / "test"
    wrong: list[dict[str, Any]] = [
        {"data": own},  # its folder is called like a split
        {"data": own, "name": "validation"},
        {"data": own, "name": "../../escaped"},
        {"data": own, "name": ""},
        {"data": own, "split": "test", "name": "other"},
        {"name": "other"},
    ]
    for arguments in wrong:
        with pytest.raises(UsageError):
            cnntrain.evaluate(run, **arguments)
    assert not (run.path / "evaluation").exists()
    assert cnntrain.evaluate(run, data=own, name="other").folder == run.path / "evaluation" / "other"


def test_predictions_have_a_row_a_picture(run: Run) -> None:
    folder = cnntrain.evaluate(run).folder
    lines = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "path,label,predicted,correct,confidence,p_cat,p_dog"
    assert len(lines) == 13
    for line in lines[1:]:
        path, label, *_ = line.split(",")
        assert Path(path).parent.name == label


def test_evaluation_says_what_is_missing(run: Run, split_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist, so it is not a run"):
        cnntrain.evaluate(tmp_path / "none")
    (tmp_path / "other/ant").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "other/ant/1.png")
    with pytest.raises(DataError, match=r"is of a class of the run \(cat, dog\); got: ant"):
        cnntrain.evaluate(run, data=tmp_path / "other")
    next((split_folder / "test/cat").iterdir()).unlink()
    with pytest.raises(DataError, match="1 of 12 test pictures of the run are gone"):
        cnntrain.evaluate(run)
    run.directory.model.write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="is not a model that cnntrain wrote"):
        cnntrain.evaluate(run)


def test_a_corrupt_picture_is_named_before_anything_is_written(split_folder: Path, tmp_path: Path) -> None:
    bad = next((split_folder / "train/dog").iterdir())
    bad.write_bytes(bad.read_bytes()[:40])
    with pytest.raises(DataError, match=bad.name):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_by_accident(run: Run, split_folder: Path, tmp_path: Path) -> None:
    before = run.directory.model.read_bytes()
    with pytest.raises(WriteError, match="--overwrite"):
        cnntrain.fit(_raw(split_folder), run_dir=run.path)
    assert run.directory.model.read_bytes() == before
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(WriteError, match="is not a run"):
        cnntrain.fit(_raw(split_folder), run_dir=stranger, overwrite=True)
    assert (stranger / "thesis.txt").read_text(encoding="utf-8") == "mine"
    again = cnntrain.fit(_raw(split_folder, epochs=1), run_dir=run.path, overwrite=True)
    assert len(again.history) == 1


def test_all_problems_are_told_at_once_with_their_lines(split_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        f"data:\n  source: {split_folder}\n  classes: [cat, bird]\n  image_size: [12, 12]\n"
        "model:\n  kind: convnet\n  blocks:\n    - {filters: 4}\n    - {filters: 4}\n    - {filters: 4}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as raised:
        cnntrain.fit(path, run_dir=tmp_path / "run")
    # 12 pixels become 10, pooled 5, then 3, pooled 1, which the third block cannot take.
    assert [line.split(": ")[:2] for line in raised.value.problems] == [
        [f"{path}:3", "data.classes"],
        [f"{path}:10", "model.blocks.2"],
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ([], "there is no folder"),
        (["train"], "no pictures"),
        (["train/cat/1.png"], "one class only"),
        (["cat/1.png", "dog/1.png"], "run `cnntrain split"),
    ],
)
def test_unfit_data_is_an_error_of_the_data(tmp_path: Path, layout: list[str], message: str) -> None:
    source = tmp_path / "source"
    for place in layout:
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        if place.endswith(".png"):
            Image.new("RGB", (24, 24)).save(source / place)
        else:
            (source / place).mkdir()
    with pytest.raises(DataError, match=message) as raised:
        cnntrain.fit(_raw(source), run_dir=tmp_path / "run")
    assert raised.value.exit_code == 3
    assert "data.source" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_interrupted_run_keeps_its_best_model(split_folder: Path, tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, EpochDone) and event.row.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError) as raised:
        cnntrain.fit(_raw(split_folder, epochs=5), run_dir=tmp_path / "run", on_event=interrupt)
    assert raised.value.exit_code == 130
    run = cnntrain.load_run(tmp_path / "run")
    assert run.record.status == "interrupted"
    assert run.record.best is not None
    assert run.directory.model.exists()
    assert cnntrain.evaluate(run).metrics.images == 12


def test_a_failed_run_says_why(split_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        cnntrain.fit(_raw(split_folder, learning_rate=1e30, optimizer="sgd"), run_dir=tmp_path / "run")
    run = cnntrain.load_run(tmp_path / "run")
    assert run.record.status == "failed"
    assert "not finite" in run.record.error
    assert not run.directory.model.exists()


def test_a_full_disk_at_the_end_is_told_by_the_record(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnntrain.training import session

    def full(path: Path, *_: Any) -> None:
        raise WriteError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(session, "save_model", full)
    with pytest.raises(WriteError, match="No space left"):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    record = cnntrain.load_run(tmp_path / "run").record
    assert record.status == "failed"
    assert record.error == f"cannot write {tmp_path / 'run/model.keras'}: No space left on device"


def test_a_picture_that_goes_while_it_is_trained_on(split_folder: Path, tmp_path: Path) -> None:
    def remove(event: Event) -> None:
        if isinstance(event, EpochDone):
            next((split_folder / "train/dog").iterdir()).unlink()

    raw = _raw(split_folder, epochs=5)
    raw["data"]["cache"] = "none"
    with pytest.raises(DataError, match="has gone or changed since it was looked at"):
        cnntrain.fit(raw, run_dir=tmp_path / "run", on_event=remove)
    assert cnntrain.load_run(tmp_path / "run").record.status == "failed"


def test_out_of_memory_is_one_line(split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnntrain.training import preparing

    def hungry(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(preparing, "build_network", hungry)
    with pytest.raises(TrainingError, match="out of memory with batches of 8 pictures of 12x12 pixels"):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_disk_cache_gives_the_same_run_and_leaves_nothing(split_folder: Path, tmp_path: Path, run: Run) -> None:
    raw = _raw(split_folder)
    raw["data"]["cache"] = "disk"
    again = cnntrain.fit(raw, run_dir=tmp_path / "disk")
    assert [row.loss for row in again.history] == [row.loss for row in run.history]
    assert _files(again.path) == FILES


def test_smoke_without_data_makes_its_own(tmp_path: Path) -> None:
    raw = _raw(tmp_path / "nowhere", epochs=50)
    raw["data"]["classes"] = 3
    run = cnntrain.fit(raw, run_dir=tmp_path / "run", smoke=True)
    assert run.record.smoke
    assert run.record.data["images"] == {"train": 8, "validation": 4, "test": 4}
    assert len(run.history) == 1
    assert len(run.classes) == 3
    assert {name for name in _files(run.path) if not name.startswith("generated/")} == FILES
    found = cnntrain.evaluate(run)
    assert found.metrics.images == 4
    assert found.notes == ("this was a smoke run: its model has learnt next to nothing",)


def test_smoke_with_data_takes_a_little_of_each_class(split_folder: Path, tmp_path: Path) -> None:
    run = cnntrain.fit(_raw(split_folder, epochs=50), run_dir=tmp_path / "run", smoke=True)
    examples = read_examples(run.directory.examples)
    assert [example.label for example in examples if example.split == "train"].count("cat") == 4
    assert len(examples) == 16


def test_mixed_precision_leaves_a_float32_model(split_folder: Path, tmp_path: Path) -> None:
    run = cnntrain.fit(_raw(split_folder, mixed_precision=True), run_dir=tmp_path / "run")
    model = keras.models.load_model(run.directory.model)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert run.record.best is not None
    found = cnntrain.evaluate(run, split="validation").metrics
    assert found.loss == pytest.approx(run.record.best.value, rel=0.02)
    assert keras.config.dtype_policy().name == "float32"


def test_labels_smoothing_weights_and_decay_train(split_folder: Path, tmp_path: Path) -> None:
    raw = _raw(
        split_folder,
        class_weights="balanced",
        label_smoothing=0.1,
        weight_decay=0.01,
        gradient_clipping=1.0,
        optimizer="adamw",
        schedule={"name": "cosine", "warmup_epochs": 1},
    )
    run = cnntrain.fit(raw, run_dir=tmp_path / "run")
    assert run.history[-1].learning_rate == pytest.approx(0.0, abs=1e-6)
    assert read_history(run.directory.history) == run.history


def test_curves_of_several_runs_go_where_they_are_asked_to(run: Run, tmp_path: Path) -> None:
    path = cnntrain.plot([run, run.path], output=tmp_path / "both.png", smoothing=0.0)
    with Image.open(path) as picture:
        assert min(picture.size) > 300


def test_curves_are_png_and_say_so(run: Run, tmp_path: Path) -> None:
    for wrong in ({"output": tmp_path / "a.jpg"}, {"smoothing": 1.0}):
        with pytest.raises(UsageError):
            cnntrain.plot(run, **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        cnntrain.plot([])
    assert list(tmp_path.glob("a*")) == []


def test_summary_needs_no_data_when_the_classes_are_given(tmp_path: Path) -> None:
    raw = _raw(tmp_path / "nowhere")
    with pytest.raises(DataError, match="there is no folder"):
        cnntrain.summary(raw)
    raw["data"]["classes"] = 5
    found = cnntrain.summary(raw)
    assert found.network.layers[-1].shape == (5,)
    assert found.network.parameters == sum(row.parameters for row in found.network.layers)


def test_a_config_object_can_be_fitted(split_folder: Path, tmp_path: Path) -> None:
    config = load_config(_raw(split_folder, epochs=1)).config
    assert cnntrain.fit(config, run_dir=tmp_path / "run", overrides=["seed=7"]).config.seed == 7
