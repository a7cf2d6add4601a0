"""`cnntrain scan` as a user meets it."""

import csv
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import cnntrain
import cnntrain.api
from cnntrain.cli import group, main
from cnntrain.errors import DataError, UsageError


@pytest.fixture
def spoiled(split_folder: Path) -> Path:
    """Two dozen good pictures and some trouble."""
    (split_folder / "train/cat/empty.png").write_bytes(b"")
    shutil.copy(split_folder / "train/dog/0000.png", split_folder / "test/dog/copy.png")
    Image.open(split_folder / "train/dog/0001.png").save(split_folder / "train/dog/jpeg inside.png", "JPEG")
    (split_folder / "train/dog/._0000.png").write_bytes(b"left by a Mac")
    (split_folder / "train/dog/raw.tiff").write_bytes(b"II*\0")
    return split_folder


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_the_table_names_what_is_wrong_and_nothing_changes(spoiled: Path) -> None:
    before = _snapshot(spoiled)
    done = CliRunner().invoke(group, ["scan", str(spoiled)])
    assert done.exit_code == 0, done.output
    assert _snapshot(spoiled) == before
    lines = done.stdout.splitlines()
    assert lines[0] == f"51 pictures (49 png, 1 jpeg) in {spoiled}"
    assert "cat       13           6     6" in lines
    assert "error    empty (1): zero bytes" in lines
    assert "           train/cat/empty.png: zero bytes" in lines
    assert "           test/dog/copy.png = train/dog/0000.png" in lines
    assert "           train/dog/jpeg inside.png" in lines
    assert lines[-1] == "note     passed_over: files of kinds that are not read: 1 .tiff"


def test_pictures_outside_the_splits_are_told(split_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(split_folder / "test/cat", split_folder / "extra/cat")
    for path in (split_folder / "extra/cat").iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    found = {finding.code: finding for finding in cnntrain.scan(split_folder).findings}
    assert found["left_out"].what.startswith("6 pictures are outside train, validation and test, extra/cat/")
    config = {
        "data": {"source": str(split_folder), "image_size": [12, 12]},
        "model": {"kind": "convnet", "blocks": [{"filters": 2}]},
        "train": {"epochs": 1},
    }
    run = cnntrain.fit(config, run_dir=tmp_path / "run")
    assert any("6 pictures are outside" in note for note in run.record.notes)


def test_json_and_csv_hold_all_of_it(spoiled: Path, tmp_path: Path) -> None:
    table = tmp_path / "out/pictures.csv"
    done = CliRunner().invoke(group, ["scan", str(spoiled), "--json", "--csv", str(table)])
    document = json.loads(done.stdout)
    codes = {finding["code"]: finding for finding in document["findings"]}
    assert document["pictures"] == 51
    assert document["counts"]["train"] == {"cat": 13, "dog": 13}
    assert codes["copies_across_splits"]["sets"] == [["test/dog/copy.png", "train/dog/0000.png"]]
    assert codes["empty"]["problems"] == ["zero bytes"]
    with table.open(encoding="utf-8") as stream:
        rows = {row["path"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 51
    assert rows["train/dog/jpeg inside.png"]["kind"] == "jpeg"
    assert CliRunner().invoke(group, ["scan", str(spoiled), "--json", "--csv"]).exit_code == 2


def test_strict_ends_with_the_exit_code_for_bad_data(
    spoiled: Path, split_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["scan", str(spoiled), "--strict"])
    assert caught.value.code == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error:")
    assert "empty, copies_across_splits" in error
    (spoiled / "train/cat/empty.png").unlink()
    (spoiled / "test/dog/copy.png").unlink()
    with pytest.raises(SystemExit) as caught:
        main(["scan", str(split_folder), "--strict"])
    assert caught.value.code == 0


def test_the_table_never_replaces_its_source(split_folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    first, *_ = sorted((split_folder / "train/cat").iterdir())
    table.write_text(f"path,label\n{first},cat\n", encoding="utf-8")
    before = table.read_bytes()
    with pytest.raises(UsageError, match="would replace its source"):
        cnntrain.api.write_scan(cnntrain.scan(table), table)
    assert table.read_bytes() == before


def test_pictures_without_a_class_are_told(split_folder: Path) -> None:
    shutil.copy(split_folder / "test/cat/0000.png", split_folder / "train/loose.png")
    (finding,) = [each for each in cnntrain.scan(split_folder / "train").findings if each.code == "no_class"]
    assert (finding.level, finding.pictures) == ("warning", ("loose.png",))


def test_labels_and_splits_may_be_missing(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("L", (40, 40), number).save(tmp_path / f"{number}.png")
    found = cnntrain.scan(tmp_path)
    assert found.counts == {"": {"": 3}}
    assert cnntrain.scan(tmp_path, label_regex=r"(\d)\.png").counts == {"": {"0": 1, "1": 1, "2": 1}}
    with pytest.raises(DataError, match="there is no folder"):
        cnntrain.scan(tmp_path / "none")


def test_an_archive_is_scanned_under_its_own_name(split_folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "pets.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(split_folder.rglob("*.png")):
            packed.write(path, path.relative_to(split_folder).as_posix())
    found = cnntrain.scan(archive)
    assert found.name == str(archive)
    assert found.counts["validation"] == {"cat": 6, "dog": 6}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pets", "pets.zip"]


def test_the_cap_on_pixels_is_the_users(split_folder: Path) -> None:
    found = cnntrain.scan(split_folder, max_pixels=24 * 24 - 1)
    assert [finding.code for finding in found.findings if finding.level == "error"] == ["too_large"]
    assert len(found.findings[0].pictures) == 48


def test_through_a_pipe_there_is_nothing_but_the_table(spoiled: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cnntrain", "scan", str(spoiled), "--csv"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 52
