"""Abstention: which pictures are not answered, by hand, and how outputs show it."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cnntrain
from cnntrain.cli import group
from cnntrain.errors import DataError, UsageError
from cnntrain.evaluation import abstention
from cnntrain.evaluation.abstention import Abstention, fit_abstention
from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.intervals import wilson
from cnntrain.evaluation.predictions import Predictions, unknown_name
from cnntrain.runs.run import Run
from cnntrain.training.events import Event, Message
from tests.conftest import WritePictures

SIDE = 12


def _answers(confidences: list[float], right: list[bool]) -> Answers:
    """Of two classes, all of the first, which is given where `right` says so."""
    sure = np.array(confidences, np.float32)
    table = np.where(np.array(right)[:, np.newaxis], np.stack([sure, 1 - sure], 1), np.stack([1 - sure, sure], 1))
    paths = tuple(f"{number}.png" for number in range(len(right)))
    return Answers(paths, np.zeros(len(right), np.int64), table.astype(np.float32), ("cat", "dog"))


@pytest.fixture
def as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten pictures are enough, and confidences stay as they are written."""
    monkeypatch.setattr(abstention, "FEWEST", 10)
    monkeypatch.setattr(abstention, "fit_temperature", lambda answers: 1.0)  # noqa: ARG005


TEN = [0.51, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
RIGHT = [False, True, False, True, True, True, True, True, True, True]


@pytest.mark.usefixtures("as_they_are")
@pytest.mark.parametrize(
    ("coverage", "threshold", "answered", "right"),
    [
        (1.0, 0.51, 10, 8),
        (0.95, 0.51, 10, 8),
        (0.9, 0.55, 9, 8),
        (0.7, 0.65, 7, 7),
        (0.65, 0.65, 7, 7),
        (0.01, 0.95, 1, 1),
    ],
)
def test_ten_pictures_by_hand(coverage: float, threshold: float, answered: int, right: int) -> None:
    order = np.random.default_rng(0).permutation(10)
    rule = fit_abstention(_answers([TEN[i] for i in order], [RIGHT[i] for i in order]), coverage=coverage)
    assert rule.threshold == pytest.approx(threshold)
    assert (rule.pictures, rule.coverage) == (10, coverage)
    assert rule.answered == wilson(answered, 10)
    assert rule.accuracy == wilson(right, answered)
    assert rule.accuracy_of_all == wilson(8, 10)


@pytest.mark.usefixtures("as_they_are")
def test_pictures_as_confident_as_the_threshold_are_answered() -> None:
    rule = fit_abstention(_answers([0.6] * 4 + [0.75] * 6, [True] * 10), coverage=0.5)
    assert rule.threshold == 0.75
    assert rule.answered.value == 0.6
    assert fit_abstention(_answers([0.6] * 4 + [0.75] * 6, [True] * 10), coverage=0.7).answered.value == 1.0


def test_the_temperature_comes_first() -> None:
    """Logits of ln 9 and 0, right three times of four: the probability is 3/4 then, and so is the threshold."""
    rule = fit_abstention(_answers([0.9] * 80, [True, True, True, False] * 20), coverage=0.5)
    assert rule.temperature == pytest.approx(2, rel=1e-4)
    assert rule.threshold == pytest.approx(0.75, abs=1e-4)


def test_what_cannot_be_fitted_is_told() -> None:
    with pytest.raises(DataError, match=r"at least 50 validation pictures .* the run has 49;"):
        fit_abstention(_answers([0.9] * 49, [True] * 49))
    for coverage in (0, -1, 1.01, float("nan")):
        with pytest.raises(UsageError, match="a coverage is"):
            fit_abstention(_answers([0.9] * 50, [True] * 50), coverage=coverage)


RULE = Abstention(1.5, 0.6, 0.9, 100, wilson(90, 100), wilson(85, 90), wilson(88, 100))
FOUND = Predictions(
    paths=("a.png", "b.png", "c.png"),
    probabilities=np.array([[0.5, 0.25, 0.25], [0.25, 0.75, 0], [0.59, 0.41, 0]], np.float32),
    classes=("ant", "bee", "cat"),
    problems={},
    abstention=RULE,
)


def test_every_output_says_unknown() -> None:
    assert FOUND.predicted == ("unknown", "bee", "unknown")
    assert FOUND.abstains.tolist() == [True, False, True]
    rows = list(csv.DictReader(io.StringIO(FOUND.to_csv())))
    assert [row["predicted"] for row in rows] == ["unknown", "bee", "unknown"]
    assert [float(row["confidence"]) for row in rows] == pytest.approx([0.5, 0.75, 0.59])
    document = FOUND.to_json(top=2)
    assert document["abstention"] == json.loads(json.dumps(RULE.to_json()))
    assert document["predictions"][0] == {
        "path": "a.png",
        "predicted": "unknown",
        "abstains": True,
        "top": [{"class": "ant", "probability": 0.5}, {"class": "bee", "probability": 0.25}],
        "probabilities": {"ant": 0.5, "bee": 0.25, "cat": 0.25},
    }
    assert [record["abstains"] for record in FOUND.records()] == [True, False, True]


def test_a_class_called_unknown_is_told_from_no_answer() -> None:
    found = Predictions(("a", "b"), FOUND.probabilities[:2, :2] * 1, ("unknown", "unknown_"), {}, RULE)
    assert found.predicted == ("unknown__", "unknown_")
    assert unknown_name(("cat", "dog")) == "unknown"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Run:
    folder = tmp_path_factory.mktemp("abstaining")
    write_pictures(folder / "pets" / "train", {"ant": 8, "unknown": 8}, size=(SIDE, SIDE))
    write_pictures(folder / "pets" / "validation", {"ant": 30, "unknown": 30}, size=(SIDE, SIDE))
    raw = {
        "data": {"source": str(folder / "pets"), "image_size": [SIDE, SIDE], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}]},
        "train": {"epochs": 1},
    }
    return cnntrain.fit(raw, run_dir=folder / "run")


