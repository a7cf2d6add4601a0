"""The main job on real photos with real pretrained weights, in miniature."""

from pathlib import Path

import pytest

import cnntrain
from cnntrain.data.examples import read_examples

CONFIGS = Path(__file__).parent.parent / "configs"


def test_the_kaggle_zip_splits_as_its_users_do(test_data: Path, tmp_path: Path) -> None:
    counts = {"train": 1000, "validation": 500, "test": 500}
    source = test_data / "data" / "dogs-vs-cats-4000.zip"
    result = cnntrain.split(source, tmp_path / "photos", counts=counts)
    assert result.counts == {split: {"cat": count, "dog": count} for split, count in counts.items()}
    assert sum(len(paths) for paths in result.findings.exact_copies) == 4  # two of the photos are there twice
    assert not result.findings.bad_pictures
    rows = read_examples(tmp_path / "photos" / "manifest.csv")
    assert len({row.path for row in rows}) == 4000
    parts: dict[str, set[str]] = {}
    for row in rows:
        parts.setdefault(row.group or row.path, set()).add(row.split)
    assert max(map(len, parts.values())) == 1
    assert len(parts) <= 3998
    assert all(Path(row.path).name.startswith(row.label) for row in rows)


@pytest.mark.slow
def test_vgg16_features_tell_cats_from_dogs(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "data" / "dogs-vs-cats-4000.zip"
    cnntrain.split(source, tmp_path / "photos", counts={"train": 100, "validation": 40, "test": 100})
    run = cnntrain.fit(
        CONFIGS / "vgg16_features.yaml",
        run_dir=tmp_path / "run",
        overrides=[
            f"data.source={tmp_path / 'photos'}",
            "data.image_size=[128, 128]",
            f"model.weights={test_data / 'weights' / 'vgg16-imagenet-notop.weights.h5'}",
            "train.epochs=15",
        ],
    )
    # With all 2,000 photos it is 0.95; wrong preprocessing or shifted labels would show at once.
    assert cnntrain.evaluate(run).metrics.accuracy.value > 0.85
