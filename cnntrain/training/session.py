"""One training from its first file to its last: what is written into the run directory, and when."""

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnntrain.config import Config, config_to_yaml
from cnntrain.data.data_set import DataSet
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.examples import SPLITS, write_examples
from cnntrain.data.fingerprint import fingerprint, split_hashes
from cnntrain.data.pipeline import open_pictures
from cnntrain.errors import CnntrainError, InterruptedRunError, WriteError
from cnntrain.files import temporary_folder, write_json, write_text
from cnntrain.models.network import Network
from cnntrain.runs.directory import RunDirectory
from cnntrain.runs.history import write_history
from cnntrain.runs.log import append_line, now
from cnntrain.runs.model_file import save_model
from cnntrain.runs.record import RunRecord, Status, write_record
from cnntrain.runs.run import write_classes
from cnntrain.runtime import Device, versions
from cnntrain.training.bank.shelf import FOLDER, Shelf, cache_limit, open_shelf
from cnntrain.training.events import Event, Message, OnEvent, as_line
from cnntrain.training.failures import failures_told
from cnntrain.training.loop import Opened, Trainer
from cnntrain.training.progress import Progress

_SECONDS_BETWEEN_SAVES = 60.0


@dataclass(frozen=True)
class Job:
    """What is to be trained.

    Args:
        config: Resolved.
        data_set: Inspected pictures.
        network: Built from the configuration, with its initial weights.
        device: What it runs on.
        smoke: Whether it is only a trial.
        notes: What the user is told before it starts.
    """

    config: Config
    data_set: DataSet
    network: Network
    device: Device
    smoke: bool
    notes: tuple[str, ...] = ()


class Session:
    """A training in its run directory.

    Args:
        job: What is trained.
        directory: Where, new and empty but for generated pictures.
        on_event: Told what happens, besides the log.
    """

    def __init__(self, job: Job, directory: RunDirectory, on_event: OnEvent) -> None:
        self._job = job
        self._directory = directory
        self._listener = on_event
        self._notes: list[str] = []
        self._started = now()
        self._clock = time.perf_counter()
        self._saved_at = time.perf_counter()
        self._progress = Progress()

    def run(self) -> None:
        """Trains, and leaves a run directory that says how it went, whatever happens.

        Raises:
            TrainingError: The loss is not finite, or the memory is used up.
            DataError: A picture has gone or changed since it was looked at.
            InterruptedRunError: Ctrl-C or SIGTERM; the best model so far is saved.
            WriteError: A file cannot be written.
        """
        try:
            with failures_told(self._job.config, self._job.data_set.examples):
                self._write_beginning()
                self._train()
                self._finish()
        except KeyboardInterrupt as error:
            self._give_up("interrupted", "interrupted by a signal")
            raise InterruptedRunError(f"interrupted; {self._kept()}", getattr(error, "signal_number", 2)) from error
        except BaseException as error:
            self._give_up("failed", str(error) if isinstance(error, CnntrainError) else repr(error))
            raise

    def _kept(self) -> str:
        """What an interrupted run leaves."""
        if self._progress.best:
            return f"the best model so far is in {self._directory.model}"
        return f"no epoch{' at data.image_size' if self._progress.history else ''} was over, so there is no model"

    def _write_beginning(self) -> None:
        """Everything that is known before the first step."""
        directory, job = self._directory, self._job
        write_record(directory.record, self._record("running", ""))
        write_text(directory.config, config_to_yaml(job.config))
        write_examples(directory.examples, job.data_set.examples)
        write_classes(directory.classes, job.data_set.classes)
        write_json(directory.preprocessing, preprocessing_of(job.config.data).to_json())
        for note in job.notes:
            self._on_event(Message(note))

    def _train(self) -> None:
        with temporary_folder(self._directory.path) as folder:
            trainer = self._trainer(folder)
            self._progress = trainer.progress
            try:
                trainer.run()
            finally:
                trainer.restore_best()

    def _trainer(self, folder: Path) -> Trainer:
        job = self._job
        return Trainer(
            job.config,
            job.network,
            class_count=len(job.data_set.classes),
            open_pictures=lambda size: self._open(size, folder),
            shelf=self._shelf(folder),
            on_event=self._on_event,
            on_epoch=self._on_epoch,
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
        is_best = progress.best is not None and progress.best.epoch == progress.history[-1].epoch
        if is_best and time.perf_counter() - self._saved_at > _SECONDS_BETWEEN_SAVES:
            self._save()
            self._saved_at = time.perf_counter()

    def _save(self) -> None:
        """Writes the network as it is now; in float32 when it was trained in float16."""
        model = self._job.network.model
        if self._job.config.train.mixed_precision:
            model = _in_float32(model)
        save_model(self._directory.model, model, self._job.data_set.classes)

    def _finish(self) -> None:
        """Saves the best model, which the network holds by now, and the record of a finished run."""
        self._save()
        self._close("finished", "")

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
            versions=versions(),
            device=asdict(job.device),
            data=_as_recorded(job.data_set),
            smoke=job.smoke,
            best=self._progress.best,
            timings=dict(self._progress.timings),
            interpolation=self._progress.interpolation,
            notes=tuple(self._notes),
            error=error,
        )


def _as_recorded(data_set: DataSet) -> dict[str, Any]:
    """What the record says about the data."""
    return {
        "fingerprint": fingerprint(data_set.examples),
        "images": {split: len(data_set.split(split)) for split in SPLITS},
        "hashes": split_hashes(data_set.examples),
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
