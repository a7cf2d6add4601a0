"""The page of a run: what stands in it, what it never does, and `cnntrain report` from files to the file."""

import base64
import hashlib
import json
import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import cnntrain
from cnntrain.api.mislabels import likely_mislabelled
from cnntrain.cli import group
from cnntrain.data.examples import read_examples
from cnntrain.errors import DataError, UsageError, WriteError
from cnntrain.evaluation.answers import Answers
from cnntrain.files import write_json
from cnntrain.reports import page as page_module
from cnntrain.reports.describing import readable_time, short_names
from cnntrain.reports.images import thumbnail, thumbnails
from cnntrain.reports.matrix import picture_order
from cnntrain.reports.page import render
from cnntrain.runs.run import Run, open_run
from tests.conftest import WritePictures
from tests.report_pages import HOSTILE, ParsedPage, made_answers, made_report, noise

MEGABYTE = 1_000_000
CLASSES = ("cat", "dog", "고양이 مرحبا 猫")


def _checksum(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _raw(page: str, tag: str) -> str:
    (found,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return str(found)


@pytest.mark.parametrize("classes", [CLASSES, HOSTILE], ids=["plain", "hostile"])
def test_a_page_loads_nothing_and_allows_only_its_own_code(classes: tuple[str, ...]) -> None:
    page = render(made_report(made_answers(classes, 60)))
    parsed = ParsedPage(page)
    sources = [attributes["src"] for attributes, *_ in parsed.all("img")]
    assert len(sources) > 60
    assert all(re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", source) for source in sources)
    assert all(attributes["href"].startswith("#") for attributes, *_ in parsed.all("a"))
    for attribute in ("srcset", "style", "action", "data", "background", "poster", "ping"):
        assert not any(attribute in attributes for _, attributes, _, _ in parsed.elements), attribute
    assert {tag for tag, *_ in parsed.elements} & {"link", "iframe", "object", "embed", "base", "form", "svg"} == set()
    assert not re.search(r"url\(|@import|//", _raw(page, "style"))
    ((meta, *_),) = parsed.all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in meta["content"].split(";"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{_checksum(_raw(page, 'style'))}'",
        "script-src": f"'sha256-{_checksum(_raw(page, 'script'))}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_names_are_text_wherever_they_stand() -> None:
    answers = made_answers(HOSTILE, 100, paths=[f'{HOSTILE[n % 5]}/<b>{n}</b>".jpg' for n in range(100)])
    names = {"name": HOSTILE[0], "status": f"failed: {HOSTILE[3]}", "warnings": HOSTILE, "command": HOSTILE[1]}
    parsed = ParsedPage(render(made_report(answers, **names)))
    assert len(parsed.all("script")) == 1
    assert not parsed.all("b", class_="x")
    assert not any(name.startswith("on") or name == "autofocus" for _, found, _, _ in parsed.elements for name in found)
    heads = [text for attributes, text, _ in parsed.all("bdi") if "title" in attributes]
    titles = [attributes["title"] for attributes, *_ in parsed.all("bdi") if "title" in attributes]
    assert heads == titles == [*HOSTILE, *HOSTILE]  # columns and rows of the matrix
    labels = [attributes["aria-label"] for attributes, _, _ in parsed.all("a") if "aria-label" in attributes]
    assert any(label.endswith(f"of {HOSTILE[0]} taken for {HOSTILE[1]}") for label in labels)
    files = {text for _, text, around in parsed.all("bdi", class_="file") if around}
    assert files == set(answers.paths)
    assert [text for _, text, _ in parsed.all("h1")] == [HOSTILE[0]]
    assert [text for _, text, _ in parsed.all("title")] == [f"{HOSTILE[0]} · cnntrain report"]


def test_letters_that_html_or_utf8_cannot_have_are_replaced() -> None:
    answers = made_answers(CLASSES, 6, paths=[f"bad \udcff \x00 \x1b name {n}" for n in range(6)])
    page = render(made_report(answers))
    assert "bad \ufffd \ufffd \ufffd name 3" in page
    page.encode("utf-8")


@pytest.mark.parametrize("count", [2, 10, 100])
def test_every_number_of_the_matrix_opens_its_pictures(count: int) -> None:
    answers = made_answers([f"class {n}" for n in range(count)], 300)
    parsed = ParsedPage(render(made_report(answers)))
    inside: dict[tuple[int, int], set[str]] = defaultdict(set)
    for path, truth, said in zip(answers.paths, answers.truth, answers.predicted, strict=True):
        inside[int(truth), int(said)].add(path)
    links = Counter((attributes["href"], text) for attributes, text, _ in parsed.all("a") if text.isdigit())
    expected = {(f"#cell-{truth}-{said}", str(len(names))) for (truth, said), names in inside.items()}
    assert set(links) == expected
    dialogs = {attributes["id"]: attributes for attributes, *_ in parsed.all("dialog")}
    assert set(dialogs) == {f"cell-{truth}-{said}" for truth, said in inside}
    shown: dict[str, set[str]] = defaultdict(set)
    for _, text, around in parsed.all("bdi", class_="file"):
        shown[around].add(text)
    for (truth, said), names in inside.items():
        assert shown[f"cell-{truth}-{said}"] == names
    ids = {attributes["id"] for _, attributes, _, _ in parsed.elements if "id" in attributes}
    assert {attributes["aria-labelledby"] for attributes in dialogs.values()} <= ids
    assert {attributes["href"][1:] for attributes, *_ in parsed.all("a")} <= ids
    assert all("alt" in attributes for attributes, *_ in parsed.all("img"))


def test_of_too_many_classes_confusions_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_IN_MATRIX", 12)
    answers = made_answers([f"class {n}" for n in range(13)], 400)
    parsed = ParsedPage(render(made_report(answers)))
    assert not parsed.all("table", id="matrix")
    confused = Counter(
        (int(truth), int(said)) for truth, said in zip(answers.truth, answers.predicted, strict=True) if truth != said
    )
    links = {attributes["href"]: text for attributes, text, _ in parsed.all("a") if text.isdigit()}
    assert links == {f"#cell-{truth}-{said}": str(count) for (truth, said), count in confused.items()}
    assert list(map(int, links.values())) == sorted(confused.values(), reverse=True)


def test_a_thousand_noisy_pictures_fit_into_five_megabytes() -> None:
    answers = made_answers(("cat", "dog"), 1000)
    report = made_report(answers, side=150)
    page = render(report)
    assert len(page.encode("utf-8")) < 5 * MEGABYTE
    assert report.measured is not None
    cells = {(cell.truth, cell.predicted): cell for cell in report.measured.cells}
    for cell in cells.values():
        assert len(cell.pictures) == cell.count or cell.is_right  # all wrong ones are there
    right = [len(cells[index, index].pictures) for index in (0, 1)]
    assert min(right) > 50
    assert max(right) - min(right) <= 1
    shown = sum(len(cell.pictures) for cell in cells.values())
    assert report.measured.left_out == 1000 - shown > 0
    assert f"{report.measured.left_out} pictures of 1,000 are left out" in page
    assert f"; {right[0]} shown" in page


def test_no_more_pictures_are_decoded_than_have_room() -> None:
    taken = []
    pictures = (taken.append(picture.shape) or picture for picture in noise(1000, 150))
    images = thumbnails(pictures, ("name",) * 1000, budget=100_000)
    assert 5 < len(images) < 20
    assert len(taken) == len(images) + 1
    assert sum(map(len, images)) <= 100_000


@pytest.mark.parametrize(("shape", "size"), [((8, 8, 1), (96, 96)), ((20, 10, 3), (40, 80)), ((300, 150, 3), (48, 96))])
def test_thumbnails_are_small_and_small_pictures_are_seen(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    import io

    from PIL import Image

    picture = np.random.default_rng(7).integers(0, 256, shape, np.uint8)
    kind, _, encoded = thumbnail(picture).partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert image.size == size
        shown = np.asarray(image.convert("RGB"))
    if kind == "data:image/png":  # each pixel is a square
        times = shown.shape[0] // shape[0]
        np.testing.assert_array_equal(shown[::times, ::times], np.broadcast_to(picture, (*shape[:2], 3)))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 99)), min_size=1, max_size=30))
def test_wrong_pictures_come_first_and_cells_take_turns(rows: list[tuple[int, int, int]]) -> None:
    probabilities = np.full((len(rows), 3), 0.0)
    for row, (_, said, percent) in zip(probabilities, rows, strict=True):
        row[:] = (1 - (1 + percent / 50) / 3) / 2
        row[said] = (1 + percent / 50) / 3
    answers = Answers(
        tuple(map(str, range(len(rows)))),
        np.array([truth for truth, *_ in rows], np.int64),
        probabilities.astype(np.float32),
        ("a", "b", "c"),
    )
    expected: list[int] = []
    for is_right in (False, True):
        queues = {
            cell: sorted(
                (n for n, (truth, said, _) in enumerate(rows) if (truth, said) == cell),
                key=lambda n: rows[n][2] if is_right else -rows[n][2],
            )
            for cell in sorted({(truth, said) for truth, said, _ in rows if (truth == said) is is_right})
        }
        while any(queues.values()):
            expected += [queue.pop(0) for queue in queues.values() if queue]
    assert picture_order(answers).tolist() == expected


def test_numbers_stand_with_their_intervals() -> None:
    answers = made_answers(CLASSES, 90)
    report = made_report(answers)
    assert report.measured is not None
    metrics = report.measured.metrics
    parsed = ParsedPage(render(report))
    assert [text for _, text, _ in parsed.all("span", class_="big")] == [f"{100 * metrics.accuracy.value:.1f} %"]
    rows = [text.split() for _, text, _ in parsed.all("tr") if text.startswith("cat") and " %" in text]
    assert metrics.classes[0].recall is not None
    assert f"{100 * metrics.classes[0].recall.low:.1f}" in " ".join(rows[0])
    text = parsed.all("main")[0][1]
    accuracy = metrics.accuracy
    assert f"interval {100 * accuracy.low:.1f} % to {100 * accuracy.high:.1f} %" in text
    error = metrics.calibration.error
    assert f"{100 * error.value:.1f} % {100 * error.low:.1f} % to {100 * error.high:.1f} %" in text
    assert "labels of 3 pictures, of which the clearest 1 follow" in text


def test_what_is_missing_is_said() -> None:
    parsed = ParsedPage(
        render(made_report(made_answers(CLASSES, 9), measured=None, suspicions=None, curves=None, best="", notes=()))
    )
    text = parsed.all("main")[0][1]
    for sentence in ("Nothing is measured", "Nobody looked for them", "No epoch was over"):
        assert sentence in text
    assert not parsed.all("dialog")
    ids = {f"#{attributes['id']}" for _, attributes, *_ in parsed.elements if "id" in attributes}
    assert {attributes["href"] for attributes, *_ in parsed.all("a")} <= ids  # no link leads nowhere
    assert "There are none: every picture was recognised" in render(made_report(made_answers(CLASSES, 9, wrong=0.0)))


def test_names_lose_the_folders_they_share() -> None:
    assert short_names(["/a/b/test/cat/1.png", "/a/b/train/2.png"]) == {
        "/a/b/test/cat/1.png": "test/cat/1.png",
        "/a/b/train/2.png": "train/2.png",
    }
    assert short_names(["/a/1.png"]) == {"/a/1.png": "1.png"}
    assert short_names([]) == {}
    assert readable_time("2026-11-22T12:29:39+00:00") == "2026-11-22 12:29 UTC"
    assert readable_time("long ago") == "long ago"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Run:
    folder = tmp_path_factory.mktemp("trained")
    for split in ("train", "validation", "test"):
        write_pictures(folder / "pets" / split, {"cat": 8, "dog & co": 8}, size=(60, 60))
    raw = {
        "data": {"source": str(folder / "pets"), "image_size": [60, 60], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}, {"filters": 4}], "head": {"layers": []}},
        "train": {"epochs": 2, "learning_rate": 0.02},
    }
    return cnntrain.fit(raw, run_dir=folder / "my run")


