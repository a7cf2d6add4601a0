"""One training from its first file to its last: what is written into the run directory, and when."""

import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.config import Config, config_to_yaml
from cnntrain.config.stages import plan_stages
from cnntrain.data.data_set import DataSet
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.examples import SPLITS, write_examples
from cnntrain.data.fingerprint import fingerprint, order_hashes, split_hashes
from cnntrain.data.pipeline import open_pictures
from cnntrain.errors import CnntrainError, InterruptedRunError, RunError, WriteError
from cnntrain.files import temporary_folder, write_json, write_text
from cnntrain.models.network import Network
from cnntrain.runs.directory import RunDirectory
from cnntrain.runs.history import write_history
from cnntrain.runs.identity import as_json, differences, identity
from cnntrain.runs.log import append_line, now
from cnntrain.runs.model_file import save_model
from cnntrain.runs.record import Resumed, RunRecord, Status, write_record
from cnntrain.runs.run import write_classes
from cnntrain.runs.state import Found, States
from cnntrain.runtime import Device, code_digest, versions
from cnntrain.training.bank.shelf import FOLDER, Shelf, cache_limit, open_shelf
from cnntrain.training.checkpoints import Checkpointed, Checkpoints
from cnntrain.training.events import Event, Message, OnEvent, as_line
from cnntrain.training.failures import failures_told
from cnntrain.training.inputs import Opened
from cnntrain.training.loop import Trainer
from cnntrain.training.memory_watch import memory_watched
from cnntrain.training.progress import Progress
from cnntrain.training.signals import Interrupted, Signals, noted
from cnntrain.training.verifying import check_saved, few_pictures


@dataclass(frozen=True)
class Job:
    """What is to be trained.

    Args:
        config: Resolved.
        asked: What was chosen from: the same with what it left open.
        data_set: Inspected pictures.
        network: Built from the configuration, with its initial weights.
        device: What it runs on.
        smoke: Whether it is only a trial.
        notes: What the user is told before it starts.
    """

    config: Config
    asked: Config
    data_set: DataSet
    network: Network
    device: Device
    smoke: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """What a run that is gone on with has left.

    Args:
        record: Its record.
        forces: Whether it is of no matter if something differs now.
    """

    record: RunRecord
    forces: bool = False


