"""What a report says, as plain values: what stands in the page and nothing about how it looks."""

from collections.abc import Mapping
from dataclasses import dataclass

from cnntrain.evaluation.metrics import Metrics
from cnntrain.evaluation.thresholds import OperatingPoint


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that was asked about.

    Args:
        name: What its file is called, below the data set's folder.
        truth: Its class.
        predicted: The most probable class.
        confidence: Probability of that class, 0 to 1.
        image: The picture as a data URI.
    """

    name: str
    truth: str
    predicted: str
    confidence: float
    image: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the confusion matrix.

    Args:
        truth: Index of the true class, the row.
        predicted: Index of the predicted class, the column.
        count: Pictures in it.
        share: Their share of all pictures of the true class, 0 to 1.
        pictures: Those of them that the page has room for.
    """

    truth: int
    predicted: int
    count: int
    share: float
    pictures: tuple[Shown, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether it lies on the diagonal."""
        return self.truth == self.predicted


@dataclass(frozen=True, slots=True)
class Mistake:
    """A picture that was taken for another class, with what the network looked at.

    Args:
        shown: The picture.
        heat: The same picture under the heat map of the predicted class, as a data URI.
        truth_probability: Probability of the true class, 0 to 1.
    """

    shown: Shown
    heat: str
    truth_probability: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure.

    Args:
        title: What it is called.
        image: The figure on white, as a data URI.
        description: What it shows, for those who cannot see it.
        caption: A sentence below it.
    """

    title: str
    image: str
    description: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A picture whose label is perhaps wrong.

    Args:
        name: What its file is called.
        split: Which part of the data it is in.
        label: The label it has.
        label_probability: Probability of that, 0 to 1.
        suggested: The label that is suggested.
        suggested_probability: Probability of that, 0 to 1.
        image: The picture as a data URI.
    """

    name: str
    split: str
    label: str
    label_probability: float
    suggested: str
    suggested_probability: float
    image: str


@dataclass(frozen=True, slots=True)
class Measured:
    """How the model fares on one part of the data.

    Args:
        split: Which part.
        metrics: All measures.
        matrix: C rows of C cells: row the true class, column the predicted one.
        left_out: Pictures that the page has no room for; 0 where none can be read.
        mistakes: The most confidently wrong pictures, the most confident first.
        heat_by: The method of their heat maps.
        size: Height and width of the pictures as the network sees them.
        charts: Calibration, and the curves that exist.
        operating_point: Of two classes, how the threshold that was fitted on validation fares, where there is one.
    """

    split: str
    metrics: Metrics
    matrix: tuple[tuple[Cell, ...], ...]
    left_out: int
    mistakes: tuple[Mistake, ...]
    heat_by: str
    size: str
    charts: tuple[Chart, ...]
    operating_point: OperatingPoint | None = None

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that have pictures, row by row."""
        return tuple(cell for row in self.matrix for cell in row if cell.count)

    @property
    def confusions(self) -> tuple[Cell, ...]:
        """The cells beside the diagonal that have pictures, the most frequent first."""
        return tuple(sorted((cell for cell in self.cells if not cell.is_right), key=lambda cell: -cell.count))


@dataclass(frozen=True, slots=True)
class Pictures:
    """The data set of a run.

    Args:
        source: Where it lies.
        splits: Names of its parts.
        counts: Pictures of each class in each part: a row a class.
        skipped: Bad pictures that were left out: path, part and what is wrong.
        leaks: Pairs of paths of the same picture in two parts.
    """

    source: str
    splits: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    skipped: tuple[tuple[str, str, str], ...] = ()
    leaks: tuple[tuple[str, str], ...] = ()

    @property
    def totals(self) -> tuple[int, ...]:
        """Pictures in each part."""
        return tuple(map(sum, zip(*self.counts.values(), strict=True)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything that a page tells.

    Args:
        name: Of the run.
        what: The kind of network, in a phrase.
        classes: Names in the order of the model's outputs.
        status: How the training ended.
        started: When it began.
        written: When the report was made.
        version: Of cnntrain, by which the report is made.
        warnings: What weakens the result or is missing.
        notes: What was said while it trained.
        best: The epoch whose weights were kept, in a phrase; empty before the first.
        configuration: The run's YAML.
        pictures: The data set.
        curves: Loss and accuracy over the epochs.
        measured: How good the model is; absent without pictures to measure on.
        suspicions: Pictures whose labels are perhaps wrong, the clearest; absent where nobody looked.
        suspected: How many there are of them in all.
        environment: Versions, device and the like.
        command: What repeats the training.
    """

    name: str
    what: str
    classes: tuple[str, ...]
    status: str
    started: str
    written: str
    version: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    best: str
    configuration: str
    pictures: Pictures
    curves: Chart | None
    measured: Measured | None
    suspicions: tuple[Suspicion, ...] | None
    suspected: int
    environment: Mapping[str, str]
    command: str
