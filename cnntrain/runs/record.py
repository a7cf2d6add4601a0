"""`run.json`: what a run is and how it went."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cnntrain.errors import RunError
from cnntrain.files import write_json

Status = Literal["running", "finished", "interrupted", "failed"]


@dataclass(frozen=True)
class Best:
    """The epoch whose weights are in `model.keras`.

    Args:
        monitor: What was compared.
        value: Its value there.
        epoch: Counted from 1 through all stages.
        stage: Name of its stage.
        alpha: Where between the head's weights (0) and those of the epoch (1) the weights lie that are kept, if such
            weights were tried.
    """

    monitor: str
    value: float
    epoch: int
    stage: str
    alpha: float | None = None


@dataclass(frozen=True)
class Interpolated:
    """What weights between the head's and the fine-tuned ones gave on the validation pictures.

    Args:
        alpha: The part of the way from the head's weights (0) to the fine-tuned ones (1).
        val_loss: Absent where it was not finite.
        val_accuracy: Absent where it was not finite.
    """

    alpha: float
    val_loss: float | None
    val_accuracy: float | None


@dataclass(frozen=True)
class Resumed:
    """A run was gone on with.

    Args:
        time: When, ISO 8601 with zone.
        epoch: The epoch in which it went on, counted from 1.
        step: Steps of it that were done.
        forced: What differed from the run so far, where that was told to be of no matter.
    """

    time: str
    epoch: int
    step: int
    forced: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """The contents of `run.json`.

    Args:
        status: `running` until the end is known.
        started: Time of the start, ISO 8601 with zone.
        seed: Of everything random.
        versions: Of cnntrain, Python and the libraries, and what stands for cnntrain's code.
        device: Kind, name and number of what it ran on.
        data: Fingerprint of all pictures, number of pictures and hash of each split, hash of the order of those that it
            was trained and validated on, bad pictures that were skipped, and pictures in two splits that were allowed.
        asked: The configuration before what it left open was chosen.
        smoke: Whether it was only a trial with a few steps.
        best: The epoch whose weights were kept, absent before the first.
        interpolation: All weights that were tried between the head's and the fine-tuned ones.
        resumed: Each time that it was gone on with.
        timings: Seconds by part of the work.
        notes: What the user was told besides the epochs.
        error: Why it failed, where it did.
    """

    status: Status
    started: str
    seed: int
    versions: dict[str, str]
    device: dict[str, Any]
    data: dict[str, Any]
    asked: dict[str, Any] = field(default_factory=dict)
    smoke: bool = False
    best: Best | None = None
    interpolation: tuple[Interpolated, ...] = ()
    resumed: tuple[Resumed, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str = ""


def write_record(path: Path, record: RunRecord) -> None:
    """Writes `run.json`, whole or not at all. Raises WriteError."""
    write_json(path, {"format": 1, **asdict(record)})


def read_record(path: Path) -> RunRecord:
    """Reads `run.json`.

    Raises:
        RunError: It is missing, damaged or of another format.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value.pop("format") != 1:
            raise ValueError("its format is not 1")
        best = value["best"]
        parts = {
            "best": Best(**best) if best else None,
            "interpolation": tuple(Interpolated(**tried) for tried in value.get("interpolation", ())),
            "resumed": tuple(_resumed(one) for one in value.get("resumed", ())),
            "notes": tuple(value["notes"]),
        }
        return RunRecord(**{**value, **parts})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is not the record of a run ({error}); give a folder that cnntrain fit made") from error


def _resumed(value: dict[str, Any]) -> Resumed:
    return Resumed(**{**value, "forced": tuple(value["forced"])})
