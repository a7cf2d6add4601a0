"""The table of answers: what it refuses, what it predicts, and predictions.csv."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnntrain.errors import DataError
from cnntrain.evaluation.answers import Answers, predictions_csv, read_predictions, sorted_by_content


def table(**changes: Any) -> Answers:
    """Three pictures and two classes, with some columns exchanged."""
    columns: dict[str, Any] = {
        "paths": ("a.png", "b.png", "c.png"),
        "truth": np.array([0, 1, 1], np.int64),
        "probabilities": np.array([[0.75, 0.25], [0.5, 0.5], [0.1, 0.9]], np.float32),
        "classes": ("cat", "dog"),
    }
    return Answers(**{**columns, **changes})


def test_predicted_is_the_most_probable_class_and_the_first_of_equals() -> None:
    predicted = table().predicted
    assert predicted.tolist() == [0, 0, 1]
    assert predicted.dtype == np.int64


def test_no_pictures_make_an_empty_table() -> None:
    empty = table(paths=(), truth=np.zeros(0, np.int64), probabilities=np.zeros((0, 2), np.float32))
    assert empty.predicted.shape == (0,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("cat",)}, "two different names"),
        ({"classes": ("cat", "cat")}, "two different names"),
        ({"paths": ("a.png", "b.png")}, r"truth must be int64 of shape \(2,\)"),
        ({"truth": np.array([0, 1, 1], np.int32)}, "truth must be int64"),
        ({"truth": np.array([[0], [1], [1]], np.int64)}, "truth must be int64"),
        ({"truth": np.array([0, 1, 2], np.int64)}, "between 0 and 1"),
        ({"truth": np.array([0, 1, -1], np.int64)}, "between 0 and 1"),
        ({"classes": ("cat", "dog", "fox")}, r"probabilities must be float32 of shape \(3, 3\)"),
        ({"probabilities": np.full((3, 2), 0.5, np.float64)}, "probabilities must be float32"),
        ({"probabilities": np.array([[0.5, 0.5], [np.nan, 0.5], [0.5, 0.5]], np.float32)}, "finite"),
        ({"probabilities": np.array([[0.5, 0.5], [1.5, -0.5], [0.5, 0.5]], np.float32)}, "not negative"),
        ({"probabilities": np.array([[0.5, 0.5], [0.5, 0.502], [0.5, 0.5]], np.float32)}, "sum to 1"),
    ],
)
def test_columns_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(**changes)


def test_rows_may_miss_one_by_rounding() -> None:
    rounded = np.array([[0.5, 0.5], [0.5, 0.5009], [0.4995, 0.4998]], np.float32)
    assert table(probabilities=rounded).probabilities is rounded


def test_predictions_stand_row_by_row() -> None:
    thirds = np.array([[0.75, 0.25], [1 / 3, 2 / 3], [1e-7, 1.0]], np.float32)
    assert predictions_csv(table(probabilities=thirds, truth=np.array([1, 1, 1]))) == (
        "path,label,predicted,correct,confidence,p_cat,p_dog\n"
        "a.png,dog,cat,false,0.75,0.75,0.25\n"
        "b.png,dog,dog,true,0.6666667,0.33333334,0.6666667\n"
        "c.png,dog,dog,true,1,1e-07,1\n"
    )


def test_any_name_survives() -> None:
    names = ('big, "grey" cat', "고양이\n2")
    text = predictions_csv(table(paths=("a,b.png", 'c"d.png', "é\n.png"), classes=names))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["path"] for row in rows] == ["a,b.png", 'c"d.png', "é\n.png"]
    assert [row["label"] for row in rows] == [names[0], names[1], names[1]]
    assert [float(row[f"p_{names[1]}"]) for row in rows] == [0.25, 0.5, 0.9]


def test_what_is_written_is_read_back_to_the_last_digit(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.random((50, 2), np.float32) ** 8
    rows[0] = [1e-30, 1]
    answers = Answers(
        paths=("a,b.png", 'c"d.png', "é\n.png", "猫.png", *(f"{row}.png" for row in range(46))),
        truth=random.integers(2, size=50),
        probabilities=(rows / rows.sum(axis=1, keepdims=True)).astype(np.float32),
        classes=('big, "grey" cat', "p_고양이\n2"),
    )
    (tmp_path / "predictions.csv").write_bytes(predictions_csv(answers).encode("utf-8"))
    again = read_predictions(tmp_path / "predictions.csv")
    assert (again.paths, again.classes) == (answers.paths, answers.classes)
    np.testing.assert_array_equal(again.truth, answers.truth)
    np.testing.assert_array_equal(again.probabilities, answers.probabilities)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "path\n",
        "path,label,predicted,correct,confidence,p_cat,p_dog\na.png,fox,cat,true,1,1,0\n",
        "path,label,predicted,correct,confidence,p_cat,p_dog\na.png,cat,cat,true,1,much,0\n",
        None,
    ],
)
def test_other_files_are_no_predictions(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "predictions.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="evaluate again") as caught:
        read_predictions(tmp_path / "predictions.csv")
    assert "\n" not in str(caught.value)


def test_sorting_is_by_class_then_by_probabilities() -> None:
    table_ = table(probabilities=np.array([[0.75, 0.25], [0.5, 0.5], [0.1, 0.9]], np.float32))
    assert sorted_by_content(table_).paths == ("a.png", "c.png", "b.png")
