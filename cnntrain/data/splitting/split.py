"""`cnntrain split`: from a source to a folder with train, validation and test, and a manifest of what is in it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cnntrain.data.examples import SPLITS, Example, manifest_text
from cnntrain.data.sources import MANIFEST, Source, find_source, nfc, unpacked
from cnntrain.data.sources.archives import is_archive
from cnntrain.data.sources.walking import is_junk
from cnntrain.data.splitting.contents import Contents, look_for_duplicates, read_contents
from cnntrain.data.splitting.destination import (
    FORMAT,
    RECORD,
    check_apart,
    check_pictures_apart,
    check_unpacked,
    demand_same,
    has_earlier_split,
)
from cnntrain.data.splitting.plan import make_plan
from cnntrain.data.splitting.report import SplitResult, count_pictures, findings_of, too_few_of
from cnntrain.data.splitting.wishes import Wishes
from cnntrain.data.splitting.writing import file_names, place_pictures
from cnntrain.errors import DataError, UsageError
from cnntrain.files import new_folder, write_json, write_text

OnLooked = Callable[[int, int], None]


@dataclass(frozen=True)
class _Prepared:
    """A split that is decided and not written yet.

    Args:
        rows: What goes into it, with paths in it.
        originals: Where each picture is.
        manifest: The text of the manifest.
        result: What will be told.
    """

    rows: tuple[Example, ...]
    originals: tuple[str, ...]
    manifest: str
    result: SplitResult


def split_source(
    source: Path,
    dest: Path,
    wishes: Wishes,
    *,
    overwrite: bool = False,
    on_looked: OnLooked = lambda _done, _count: None,
) -> SplitResult:
    """Writes `dest/SPLIT/CLASS/NAME`, `dest/manifest.csv` and `dest/split.json`; all of it appears or nothing.

    Where an earlier split by the same arguments from the same pictures is there already, nothing is written.

    Args:
        source: Where the pictures are: a folder, a table or an archive, as `find_source` takes them.
        dest: The folder to make.
        wishes: What is asked for.
        overwrite: Whether an earlier split at `dest` is replaced.
        on_looked: Told how many pictures have been looked at, of how many, when near-duplicates are searched.

    Raises:
        UsageError: The wishes contradict each other, or one of `source` and `dest` lies inside the other.
        DataError: The source is missing, damaged, unfit (see `find_source`) or too small, or groups forbid the split.
        WriteError: `dest` exists and is not to be replaced, or cannot be written.
    """
    wishes.check()
    if is_archive(source) and wishes.method != "copy":
        raise UsageError(
            f"an archive can only be copied; got: {wishes.method} for {source}; unpack it first, or use --method copy"
        )
    check_apart(source, dest)
    is_there = has_earlier_split(dest, wishes.to_json(), overwrite=overwrite)
    with unpacked(source, Path(os.path.realpath(dest))) as place:  # where a link leads, there pictures are moved to
        prepared = _prepare(source, place, dest, wishes, on_looked)
        if is_there:
            demand_same(dest, prepared.manifest, prepared.rows)
            return replace(prepared.result, unchanged=True)
        how = "move" if place != source else wishes.method
        with new_folder(dest, overwrite=overwrite) as made:
            place_pictures(made, prepared.rows, prepared.originals, how=how, shown=str(source))
            write_text(made / MANIFEST, prepared.manifest)
            write_json(made / RECORD, _record(wishes, prepared.result))
    return prepared.result


def _prepare(source: Path, place: Path, dest: Path, wishes: Wishes, on_looked: OnLooked) -> _Prepared:
    """Finds and reads the pictures and decides where each goes."""
    found = find_source(place, name=str(source), label_regex=wishes.label_regex)
    found = replace(found, examples=tuple(sorted(found.examples, key=lambda row: (nfc(row.path), row.path))))
    _check_names(found)
    paths = _paths(found)
    check_pictures_apart(paths, dest)
    if place != source:
        check_unpacked(paths, place, source)
    contents, count = _read(found, paths, wishes, on_looked), len(paths)
    bad = {found.examples[index].path: problem for index, problem in contents.bad}
    if bad:
        paths = [path for path, example in zip(paths, found.examples, strict=True) if example.path not in bad]
        found = replace(found, examples=tuple(example for example in found.examples if example.path not in bad))
        contents = contents.without({index for index, _ in contents.bad})
    plan = make_plan(
        found.examples, contents, wishes, is_split=len({row.split for row in found.examples}) > 1, source=found.name
    )
    kept = (index for index in range(len(paths)) if index not in plan.dropped)
    named = zip(kept, plan.examples, strict=True)
    used = sorted(((index, row) for index, row in named if row.split), key=lambda pair: SPLITS.index(pair[1].split))
    names = file_names(found.examples)
    rows = tuple(replace(row, path=f"{row.split}/{row.label}/{names[index]}") for index, row in used)
    counts = count_pictures(rows, found.examples)
    findings = findings_of(found, contents, plan.dropped, bad)
    left_out, too_few = count - len(rows), too_few_of(counts, wishes.counts)
    result = SplitResult(dest, counts, wishes.seed, left_out, findings, too_few)
    manifest = manifest_text(rows, [found.examples[index].path for index, _ in used])
    return _Prepared(rows, tuple(paths[index] for index, _ in used), manifest, result)


def _paths(found: Source) -> list[str]:
    """Where the pictures are, absolute."""
    top = os.fspath(found.root)
    joined = (os.path.join(top, example.path) for example in found.examples)  # noqa: PTH118 - a Path a picture is slow
    return [os.path.normpath(path) if ".." in path else path for path in joined]


def _check_names(found: Source) -> None:
    """A table may name hidden files, which nobody would find in a folder. Raises DataError."""
    for example in found.examples:
        if is_junk(example.path.rpartition("/")[2]):
            raise DataError(f"{example.path} of {found.name} is named like a hidden or system file; rename it")


def _read(found: Source, paths: Sequence[str], wishes: Wishes, on_looked: OnLooked) -> Contents:
    """What is in the files. Raises DataError for one that cannot be read."""
    if wishes.near_duplicates == "ignore":
        contents = read_contents(paths)
    else:
        contents = look_for_duplicates(paths, on_picture=lambda done: on_looked(done, len(paths)))
    for example, checksum in zip(found.examples, contents.checksums, strict=True):
        if not checksum:
            raise DataError(
                f"{example.path} of {found.name} is not a readable file, maybe a broken link; mend it or take it out"
            )
    return contents


def _record(wishes: Wishes, result: SplitResult) -> dict[str, object]:
    """What `split.json` holds."""
    told = result.to_json()
    return {
        "format": FORMAT,
        "arguments": wishes.to_json(),
        **{name: told[name] for name in ("counts", "left_out", "too_few", "findings")},
    }
