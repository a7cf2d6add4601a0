"""What may be written over, and whether it is there already."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from cnntrain.data.examples import SPLITS, Example
from cnntrain.data.sources import MANIFEST
from cnntrain.data.sources.walking import is_junk
from cnntrain.data.splitting.contents import checksums
from cnntrain.data.wording import listed
from cnntrain.errors import DataError, UsageError, WriteError
from cnntrain.files import check_replaceable

RECORD = "split.json"
FORMAT = 1
_MANIFEST_COLUMNS = {"path", "label", "split", "sha256", "source"}


def check_apart(source: Path, dest: Path) -> None:
    """A split inside its own source would find itself the next time; a source inside the split would be overwritten.

    A table of pictures finds what it names and nothing else, so the split may lie beside it.

    Raises:
        UsageError: One lies inside the other.
    """
    real_source, real_dest = Path(os.path.realpath(source)), Path(os.path.realpath(dest))  # resolve() dies of loops
    if real_dest.is_relative_to(real_source) or real_source.is_relative_to(real_dest):
        raise UsageError(f"source and destination lie inside each other: {source}, {dest}; choose another destination")


def check_pictures_apart(paths: Sequence[str], dest: Path) -> None:
    """Pictures that a table names or links lead to must not be replaced by their own split. Raises UsageError."""
    real_dest = os.path.join(os.path.realpath(dest), "")  # noqa: PTH118
    for path, real in zip(paths, _real_paths(paths), strict=True):
        if real.startswith(real_dest):
            raise UsageError(f"the picture {path} of the source lies in {dest}; choose another destination")


def check_unpacked(paths: Sequence[str], folder: Path, archive: Path) -> None:
    """Nothing but what came out of an archive is moved out of the folder it is unpacked in. Raises DataError."""
    inside = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118
    for path, real in zip(paths, _real_paths(paths), strict=True):
        if not real.startswith(inside):
            raise DataError(f"{archive} names a picture that is not in it: {path}; unpack it and split the folder")


def _real_paths(paths: Iterable[str]) -> Iterator[str]:
    """Where pictures really lie; each folder is followed once, since that takes longer than looking for a link."""
    folders: dict[str, str] = {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        is_link = os.path.islink(path)  # noqa: PTH114
        yield os.path.realpath(path) if is_link else os.path.join(folders[folder], name)  # noqa: PTH118


def has_earlier_split(dest: Path, arguments: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Whether an earlier split by the same arguments stands at `dest` and is to be left as it is.

    Args:
        dest: The folder to be made.
        arguments: What the split is asked for, as JSON has it.
        overwrite: Whether an earlier split is replaced, whatever it is.

    Raises:
        WriteError: Something else stands there, or a split by other arguments.
    """
    entries = _entries(dest)
    if overwrite or not entries:
        _demand_split(dest, entries)
        check_replaceable(dest)
        return False
    record = _record(dest / RECORD) if _is_manifest(dest / MANIFEST) else None
    if record is None:
        raise WriteError(f"{dest} exists already; choose another place, or --overwrite if it is an earlier split")
    if changes := _changes(record.get("arguments"), arguments):
        raise _other(dest, changes)
    return True


def _demand_split(dest: Path, entries: set[str]) -> None:
    """Nothing but an earlier split is replaced, or what is as good as empty."""
    if not entries:
        return
    foreign = sorted(entries - {*SPLITS, MANIFEST, RECORD})
    if foreign or not _is_manifest(dest / MANIFEST):
        reason = f"it holds {foreign[0]}" if foreign else f"it lacks the {MANIFEST} of one"
        raise WriteError(f"{dest} is not replaced, since it is not an earlier split: {reason}; choose another place")


def _entries(dest: Path) -> set[str]:
    """What stands at `dest`: the names in the folder but for leavings of desktops, or that of the file."""
    try:
        if dest.is_dir():
            return {entry.name for entry in dest.iterdir() if not _is_leaving(entry.name)}
        return {dest.name} if dest.exists() else set()
    except OSError as error:
        raise WriteError(f"cannot write {dest}: {error.strerror or error}; choose another place") from error


def _is_leaving(name: str) -> bool:
    """Junk that nobody made on purpose; other hidden things, such as .git, may be dear to somebody."""
    return is_junk(name) and (not name.startswith(".") or name.startswith((".DS_Store", "._")))


def _is_manifest(path: Path) -> bool:
    """Whether the file begins like the manifest of a split."""
    try:
        with path.open(encoding="utf-8") as stream:
            return set(stream.readline().strip().split(",")) >= _MANIFEST_COLUMNS
    except (OSError, UnicodeDecodeError):
        return False


def _record(path: Path) -> dict[str, Any] | None:
    """What an earlier split noted about itself, if it can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def _changes(before: Any, now: Mapping[str, Any]) -> str:
    """Which arguments are others now, in a phrase."""
    known = before if isinstance(before, dict) else {}
    changed = [name for name in now if known.get(name) != now[name]]
    return ", ".join(f"{name} was {_shown(known.get(name))}, now {_shown(now[name])}" for name in changed)


def _shown(value: Any) -> str:
    return "not given" if value is None else json.dumps(value, ensure_ascii=False).strip('"{}[]').replace('"', "")


def _other(dest: Path, what: str) -> WriteError:
    return WriteError(f"{dest} exists already and is another split: {what}; choose another place, or --overwrite")


def demand_same(dest: Path, manifest: str, rows: Iterable[Example]) -> None:
    """An earlier split must be just what would be written now.

    Args:
        dest: The earlier split.
        manifest: What its manifest would be.
        rows: What it would hold, by path.

    Raises:
        WriteError: It is not; the message says what differs.
    """
    try:
        before = (dest / MANIFEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WriteError(f"cannot read {dest / MANIFEST}: {error}; choose another place, or --overwrite") from error
    if before != manifest:
        raise _other(dest, _changed_pictures(before, manifest))
    expected = {row.path: row.sha256 for row in rows}
    present = set(_files(dest))
    if missing := sorted(expected.keys() - present):
        raise _other(dest, f"it lacks {listed(missing, most=1)}")
    if foreign := sorted(present - expected.keys()):
        raise _other(dest, f"it holds {listed(foreign, most=1)}")
    digests = checksums([f"{dest}/{path}" for path in expected])
    if changed := [path for path, digest in zip(expected, digests, strict=True) if digest != expected[path]]:
        raise _other(dest, f"{listed(changed, most=1)} changed in it")


def _files(dest: Path) -> Iterable[str]:
    """The files in the parts of a split, as the manifest names them, but for what nobody takes as a picture."""
    start = len(str(dest)) + 1
    for split in SPLITS:
        for folder, _, files in os.walk(dest / split):
            names = (name for name in files if not is_junk(name))
            yield from (f"{folder}/{name}"[start:].replace(os.sep, "/") for name in names)


def _changed_pictures(before: str, now: str) -> str:
    """How the pictures of two manifests differ."""
    old, new = _sources(before), _sources(now)
    changed = sum(old[path] != new[path] for path in old.keys() & new.keys())
    numbers = {"new": len(new.keys() - old.keys()), "gone": len(old.keys() - new.keys()), "changed": changed}
    told = ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
    return f"of the pictures used {told}" if told else f"its {MANIFEST} has other groups, folds or parts"


def _sources(manifest: str) -> dict[str, str]:
    """Checksums by the path in the source."""
    reader = csv.DictReader(StringIO(manifest))
    return {row.get("source") or "": row.get("sha256") or "" for row in reader}
