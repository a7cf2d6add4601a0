"""What an evaluation writes, finds again and prints."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cnntrain
from cnntrain.api import Run, answers_of
from cnntrain.api.evaluation_files import write_evaluation
from cnntrain.cli import group
from cnntrain.errors import DataError, WriteError
from cnntrain.evaluation.answers import Answers, read_predictions, worst_mistakes
from cnntrain.evaluation.metrics import compute_metrics, wilson
from cnntrain.evaluation.thresholds import fit_threshold
from cnntrain.files import sha256
from cnntrain.plots.mistakes import Mistake, draw_mistakes
from tests.conftest import WritePictures
from tests.test_areas import some_answers

ALWAYS = {"metrics.json", "predictions.csv", "confusion.png", "calibration.png"}
CURVES = {"roc.png", "precision_recall.png"}


def _fitted(source: Path, folder: Path) -> Run:
    raw = {
        "data": {"source": str(source), "image_size": [8, 8], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}]},
        "train": {"epochs": 1},
    }
    return cnntrain.fit(raw, run_dir=folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Path:
    """A folder with pictures in `pets` and a run on them."""
    folder = tmp_path_factory.mktemp("trained")
    for split in ("train", "validation", "test"):
        write_pictures(folder / "pets" / split, {"cat": 6, "dog": 6}, size=(8, 8))
    _fitted(folder / "pets", folder / "run")
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    """A copy of both, which a test may change."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    for name in ("config.yaml", "examples.csv"):
        file = tmp_path / "run" / name
        file.write_text(file.read_text(encoding="utf-8").replace(str(trained), str(tmp_path)), encoding="utf-8")
    return cnntrain.load_run(tmp_path / "run")


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def _mistake() -> Mistake:
    return Mistake(np.zeros((4, 4, 1), np.uint8), "cat", "dog", 0.9, "a.png")


def _write(folder: Path, answers: Answers, mistakes: list[Mistake]) -> None:
    write_evaluation(folder, {"format": 1}, answers, compute_metrics(answers), mistakes)


def test_figures_that_have_nothing_to_show_are_not_left_from_before(tmp_path: Path) -> None:
    answers = some_answers(30, 2)
    one = Answers(answers.paths, np.zeros(30, np.int64), answers.probabilities, answers.classes)
    _write(tmp_path, answers, [_mistake()])
    (tmp_path / "mine.txt").write_text("not ours", encoding="utf-8")
    assert _names(tmp_path) == {*ALWAYS, *CURVES, "mistakes.png", "mine.txt"}
    _write(tmp_path, one, [])
    assert _names(tmp_path) == {*ALWAYS, "mine.txt"}


