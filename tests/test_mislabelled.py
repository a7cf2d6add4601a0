"""Pictures with wrong labels: found among features by hand, and in a run by its own features."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnntrain
from benchmarks.mislabels import flip_labels, found_among
from cnntrain.api.mislabels import likely_mislabelled
from cnntrain.evaluation.mislabelled import find_disagreements
from cnntrain.models.network import network_of
from cnntrain.runs.model_file import load_model
from tests.conftest import WritePictures


def _clusters(counts: tuple[int, ...], *, seed: int = 0, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Points around corners of a simplex, and the number of each one's corner."""
    labels = np.repeat(np.arange(len(counts)), counts)
    noise = np.random.default_rng(seed).normal(0, spread, (len(labels), len(counts)))
    return (np.eye(len(counts))[labels] + noise).astype(np.float32), labels


def test_wrong_labels_are_named_first_with_what_they_should_be() -> None:
    features, truth = _clusters((40, 40, 40))
    labels = truth.copy()
    labels[[3, 50, 100]] = [1, 2, 0]
    found = find_disagreements(features, labels, 3)
    assert set(found.order[:3]) == {3, 50, 100}
    assert found.suggested[:3].tolist() == truth[found.order[:3]].tolist()
    assert found.is_confident[:3].all()


def test_nothing_is_named_where_labels_are_right_and_classes_far_apart() -> None:
    features, labels = _clusters((30, 20, 10), spread=0.05)
    assert find_disagreements(features, labels, 3).order.tolist() == []


@given(seed=st.integers(0, 10_000), flips=st.integers(0, 12))
@settings(max_examples=6, deadline=None)
def test_the_verdicts_are_those_of_the_definition(seed: int, flips: int) -> None:
    features, labels = _clusters((25, 20, 15), seed=seed, spread=0.6)
    draw = np.random.default_rng(seed)
    wrong = draw.choice(len(labels), flips, replace=False)
    labels[wrong] = (labels[wrong] + draw.integers(1, 3, flips)) % 3
    found = find_disagreements(features, labels, 3)
    table = found.probabilities
    np.testing.assert_allclose(table.sum(axis=1), 1)
    usual = [np.mean([row[k] for row, label in zip(table, labels, strict=True) if label == k]) for k in range(3)]
    expected = {}
    for index, (row, label) in enumerate(zip(table, labels, strict=True)):
        likely = [k for k in range(3) if row[k] >= usual[k]]
        best = max(likely, key=lambda k: row[k], default=label)
        if row.argmax() != label:
            expected[index] = best != label
    assert dict(zip(found.order.tolist(), found.is_confident.tolist(), strict=True)) == expected
    distances = [table[index].max() - table[index][labels[index]] for index in found.order]
    assert distances == sorted(distances, reverse=True)


def test_a_picture_is_judged_by_others_only() -> None:
    """With more numbers than pictures a regression knows every label that it has seen, were they drawn by lot."""
    features = np.random.default_rng(0).normal(size=(80, 300)).astype(np.float32)
    assert 24 <= len(find_disagreements(features, np.repeat([0, 1], 40), 2).order) <= 56


@pytest.mark.parametrize("counts", [(5, 0), (1, 1), (1, 30), (2, 2), (0, 3, 1)])
def test_few_pictures_are_no_error(counts: tuple[int, ...]) -> None:
    features, labels = _clusters(counts, spread=0.01)
    found = find_disagreements(features, labels, len(counts))
    assert found.probabilities.shape == (sum(counts), len(counts))
    assert np.isfinite(found.probabilities).all()


def test_the_only_picture_of_its_class_is_not_accused() -> None:
    features, labels = _clusters((1, 20, 20), spread=0.05)
    found = find_disagreements(features, labels, 3)
    assert found.order.tolist() == []
    assert found.probabilities[0].tolist() == [1, 0, 0]


def test_features_that_are_all_the_same_tell_nothing() -> None:
    labels = np.repeat([0, 1], 20)
    assert not find_disagreements(np.ones((40, 8), np.float32), labels, 2).is_confident.any()


def test_flipped_pictures_of_a_run_are_found(tmp_path: Path, write_pictures: WritePictures) -> None:
    for split, count in {"train": 30, "validation": 8, "test": 8}.items():
        write_pictures(tmp_path / "pets" / split, {"cat": count, "dog": count})
        for path in (tmp_path / "pets" / split).rglob("*.png"):
            path.rename(path.with_stem(f"{path.parent.name}_{path.stem}"))
    flipped = flip_labels(tmp_path / "pets", 4, seed=1)
    raw = {
        "data": {"source": str(tmp_path / "pets"), "image_size": [12, 12], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": [{"filters": 8}], "head": {"pooling": "global_average"}},
        "train": {"epochs": 1},
    }
    run = cnntrain.fit(raw, run_dir=tmp_path / "run")
    suspects = likely_mislabelled(run)
    assert {suspect.path for suspect in suspects[:4]} == flipped
    for suspect in suspects[:4]:
        assert suspect.split == "train"
        assert suspect.label == Path(suspect.path).parent.name
        assert suspect.suggested == Path(suspect.path).name.partition("_")[0]
        assert suspect.suggested_probability > 0.5 > suspect.label_probability
    assert network_of(load_model(run.directory.model)).features == "block1_pool"
    Path(suspects[0].path).unlink()
    assert likely_mislabelled(run) == suspects  # the features are kept


@pytest.mark.slow
def test_flipped_photos_are_found(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "data" / "dogs-vs-cats-4000.zip"
    cnntrain.split(source, tmp_path / "photos", counts={"train": 100, "validation": 20, "test": 20})
    flipped = flip_labels(tmp_path / "photos", 10, seed=0)
    run = cnntrain.fit(
        Path(__file__).parent.parent / "configs" / "vgg16_features.yaml",
        run_dir=tmp_path / "run",
        overrides=[
            f"data.source={tmp_path / 'photos'}",
            "data.image_size=[128, 128]",
            f"model.weights={test_data / 'weights' / 'vgg16-imagenet-notop.weights.h5'}",
            "train.epochs=1",
        ],
    )
    paths = [suspect.path for suspect in likely_mislabelled(run) if suspect.split == "train"]
    assert found_among(paths, flipped, 15) >= 7
