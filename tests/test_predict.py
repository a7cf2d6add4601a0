"""`cnntrain predict`: which pictures paths stand for, what is said about them, and what is printed where."""

import csv
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cnntrain
from cnntrain.cli import group, main
from cnntrain.data.ahead import made_ahead
from cnntrain.data.scanning.look import Look
from cnntrain.data.unlabelled import find_named
from cnntrain.errors import DataError, UsageError
from cnntrain.evaluation.predictions import Predictions, joined
from cnntrain.runs.run import Run
from cnntrain.training.events import Event, Message
from tests.conftest import WritePictures

SIDE = 12


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Run:
    folder = tmp_path_factory.mktemp("trained")
    for split in ("train", "validation"):
        write_pictures(folder / "pets" / split, {"ant": 4, "bee": 4, "cat": 4}, size=(SIDE, SIDE))
    raw = {
        "data": {"source": str(folder / "pets"), "image_size": [SIDE, SIDE], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}]},
        "train": {"epochs": 1},
    }
    return cnntrain.fit(raw, run_dir=folder / "run")


@pytest.fixture
def photos(tmp_path: Path, write_pictures: WritePictures, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Five pictures in `photos/`, one of them deeper; the test runs beside that folder."""
    monkeypatch.chdir(tmp_path)
    return write_pictures(Path("photos"), {".": 2, "deep": 1, "deep/er": 2}, size=(SIDE, SIDE))


def _names(*places: str | Path) -> list[str]:
    found, bad = find_named(places)
    assert bad == ()
    assert all(Path(picture.file).is_file() for picture in found)
    return [picture.name for picture in found]


def _posix(paths: Sequence[str | Path]) -> list[str]:
    return [Path(path).as_posix() for path in paths]


def _predict(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["predict", *map(str, arguments)])


def test_probabilities_are_those_of_the_model_on_the_same_pixels(trained: Run, photos: list[Path]) -> None:
    found = cnntrain.predict(trained, photos)
    assert found.paths == tuple(map(str, photos))
    assert found.classes == ("ant", "bee", "cat")
    assert found.problems == {}
    pixels = np.stack([np.asarray(Image.open(path), np.float32) for path in photos])
    expected = keras.models.load_model(trained.directory.model).predict(pixels, verbose=0)
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)


def test_pictures_agree_with_their_evaluation(trained: Run) -> None:
    folder = cnntrain.evaluate(trained, split="validation").folder
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["path"]: row for row in csv.DictReader(stream)}
    found = cnntrain.predict(trained, list(rows), output=folder / "again.csv")
    assert len(found.paths) == 12
    with (folder / "again.csv").open(encoding="utf-8", newline="") as stream:
        again = list(csv.DictReader(stream))
    assert list(again[0]) == ["path", "predicted", "confidence", "p_ant", "p_bee", "p_cat"]
    assert again == [{name: rows[row["path"]][name] for name in again[0]} for row in again]


def test_one_path_need_not_be_a_list(trained: Run, photos: list[Path]) -> None:
    assert cnntrain.predict(trained, str(photos[0])).paths == (str(photos[0]),)


def test_a_folder_stands_for_all_pictures_below_it(photos: list[Path]) -> None:
    Path("photos/notes.txt").write_text("no picture", encoding="utf-8")
    Path("photos/.hidden.png").write_bytes(photos[0].read_bytes())
    assert sorted(_posix(_names("photos"))) == sorted(_posix(photos))
    assert _posix(_names("./photos/deep/er")) == ["photos/deep/er/0000.png", "photos/deep/er/0001.png"]
    assert _posix(_names(Path("photos/deep/er").resolve())) == _posix([path.resolve() for path in photos[3:]])


def test_each_file_is_taken_once_where_it_is_named_first(photos: list[Path]) -> None:
    names = _names(photos[4], "photos", photos[0].resolve(), f"./{photos[1]}")
    assert names[0] == str(photos[4])
    assert sorted(_posix(names)) == sorted(_posix(photos))


def test_a_pattern_that_the_shell_left_alone_is_expanded(photos: list[Path]) -> None:
    assert _posix(_names("photos/*.png")) == _posix(photos[:2])
    assert _posix(_names("photos/**/0001.png")) == ["photos/0001.png", "photos/deep/er/0001.png"]
    assert _posix(_names("photos/d*p/e?")) == _posix(photos[3:])
    literal = photos[0].rename("photos/a[1].png")
    assert _names(literal) == [str(literal)]


def test_a_tilde_stands_for_a_home_only_where_there_is_one(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos[0].rename("~draft.png")
    assert _names("~draft.png") == ["~draft.png"]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert _names("~/photos/*.png") == [str(tmp_path / photos[1])]
    (nobody,) = find_named(["~nobody-of-that-name/*.png"])[0]
    assert nobody.name == str(Path("~nobody-of-that-name/*.png"))


def test_a_file_counts_whatever_it_is_called(trained: Run, photos: list[Path]) -> None:
    bare = photos[0].rename("photos/picture")
    assert cnntrain.predict(trained, [bare]).paths == (str(bare),)


def test_archives_and_tables_stand_for_their_pictures(photos: list[Path]) -> None:
    with zipfile.ZipFile("pets.zip", "w") as archive:
        for path in photos:
            archive.write(path, path.relative_to("photos"))
    assert sorted(_posix(_names("pets.zip"))) == sorted(f"pets.zip/{name.as_posix()[7:]}" for name in photos)
    Path("photos/some.csv").write_text("path,label\n0001.png,cat\ndeep/0000.png,dog\n", encoding="utf-8")
    assert _posix(_names("photos/some.csv")) == ["photos/0001.png", "photos/deep/0000.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_cannot_be_printed_are_escaped(trained: Run, photos: list[Path]) -> None:
    content = photos[0].read_bytes()
    odd = [os.fsdecode(name) for name in (b"two\nlines.png", b"\xff.png", "né\u202f猫.png".encode())]
    for name in odd:
        Path(name).write_bytes(content)
    result = _predict(trained.path, *odd, "--jsonl")
    assert result.exit_code == 0
    shown = [json.loads(line)["path"] for line in result.stdout.splitlines()]
    assert shown == ["two\\nlines.png", "\\udcff.png", "né\u202f猫.png"]


def _spoil(photos: list[Path]) -> dict[str, Path]:
    """A cut picture, an empty one, a text, and nothing at all."""
    bad = {name: Path("photos", f"{name}.png") for name in ("cut", "empty", "text", "missing")}
    bad["cut"].write_bytes(photos[0].read_bytes()[:60])
    bad["empty"].touch()
    bad["text"].write_text("no picture", encoding="utf-8")
    return bad


def test_bad_pictures_are_told_and_the_rest_is_done(
    trained: Run, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = _spoil(photos)
    with pytest.raises(SystemExit) as left:
        main(["predict", str(trained.path), *map(str, bad.values()), str(photos[0])])
    printed = capsys.readouterr()
    assert left.value.code == 3
    assert [line.split()[0] for line in printed.out.splitlines()] == [str(photos[0])]
    *told, last = printed.err.splitlines()
    assert [line.split(": ")[0] for line in told] == [str(path) for path in bad.values()]
    assert last.startswith("error: 4 of 5 pictures cannot be used")


def test_bad_pictures_stand_in_both_kinds_of_json(trained: Run, photos: list[Path]) -> None:
    bad = _spoil(photos)["empty"]
    result = _predict(trained.path, bad, photos[0], photos[1], "--jsonl", "--top", 2)
    assert isinstance(result.exception, DataError)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["path"] for line in lines] == [str(photos[0]), str(photos[1]), str(bad)]
    assert set(lines[0]) == {"path", "top", "probabilities"}
    assert set(lines[2]) == {"path", "problem"}
    assert list(lines[0]["probabilities"]) == ["ant", "bee", "cat"]
    assert sum(lines[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    ranked = sorted(lines[0]["probabilities"].items(), key=lambda item: -item[1])[:2]
    assert lines[0]["top"] == [{"class": name, "probability": value} for name, value in ranked]
    document = json.loads(_predict(trained.path, bad, photos[0], photos[1], "--json", "--top", 2).stdout)
    assert document == {"format": 1, "predictions": lines[:2], "problems": lines[2:]}


def test_predictions_never_replace_what_they_are_asked_of(trained: Run, photos: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"path,label\n{photos[0]},cat\n", encoding="utf-8")
    before = table.read_bytes()
    with pytest.raises(UsageError, match="would replace what they are asked of"):
        cnntrain.predict(trained, table, output=table)
    assert table.read_bytes() == before


def test_no_picture_at_all_is_an_error_of_the_data(trained: Run, photos: list[Path], tmp_path: Path) -> None:
    bad = _spoil(photos)
    Path("nothing").mkdir()
    told: list[Event] = []
    with pytest.raises(DataError, match=r"nothing: holds no pictures") as raised:
        cnntrain.predict(trained, "nothing", on_event=told.append)
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match=r"none of 4 paths can be used: .*cut\.png: .*; .*missing\.png: "):
        cnntrain.predict(trained, list(bad.values()))
    with pytest.raises(DataError, match="none is given"):
        cnntrain.predict(trained, [])
    with pytest.raises(DataError, match=r"photos/\*\.gif: "):
        cnntrain.predict(trained, "photos/*.gif")
    Path("broken.zip").write_bytes(b"no zip")
    found = cnntrain.predict(trained, ["nothing", photos[0], "broken.zip"], on_event=told.append)
    assert found.paths == (str(photos[0]),)
    assert set(found.problems) == {"nothing", "broken.zip"}
    assert [event.text.split(":")[0] for event in told if isinstance(event, Message)] == ["nothing", "broken.zip"]


def test_pixels_are_capped_as_the_run_says(photos: list[Path], trained: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.path, copy)
    config = copy / "config.yaml"
    capped = config.read_text(encoding="utf-8").replace("max_pixels: 50000000", "max_pixels: 143")
    config.write_text(capped, encoding="utf-8")
    assert cnntrain.predict(trained, photos).problems == {}
    with pytest.raises(DataError, match="none of 5"):
        cnntrain.predict(copy, photos)


def test_a_picture_is_turned_upright_first(trained: Run, photos: list[Path]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise is needed
    with Image.open(photos[0]) as stored:
        stored.save("turned.png", exif=exif)
        stored.transpose(Image.Transpose.ROTATE_270).save("upright.png")
    found = cnntrain.predict(trained, ["turned.png", "upright.png", photos[0]])
    turned, upright, as_stored = found.probabilities
    np.testing.assert_array_equal(turned, upright)
    assert np.abs(upright - as_stored).max() > 1e-3


def test_a_smoke_run_says_so(trained: Run, photos: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.path, copy)
    record = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    (copy / "run.json").write_text(json.dumps({**record, "smoke": True}), encoding="utf-8")
    told: list[Event] = []
    cnntrain.predict(copy, photos, on_event=told.append)
    assert Message("this was a smoke run: its model has learnt next to nothing") in told


FOUND = Predictions(
    paths=("a.png", "a longer 猫.png"),
    probabilities=np.array([[0.25, 0.5, 0.25], [0.125, 0.0, 0.875]], np.float32),
    classes=("ant", "bee", "caterpillar"),
    problems={},
)


def test_the_likeliest_classes_come_first_and_of_equals_the_first() -> None:
    best = dict(FOUND.top(5))
    assert best["a.png"] == (("bee", 0.5), ("ant", 0.25), ("caterpillar", 0.25))
    assert [name for name, _ in best["a longer 猫.png"]] == ["caterpillar", "ant", "bee"]
    assert [len(row) for _, row in FOUND.top(2)] == [2, 2]
    assert FOUND.to_csv().splitlines() == [
        "path,predicted,confidence,p_ant,p_bee,p_caterpillar",
        "a.png,bee,0.5,0.25,0.5,0.25",
        "a longer 猫.png,caterpillar,0.875,0.125,0,0.875",
    ]


DEFAULTS = {"output": None, "abstain": False, "coverage": 0.95, "device": "auto"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Puts a recorder in place of the library, which streams in two parts."""
    recorded: list[Any] = []

    def stream_predictions(*given: Any, **options: Any) -> Iterator[Predictions]:
        yield from (predict(*given, **options), predict(*given, **options))

    def predict(run: Path, paths: tuple[str, ...], **options: Any) -> Predictions:
        options.pop("on_event")
        recorded.append((run, paths, options))
        return FOUND

    monkeypatch.setattr(
        cnntrain, "api", SimpleNamespace(predict=predict, stream_predictions=stream_predictions), raising=False
    )
    return recorded


def test_a_table_is_aligned_in_a_pipe_too(calls: list[Any]) -> None:
    result = _predict("run", "a.png", "b*.png", "--top", 2, "--device", "cpu")
    assert result.stdout.splitlines() == [
        "a.png                    bee  0.5000  ant  0.2500",
        "a longer 猫.png  caterpillar  0.8750  ant  0.1250",
    ]
    assert calls == [(Path("run"), ("a.png", "b*.png"), {**DEFAULTS, "device": "cpu"})]


def test_a_csv_file_takes_the_place_of_the_table(calls: list[Any]) -> None:
    assert _predict("run", "a.png", "--output", "found.csv").stdout == "wrote 2 predictions to found.csv\n"
    assert calls[0][2] == {**DEFAULTS, "output": Path("found.csv")}
    lines = _predict("run", "a.png", "--output", "found.csv", "--jsonl").stdout.splitlines()
    assert [json.loads(line)["path"] for line in lines] == list(FOUND.paths) * 2


USAGE = [["run", "a", "--coverage", "0.9"], *(["run", "a", "--abstain", "--coverage", share] for share in ("0", "1.1"))]


@pytest.mark.parametrize("arguments", [["run"], ["run", "a", "--top", "0"], ["run", "a", "--json", "--jsonl"], *USAGE])
def test_wrong_usage_ends_with_2(calls: list[Any], arguments: list[str]) -> None:
    assert _predict(*arguments).exit_code == 2
    assert calls == []


def test_predictions_are_csv_and_say_so(trained: Run, photos: list[Path]) -> None:
    with pytest.raises(UsageError, match=r"ends in \.csv"):
        cnntrain.predict(trained, photos, output="found.xlsx")
    assert not Path("found.xlsx").exists()


@pytest.fixture
def many(tmp_path: Path, write_pictures: WritePictures) -> list[Path]:
    """70 pictures, three batches, the 5th and the last but one of them no pictures."""
    paths = write_pictures(tmp_path / "many", {"ant": 40, "cat": 30}, size=(SIDE, SIDE))
    for bad in (paths[4], paths[-2]):
        bad.write_text("no picture", encoding="utf-8")
    return paths


def test_a_stream_gives_batch_by_batch_what_predict_gives(trained: Run, many: list[Path]) -> None:
    parts = list(cnntrain.stream_predictions(trained, many))
    whole = cnntrain.predict(trained, many)
    assert [len(part.paths) for part in parts] == [32, 32, 4, 0]
    assert [list(part.problems) for part in parts] == [[str(many[4])], [], [str(many[-2])], []]
    assert whole.paths == tuple(str(path) for path in many if path not in (many[4], many[-2]))
    np.testing.assert_array_equal(joined(parts).probabilities, whole.probabilities)
    assert joined(parts).problems == whole.problems


def test_a_stream_looks_no_further_than_it_must(
    trained: Run, many: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnntrain.data import unlabelled

    seen: list[int] = []

    def look_at_all(paths: Sequence[str], **options: Any) -> tuple[Look, ...]:
        seen.append(len(paths))
        return real(paths, **options)

    real = unlabelled.look_at_all
    monkeypatch.setattr(unlabelled, "_FEWEST", 2)
    monkeypatch.setattr(unlabelled, "_MOST", 2)
    monkeypatch.setattr(unlabelled, "look_at_all", look_at_all)
    monkeypatch.setattr("cnntrain.evaluation.answering.BATCH", 2)
    stream = cnntrain.stream_predictions(trained, many)
    assert len(next(stream).paths) == 2
    time.sleep(0.5)  # what is made ahead is made by now
    assert 2 <= sum(seen) < 40
    stream.close()  # type: ignore[attr-defined]


def test_the_table_is_there_when_the_last_batch_was_given(trained: Run, many: list[Path]) -> None:
    stream = cnntrain.stream_predictions(trained, many, output=many[0].with_name("found.csv"))
    assert next(stream).paths[0] == str(many[0])
    assert not many[0].with_name("found.csv").exists()
    assert len(list(stream)) == 3
    rows = many[0].with_name("found.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 68
    assert sum(row.startswith("path,") for row in rows) == 1


def test_a_stream_that_is_left_writes_nothing(trained: Run, many: list[Path], tmp_path: Path) -> None:
    stream = cnntrain.stream_predictions(trained, many, output=tmp_path / "new" / "found.csv")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "new").exists()


def test_the_csv_of_a_stream_is_that_of_the_whole(trained: Run, many: list[Path], tmp_path: Path) -> None:
    found = cnntrain.predict(trained, many, output=tmp_path / "found.csv")
    assert (tmp_path / "found.csv").read_text(encoding="utf-8") == found.to_csv()


def test_a_reader_that_has_gone_ends_it_without_a_word(trained: Run, many: list[Path]) -> None:
    arguments = [sys.executable, "-m", "cnntrain", "predict", str(trained.path), *map(str, many), "--jsonl"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert [line for line in process.stderr if not line.startswith(str(many[0].parent))] == []
    assert process.returncode == 141


def test_what_is_made_ahead_is_made_in_a_thread_and_in_order() -> None:
    def items() -> Iterator[tuple[int, bool]]:
        for number in range(3):
            yield number, threading.current_thread() is threading.main_thread()
        raise LookupError("no more")

    made = made_ahead(items())
    assert [next(made) for _ in range(3)] == [(0, False), (1, False), (2, False)]
    with pytest.raises(LookupError, match="no more"):
        next(made)
    assert list(made_ahead(iter([]))) == []
