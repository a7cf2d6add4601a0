"""One run a fold, and what they say together."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from scipy import stats

import cnntrain
from cnntrain.cli import group
from cnntrain.data.examples import read_examples
from cnntrain.errors import ConfigError, DataError, WriteError
from tests.conftest import WritePictures


@pytest.fixture
def folded(tmp_path: Path, write_pictures: WritePictures) -> Path:
    """Three folds of eight training pictures each, and six test pictures."""
    write_pictures(tmp_path / "all", {"cat": 15, "dog": 15})
    cnntrain.split(tmp_path / "all", tmp_path / "folded", counts={"train": 12, "test": 3}, folds=3)
    return tmp_path / "folded"


def _raw(source: Path) -> dict[str, Any]:
    return {
        "data": {"source": str(source), "image_size": [12, 12], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}], "head": {"pooling": "global_average"}},
        "train": {"epochs": 2, "learning_rate": 0.01},
    }


def test_one_fold_is_held_out_as_the_validation_part(folded: Path, tmp_path: Path) -> None:
    run = cnntrain.fit(_raw(folded), run_dir=tmp_path / "run", overrides="data.fold=1")
    assert run.record.data["images"] == {"train": 16, "validation": 8, "test": 6}
    rows = read_examples(run.directory.examples)
    assert {row.fold for row in rows if row.split == "validation"} == {"1"}
    assert {row.fold for row in rows if row.split == "train"} == {"0", "2"}
    assert run.config.data.fold == 1


def test_all_folds_give_runs_of_their_own_and_a_corrected_interval(folded: Path, tmp_path: Path) -> None:
    found = cnntrain.fit_folds(_raw(folded), run_dir=tmp_path / "folds", device="cpu")
    assert [run.name for run in found.runs] == ["fold_0", "fold_1", "fold_2"]
    held_out = [
        {row.sha256 for row in read_examples(run.directory.examples) if row.split == "validation"} for run in found.runs
    ]
    assert len(set.union(*held_out)) == 24
    scores = [
        run.history[run.record.best.epoch - 1].monitored("val_loss")
        for run in found.runs
        if run.record.best is not None
    ]
    mean = sum(scores) / 3
    deviation = (sum((score - mean) ** 2 for score in scores) / 2) ** 0.5
    half = stats.t.ppf(0.975, 2) * deviation * (1 / 3 + 8 / 16) ** 0.5  # Nadeau and Bengio 2003
    assert found.loss.mean == pytest.approx(mean)
    assert found.loss.low == pytest.approx(mean - half)
    assert found.loss.high == pytest.approx(mean + half)
    stored = json.loads((tmp_path / "folds/folds.json").read_text(encoding="utf-8"))
    assert [row["run_dir"] for row in stored["folds"]] == ["fold_0", "fold_1", "fold_2"]
    assert stored["val_loss"]["mean"] == found.loss.mean
    assert cnntrain.evaluate(found.runs[2]).metrics.images == 6


def test_the_command_prints_a_row_a_fold_and_the_folder_last(folded: Path, tmp_path: Path) -> None:
    config = tmp_path / "pets.yaml"
    config.write_text(json.dumps(_raw(folded)), encoding="utf-8")
    target = str(tmp_path / "folds")
    done = CliRunner().invoke(
        group, ["fit", str(config), "--all-folds", "--run-dir", target, "--set", "train.epochs=1"]
    )
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[-1] == target
    assert [line.split()[0] for line in lines[:5]] == ["fold", "0", "1", "2", "mean"]
    assert "95 % interval" in lines[5]
    with pytest.raises(WriteError, match="exists already"):
        cnntrain.fit_folds(config, run_dir=target)
    (tmp_path / "folds/mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(WriteError, match="does not hold folds alone"):
        cnntrain.fit_folds(config, run_dir=target, overwrite=True)


def test_what_is_wrong_with_folds_is_said(folded: Path, split_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no folds in its manifest"):
        cnntrain.fit_folds(_raw(split_folder), run_dir=tmp_path / "folds")
    with pytest.raises((ConfigError, DataError), match="fold"):
        cnntrain.fit(_raw(folded), run_dir=tmp_path / "run", overrides="data.fold=3")
    with pytest.raises((ConfigError, DataError), match="fold"):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run", overrides="data.fold=0")
    manifest = folded / "manifest.csv"
    text = manifest.read_text(encoding="utf-8")
    first = next(line for line in text.splitlines() if line.startswith("train/"))
    manifest.write_text(text.replace(first, first.replace("train/", "test/", 1).replace(",train,", ",test,", 1)))
    with pytest.raises((ConfigError, DataError), match="manifest"):
        cnntrain.fit(_raw(folded), run_dir=tmp_path / "run", overrides="data.fold=0")
