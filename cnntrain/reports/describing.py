"""What a run's own files say about it."""

import os.path
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from cnntrain.data.examples import SPLITS, Example
from cnntrain.errors import RunError
from cnntrain.reports.content import Pictures
from cnntrain.runs.run import Run

_LIBRARIES = {"python": "Python", "tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy", "pillow": "Pillow"}
_STATUS = {
    "running": "running, or its process was killed",
    "finished": "finished",
    "interrupted": "interrupted",
    "failed": "failed",
}


def what_it_is(run: Run) -> str:
    """The kind of network, in a phrase."""
    model = run.config.model
    if model.kind == "pretrained":
        return f"Pretrained {model.backbone}"
    return f"Convnet of {len(model.blocks)} blocks from scratch"


def status_of(run: Run) -> str:
    """How the training ended, in a phrase."""
    record = run.record
    return f"{_STATUS[record.status]}: {record.error}" if record.error else _STATUS[record.status]


def best_of(run: Run) -> str:
    """The epoch whose weights were kept; empty before the first."""
    best = run.record.best
    if best is None:
        return ""
    return f"{best.epoch} of {len(run.history)}, {best.monitor} {best.value:.4f}"


def readable_time(text: str) -> str:
    """A time in ISO 8601 as date, hour and zone; anything else as it is."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Each path without the folders that all of them have in common."""
    every = list(paths)
    try:
        top = os.path.commonpath([os.path.dirname(path) for path in every])  # noqa: PTH120 - there may be 100,000
    except ValueError:  # none at all, or on several drives
        return {path: path for path in every}
    return {path: Path(path).relative_to(top).as_posix() for path in every}


def pictures_of(run: Run, examples: Iterable[Example], names: Mapping[str, str]) -> Pictures:
    """The data set of a run, from its table and its record."""
    counted = Counter((example.label, example.split) for example in examples)
    splits = tuple(split for split in SPLITS if any(part == split for _, part in counted))
    data = run.record.data
    return Pictures(
        source=run.config.data.source,
        splits=splits,
        counts={name: tuple(counted[name, split] for split in splits) for name in run.classes},
        skipped=tuple((one["path"], one["split"], one["problem"]) for one in data.get("skipped", ())),
        leaks=tuple((names.get(known, known), names.get(other, other)) for known, other in data.get("leaks", ())),
    )


def configuration_of(run: Run) -> str:
    """The text of `config.yaml`. Raises RunError where it cannot be read."""
    try:
        return run.directory.config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {run.directory.config} ({error}); the run is damaged, fit it again") from error


def environment_of(run: Run) -> dict[str, str]:
    """Versions, device, seed and the like."""
    record = run.record
    found = {"cnntrain": record.versions.get("cnntrain", "?")}
    found |= {title: record.versions[key] for key, title in _LIBRARIES.items() if key in record.versions}
    device = record.device
    if device:
        kind, name = str(device.get("kind", "?")), str(device.get("name", ""))
        count = f"{device['count']} × " if device.get("count", 1) != 1 else ""
        found["Device"] = count + (f"{name} ({kind})" if name not in ("", kind) else kind)
    found["Seed"] = str(record.seed)
    if "total" in record.timings:
        found["Time of training"] = _duration(record.timings["total"])
    if fingerprint := record.data.get("fingerprint"):
        found["Fingerprint of the data"] = str(fingerprint)[:16]
    return found


def command_of(run: Run) -> str:
    """What repeats the training into a new folder."""
    config, again = shlex.quote(str(run.directory.config)), shlex.quote(f"{run.path}_again")
    return f"cnntrain fit {config} --run-dir {again}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
