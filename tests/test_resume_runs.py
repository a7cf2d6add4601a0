"""`cnntrain fit --resume` on run directories: what it goes on with, what it refuses, what it says."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cnntrain
from cnntrain.cli.fit import command
from cnntrain.errors import InterruptedRunError, RunError, TrainingError, UsageError, WriteError
from cnntrain.runs.history import read_history
from cnntrain.runs.lock import locked
from cnntrain.runs.run import Run
from cnntrain.runs.state import State, States
from cnntrain.training.events import EpochDone, Event, Message, StageStarted, StepDone


def _raw(folder: Path, **train: Any) -> dict[str, Any]:
    return {
        "data": {"source": str(folder), "image_size": [12, 12], "batch_size": 8},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}], "head": {"layers": [{"dropout": 0.2}]}},
        "train": {"epochs": 3, "learning_rate": 0.01, **train},
    }


class _Stopping:
    """Sends a signal to its own process in a certain step of a certain epoch; notes what it is told."""

    def __init__(self, epoch: int = 0, step: int = 0, *, number: int = signal.SIGTERM) -> None:
        self._place, self._number, self._epoch = (epoch, step), number, 1
        self.lines: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, EpochDone):
            self._epoch = event.row.epoch + 1
        if isinstance(event, Message):
            self.lines.append(event.text)
        if isinstance(event, StepDone) and event.task == "epoch" and (self._epoch, event.step) == self._place:
            signal.raise_signal(self._number)
            _until_noted(self.lines)


def _until_noted(lines: list[str]) -> None:
    """The thread that reads signals tells them; a test must not be faster than it."""
    end = time.monotonic() + 10
    while not any("stops after this batch" in line for line in lines) and time.monotonic() < end:
        time.sleep(0.005)


@pytest.fixture
def stopped(split_folder: Path, tmp_path: Path) -> Path:
    """A run that was stopped in its second epoch."""
    place = tmp_path / "run"
    with pytest.raises(InterruptedRunError):
        cnntrain.fit(_raw(split_folder), run_dir=place, on_event=_Stopping(2, 2))
    return place


def _variables(run: Run) -> list[Any]:
    return keras.models.load_model(run.directory.model).get_weights()


def _numbers(run: Run) -> list[tuple[Any, ...]]:
    return [(r.stage, r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy, r.learning_rate) for r in run.history]


def test_a_stopped_run_says_so_and_keeps_state_and_best_model(stopped: Path) -> None:
    record = json.loads((stopped / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "interrupted"
    assert len(list((stopped / "state").glob("0*.safetensors"))) == 2
    assert (stopped / "model.keras").is_file()
    assert [row.epoch for row in read_history(stopped / "history.csv")] == [1]


def test_going_on_gives_the_run_that_was_never_stopped(stopped: Path, split_folder: Path, tmp_path: Path) -> None:
    whole = cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "whole")
    listener = _Stopping()
    resumed = cnntrain.fit(_raw(split_folder), run_dir=stopped, resume=True, on_event=listener)
    assert listener.lines[0].startswith("goes on at epoch 2, step 2, from 0000000")
    assert _numbers(resumed) == _numbers(whole)
    for one, two in zip(_variables(resumed), _variables(whole), strict=True):
        np.testing.assert_array_equal(one, two)
    record = resumed.record
    assert record.status == "finished"
    assert [(one.epoch, one.step, one.forced) for one in record.resumed] == [(2, 2, ())]
    assert not resumed.directory.state.exists()
    before = json.loads((tmp_path / "whole" / "run.json").read_text(encoding="utf-8"))
    assert record.best is not None
    assert before["best"]["value"] == record.best.value


def test_a_finished_run_says_that_it_is_finished_and_stays_as_it_is(split_folder: Path, tmp_path: Path) -> None:
    run = cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run", resume=True)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    listener = _Stopping()
    again = cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run", resume=True, on_event=listener)
    assert listener.lines == [f"{run.path} is finished after 3 epochs: there is nothing to go on with"]
    assert again.record == run.record
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    with pytest.raises(RunError, match=r"is finished, and its configuration was another: train.epochs was 3, is 9; "):
        cnntrain.fit(_raw(split_folder, epochs=9), run_dir=tmp_path / "run", resume=True)


def test_a_run_can_be_gone_on_with_by_its_own_configuration(stopped: Path) -> None:
    assert cnntrain.fit(stopped / "config.yaml", run_dir=stopped, resume=True).record.status == "finished"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"train": {"learning_rate": 0.02}}, "train.learning_rate was 0.01, is 0.02"),
        ({"model": {"blocks": [{"filters": 5}]}}, "model.blocks[0].filters was 4, is 5"),
        ({"augment": {"flip": "horizontal"}}, "augment.flip was none, is horizontal"),
        ({"seed": 7}, "seed was 1337, is 7"),
    ],
)
def test_another_configuration_is_refused(stopped: Path, split_folder: Path, change: dict[str, Any], what: str) -> None:
    raw = _raw(split_folder)
    raw = {
        **raw,
        **{key: {**raw.get(key, {}), **part} if isinstance(part, dict) else part for key, part in change.items()},
    }
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    with pytest.raises(RunError) as caught:
        cnntrain.fit(raw, run_dir=stopped, resume=True)
    assert what in str(caught.value)
    assert "--force-resume" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before


def test_what_decides_no_numbers_may_change(stopped: Path, split_folder: Path) -> None:
    raw = _raw(split_folder, save_every=2, on_nan="rollback")
    raw["data"]["cache"] = "disk"
    run = cnntrain.fit(raw, run_dir=stopped, resume=True)
    assert (run.config.train.save_every, run.config.data.cache) == (2, "disk")
    assert run.record.resumed[0].forced == ()


def test_another_code_is_refused_and_can_be_forced(
    stopped: Path, split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnntrain.training.session.code_digest", lambda: "0123456789abcdef")
    with pytest.raises(RunError, match=r"code was [0-9a-f]{16}, is 0123456789abcdef; put that back"):
        cnntrain.fit(_raw(split_folder), run_dir=stopped, resume=True)
    assert json.loads((stopped / "run.json").read_text(encoding="utf-8"))["status"] == "interrupted"
    listener = _Stopping()
    run = cnntrain.fit(_raw(split_folder), run_dir=stopped, force_resume=True, on_event=listener)
    assert run.record.resumed[0].forced[0].endswith("is 0123456789abcdef")
    assert any(line.startswith("warning: --force-resume: code was") for line in listener.lines)


def test_other_pictures_are_refused(stopped: Path, split_folder: Path) -> None:
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(split_folder / "train" / "cat" / "0003.png")
    with pytest.raises(RunError, match="the train pictures are others, or in another order"):
        cnntrain.fit(_raw(split_folder), run_dir=stopped, resume=True)


def test_a_longer_training_can_be_forced(stopped: Path, split_folder: Path) -> None:
    run = cnntrain.fit(_raw(split_folder, epochs=5), run_dir=stopped, force_resume=True)
    assert [row.epoch for row in run.history] == [1, 2, 3, 4, 5]
    assert run.config.train.epochs == 5
    assert run.record.resumed[0].forced == ("train.epochs was 3, is 5",)


def test_another_network_cannot_be_forced_and_leaves_the_run_as_it_is(stopped: Path, split_folder: Path) -> None:
    raw = _raw(split_folder)
    raw["model"]["blocks"] = [{"filters": 5}]
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="the state is of another network"):
        cnntrain.fit(raw, run_dir=stopped, force_resume=True)
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before
    assert cnntrain.fit(_raw(split_folder), run_dir=stopped, resume=True).record.status == "finished"


def test_a_damaged_newest_state_is_told_and_the_one_before_gives_the_same_run(
    stopped: Path, split_folder: Path, tmp_path: Path
) -> None:
    newest = max((stopped / "state").glob("0*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    listener = _Stopping()
    run = cnntrain.fit(_raw(split_folder), run_dir=stopped, resume=True, on_event=listener)
    assert listener.lines[0] == f"warning: {newest} is damaged; the state before it is taken"
    assert _numbers(run) == _numbers(cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "whole"))


def test_a_run_that_had_just_begun_begins_anew(stopped: Path, split_folder: Path) -> None:
    for path in [*(stopped / "state").iterdir(), stopped / "model.keras"]:
        path.unlink()
    run = cnntrain.fit(_raw(split_folder), run_dir=stopped, resume=True)
    assert run.record.status == "finished"
    assert run.record.resumed == ()


def test_a_model_without_a_state_is_not_replaced(stopped: Path, split_folder: Path) -> None:
    for path in (stopped / "state").iterdir():
        path.unlink()
    before = (stopped / "model.keras").read_bytes()
    with pytest.raises(RunError, match="holds a model and no state to go on from; choose another --run-dir"):
        cnntrain.fit(_raw(split_folder), run_dir=stopped, resume=True)
    assert (stopped / "model.keras").read_bytes() == before


def test_what_is_not_a_run_is_not_touched(split_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("words", encoding="utf-8")
    with pytest.raises(WriteError, match="is not a run"):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "mine", resume=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_overwriting_and_going_on_exclude_each_other(split_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give one of them"):
        cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run", resume=True, overwrite=True)


def test_a_run_that_failed_can_be_gone_on_with(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnntrain.training.loop import Trainer

    measure = Trainer._measure

    def fail(self: Trainer, *arguments: Any) -> Any:
        if self.progress.epoch == 2:
            raise MemoryError
        return measure(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_measure", fail)
        with pytest.raises(TrainingError, match="out of memory with batches of 8 pictures of 12x12 pixels"):
            cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run")
    run = cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "run", resume=True)
    assert (run.record.status, run.record.error) == ("finished", "")
    assert _numbers(run) == _numbers(cnntrain.fit(_raw(split_folder), run_dir=tmp_path / "whole"))


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGUSR1")
def test_a_state_can_be_asked_for_while_it_trains(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    write = States.write

    def noting(self: States, state: State, **options: Any) -> Path:
        steps.append(state.info["progress"]["step"])
        return write(self, state, **options)

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.task == "epoch":
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.05)

    monkeypatch.setattr(States, "write", noting)
    run = cnntrain.fit(_raw(split_folder, epochs=1), run_dir=tmp_path / "run", on_event=listen)
    assert run.record.status == "finished"
    assert any(steps)


def test_the_best_model_so_far_is_put_together_at_the_end_of_a_stage(split_folder: Path, tmp_path: Path) -> None:
    place, seen = tmp_path / "run", []

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone | StageStarted):
            seen.append((place / "model.keras").exists())

    stages = [{"name": "one", "epochs": 2}, {"name": "two", "epochs": 1}]
    run = cnntrain.fit(_raw(split_folder, stages=stages), run_dir=place, on_event=listen)
    assert seen == [False, False, False, True, True]
    assert run.record.status == "finished"


def test_a_smoke_run_goes_on_as_one(split_folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    raw = _raw(tmp_path / "nowhere")
    with pytest.raises(InterruptedRunError):
        cnntrain.fit(raw, run_dir=place, smoke=True, on_event=_Stopping(1, 1))
    run = cnntrain.fit(raw, run_dir=place, smoke=True, resume=True)
    assert run.record.smoke
    assert _numbers(run) == _numbers(cnntrain.fit(raw, run_dir=tmp_path / "whole", smoke=True))


@pytest.mark.slow
def test_folds_that_are_done_stay_and_the_others_follow(
    split_folder: Path, tmp_path: Path, write_pictures: Any
) -> None:
    source = tmp_path / "pets_raw"
    write_pictures(source, {"cat": 8, "dog": 8})
    cnntrain.split(source, tmp_path / "folds", folds=2)
    raw = _raw(tmp_path / "folds", epochs=1)
    stopping, seen = _Stopping(1, 1), [0]

    def listen(event: Event) -> None:
        if isinstance(event, Message) and event.text.startswith("fold "):
            seen[0] += 1
            stopping._epoch = 1
        if seen[0] == 2:
            stopping(event)

    with pytest.raises(InterruptedRunError):
        cnntrain.fit_folds(raw, run_dir=tmp_path / "runs", on_event=listen)
    first = (tmp_path / "runs" / "fold_0" / "run.json").read_bytes()
    found = cnntrain.fit_folds(raw, run_dir=tmp_path / "runs", resume=True)
    assert (tmp_path / "runs" / "fold_0" / "run.json").read_bytes() == first
    assert [len(run.record.resumed) for run in found.runs] == [0, 1]
    whole = cnntrain.fit_folds(raw, run_dir=tmp_path / "whole")
    assert [_numbers(run) for run in found.runs] == [_numbers(run) for run in whole.runs]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGUSR1")
def test_a_wish_for_a_state_that_comes_before_the_training_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGUSR1)
        raise UsageError("alive")

    monkeypatch.setattr("cnntrain.api.fit", fit)
    before = signal.getsignal(signal.SIGUSR1)
    try:
        assert str(CliRunner().invoke(command, ["config.yaml"]).exception) == "alive"
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_folds_are_trained_by_one_process(split_folder: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "folds"), pytest.raises(WriteError, match="folds is in use by process"):
        cnntrain.fit_folds(_raw(split_folder), run_dir=tmp_path / "folds", overwrite=True)


def test_an_interruption_tells_the_command_that_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fit(*_: Any, **__: Any) -> None:
        raise InterruptedRunError("interrupted at epoch 2, step 3", signal.SIGTERM)

    monkeypatch.setattr("cnntrain.api.fit", fit)
    given = [
        "my config.yaml",
        "--run-dir",
        "out",
        "--set",
        "seed=1",
        "--set",
        "train.epochs=3",
        "--overwrite",
        "--smoke",
    ]
    done = CliRunner().invoke(command, [*given, "--device", "cpu"])
    assert isinstance(done.exception, InterruptedRunError)
    assert done.exception.exit_code == 143
    said = str(done.exception)
    assert said.startswith("interrupted at epoch 2, step 3; go on with: cnntrain fit 'my config.yaml' --run-dir out ")
    assert said.endswith("--set seed=1 --set train.epochs=3 --smoke --device cpu --resume")