class Session:
    """A training in its run directory.

    Args:
        job: What is trained.
        directory: Where: new and empty but for generated pictures, or that of the run that is gone on with.
        on_event: Told what happens, besides the log.
        earlier: The run that is gone on with, absent for a new one.

    Raises:
        RunError: The run cannot be gone on with; it is left as it was.
    """

    def __init__(self, job: Job, directory: RunDirectory, on_event: OnEvent, *, earlier: Earlier | None = None) -> None:
        self._job = job
        self._directory = directory
        self._listener = on_event
        self._states = States(directory.state)
        self._data = _as_recorded(job.data_set)
        self._trainer: Trainer | None = None
        self._notes = list(earlier.record.notes) if earlier else []
        self._started = earlier.record.started if earlier else now()
        self._clock = time.perf_counter() - (earlier.record.timings.get("total", 0.0) if earlier else 0.0)
        self._best = earlier.record.best if earlier else None
        self._asked = earlier.record.asked if earlier and not earlier.forces else as_json(job.asked)
        self._resumed = earlier.record.resumed if earlier else ()
        self._found = self._find_state(earlier) if earlier else None

    @property
    def _progress(self) -> Progress:
        return self._trainer.progress if self._trainer else Progress()

    def begin(self) -> None:
        """Writes everything that is known before the first step. Raises WriteError."""
        directory, job = self._directory, self._job
        write_record(directory.record, self._record("running", ""))
        write_text(directory.config, config_to_yaml(job.config))
        write_examples(directory.examples, job.data_set.examples)
        write_classes(directory.classes, job.data_set.classes)
        write_json(directory.preprocessing, preprocessing_of(job.config.data).to_json())
        for note in job.notes:
            self._on_event(Message(note))

    def run(self) -> None:
        """Trains after `begin`, and leaves a run directory that says how it went, whatever happens.

        Raises:
            TrainingError: The loss is not finite, or the memory is used up.
            DataError: A picture has gone or changed since it was looked at.
            ModelFileError: The saved model is not the network that was trained.
            InterruptedRunError: Ctrl-C or SIGTERM, be it too late; what was done so far is saved.
            WriteError: A file cannot be written.
        """
        signals = Signals(self._on_stop)
        try:
            config, tell = self._job.config, lambda line: self._on_event(Message(line))
            with noted(signals), memory_watched(config, tell), failures_told(config, self._job.data_set.examples):
                pictures = few_pictures(config, self._job.data_set)  # while they are there
                self._train(signals)
                self._finish(pictures)
        except KeyboardInterrupt as error:
            self._give_up("interrupted", f"by a signal at {self._progress.place}")
            raise InterruptedRunError(f"interrupted at {self._kept()}", getattr(error, "signal_number", 2)) from error
        except BaseException as error:
            self._give_up("failed", str(error) if isinstance(error, CnntrainError) else repr(error))
            raise
        try:
            signals.obey()
        except Interrupted as error:  # it came too late to stop this training, but not what would have come after it
            raise InterruptedRunError(
                f"interrupted when {self._directory.path} was finished", error.signal_number
            ) from error

    def _kept(self) -> str:
        """Where an interrupted run stands, and what it leaves."""
        place, model = self._progress.place, self._directory.model
        if self._progress.best and model.exists():
            return f"{place}; the best model so far is in {model}"
        return (
            f"{place}; no epoch{' at data.image_size' if self._progress.history else ''} was over, so there is no model"
        )

    def _on_stop(self, number: int) -> None:
        """Tells at once that a signal was noted, since a batch may take a while."""
        with suppress(CnntrainError):
            self._on_event(Message(f"{signal.Signals(number).name}: stops after this batch; once more stops at once"))

    def _find_state(self, earlier: Earlier) -> Found:
        """The state to go on from. Raises RunError where that would not be the same training."""
        stages = plan_stages(self._job.config)
        checkpointed = Checkpointed(self._job.network, stages, keeps_head=False)
        found = self._states.read(checkpointed.frozen)
        differing = differences(found.state.info["about"], self._identity)
        if differing and not earlier.forces:
            raise RunError(
                f"{self._directory.path} cannot be gone on with as if nothing had happened: {'; '.join(differing)}; "
                "put that back, take --force-resume, or train anew with --overwrite"
            )
        checkpointed.demand_fit(found.state)
        at = found.state.info["progress"]
        forced = tuple(differing)
        self._resumed = (*self._resumed, Resumed(now(), len(at["history"]) + 1, at["step"], forced))
        return found

    @property
    def _identity(self) -> dict[str, Any]:
        return identity(self._record("running", ""))

    def _train(self, signals: Signals) -> None:
        with temporary_folder(self._directory.path) as folder:
            self._trainer = trainer = self._make_trainer(folder, signals)
            try:
                if self._found:
                    self._go_on(trainer, self._found)
                trainer.run()
            finally:
                trainer.restore_best()

    def _go_on(self, trainer: Trainer, found: Found) -> None:
        """Puts the trainer where a state has left it."""
        trainer.resume(found.state)
        write_history(self._directory.history, trainer.progress.history)
        for path in found.damaged:
            self._on_event(Message(f"warning: {path} is damaged; the state before it is taken"))
        for what in self._resumed[-1].forced:
            self._on_event(Message(f"warning: --force-resume: {what}"))
        self._on_event(Message(f"goes on at {trainer.progress.place}, from {found.path.name}"))

    def _make_trainer(self, folder: Path, signals: Signals) -> Trainer:
        job = self._job
        return Trainer(
            job.config,
            job.network,
            class_count=len(job.data_set.classes),
            open_pictures=lambda size: self._open(size, folder),
            shelf=self._shelf(folder),
            checkpoints=Checkpoints(self._states, self._identity),
            signals=signals,
            on_event=self._on_event,
            on_epoch=self._on_epoch,
            on_stage=self._save,
        )

    def _shelf(self, folder: Path) -> Shelf:
        """Where features are stored: for later runs too, unless this is a trial or there is no cache folder."""
        if not self._job.smoke:
            try:
                return open_shelf()
            except WriteError as error:
                self._on_event(Message(f"warning: {error}; stored features last as long as this run"))
        return Shelf(folder / FOLDER, cache_limit())

    def _open(self, image_size: tuple[int, int], folder: Path) -> Opened:
        """The pictures at a size."""
        job = self._job
        preprocessing = preprocessing_of(job.config.data, image_size)
        train, validation = (
            open_pictures(
                job.data_set.split(split),
                job.data_set.classes,
                preprocessing,
                cache=_cache(job.config),
                folder=folder,
            )
            for split in ("train", "validation")
        )
        return Opened(train, validation if len(validation) else None)

    def _on_event(self, event: Event) -> None:
        line = as_line(event)
        if line is not None:
            append_line(self._directory.log, line)
        if isinstance(event, Message):
            self._notes.append(event.text)
        self._listener(event)

    def _on_epoch(self, progress: Progress) -> None:
        write_history(self._directory.history, progress.history)

    def _save(self) -> Any:
        """Writes the network as it is now; in float32 when it was trained in float16. Gives what was written."""
        model = self._job.network.model
        if self._job.config.train.mixed_precision:
            model = _in_float32(model)
        save_model(self._directory.model, model, self._job.data_set.classes)
        return model

    def _finish(self, pictures: NDArray[np.uint8]) -> None:
        """Saves the best model, which the network holds by now, checks it, and saves the record of a finished run."""
        check_saved(self._directory.model, self._save(), pictures)
        self._close("finished", "")
        self._states.remove()

    def _give_up(self, status: Status, error: str) -> None:
        """Saves what can be saved; the record says how it went even if the model cannot be written."""
        with suppress(WriteError):
            if self._progress.best is not None:
                self._save()
        with suppress(WriteError):
            self._close(status, error)

    def _close(self, status: Status, error: str) -> None:
        self._progress.timings["total"] = round(time.perf_counter() - self._clock, 3)
        write_record(self._directory.record, self._record(status, error))
        append_line(self._directory.log, f"{status}{': ' if error else ''}{error}")

    def _record(self, status: Status, error: str) -> RunRecord:
        job = self._job
        return RunRecord(
            status=status,
            started=self._started,
            seed=job.config.seed,
            versions={**versions(), "code": code_digest()},
            device=asdict(job.device),
            data=self._data,
            asked=self._asked,
            smoke=job.smoke,
            best=self._progress.best if self._trainer else self._best,
            timings=dict(self._progress.timings),
            interpolation=self._progress.interpolation,
            resumed=self._resumed,
            notes=tuple(self._notes),
            error=error,
        )


def _as_recorded(data_set: DataSet) -> dict[str, Any]:
    """What the record says about the data."""
    return {
        "fingerprint": fingerprint(data_set.examples),
        "images": {split: len(data_set.split(split)) for split in SPLITS},
        "hashes": split_hashes(data_set.examples),
        "order": order_hashes(data_set.examples),
        "skipped": [asdict(picture) for picture in data_set.skipped],
        "leaks": [[known.path, other.path] for known, other in data_set.leaks],
    }


def _cache(config: Config) -> Any:
    """The cache that a resolved configuration names."""
    if config.data.cache == "auto":
        raise ValueError("the configuration is not resolved")
    return config.data.cache


def _in_float32(trained: Any) -> Any:
    """A float32 copy of a network that was trained in float16; its weights were float32 all along."""
    twin = type(trained).from_config(_with_float32(trained.get_config()))
    twin.set_weights(trained.get_weights())
    return twin


def _with_float32(config: Any) -> Any:
    """A model's configuration with every float16 policy replaced."""
    if isinstance(config, dict):
        return {name: _with_float32(value) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_float32(value) for value in config)
    return "float32" if config == "mixed_float16" else config