def test_all_files_are_written_or_none(tmp_path: Path) -> None:
    answers = some_answers(30, 2)
    _write(tmp_path, answers, [_mistake()])
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "roc.png").unlink()
    (tmp_path / "roc.png").mkdir()
    with pytest.raises(WriteError, match=r"roc\.png"):
        _write(tmp_path, some_answers(20, 2), [])
    (tmp_path / "roc.png").rmdir()
    before.pop("roc.png")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_what_says_whose_answers_they_are_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a process that is killed in between would leave answers that are taken for those of another model."""
    moved: list[str] = []
    replace = Path.replace

    def replaced(self: Path, target: Path) -> Path:
        moved.append(Path(target).name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replaced)
    _write(tmp_path, some_answers(30, 2), [_mistake()])
    assert set(moved) == {*ALWAYS, *CURVES, "mistakes.png"}
    assert moved[-1] == "metrics.json"


def test_the_most_confident_mistakes_come_first() -> None:
    answers = some_answers(200, 3)
    rows = worst_mistakes(answers, 20)
    wrong = np.flatnonzero(answers.predicted != answers.truth)
    assert len(wrong) > len(rows) == 20
    confidence = answers.probabilities.max(axis=1)
    assert confidence[rows].tolist() == sorted(confidence[wrong].tolist(), reverse=True)[:20]
    assert worst_mistakes(Answers(answers.paths, answers.predicted, answers.probabilities, answers.classes), 20) == []


def test_mistakes_are_drawn_with_what_they_were_taken_for() -> None:
    long = Mistake(
        np.zeros((6, 8, 3), np.uint8), "Bernese mountain dog", "猫咪动物很长的名字", 0.98765, "n" * 60 + ".jpg"
    )
    figure = draw_mistakes([_mistake(), long])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["is cat\nsaid dog 0.9000", "is Berne…n dog\nsaid 猫咪动…名字 0.9877"]
    assert len(figure.axes[1].texts[0].get_text()) == 24
    assert len(draw_mistakes([_mistake()] * 7).axes) == 10


def test_an_evaluation_names_its_model_and_its_operating_point(run: Run) -> None:
    found = cnntrain.evaluate(run)
    stored = json.loads((found.folder / "metrics.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(found.to_json()))
    assert stored["model"] == sha256(run.directory.model)
    validation, test = answers_of(run, "validation"), answers_of(run)
    threshold = fit_threshold(validation)
    point = stored["operating_point"]
    assert point["threshold"] == {
        "positive": "dog",
        "value": threshold.value,
        "images": 12,
        "balanced_accuracy": threshold.balanced_accuracy,
    }
    right = (test.probabilities[:, 1] >= threshold.value) == (test.truth == 1)
    assert point["accuracy"]["value"] == pytest.approx(right.mean())
    assert point["sensitivity"]["value"] == pytest.approx(right[test.truth == 1].mean())
    assert _names(found.folder) >= CURVES | ALWAYS


def test_validation_is_measured_once_for_the_threshold(run: Run) -> None:
    events: list[object] = []
    cnntrain.evaluate(run, on_event=events.append)
    stored = run.path / "evaluation" / "validation" / "metrics.json"
    before = stored.stat().st_mtime_ns
    assert any("the validation pictures are measured too" in str(event) for event in events)
    again: list[object] = []
    cnntrain.evaluate(run, on_event=again.append)
    assert stored.stat().st_mtime_ns == before
    assert not any("validation pictures" in str(event) for event in again)
    assert json.loads(stored.read_text(encoding="utf-8"))["operating_point"] is None


def test_validation_pictures_among_others_are_a_note(run: Run, tmp_path: Path) -> None:
    (note,) = cnntrain.evaluate(run, data=tmp_path / "pets" / "validation", name="again").notes
    assert note.startswith("12 pictures are in the validation pictures and in the data given alike")
    assert note.endswith("the best epoch was chosen on these, and any threshold is fitted on them")
    assert cnntrain.evaluate(run, split="validation").notes == cnntrain.evaluate(run).notes == ()


def test_a_threshold_that_cannot_be_fitted_is_a_note(run: Run, tmp_path: Path) -> None:
    next((tmp_path / "pets" / "validation" / "cat").iterdir()).unlink()
    found = cnntrain.evaluate(run)
    assert found.operating_point is None
    (note,) = found.notes
    assert note.startswith("no threshold is fitted on validation: 1 of 12 validation pictures of the run are gone")


def test_answers_are_read_back_even_when_the_pictures_are_gone(run: Run, tmp_path: Path) -> None:
    first = answers_of(run)
    (tmp_path / "pets").rename(tmp_path / "moved")
    again = answers_of(run)
    assert again.paths == first.paths
    np.testing.assert_array_equal(again.probabilities, first.probabilities)


@pytest.mark.parametrize("change", ["model", "picture", "table", "metrics"])
def test_answers_of_something_else_are_not_read_back(change: str, run: Run, tmp_path: Path) -> None:
    answers_of(run)
    folder = run.path / "evaluation" / "test"
    if change == "model":
        from cnntrain.runs.model_file import load_model, save_model

        model = load_model(run.directory.model)
        weights = [weight * 0 for weight in model.get_weights()]
        model.set_weights(weights)
        save_model(run.directory.model, model, run.classes)
    elif change == "picture":
        path = tmp_path / "pets" / "test" / "cat" / "0000.png"
        before = sha256(path)
        Image.new("RGB", (8, 8), "red").save(path)
        table = run.directory.examples
        table.write_text(table.read_text(encoding="utf-8").replace(before, sha256(path)), encoding="utf-8")
    elif change == "table":
        lines = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()
        (folder / "predictions.csv").write_text("\n".join(lines[:-1]), encoding="utf-8")
    else:
        (folder / "metrics.json").write_text("{}", encoding="utf-8")
    before_ = read_predictions(folder / "predictions.csv")
    after = answers_of(run)
    assert len(after.paths) == 12
    same = len(before_.paths) == 12 and np.array_equal(before_.probabilities, after.probabilities)
    assert same is (change == "metrics")


def test_answers_of_a_split_without_pictures_are_a_data_error(tmp_path: Path, write_pictures: WritePictures) -> None:
    for split in ("train", "test"):
        write_pictures(tmp_path / "pets" / split, {"ant": 4, "bee": 4, "cat": 4}, size=(8, 8))
    run = _fitted(tmp_path / "pets", tmp_path / "run")
    with pytest.raises(DataError, match="has no validation pictures"):
        answers_of(run, "validation")
    assert cnntrain.evaluate(run).operating_point is None


def test_the_screen_shows_intervals_and_fits_it(run: Run) -> None:
    result = CliRunner().invoke(group, ["evaluate", str(run.path)], catch_exceptions=False)
    lines = result.stdout.splitlines()
    accuracy = cnntrain.evaluate(run).metrics.accuracy
    assert accuracy == wilson(round(accuracy.value * 12), 12)
    (line,) = [line for line in lines if line.startswith("accuracy ")]
    assert line.split()[1:] == [f"{accuracy.value:.4f}", f"{accuracy.low:.4f}", "to", f"{accuracy.high:.4f}"]
    for name in ("ROC AUC", "expected calibration error", "at the threshold: sensitivity", "threshold: dog from"):
        assert any(line.startswith(name) for line in lines), name
    assert max(map(len, lines[:-1])) <= 100
