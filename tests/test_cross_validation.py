"""One run a fold, and what they say together."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from scipy import stats

import cnntrain
from cnntrain.api import cross_validation
from cnntrain.cli import group
from cnntrain.data.examples import read_examples
from cnntrain.errors import CnntrainError, ConfigError, DataError, InterruptedRunError, RunError, UsageError, WriteError
from cnntrain.runs.run import Run
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
    with pytest.raises(RunError, match="holds the runs of a cross-validation; give one of them"):
        cnntrain.load_run(tmp_path / "folds")
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


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _an_earlier_one(folder: Path, folds: int) -> Path:
    """As much of a cross-validation as tells what it is."""
    for number in range(folds):
        (folder / f"fold_{number}").mkdir(parents=True)
        (folder / f"fold_{number}" / "run.json").write_text("{}", encoding="utf-8")
        (folder / f"fold_{number}" / "model.keras").write_bytes(b"weeks of work")
    (folder / "folds.json").write_text("{}", encoding="utf-8")
    return folder


def test_an_earlier_cross_validation_is_replaced_whole(folded: Path, tmp_path: Path) -> None:
    path = _an_earlier_one(tmp_path / "folds", 5)
    (path / ".DS_Store").write_bytes(b"junk")
    found = cnntrain.fit_folds(_raw(folded), run_dir=path, overrides="train.epochs=1", device="cpu", overwrite=True)
    assert sorted(entry.name for entry in path.iterdir()) == [".DS_Store", "fold_0", "fold_1", "fold_2", "folds.json"]
    assert b"weeks of work" not in _contents(path).values()
    assert json.loads((path / "folds.json").read_text(encoding="utf-8")) == found.to_json()


@pytest.mark.parametrize(
    "wrong",
    ["model.blocks=[]", "data.source=missing", "data.classes=[cat, owl]", "data.image_size=[1, 1]", "data.fold=1"],
)
def test_nothing_is_removed_before_the_first_fold_can_be_fitted(folded: Path, tmp_path: Path, wrong: str) -> None:
    path = _an_earlier_one(tmp_path / "folds", 2)
    before = _contents(path)
    with pytest.raises(CnntrainError):
        cnntrain.fit_folds(_raw(folded), run_dir=path, overrides=wrong, device="cpu", overwrite=True)
    assert _contents(path) == before


def test_bad_pictures_are_found_before_anything_is_removed(folded: Path, tmp_path: Path) -> None:
    path = _an_earlier_one(tmp_path / "folds", 2)
    before = _contents(path)
    next((folded / "train" / "cat").iterdir()).write_bytes(b"")
    with pytest.raises(DataError):
        cnntrain.fit_folds(_raw(folded), run_dir=path, device="cpu", overwrite=True)
    assert _contents(path) == before


@pytest.mark.parametrize("name", ["mine.txt", "fold_notes.txt", "fold_7/cat.jpg", "fold_x/run.json", "run.json"])
def test_nothing_but_folds_is_replaced(folded: Path, tmp_path: Path, name: str) -> None:
    path = _an_earlier_one(tmp_path / "folds", 2)
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("keep", encoding="utf-8")
    before = _contents(path)
    with pytest.raises(WriteError, match=rf"does not hold folds alone, but {Path(name).parts[0]} too, so --overwrite"):
        cnntrain.fit_folds(_raw(folded), run_dir=path, device="cpu", overwrite=True)
    assert _contents(path) == before


def test_what_is_done_stays_on_record_when_it_is_interrupted(
    folded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fails_at_the_third(*arguments: Any, **options: Any) -> Run:
        if options["overrides"][-1] == "data.fold=2":
            raise InterruptedRunError("stopped", 2)
        return cnntrain.fit(*arguments, **options)

    monkeypatch.setattr(cross_validation, "fit", fails_at_the_third)
    with pytest.raises(InterruptedRunError):
        cnntrain.fit_folds(_raw(folded), run_dir=tmp_path / "folds", overrides="train.epochs=1", device="cpu")
    stored = json.loads((tmp_path / "folds/folds.json").read_text(encoding="utf-8"))
    assert (stored["format"], stored["status"]) == (1, "running")
    for row in stored["folds"]:
        run = cnntrain.load_run(tmp_path / "folds" / row["run_dir"])
        assert row["val_loss"] == run.history[0].monitored("val_loss")
        assert row["fold"] == run.config.data.fold
    assert [row["fold"] for row in stored["folds"]] == [0, 1]


def test_folds_need_data_that_has_some(folded: Path, split_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "folds"
    with pytest.raises(DataError, match=r"^config: data\.source: .* has no folds in its manifest; make them with"):
        cnntrain.fit_folds(_raw(split_folder), run_dir=path)
    with pytest.raises(DataError, match=r"^--set data\.source=gone: data\.source: there is no folder gone"):
        cnntrain.fit_folds(_raw(folded), run_dir=path, overrides="data.source=gone")
    with pytest.raises(ConfigError) as caught:
        cnntrain.fit_folds(_raw(folded), run_dir=path, overrides=["data.source=gone", "data.image_size=[1, 1]"])
    assert len(caught.value.problems) > 1
    with pytest.raises(UsageError, match="--all-folds needs data with folds, and gone is not there"):
        cnntrain.fit_folds(_raw(folded), run_dir=path, overrides="data.source=gone", smoke=True)
    with pytest.raises(UsageError, match=r"one fold after the other; got: data\.fold=7; leave that out"):
        cnntrain.fit_folds(_raw(folded), run_dir=path, overrides="data.fold=7")
    assert not path.exists()


def test_what_is_wrong_with_one_fold_is_said(folded: Path, split_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"one fold of two or more is held out; got: 3 of the folds 0, 1, 2"):
        cnntrain.fit(_raw(folded), run_dir=tmp_path / "run", overrides="data.fold=3")
    with pytest.raises(ConfigError, match=r"there is no fold 0, since no training picture has one"):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run", overrides="data.fold=0")
    manifest = folded / "manifest.csv"
    text = manifest.read_text(encoding="utf-8")
    first = next(line for line in text.splitlines() if line.startswith("train/"))
    manifest.write_text(text.replace(first, first.replace("train/", "test/", 1).replace(",train,", ",test,", 1)))
    with pytest.raises(DataError, match=r"manifest\.csv of .* lists test/cat/\d+\.png that is not there"):
        cnntrain.fit(_raw(folded), run_dir=tmp_path / "run", overrides="data.fold=0")
