"""What a split did and what it found on the way."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnntrain.data.examples import SPLITS, Example, class_names, in_split
from cnntrain.data.scanning.duplicates import Sets
from cnntrain.data.sources import Source
from cnntrain.data.splitting.contents import Contents
from cnntrain.data.wording import counted, listed

_NAMED = 3  # how many of a list a line tells
_MANY = 0.05  # share of pictures with near-duplicates above which somebody should look
_LARGE = 50  # pictures in one set of near-duplicates, likewise

Paths = tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """What was found in a source; all paths are below it.

    Args:
        pictures: How many there are.
        exact_copies: Sets of byte-identical pictures.
        near_duplicates: Sets of pictures that look the same; copies are in the set of any of them.
        label_conflicts: The sets of either kind with more than one label: label by path.
        dropped: Pictures that were taken out as duplicates.
        bad_pictures: What is wrong with bad pictures, which are left out, by path; only where they were looked at.
        passed_over: Number of files of other kinds of pictures, by suffix.
        notes: Sentences on pictures that were found and do not count.
    """

    pictures: int
    exact_copies: tuple[Paths, ...] = ()
    near_duplicates: tuple[Paths, ...] = ()
    label_conflicts: tuple[Mapping[str, str], ...] = ()
    dropped: Paths = ()
    bad_pictures: Mapping[str, str] | None = None
    passed_over: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """What was found, a line each."""
        yield from _about_sets("exact copies", self.exact_copies)
        yield from _about_sets("near duplicates", self.near_duplicates)
        conflicts = [" = ".join(f"{path} ({label})" for path, label in each.items()) for each in self.label_conflicts]
        yield from _named("label conflicts", "set", conflicts)
        yield from _named("bad pictures", "picture", tuple(self.bad_pictures or ()), "`cnntrain scan` tells more")
        if self.passed_over:
            yield "passed over: " + ", ".join(f"{number} {suffix}" for suffix, number in self.passed_over.items())
        yield from self.notes
        if self._has_many():
            yield "so many near duplicates are worth a look (`cnntrain scan`); are they none: --near-duplicates ignore"

    def _has_many(self) -> bool:
        sizes = [len(paths) for paths in self.near_duplicates]
        return sum(sizes) > _MANY * self.pictures or max(sizes, default=0) > _LARGE


def _about_sets(what: str, sets: Sequence[Paths]) -> Iterator[str]:
    if sets:
        yield f"{what}: {sum(map(len, sets))} pictures in {counted(len(sets), 'set')}"


def _named(what: str, unit: str, names: Sequence[str], advice: str = "") -> Iterator[str]:
    """A count and the first names."""
    if names:
        end = f"; {advice}" if advice else ""
        yield f"{what}: {counted(len(names), unit)}: {listed(names, most=_NAMED)}{end}"


def findings_of(source: Source, contents: Contents, dropped: frozenset[int], bad: Mapping[str, str]) -> Findings:
    """Puts names to what was found by position; `bad` pictures, with their problems, are not in the source any more."""
    examples = source.examples

    def named(sets: Sets) -> tuple[Paths, ...]:
        return tuple(tuple(examples[index].path for index in members) for members in sets)

    labels = [{examples[index].path: examples[index].label for index in members} for members in contents.duplicates]
    return Findings(
        pictures=len(examples) + len(bad),
        exact_copies=named(contents.copies),
        near_duplicates=named(contents.alike),
        label_conflicts=tuple(each for each in labels if len(set(each.values())) > 1),
        dropped=tuple(examples[index].path for index in sorted(dropped)),
        bad_pictures=dict(bad),
        passed_over=dict(sorted(source.passed_over.items())),
        notes=source.notes,
    )


@dataclass(frozen=True)
class SplitResult:
    """What a split did.

    Args:
        dest: The folder that was written.
        counts: Pictures of each class in each of train, validation and test.
        seed: The seed it was done with.
        left_out: Pictures of the source that are in no part.
        findings: What was found in the source.
        too_few: Parts, by class, that groups left with fewer pictures than asked for: (have, asked for).
        unchanged: Whether the same split was there already, so that nothing was written.
    """

    dest: Path
    counts: Mapping[str, Mapping[str, int]]
    seed: int
    left_out: int
    findings: Findings
    too_few: Mapping[str, tuple[int, int]]
    unchanged: bool = False

    @property
    def lines(self) -> tuple[str, ...]:
        """What is to be said below the table of counts, a line each."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.left_out:
            reasons = {"duplicates": self.findings.dropped, "bad": self.findings.bad_pictures}
            told = [f", {len(paths)} as {reason}" for reason, paths in reasons.items() if paths]
            yield f"left out: {counted(self.left_out, 'picture')}{''.join(told)}"
        if self.too_few:
            short = ", ".join(f"{name} {have} of {asked}" for name, (have, asked) in self.too_few.items())
            yield f"fewer than asked for, since groups stay on one side: {short}"
        yield from self.findings.lines()
        if self.unchanged:
            yield "nothing to do: the same split is there already"

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "dest": str(self.dest),
            "counts": self.counts,
            "seed": self.seed,
            "left_out": self.left_out,
            "too_few": self.too_few,
            "unchanged": self.unchanged,
            "findings": asdict(self.findings),
        }


def count_pictures(rows: Sequence[Example], examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    """Pictures of each class of `examples` in each part of `rows`."""
    labels = class_names(examples)
    counted = {split: Counter(row.label for row in in_split(rows, split)) for split in SPLITS}
    return {split: {label: counted[split][label] for label in labels} for split in SPLITS}


def too_few_of(counts: Mapping[str, Mapping[str, int]], asked: Mapping[str, int] | None) -> dict[str, tuple[int, int]]:
    """Where there are fewer pictures than asked for; nothing where no counts were asked for."""
    return {
        f"{label} in {split}": (have, (asked or {}).get(split, 0))
        for split, classes in counts.items()
        for label, have in classes.items()
        if have < (asked or {}).get(split, 0)
    }
