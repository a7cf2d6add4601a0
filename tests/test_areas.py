"""Areas under curves of many weightings at once, against scikit-learn's of one after the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from cnntrain.evaluation.answers import Answers
from cnntrain.evaluation.areas import class_scores, macro_roc_auc, measured_areas, rank, rankings, resampled_areas
from cnntrain.evaluation.curves import MEAN, precision_recall_curves, roc_curves
from cnntrain.evaluation.metrics import compute_metrics
from cnntrain.evaluation.resampling import bootstrap_weights


def some_answers(pictures: int, classes: int, *, gain: float = 1.5, seed: int = 0) -> Answers:
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=pictures)
    logits = random.normal(size=(pictures, classes))
    logits[np.arange(pictures), truth] += gain
    shares = np.exp(logits)
    return Answers(
        paths=tuple(f"{row}.png" for row in range(pictures)),
        truth=truth.astype(np.int64),
        probabilities=(shares / shares.sum(axis=1, keepdims=True)).astype(np.float32),
        classes=tuple(f"class {index}" for index in range(classes)),
    )


@st.composite
def weighted(draw: st.DrawFn) -> tuple[list[float], list[bool], list[list[int]]]:
    """Scores with many ties, two classes, and three weightings in which each class weighs something."""
    size = draw(st.integers(2, 30))
    scores = draw(st.lists(st.integers(0, 6), min_size=size, max_size=size))
    members = draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(lambda each: 0 < sum(each) < len(each)))
    weights = st.lists(st.integers(0, 3), min_size=size, max_size=size)
    sound = weights.filter(
        lambda drawn: all(any(w for w, m in zip(drawn, members, strict=True) if m is kind) for kind in (True, False))
    )
    return [score / 7 for score in scores], members, draw(st.lists(sound, min_size=3, max_size=3))


@settings(deadline=None)
@given(weighted())
def test_areas_are_those_of_scikit_learn_with_weights(drawn: tuple[list[float], list[bool], list[list[int]]]) -> None:
    scores, members = np.array(drawn[0], np.float32), np.array(drawn[1])
    weights = np.array(drawn[2], np.float32).T
    roc, precision = rank(scores, members).areas(weights)
    for column in range(weights.shape[1]):
        weight = weights[:, column]
        assert roc[column] == pytest.approx(roc_auc_score(members, scores, sample_weight=weight))
        assert precision[column] == pytest.approx(average_precision_score(members, scores, sample_weight=weight))


def test_bootstrap_samples_keep_the_count_of_each_class() -> None:
    truth = np.array([0, 1, 1, 3, 3, 3, 3])
    weights = np.concatenate(list(bootstrap_weights(truth, resamples=500)), axis=1)
    assert weights.shape == (7, 500)
    for index, count in ((0, 1), (1, 2), (3, 4)):
        np.testing.assert_array_equal(weights[truth == index].sum(axis=0), count)
    # How often a picture of four is drawn is binomial: mean 1, variance 3/4; 500 draws of four cells.
    assert weights[truth == 3].mean() == 1
    assert weights[truth == 3].var() == pytest.approx(0.75, abs=0.1)
    again = np.concatenate(list(bootstrap_weights(truth, resamples=500)), axis=1)
    np.testing.assert_array_equal(weights, again)


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    answers = some_answers(300, 3)
    random = np.random.default_rng(7)
    members = [np.flatnonzero(answers.truth == index) for index in range(3)]
    drawn = []
    for _ in range(1000):
        rows = [answers.probabilities[random.choice(each, len(each)), 1] for each in members]
        drawn.append(np.mean(rows[1][:, np.newaxis] > np.concatenate([rows[0], rows[2]])))
    area = compute_metrics(answers).classes[1].roc_auc
    assert area is not None
    assert area.method == "stratified bootstrap"
    assert area.value == pytest.approx(roc_auc_score(answers.truth == 1, answers.probabilities[:, 1]))
    assert [area.low, area.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist(), abs=0.005)


def test_many_samples_come_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnntrain.evaluation.resampling._AT_ONCE", 1000)
    pieces = list(bootstrap_weights(np.zeros(300, np.int64), resamples=10))
    assert [piece.shape for piece in pieces] == [(300, 3)] * 3 + [(300, 1)]


def test_two_classes_share_one_roc_area_even_where_the_sigmoid_is_saturated() -> None:
    second = np.array([1e-12, 1e-10, 1e-9, 0.5], np.float32)  # one minus the first three is one in float32
    answers = Answers(tuple("abcd"), np.array([0, 1, 1, 1]), np.stack([1 - second, second], axis=1), ("cat", "dog"))
    areas = measured_areas(rankings(answers), 4)
    assert areas[:, 0].tolist() == [1.0, 1.0]
    assert class_scores(answers, 0).tolist() == (-second).tolist()


def test_classes_without_pictures_have_no_areas() -> None:
    answers = some_answers(20, 3)
    only = Answers(answers.paths, np.full(20, 2, np.int64), answers.probabilities, answers.classes)
    assert rankings(only) == {}
    assert macro_roc_auc(only, only) is None
    missing = Answers(answers.paths, answers.truth % 2, answers.probabilities, answers.classes)
    assert list(rankings(missing)) == [0, 1]


def test_two_models_are_resampled_alike() -> None:
    answers = some_answers(100, 3)
    found = macro_roc_auc(answers, answers)
    assert found is not None
    np.testing.assert_array_equal(found[1][0], found[1][1])
    (weights,) = bootstrap_weights(answers.truth)
    expected = resampled_areas(rankings(answers), weights)[:, 0].mean(axis=0)
    np.testing.assert_allclose(found[1][0], expected)
    assert found[0][0] == pytest.approx(roc_auc_score(answers.truth, answers.probabilities, multi_class="ovr"))


@pytest.mark.parametrize(("classes", "count"), [(2, 1), (3, 4), (10, 11), (11, 6), (40, 6)])
def test_curves_of_all_classes_or_of_the_worst(classes: int, count: int) -> None:
    answers = some_answers(800, classes)
    metrics = compute_metrics(answers)
    for curves, name in ((roc_curves, "roc_auc"), (precision_recall_curves, "average_precision")):
        drawn = curves(answers, metrics)
        assert len(drawn) == count
        areas = {entry.name: getattr(entry, name).value for entry in metrics.classes}
        if count > 1:
            assert drawn[0][:2] == (MEAN, getattr(metrics.macro, name).value)
        shown = {curve[0]: curve[1] for curve in drawn if curve[0] != MEAN}
        assert shown == {each: areas[each] for each in shown}
        if classes > 10:
            assert list(shown) == sorted(areas, key=lambda each: areas[each])[:5]
        else:
            assert list(shown) == (["class 1"] if classes == 2 else list(areas))


def test_areas_under_the_drawn_curves_are_the_areas_told() -> None:
    answers = some_answers(500, 4)
    metrics = compute_metrics(answers)
    for name, area, x, y in roc_curves(answers, metrics):
        assert np.trapezoid(y, x) == pytest.approx(area, abs=2e-3 if name == MEAN else 1e-6)
    for name, area, x, y in precision_recall_curves(answers, metrics):
        assert np.sum(np.diff(x) * y[1:]) == pytest.approx(area, abs=2e-3 if name == MEAN else 1e-6)


def test_there_are_no_curves_of_one_class() -> None:
    answers = some_answers(20, 3)
    only = Answers(answers.paths, np.zeros(20, np.int64), answers.probabilities, answers.classes)
    assert roc_curves(only, compute_metrics(only)) == ()
    two = some_answers(20, 2)
    only = Answers(two.paths, np.zeros(20, np.int64), two.probabilities, two.classes)
    assert precision_recall_curves(only, compute_metrics(only)) == ()
