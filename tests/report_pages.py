"""Reports of made-up answers, and a reader of the page that is not a browser."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.evaluation.answers import Answers, worst_mistakes
from cnntrain.evaluation.metrics import compute_metrics
from cnntrain.reports.content import Chart, Measured, Mistake, Pictures, Report, Suspicion
from cnntrain.reports.images import BUDGET, thumbnail, thumbnails
from cnntrain.reports.matrix import cells_of, picture_order, shown_pictures

HOSTILE = (
    "<script>alert(1)</script>",
    '" onmouseover="alert(2)',
    "' autofocus onfocus='alert(3)",
    "</style></dialog><img src=http://example.org/x.png>",
    "{{ 7 * 7 }} & &lt; 猫 قط",
)


def made_answers(classes: Sequence[str], count: int, *, wrong: float = 0.2, paths: Sequence[str] = ()) -> Answers:
    """Answers of which about a share is wrong, always the same."""
    random = np.random.default_rng(7)
    truth = np.arange(count) % len(classes)
    said = np.where(random.random(count) < wrong, random.integers(0, len(classes), count), truth)
    scores = random.random((count, len(classes)))
    scores[np.arange(count), said] += 1.0 + random.random(count)
    return Answers(
        paths=tuple(paths or (f"{classes[truth[i]].replace('/', '_')}/picture {i}.jpg" for i in range(count))),
        truth=truth.astype(np.int64),
        probabilities=(scores / scores.sum(axis=1, keepdims=True)).astype(np.float32),
        classes=tuple(classes),
    )


def noise(count: int, side: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures that nothing compresses."""
    random = np.random.default_rng(7)
    for _ in range(count):
        yield random.integers(0, 256, (side, side, 3), np.uint8)


def made_report(answers: Answers, *, side: int = 24, budget: int = BUDGET, **changed: Any) -> Report:
    """A report of answers on noise."""
    classes = answers.classes
    image = thumbnail(next(noise(1, side)))
    white = Chart("Reliability", image, 'how "sure" <it> is', "A caption.")
    report = Report(
        name="a run",
        what="Convnet of 2 blocks from scratch",
        classes=classes,
        status="finished",
        started="2026-11-22 12:29 UTC",
        written="2026-11-22 13:00 UTC",
        version="0.1.0",
        warnings=(),
        notes=("a note", answers.paths[0]),
        best="3 of 5, val_loss 0.1234",
        configuration="format: 1\ndata:\n  source: " + answers.paths[0],
        pictures=Pictures(
            source="/data/" + classes[0],
            splits=("train", "test"),
            counts={name: (10, int((answers.truth == index).sum())) for index, name in enumerate(classes)},
            skipped=((answers.paths[0], "train", "no picture"),),
            leaks=((answers.paths[0], answers.paths[-1]),),
        ),
        curves=white,
        measured=_measured(answers, side, budget, white),
        suspicions=(Suspicion(answers.paths[0], "train", classes[0], 0.01, classes[-1], 0.98, image),),
        suspected=3,
        environment={"Python": "3.11.7", "Device": "cpu"},
        command="cnntrain fit 'a run/config.yaml' --run-dir 'a run_again'",
    )
    return replace(report, **changed)


def _measured(answers: Answers, side: int, budget: int, chart: Chart) -> Measured:
    order = [int(position) for position in picture_order(answers)]
    images = thumbnails(noise(len(order), side), (answers.paths[position] for position in order), budget=budget)
    seen = order[: len(images)]
    metrics = compute_metrics(answers)
    worst = worst_mistakes(answers, 3)
    shown = shown_pictures(answers, worst, answers.paths, [images[0]] * len(worst))
    return Measured(
        split="test",
        metrics=metrics,
        matrix=cells_of(answers, metrics.confusion, seen, shown_pictures(answers, seen, answers.paths, images)),
        left_out=len(order) - len(images),
        mistakes=tuple(Mistake(one, images[0], 0.1) for one in shown),
        heat_by="Grad-CAM",
        size="24 × 24",
        charts=(chart,),
    )


class ParsedPage(HTMLParser):
    """The elements of a page: each with its attributes, the texts in it, and the id of the dialog it is in."""

    _VOID = frozenset({"meta", "img", "wbr", "br", "link", "input"})

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], list[str], str]] = []
        self._open: list[tuple[str, dict[str, str], list[str], str]] = []
        self.feed(page)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), "no attribute stands twice"
        attributes = {name: value or "" for name, value in attrs}
        around = next((one[1]["id"] for one in reversed(self._open) if one[0] == "dialog"), "")
        element = (tag, attributes, list[str](), around)
        self.elements.append(element)
        if tag not in self._VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag, f"{tag} closes what is open"

    def handle_data(self, data: str) -> None:
        for _, _, texts, _ in self._open:
            texts.append(data)

    def all(self, tag: str, **wanted: str) -> list[tuple[dict[str, str], str, str]]:
        """Attributes, text and dialog of every element of a tag; `class_` asks for one of its classes."""
        name = wanted.pop("class_", None)
        return [
            (attributes, "".join(texts).strip(), around)
            for found, attributes, texts, around in self.elements
            if found == tag
            and (name is None or name in attributes.get("class", "").split())
            and all(attributes.get(key) == value for key, value in wanted.items())
        ]