@pytest.fixture
def copied(trained: Run, tmp_path: Path) -> Run:
    return open_run(Path(shutil.copytree(trained.path, tmp_path / "run")))


def _report(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["report", *map(str, arguments)], catch_exceptions=False)


def test_the_command_writes_the_page_and_prints_its_path(trained: Run) -> None:
    result = _report(trained.path)
    assert result.exit_code == 0
    file = trained.path / "report.html"
    assert result.stdout == f"{file}\n"
    parsed = ParsedPage(file.read_text(encoding="utf-8"))
    measured = cnntrain.evaluate(trained).metrics
    text = parsed.all("main")[0][1]
    assert f"{100 * measured.accuracy.value:.1f} %accuracy on 16 test pictures" in " ".join(text.split()).replace(
        " accuracy", "accuracy"
    )
    links = {attributes["href"]: int(text) for attributes, text, _ in parsed.all("a") if text.isdigit()}
    assert links == {
        f"#cell-{truth}-{said}": count
        for truth, row in enumerate(measured.confusion)
        for said, count in enumerate(row)
        if count
    }
    assert sum(around != "" for *_, around in parsed.all("img")) == 16
    wrong = sum(sum(row) for row in measured.confusion) - sum(row[n] for n, row in enumerate(measured.confusion))
    assert len(parsed.all("div", class_="pair")) == min(12, wrong)
    assert trained.directory.config.read_text(encoding="utf-8").strip() in text
    assert f"cnntrain fit '{trained.directory.config}' --run-dir '{trained.path}_again'" in text
    assert not parsed.all("div", class_="warnings")


