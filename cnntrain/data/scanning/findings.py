"""What the looks at all pictures of a data set tell together."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import PurePosixPath
from statistics import median_low
from typing import Any, Literal

from cnntrain.data.examples import SPLITS, Example
from cnntrain.data.scanning.duplicates import Sets, alike_among, all_sets, copies_among
from cnntrain.data.scanning.look import Look

Level = Literal["error", "warning", "note"]

TINY = 32  # pixels a side, below which near-duplicates are not looked for either
HUGE = 12_000_000  # pixels; what a telephone takes, and far more than any network here sees
IMBALANCE = 3  # pictures of the largest class for each one of the smallest

_FAULTS: Mapping[str, str] = {
    "unreadable": "cannot be read from the disk",
    "empty": "zero bytes",
    "not_a_picture": "no JPEG, PNG, BMP, GIF or WebP inside",
    "too_large": "more pixels than data.max_pixels",
    "undecodable": "cannot be decoded",
    "damaged": "decodes with errors: parts of it are lost",
}
_ODD: Mapping[str, str] = {
    "wrong_type": "the name's ending is not that of the content",
    "rotated": "turned upright by EXIF orientation",
    "tiny": f"under {TINY} pixels a side",
    "huge": f"over {HUGE // 10**6} million pixels: slow to decode",
    "alpha": "with transparency (data.alpha says what shows through)",
    "16_bit": "16 bits a channel, scaled to 8",
    "animated": "animated; the first frame counts",
    "cmyk": "CMYK, made to RGB without a colour profile",
}
_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "jpeg": (".jpg", ".jpeg"),
    "png": (".png",),
    "bmp": (".bmp",),
    "gif": (".gif",),
    "webp": (".webp",),
}
_COLUMNS = (
    *("path", "label", "split", "kind", "height", "width", "orientation", "traits", "fault", "problem"),
    *("sha256", "copies", "alike"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a data set that its owner should know.

    Args:
        code: Its name, the same in every release.
        level: `error`: `fit` refuses it; `warning`: results suffer; `note`: good to know.
        what: A phrase.
        pictures: Paths of the pictures that it is about; of sets, one set after another.
        sets: For duplicates, the paths of each set.
        problems: For bad pictures, what is wrong with each, in a phrase.
    """

    code: str
    level: Level
    what: str
    pictures: tuple[str, ...] = ()
    sets: tuple[tuple[str, ...], ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scan:
    """A data set that was looked at.

    Args:
        name: What it is called.
        examples: All pictures, with paths relative to the source; label and split are empty where there are none.
        looks: What each of them holds.
        passed_over: Number of files of other kinds of pictures, by suffix.
        notes: What else its source says.
    """

    name: str
    examples: tuple[Example, ...]
    looks: tuple[Look, ...]
    passed_over: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @cached_property
    def copies(self) -> Sets:
        """Sets of byte-identical files."""
        return copies_among([look.sha256 for look in self.looks])

    @cached_property
    def alike(self) -> Sets:
        """Sets of near-duplicates."""
        return alike_among(self.looks)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found, the worst first."""
        found = [
            *_faults(self),
            *_leaks(self),
            *_conflicts(self),
            *_duplicates(self),
            *_balance(self),
            *_oddities(self),
            *_unlabelled(self),
            *(Finding("left_out", "warning", note) for note in self.notes),
        ]
        order = {"error": 0, "warning": 1, "note": 2}
        return tuple(sorted(found, key=lambda finding: order[finding.level]))

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Pictures of each class in each split that there is; the split is empty where the data is not split."""
        labels = sorted({example.label for example in self.examples})
        present = {example.split for example in self.examples}
        number = Counter((example.split, example.label) for example in self.examples)
        return {split: {label: number[split, label] for label in labels} for split in (*SPLITS, "") if split in present}

    @property
    def kinds(self) -> dict[str, int]:
        """Pictures of each kind, the most frequent first."""
        return dict(Counter(look.kind for look in self.looks if look.kind).most_common())

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """Smallest, median and largest height and width in pixels, of the good pictures as they stand upright."""
        upright = [
            (look.width, look.height) if look.orientation > 4 else (look.height, look.width)
            for look in self.looks
            if look.height and not look.fault
        ]
        if not upright:
            return {}
        return {
            side: {"smallest": min(values), "median": median_low(values), "largest": max(values)}
            for side, values in zip(("height", "width"), zip(*upright, strict=True), strict=True)
        }

    def to_json(self) -> dict[str, Any]:
        """Everything but the single looks."""
        return {
            "format": 1,
            "source": self.name,
            "pictures": len(self.examples),
            "counts": self.counts,
            "kinds": self.kinds,
            "sizes": self.sizes,
            "passed_over": dict(self.passed_over),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def to_csv(self) -> str:
        """A header and a row a picture; `copies` and `alike` number the sets of duplicates from 1."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        copies, alike = _numbers(self.copies), _numbers(self.alike)
        for index, (example, look) in enumerate(zip(self.examples, self.looks, strict=True)):
            row = {**asdict(example), **asdict(look), "traits": " ".join(look.traits)}
            row |= {"copies": copies.get(index, ""), "alike": alike.get(index, "")}
            writer.writerow([row[column] for column in _COLUMNS])
        return text.getvalue()


def _numbers(sets: Sets) -> dict[int, int]:
    """The number of the set that each picture is in."""
    return {index: number for number, members in enumerate(sets, start=1) for index in members}


def _seen(scan: Scan) -> Iterator[tuple[Example, Look]]:
    return zip(scan.examples, scan.looks, strict=True)


def _faults(scan: Scan) -> Iterator[Finding]:
    for fault, what in _FAULTS.items():
        bad = [(example.path, look.problem) for example, look in _seen(scan) if look.fault == fault]
        if bad:
            pictures, problems = zip(*bad, strict=True)
            yield Finding(fault, "error", what, pictures, problems=problems)


def _of_sets(scan: Scan, code: str, level: Level, what: str, sets: Sequence[tuple[int, ...]]) -> Iterator[Finding]:
    """One finding about sets of pictures, if there are any."""
    if sets:
        named = tuple(tuple(scan.examples[index].path for index in members) for members in sets)
        yield Finding(code, level, what, tuple(path for members in named for path in members), named)


def _leaks(scan: Scan) -> Iterator[Finding]:
    """Duplicates that lie in more than one split."""

    def across(sets: Sets) -> list[tuple[int, ...]]:
        return [members for members in sets if len({scan.examples[index].split for index in members}) > 1]

    yield from _of_sets(scan, "copies_across_splits", "error", "the same file in several splits", across(scan.copies))
    yield from _of_sets(scan, "alike_across_splits", "warning", "near-duplicates in several splits", across(scan.alike))


def _conflicts(scan: Scan) -> Iterator[Finding]:
    """The same picture under several labels."""
    sets = [
        members
        for members in all_sets(scan.copies, scan.alike)
        if len({scan.examples[index].label for index in members} - {""}) > 1
    ]
    yield from _of_sets(scan, "label_conflicts", "warning", "the same picture with different labels", sets)


def _duplicates(scan: Scan) -> Iterator[Finding]:
    yield from _of_sets(scan, "copies", "note", "byte-identical files", scan.copies)
    yield from _of_sets(scan, "alike", "note", "near-duplicates: resized, re-encoded or cropped", scan.alike)


def _balance(scan: Scan) -> Iterator[Finding]:
    counted = Counter(example.label for example in scan.examples if example.label and example.split in ("", "train"))
    if len(counted) < 2:
        return
    (most, large), *_, (least, small) = counted.most_common()
    if large >= IMBALANCE * small:
        what = f"{large} pictures of {most} against {small} of {least}; train.class_weights: balanced may help"
        yield Finding("imbalance", "warning", what)


def _unlabelled(scan: Scan) -> Iterator[Finding]:
    """Pictures whose class nothing tells."""
    pictures = tuple(example.path for example in scan.examples if not example.label)
    if pictures:
        what = "neither folder, name nor table tells the class; `split` and `fit` need it (--label-regex may help)"
        yield Finding("no_class", "warning" if len(pictures) < len(scan.examples) else "note", what, pictures)


def _oddities(scan: Scan) -> Iterator[Finding]:
    """What is no fault, but may surprise."""
    found: dict[str, list[str]] = {code: [] for code in _ODD}
    for example, look in _seen(scan):
        for code in _odd(example, look):
            found[code].append(example.path)
    for code, pictures in found.items():
        if pictures:
            yield Finding(code, "note", _ODD[code], tuple(pictures))
    if scan.passed_over:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(scan.passed_over.items()))
        yield Finding("passed_over", "note", f"files of kinds that are not read: {kinds}")


def _odd(example: Example, look: Look) -> Iterator[str]:
    """What is odd about one picture."""
    if not look.kind:
        return
    if PurePosixPath(example.path).suffix.lower() not in _SUFFIXES[look.kind]:
        yield "wrong_type"
    if look.orientation != 1:
        yield "rotated"
    if 0 < min(look.height, look.width) < TINY:
        yield "tiny"
    if look.height * look.width > HUGE and look.fault != "too_large":
        yield "huge"
    yield from (trait for trait in look.traits if trait in _ODD)
