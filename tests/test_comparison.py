"""Tests of two models on the same pictures: against published numbers, scipy, and simulation; then the command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

import cnntrain
from cnntrain.api import Run
from cnntrain.api.comparison import _aligned
from cnntrain.cli import group
from cnntrain.data.examples import Example
from cnntrain.errors import DataError, RunError, UsageError
from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.comparison import (
    compare_answers,
    disagreement,
    holm,
    mid_p,
    paired_difference,
    roc_auc_difference,
    smallest_shown,
)
from tests.conftest import WritePictures
from tests.test_areas import some_answers


def test_mid_p_of_published_tables() -> None:
    # Fagerland, Lydersen and Laake 2013: airway measurements, 1 against 7 of 21; and transplants, 16 against 24 of 161.
    assert mid_p(1, 7) == pytest.approx(0.0391, abs=5e-5)
    assert mid_p(7, 1) == mid_p(1, 7)
    assert mid_p(0, 0) == 1
    # One against one: the exact probabilities are 1/4, 1/2, 1/4, and half of the middle one is taken off 1.
    assert mid_p(1, 1) == pytest.approx(0.75)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mid_p_is_the_exact_test_less_half_of_what_was_observed(first: int, second: int) -> None:
    total = first + second
    if not total:
        return
    exact = binomtest(first, total).pvalue
    observed = binomtest(first, total, alternative="less").pvalue
    observed -= binomtest(first - 1, total, alternative="less").pvalue if first else 0
    assert mid_p(first, second) == pytest.approx(exact - (observed if first != second else observed / 2), abs=1e-9)


def test_holm_corrects_for_the_number_of_pairs() -> None:
    # sorted 0.01 · 4, 0.02 · 3, 0.03 · 2, 0.9 · 1; no p-value falls below that before it
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.4, 0.7]) == pytest.approx([0.8, 0.8])
    assert holm([0.04]) == [0.04]


def test_the_paired_difference_is_that_of_the_paper() -> None:
    # With one added to each disagreement: 2/23 and 8/23, difference 6/23, variance (10/23 - 36/529) / 23.
    found = paired_difference(1, 7, 21)
    reach = 1.959964 * ((10 / 23 - 36 / 529) / 23) ** 0.5
    assert found.value == pytest.approx(6 / 21)
    assert (found.low, found.high) == pytest.approx((6 / 23 - reach, 6 / 23 + reach), abs=1e-6)
    assert (found.level, found.method) == (0.95, "bonett-price")


def test_disagreement_counts_what_only_one_has_right() -> None:
    first = some_answers(6, 2)
    sure = np.eye(2, dtype=np.float32)

    def saying(predicted: list[int]) -> Answers:
        return Answers(first.paths, np.array([0, 0, 0, 1, 1, 1]), sure[predicted], first.classes)

    assert disagreement(saying([0, 0, 0, 0, 0, 1]), saying([0, 1, 1, 1, 0, 1])) == (2, 1)


@pytest.mark.parametrize(("pictures", "disagreeing"), [(1000, 0.1), (200, 0.3), (5000, 0.02)])
def test_the_smallest_difference_solves_connors_equation(pictures: int, disagreeing: float) -> None:
    found = smallest_shown(pictures, disagreeing)
    assert found is not None
    assert 0 < found < disagreeing
    needed = (1.959964 * disagreeing**0.5 + 0.841621 * (disagreeing - found**2) ** 0.5) ** 2 / found**2
    assert needed == pytest.approx(pictures, rel=1e-4)


def test_models_that_nearly_agree_can_show_nothing() -> None:
    assert smallest_shown(1000, 0.0) is None
    assert smallest_shown(1000, 0.002) is None
    assert smallest_shown(20, 0.1) is None


@pytest.mark.parametrize(("pictures", "disagreeing"), [(1000, 0.1), (300, 0.25), (4000, 0.03)])
def test_such_a_difference_is_shown_in_four_of_five_tests(pictures: int, disagreeing: float) -> None:
    true = smallest_shown(pictures, disagreeing)
    assert true is not None
    shares = [(disagreeing - true) / 2, (disagreeing + true) / 2, 1 - disagreeing]
    drawn = np.random.default_rng(3).multinomial(pictures, shares, size=1500)
    shown = np.mean([mid_p(int(first), int(second)) < 0.05 for first, second, _ in drawn])
    assert shown == pytest.approx(0.8, abs=0.04)


def test_equal_models_are_told_apart_in_one_of_twenty_tests() -> None:
    drawn = np.random.default_rng(4).multinomial(1000, [0.05, 0.05, 0.9], size=2000)
    assert np.mean([mid_p(int(first), int(second)) < 0.05 for first, second, _ in drawn]) == pytest.approx(
        0.05, abs=0.015
    )


def test_areas_are_compared_on_the_same_samples() -> None:
    first = some_answers(400, 3, gain=1.5)
    rounded = np.round(first.probabilities, 3) + np.float32(1e-4)
    second = Answers(first.paths, first.truth, (rounded / rounded.sum(axis=1, keepdims=True)), first.classes)
    found, same = roc_auc_difference(first, second), roc_auc_difference(first, first)
    assert same is not None
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert found is not None
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 0.002  # either area alone has an interval of 0.03


def test_three_models_make_three_pairs_and_four_are_compared_with_the_first() -> None:
    models = [(name, some_answers(200, 3, gain=gain)) for name, gain in zip("abcd", (1.0, 1.0, 3.0, 1.0), strict=True)]
    names = [(pair.first, pair.second) for pair in compare_answers(models[:3])]
    assert names == [("a", "b"), ("a", "c"), ("b", "c")]
    pairs = compare_answers(models)
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("a", "d")]
    assert [pair.shown for pair in pairs] == [False, True, False]
    assert [pair.adjusted_p_value for pair in pairs] == holm([pair.p_value for pair in pairs])


def test_answers_are_aligned_by_picture_and_by_class_name() -> None:
    examples = [Example(f"{row}.png", label, sha256=sha) for row, label, sha in zip("012", "bab", "zxy", strict=True)]
    given_ = Answers(
        ("0.png", "1.png", "2.png"),
        np.array([2, 1, 2]),
        np.array([[0.1, 0.2, 0.7], [0.3, 0.5, 0.2], [0.6, 0.3, 0.1]], np.float32),
        ("c", "a", "b"),
    )
    found = _aligned(given_, examples, ("a", "b", "c"))
    assert found.paths == ("1.png", "2.png", "0.png")
    assert found.classes == ("a", "b", "c")
    assert found.truth.tolist() == [0, 1, 1]
    assert found.truth.dtype == np.int64
    np.testing.assert_allclose(found.probabilities, [[0.5, 0.2, 0.3], [0.3, 0.1, 0.6], [0.2, 0.7, 0.1]], atol=1e-7)


def _fitted(source: Path, folder: Path, **data: object) -> Run:
    raw = {
        "data": {"source": str(source), "image_size": [8, 8], "batch_size": 8, **data},
        "augment": {"flip": "horizontal"},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}]},
        "train": {"epochs": 1, "learning_rate": 0.01},
    }
    return cnntrain.fit(raw, run_dir=folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> tuple[Run, Run]:
    """Two runs on the same pictures, the second with its classes in the other order and from another folder."""
    folder = tmp_path_factory.mktemp("compared")
    for split in ("train", "validation", "test"):
        write_pictures(folder / "pets" / split, {"cat": 6, "dog": 6}, size=(8, 8))
    shutil.copytree(folder / "pets", folder / "copied")
    first = _fitted(folder / "pets", folder / "first")
    return first, _fitted(folder / "copied", folder / "second", classes=["dog", "cat"])


def _compare(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["compare", *map(str, arguments)])


def test_runs_are_compared_by_the_bytes_of_their_pictures(runs: tuple[Run, Run]) -> None:
    done = _compare(runs[0].path, runs[1].path, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["images"], told["split"], told["format"]) == (12, "test", 1)
    (pair,) = told["pairs"]
    measured = [cnntrain.evaluate(run).metrics for run in runs]
    assert [row["accuracy"]["value"] for row in told["runs"]] == [each.accuracy.value for each in measured]
    assert [row["loss"] for row in told["runs"]] == pytest.approx([each.loss for each in measured])
    difference = measured[1].accuracy.value - measured[0].accuracy.value
    assert pair["difference"]["value"] == pytest.approx(difference)
    assert pair["only_second_right"] - pair["only_first_right"] == round(12 * difference)
    assert pair["p_value"] == mid_p(pair["only_first_right"], pair["only_second_right"])
    assert "two recipes" in told["caveat"]


def test_the_table_says_what_is_not_shown(runs: tuple[Run, Run], tmp_path: Path) -> None:
    shutil.copytree(runs[0].path, tmp_path / "twin")
    done = _compare(runs[0].path, tmp_path / "twin")
    assert done.exit_code == 0, done.output
    assert "no difference shown" in done.stdout
    assert "no true difference could be shown" in done.stdout
    assert done.stdout.splitlines()[0] == "12 test pictures"
    assert "two models, not two recipes" in done.stdout.splitlines()[-1]
    assert "Holm" not in done.stdout


def test_stored_evaluations_are_used_and_missing_ones_made(runs: tuple[Run, Run], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs[0].path, copy)
    shutil.rmtree(copy / "evaluation", ignore_errors=True)
    cnntrain.compare([runs[0], copy], split="validation", tta=True)
    stored = copy / "evaluation" / "validation_tta" / "metrics.json"
    before = stored.stat().st_mtime_ns
    found = cnntrain.compare([runs[0], copy], split="validation", tta=True)
    assert stored.stat().st_mtime_ns == before
    assert any("chose its best epoch" in note for note in found.notes)
    assert not (copy / "evaluation" / "validation").exists()


def test_runs_that_cannot_be_compared_are_refused_in_one_line(
    runs: tuple[Run, Run], tmp_path: Path, write_pictures: WritePictures
) -> None:
    first = runs[0].path
    with pytest.raises(UsageError, match="at least two"):
        cnntrain.compare([first])
    with pytest.raises(UsageError, match="more than once"):
        cnntrain.compare([first, runs[1], str(first)])
    shutil.copytree(runs[0].config.data.source, tmp_path / "pets")
    other = tmp_path / "pets" / "test"
    shutil.rmtree(other / "cat")
    write_pictures(other, {"cat": 5, "dog": 1}, size=(8, 9))
    (tmp_path / "folds" / "fold_0").mkdir(parents=True)
    changed = _fitted(tmp_path / "pets", tmp_path / "changed")
    with pytest.raises(DataError, match="7 of 12 test pictures") as caught:
        cnntrain.compare([first, changed])
    assert "6 of 11 the other way" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(RunError, match="cross-validation"):
        cnntrain.compare([first, tmp_path / "folds"])
    assert not (changed.path / "evaluation").exists()
    done = _compare(first, changed.path)
    assert isinstance(done.exception, DataError)


def test_other_labels_of_the_same_pictures_are_refused(runs: tuple[Run, Run], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs[0].path, copy)
    table = copy / "examples.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    first = next(row for row, line in enumerate(lines) if ",cat,test," in line)
    lines[first] = lines[first].replace(",cat,test,", ",dog,test,")
    table.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match="1 of 12 test pictures have another class"):
        cnntrain.compare([runs[0], copy])
