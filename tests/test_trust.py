"""A run knows its data: leaks, changed pictures, other class maps and bad pictures are refused or recorded."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cnntrain
from cnntrain.api import Run
from cnntrain.data.examples import Example, read_examples
from cnntrain.data.leaks import leaks_between_splits, shared
from cnntrain.errors import ConfigError, DataError, ModelFileError, RunError, UsageError
from cnntrain.runs.run import open_run, write_classes
from cnntrain.training import session


def _raw(source: Path, **data: Any) -> dict[str, Any]:
    return {
        "data": {"source": str(source), "image_size": [12, 12], "batch_size": 8, **data},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}], "head": {"pooling": "global_average"}},
        "train": {"epochs": 1},
    }


@pytest.fixture
def run(split_folder: Path, tmp_path: Path) -> Run:
    return cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")


def test_shared_pictures_are_told_by_their_bytes_alone() -> None:
    known = [Example("a", "cat", sha256="1"), Example("b", "cat", sha256=""), Example("c", "dog", sha256="2")]
    others = [Example("x", "dog", sha256="2"), Example("y", "dog", sha256=""), Example("z", "cat", sha256="3")]
    assert shared(known, others) == ((known[2], others[0]),)


def test_leaks_are_looked_for_between_all_splits() -> None:
    train, validation, test, other = (
        Example(name, "cat", split, sha256=checksum)
        for name, split, checksum in (
            ("a", "train", "1"),
            ("b", "validation", "1"),
            ("c", "test", "2"),
            ("d", "validation", "2"),
        )
    )
    assert leaks_between_splits([train, validation, test, other]) == ((train, validation), (other, test))


def test_the_record_holds_a_hash_of_each_split(run: Run, split_folder: Path, tmp_path: Path) -> None:
    hashes = run.record.data["hashes"]
    assert set(hashes) == {"train", "validation", "test"}
    assert len(set(hashes.values())) == 3
    next((split_folder / "test/cat").iterdir()).unlink()
    again = cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "again").record.data["hashes"]
    assert (again["train"], again["validation"]) == (hashes["train"], hashes["validation"])
    assert again["test"] != hashes["test"]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_fit_refuses_a_picture_in_two_splits_unless_that_is_allowed(
    split_folder: Path, tmp_path: Path, split: str
) -> None:
    shutil.copy(split_folder / "train/cat/0003.png", split_folder / split / "cat/copy.png")
    with pytest.raises(DataError, match=rf"1 picture is in the train pictures and in the {split} pictures") as caught:
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    assert "copy.png" in str(caught.value)
    assert "--allow-leak" in str(caught.value)
    assert not (tmp_path / "run").exists()
    run = cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run", allow_leak=True)
    (leak,) = run.record.data["leaks"]
    assert [Path(path).name for path in leak] == ["0003.png", "copy.png"]
    assert any("a leak is allowed" in note for note in run.record.notes)
    if split == "test":
        found = cnntrain.evaluate(run)
        assert found.leaks == 1
        assert any("a leak is allowed" in note for note in found.notes)


def test_fit_refuses_a_group_in_two_splits_unless_that_is_allowed(split_folder: Path, tmp_path: Path) -> None:
    table = split_folder / "pets.csv"
    rows = ["path,label,split,group"]
    for path in sorted(split_folder.glob("*/*/*.png")):
        split, label, name = path.relative_to(split_folder).parts
        group = "litter 3" if name == "0003.png" and split != "validation" else f"{split} {name}"
        rows.append(f"{split}/{label}/{name},{label},{split},{group}")
    table.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(DataError, match="1 groups lie in more than one split, litter 3 first"):
        cnntrain.fit(_raw(table), run_dir=tmp_path / "run")
    run = cnntrain.fit(_raw(table), run_dir=tmp_path / "run", allow_leak=True)
    assert any("litter 3" in note for note in run.record.notes)
    assert run.record.data["images"] == {"train": 24, "validation": 12, "test": 12}


def test_evaluate_refuses_other_data_with_training_pictures(run: Run, split_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(split_folder / "test", other)
    assert cnntrain.evaluate(run, data=other).leaks == 0
    shutil.copy(split_folder / "train/dog/0000.png", other / "dog/another name.png")
    with pytest.raises(DataError, match="1 picture is in the train pictures and in the data given") as caught:
        cnntrain.evaluate(run, data=other)
    assert "another name.png" in str(caught.value)
    found = cnntrain.evaluate(run, data=other, allow_leak=True)
    assert found.leaks == 1
    assert json.loads((found.folder / "metrics.json").read_text(encoding="utf-8"))["leaks"] == 1


def test_evaluate_tells_of_near_duplicates_of_training_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split, count in {"train": 4, "test": 2}.items():
        for label in ("cat", "dog"):
            (tmp_path / "pets" / split / label).mkdir(parents=True)
            for number in range(count):
                coarse = random.integers(0, 255, (6, 6, 3), dtype=np.uint8)
                picture = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
                picture.save(tmp_path / "pets" / split / label / f"{number}.png")
    run = cnntrain.fit(_raw(tmp_path / "pets"), run_dir=tmp_path / "run")
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "pets/test", other)
    assert cnntrain.evaluate(run, data=other).notes == ()
    with Image.open(tmp_path / "pets/train/dog/1.png") as picture:
        picture.resize((50, 50)).save(other / "dog/small.jpg", quality=80)
    (note,) = cnntrain.evaluate(run, data=other).notes
    assert note.startswith("1 pictures are near-duplicates of training pictures")
    assert "small.jpg" in note


def test_the_training_pictures_themselves_are_no_leak(run: Run) -> None:
    assert cnntrain.evaluate(run, split="train").leaks == 0


def test_evaluate_refuses_pictures_that_have_changed(run: Run, split_folder: Path) -> None:
    changed = split_folder / "test/dog/0002.png"
    Image.open(changed).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(changed)
    with pytest.raises(DataError, match="1 of 12 pictures are not those that the run was fitted with") as caught:
        cnntrain.evaluate(run)
    assert "0002.png" in str(caught.value)


def test_evaluate_refuses_another_class_map(run: Run) -> None:
    write_classes(run.directory.classes, ("dog", "cat"))
    with pytest.raises(ModelFileError, match=r"has the classes cat, dog, the run.s classes\.json has dog, cat"):
        cnntrain.evaluate(run.path)


def test_a_damaged_preprocessing_file_is_told(run: Run) -> None:
    noted = json.loads(run.directory.preprocessing.read_text(encoding="utf-8"))
    run.directory.preprocessing.write_text(json.dumps({**noted, "resize": "squeeze"}), encoding="utf-8")
    with pytest.raises(RunError, match=r"preprocessing\.json is damaged or of another version"):
        cnntrain.evaluate(run.path)


def test_fit_refuses_another_class_map(split_folder: Path, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError), match="these are not the classes of the training pictures"):
        cnntrain.fit(_raw(split_folder, classes=["cat", "hound"]), run_dir=tmp_path / "run")


def _spoil(folder: Path) -> None:
    """Three bad training pictures of cats and one of the test pictures."""
    (folder / "train/cat/0001.png").write_bytes(b"")
    (folder / "train/cat/0002.png").write_bytes((folder / "train/cat/0002.png").read_bytes()[:-60])
    (folder / "train/cat/new.jpg").write_text("<html>not found</html>", encoding="utf-8")
    (folder / "test/dog/0000.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")


def test_bad_pictures_are_an_error_that_names_all_of_them(split_folder: Path, tmp_path: Path) -> None:
    _spoil(split_folder)
    with pytest.raises(DataError, match="4 of 49 pictures are bad") as caught:
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    assert "\n" not in str(caught.value)
    for name in ("cat/0001.png", "cat/0002.png", "cat/new.jpg", "dog/0000.png"):
        assert name in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_bad_pictures_can_be_skipped_and_are_recorded(split_folder: Path, tmp_path: Path) -> None:
    _spoil(split_folder)
    run = cnntrain.fit(_raw(split_folder, bad_images="skip"), run_dir=tmp_path / "run")
    assert run.record.data["images"] == {"train": 22, "validation": 12, "test": 11}
    skipped = run.record.data["skipped"]
    assert {(Path(picture["path"]).name, picture["split"]) for picture in skipped} == {
        ("0001.png", "train"),
        ("0002.png", "train"),
        ("new.jpg", "train"),
        ("0000.png", "test"),
    }
    assert all(picture["problem"] for picture in skipped)
    assert len(read_examples(run.directory.examples)) == 45
    assert any("4 bad pictures are skipped" in note for note in run.record.notes)
    own = cnntrain.evaluate(run)
    assert own.metrics.images == 11
    assert own.notes == ("1 bad test pictures were left out when the run was fitted; run.json lists them",)
    found = cnntrain.evaluate(run, data=split_folder / "test", name="again")  # the run's rule holds here too
    assert [Path(picture.path).name for picture in found.skipped] == ["0000.png"]
    assert found.metrics.images == 11
    with pytest.raises(DataError, match="1 of 12 pictures are bad; mend or remove them, or leave them out with"):
        cnntrain.evaluate(run, data=split_folder / "test", name="again", bad_images="error")


def test_a_run_that_skips_bad_pictures_still_knows_its_own(split_folder: Path, tmp_path: Path) -> None:
    run = cnntrain.fit(_raw(split_folder, bad_images="skip"), run_dir=tmp_path / "run")
    (split_folder / "test/dog/0001.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 of 12 pictures are not those that the run was fitted with"):
        cnntrain.evaluate(run)


def test_nothing_but_bad_pictures_is_an_error(split_folder: Path, tmp_path: Path) -> None:
    run = cnntrain.fit(_raw(split_folder, bad_images="skip"), run_dir=tmp_path / "run")
    (tmp_path / "bad/cat").mkdir(parents=True)
    (tmp_path / "bad/cat/1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"all 1 pictures are bad, .*1\.png"):
        cnntrain.evaluate(run, data=tmp_path / "bad")


def test_an_evaluation_of_other_pictures_is_not_replaced(run: Run, split_folder: Path, tmp_path: Path) -> None:
    for place in ("one/more", "two/more"):
        shutil.copytree(split_folder / "test", tmp_path / place)
    first = cnntrain.evaluate(run, data=tmp_path / "one/more")
    assert cnntrain.evaluate(run, data=tmp_path / "one/more").metrics == first.metrics
    with pytest.raises(UsageError, match=r"holds the evaluation of .*one/more; choose another --name"):
        cnntrain.evaluate(run, data=tmp_path / "two/more")


def test_an_evaluation_notes_what_was_measured(run: Run, split_folder: Path, tmp_path: Path) -> None:
    other = split_folder / "test"
    first = cnntrain.evaluate(run, data=other, name="other").data
    assert first["source"] == str(other)
    assert first["fingerprint"] == cnntrain.evaluate(run).data["fingerprint"]
    (other / "cat/0000.png").unlink()
    assert cnntrain.evaluate(run, data=other, name="other").data["fingerprint"] != first["fingerprint"]


def test_a_picture_that_changes_after_the_look_is_named(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiling(*given: Any, **named: Any) -> Any:
        (split_folder / "train/dog/0005.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
        return opened(*given, **named)

    opened = session.open_pictures
    monkeypatch.setattr(session, "open_pictures", spoiling)
    with pytest.raises(DataError, match=r"dog/0005\.png has gone or changed since it was looked at"):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    assert open_run(tmp_path / "run").record.status == "failed"


def test_preprocessing_that_does_not_fit_the_model_is_told(run: Run) -> None:
    noted = json.loads(run.directory.preprocessing.read_text(encoding="utf-8"))
    run.directory.preprocessing.write_text(json.dumps({**noted, "height": 64}), encoding="utf-8")
    with pytest.raises(RunError, match=r"gives pictures of \(64, 12, 3\), the model takes \(12, 12, 3\)"):
        cnntrain.evaluate(run.path)


def test_a_class_without_good_pictures_is_an_error(split_folder: Path, tmp_path: Path) -> None:
    for path in (split_folder / "train/dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no good training picture of dog is left"):
        cnntrain.fit(_raw(split_folder, bad_images="skip"), run_dir=tmp_path / "run")
