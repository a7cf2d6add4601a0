"""`cnntrain compare`: whether one run's model is better than another's."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.api.evaluation import answers_of
from cnntrain.api.measuring import weaknesses_of_model
from cnntrain.data.examples import Example, in_split, read_examples
from cnntrain.errors import DataError, UsageError
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Event, Message, OnEvent, ignore

if TYPE_CHECKING:
    from cnntrain.evaluation.answers import Answers
    from cnntrain.evaluation.comparison import Pair
    from cnntrain.evaluation.intervals import Estimate

CAVEAT = "a pair of runs compares two models, not two recipes: with other seeds the order could turn"


@dataclass(frozen=True)
class Candidate:
    """One run's model on the pictures.

    Args:
        run: Its folder as given.
        accuracy: Share of right answers.
        loss: Mean cross-entropy in nats.
        roc_auc: Mean area under the ROC curve of the classes; None where all pictures are of one class.
    """

    run: str
    accuracy: "Estimate"
    loss: float
    roc_auc: "Estimate | None"


@dataclass(frozen=True)
class Comparison:
    """Several runs on the same pictures.

    Args:
        split: Which of the runs' own pictures.
        images: Their number.
        tta: Whether probabilities are averaged over mirror images.
        runs: Each run's measures, in the order given.
        pairs: All pairs of two or three runs; of more, each with the first.
        notes: What the user should know.
    """

    split: str
    images: int
    tta: bool
    runs: tuple[Candidate, ...]
    pairs: "tuple[Pair, ...]"
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {"format": 1, **asdict(self), "caveat": CAVEAT}


def compare(
    runs: Sequence[Run | str | Path],
    *,
    split: str = "test",
    tta: bool = False,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> Comparison:
    """Compares the models of runs on the same pictures; those without a stored evaluation are evaluated first.

    Args:
        runs: At least two different runs, or their folders, with the same pictures in the split.
        split: `train`, `validation` or `test`.
        tta: Whether probabilities are averaged over mirror images, as in `evaluate`.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        UsageError: There are fewer than two runs, one is given twice, or `tta` does not fit one.
        RunError: There is no such run.
        ModelFileError: The model of a run is missing or damaged.
        DataError: The runs have other pictures, labels or classes, or the pictures are gone or changed.
        WriteError: An evaluation cannot be written.
    """
    from cnntrain.evaluation.comparison import compare_answers
    from cnntrain.evaluation.metrics import compute_metrics

    opened = [run if isinstance(run, Run) else open_run(Path(run)) for run in runs]
    _check_different(opened)
    listener = on_event or ignore
    tables = [_own_examples(run, split) for run in opened]
    for run, examples in zip(opened[1:], tables[1:], strict=True):
        _check_comparable(opened[0], tables[0], run, examples, split)
    if any(run.record.smoke for run in opened):
        prepare(device)  # what is noted of them comes with TensorFlow, which stored evaluations do without
    notes = tuple(_notes(opened, split))
    for note in notes:
        listener(Message(note))
    answers = [
        _aligned(
            answers_of(run, split, tta=tta, device=device, on_event=_telling_of(run, listener, notes)),
            examples,
            opened[0].classes,
        )
        for run, examples in zip(opened, tables, strict=True)
    ]
    names = [str(run.path) for run in opened]
    metrics = [compute_metrics(each) for each in answers]
    return Comparison(
        split=split,
        images=len(tables[0]),
        tta=tta,
        runs=tuple(
            Candidate(name, each.accuracy, each.loss, each.macro.roc_auc)
            for name, each in zip(names, metrics, strict=True)
        ),
        pairs=compare_answers(list(zip(names, answers, strict=True))),
        notes=notes,
    )


def _telling_of(run: Run, listener: OnEvent, told: Collection[str]) -> OnEvent:
    """A listener that adds which run a message is of, and passes over what was told."""

    def tell(event: Event) -> None:
        if isinstance(event, Message):
            event = Message(f"{run.path}: {event.text}")
            if event.text in told:
                return
        listener(event)

    return tell


def _check_different(runs: Sequence[Run]) -> None:
    """Raises UsageError unless there are at least two runs, each given once."""
    if len(runs) < 2:
        raise UsageError(f"compare takes at least two runs; got: {', '.join(str(run.path) for run in runs) or 'none'}")
    places = [run.path.resolve() for run in runs]
    twice = next((run for run, place in zip(runs, places, strict=True) if places.count(place) > 1), None)
    if twice is not None:
        raise UsageError(f"compare takes different runs; got more than once: {twice.path}; give each once")


def _own_examples(run: Run, split: str) -> tuple[Example, ...]:
    examples = in_split(read_examples(run.directory.examples), split)
    if not examples:
        raise DataError(f"the run {run.path} has no {split} pictures; choose another --split")
    return examples


def _check_comparable(
    first: Run, expected: Sequence[Example], run: Run, examples: Sequence[Example], split: str
) -> None:
    """Raises DataError unless two runs have the same classes, and the same pictures with the same labels."""
    if set(first.classes) != set(run.classes):
        differing = sorted(set(first.classes) ^ set(run.classes))
        raise DataError(
            f"runs are compared on the same classes; {first.path} and {run.path} differ in {len(differing)} of them, "
            f"{differing[0]} first; compare runs that were fitted with the same classes"
        )
    here, there = (Counter(example.sha256 for example in table) for table in (expected, examples))
    if here != there:
        raise DataError(
            f"runs are compared on the same pictures; {(here - there).total()} of {len(expected)} {split} pictures "
            f"of {first.path} are not in {run.path}, and {(there - here).total()} of {len(examples)} the other way; "
            "compare runs that were fitted on the same split"
        )
    labelled = (Counter((example.sha256, example.label) for example in table) for table in (expected, examples))
    if relabelled := (next(labelled) - next(labelled)).total():
        raise DataError(
            f"runs are compared on the same labels; {relabelled} of {len(expected)} {split} pictures have another "
            f"class in {run.path} than in {first.path}; fit one of them again"
        )


def _aligned(answers: "Answers", examples: Sequence[Example], classes: tuple[str, ...]) -> "Answers":
    """Answers with rows sorted by the pictures' checksums and labels, and columns in the order of `classes`."""
    import numpy as np

    from cnntrain.evaluation.answers import Answers

    keys = {example.path: (example.sha256, example.label, example.path) for example in examples}
    rows = sorted(range(len(answers.paths)), key=lambda row: keys[answers.paths[row]])
    columns = [answers.classes.index(name) for name in classes]
    place = np.argsort(columns)  # of each of the answers' classes in `classes`
    return Answers(
        paths=tuple(answers.paths[row] for row in rows),
        truth=place[answers.truth[rows]].astype(np.int64),
        probabilities=answers.probabilities[np.ix_(rows, columns)],
        classes=classes,
    )


def _notes(runs: Sequence[Run], split: str) -> Iterator[str]:
    """What weakens the comparison."""
    for run in runs:
        for note in weaknesses_of_model(run):
            yield f"{run.path}: {note}"
    if split == "train":
        yield "the runs were trained on these pictures: what they learnt by heart says little about other pictures"
    if split == "validation":
        yield "each run chose its best epoch on these pictures, so all of them look better than they are"