def test_what_was_measured_stays_when_the_pictures_are_gone(copied: Run) -> None:
    cnntrain.evaluate(copied)
    moved = Path(copied.config.data.source).rename(copied.path / "elsewhere")
    try:
        result = _report(copied.path)
    finally:
        moved.rename(copied.config.data.source)
    assert result.exit_code == 0
    assert "no pictures are shown: 16 of 16 test pictures of the run are gone" in result.stderr
    parsed = ParsedPage((copied.path / "report.html").read_text(encoding="utf-8"))
    assert "accuracy on 16 test pictures" in parsed.all("main")[0][1]
    assert len(parsed.all("img")) == 4  # figures


def test_no_answer_stands_below_another_picture(copied: Run) -> None:
    cnntrain.evaluate(copied)
    likely_mislabelled(copied)  # so that nothing asks for the pictures any more
    pictures = [Path(example.path) for example in read_examples(copied.directory.examples)]
    stored = [picture.read_bytes() for picture in pictures]
    try:
        for picture, content in zip(pictures, reversed(stored), strict=True):
            picture.write_bytes(content)
        result = _report(copied.path)
    finally:
        for picture, content in zip(pictures, stored, strict=True):
            picture.write_bytes(content)
    assert result.exit_code == 0
    assert "no pictures are shown: " in result.stderr
    assert "is gone or not what it was when the run was fitted" in result.stderr
    parsed = ParsedPage((copied.path / "report.html").read_text(encoding="utf-8"))
    assert "accuracy on 16 test pictures" in parsed.all("main")[0][1]
    assert len(parsed.all("img")) == 4  # figures