def _predict(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["predict", *map(str, arguments)])


def test_a_run_abstains_by_its_validation_pictures(trained: Run) -> None:
    pictures = Path(trained.config.data.source) / "validation"
    told: list[Event] = []
    found = cnntrain.predict(trained, pictures, abstain=True, coverage=0.8, on_event=told.append)
    rule = found.abstention
    assert rule is not None
    assert rule.pictures == len(found.paths) == 60
    assert abs(int((~found.abstains).sum()) - 48) <= 1  # the threshold is of stored probabilities, which are rounded
    assert [event.text for event in told if isinstance(event, Message)][-2:] == [
        str(rule),
        "the run has a class called unknown, so pictures that are not answered are called unknown_",
    ]
    assert set(found.predicted) <= {"ant", "unknown", "unknown_"}


def test_the_table_shows_answers_and_confidence(trained: Run) -> None:
    pictures = sorted((Path(trained.config.data.source) / "validation" / "ant").iterdir())[:3]
    found = cnntrain.predict(trained, pictures, abstain=True, coverage=0.01)
    one, two = (_predict(trained.path, *pictures, "--abstain", "--coverage", "0.01", "--top", top) for top in (1, 2))
    assert one.exit_code == two.exit_code == 0, one.output
    for line, answer, sure in zip(one.stdout.splitlines(), found.predicted, found.probabilities.max(1), strict=True):
        assert line.split()[1:] == [answer, f"{sure:.4f}"]
    for line, answer, (_, best) in zip(two.stdout.splitlines(), found.predicted, found.top(2), strict=True):
        assert line.split()[1:] == [answer, *(cell for name, p in best for cell in (name, f"{p:.4f}"))]
    assert one.stderr.startswith("unknown below a confidence of ") or "\nunknown below a confidence of " in one.stderr


def test_too_few_validation_pictures_are_an_error_of_one_line(trained: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.path, copy)
    shutil.rmtree(copy / "evaluation", ignore_errors=True)
    rows = (copy / "examples.csv").read_text(encoding="utf-8").splitlines()
    kept = [row for row in rows if "validation" not in row]
    (copy / "examples.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    picture = next((Path(trained.config.data.source) / "train" / "ant").iterdir())
    result = _predict(copy, picture, "--abstain")
    assert isinstance(result.exception, DataError)
    assert "the run has 0;" in str(result.exception)
    assert "\n" not in str(result.exception)
    assert _predict(copy, picture).exit_code == 0


def test_the_library_refuses_a_coverage_that_is_no_share(trained: Run) -> None:
    options: dict[str, Any] = {"abstain": True, "coverage": 2}
    with pytest.raises(UsageError, match="a coverage is"):
        cnntrain.predict(trained, "a.png", **options)