def test_another_place_and_json(trained: Run, tmp_path: Path) -> None:
    result = _report(trained.path, "--output", tmp_path / "new" / "page.html", "--split", "validation", "--json")
    assert json.loads(result.stdout) == {"report": str(tmp_path / "new" / "page.html")}
    page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert "16 validation pictures" in page
    assert "by which the best epoch was chosen: the results are too good" in page


def test_training_pictures_are_not_taken_for_held_out_ones(trained: Run, tmp_path: Path) -> None:
    result = _report(trained.path, "--output", tmp_path / "page.html", "--split", "train")
    assert "warning: everything is measured on the pictures that the model was trained on" in result.stderr
    assert "that the model was trained on: the results are too good" in (tmp_path / "page.html").read_text("utf-8")


def test_what_cannot_be_done_is_an_error(copied: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"ends in \.html"):
        cnntrain.report(copied, output=tmp_path / "page.pdf")
    table = copied.directory.examples
    table.write_text(table.read_text("utf-8").replace(",validation,", ",test,"), "utf-8")
    with pytest.raises(DataError, match="no validation pictures"):
        cnntrain.report(copied, split="validation")
    (copied.path / "report.html").write_text("an earlier one", encoding="utf-8")
    monkeypatch.setattr(page_module, "_part", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cnntrain.report(copied)
    assert (copied.path / "report.html").read_text(encoding="utf-8") == "an earlier one"
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.undo()
    with pytest.raises(WriteError, match="page"):
        cnntrain.report(copied, output=tmp_path / "file" / "page.html")


def test_without_test_pictures_those_of_validation_are_taken(copied: Run) -> None:
    table = copied.directory.examples
    rows = [row for row in table.read_text(encoding="utf-8").splitlines() if ",test," not in row]
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    result = _report(copied.path)
    assert result.exit_code == 0
    assert "warning: the run has no test pictures" in result.stderr
    page = (copied.path / "report.html").read_text(encoding="utf-8")
    assert "accuracy on 16 validation pictures" in page
    ((_, warnings, _),) = ParsedPage(page).all("div", class_="warnings")
    assert "by which the best epoch was chosen" in warnings


def test_a_run_that_ended_early_has_a_page_that_says_so(copied: Run) -> None:
    record = json.loads(copied.directory.record.read_text(encoding="utf-8"))
    write_json(copied.directory.record, {**record, "status": "interrupted", "best": None, "smoke": True})
    copied.directory.model.unlink()
    copied.directory.history.unlink()
    result = _report(copied.path)
    assert result.exit_code == 0
    assert "nothing is measured" in result.stderr
    parsed = ParsedPage((copied.path / "report.html").read_text(encoding="utf-8"))
    ((_, warnings, _),) = parsed.all("div", class_="warnings")
    for said in ("smoke run", "not finished (interrupted)", "nothing is measured", "labels are not checked"):
        assert said in warnings
    assert not parsed.all("dialog")
    assert "No epoch was over" in parsed.all("main")[0][1]
