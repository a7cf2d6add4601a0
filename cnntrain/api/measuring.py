"""A run's model and the pictures that it is measured on, looked at before it is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cnntrain.data.examples import Example, in_split, read_examples
from cnntrain.errors import UsageError
from cnntrain.files import sha256
from cnntrain.runs.run import Run
from cnntrain.training.events import OnEvent, StepDone, pictures_told

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnntrain.data.decoder import Preprocessing
    from cnntrain.evaluation.answering import Flip
    from cnntrain.evaluation.answers import Answers
    from cnntrain.evaluation.trust import Trusted

AVERAGED = "_tta"  # how the folders of averaged evaluations end


@dataclass(frozen=True)
class Opened:
    """A run's model, ready to be asked.

    Args:
        run: The run.
        model: Pictures to probabilities.
        preprocessing: How pictures are made for it.
        checksum: SHA-256 of the model's file.
        flip: Which mirror images are averaged over.
        listener: Told how far it is.
    """

    run: Run
    model: Any
    preprocessing: "Preprocessing"
    checksum: str
    flip: "Flip"
    listener: OnEvent

    def answers(self, examples: Sequence[Example]) -> "Answers":
        """What the model says about pictures."""
        from cnntrain.data.pipeline import open_pictures
        from cnntrain.evaluation.answering import answer

        return answer(
            self.model,
            open_pictures(examples, self.run.classes, self.preprocessing),
            self.run.classes,
            flip=self.flip,
            on_batch=lambda step, steps: self.listener(StepDone("pictures", step, steps)),
        )

    def pictures(self, examples: Sequence[Example]) -> "list[NDArray[np.uint8]]":
        """A few pictures as the network gets them: uint8 arrays of shape (height, width, 1 or 3)."""
        from cnntrain.data.few import decoded

        return list(decoded(examples, self.preprocessing)) if examples else []


def open_for_measuring(run: Run, flip: "Flip", listener: OnEvent) -> Opened:
    """Loads the model of a run. Raises ModelFileError or RunError where it or what belongs to it is damaged."""
    from cnntrain.evaluation.trust import open_model

    model, preprocessing = open_model(run)
    return Opened(run, model, preprocessing, sha256(run.directory.model), flip, listener)


def own_pictures(run: Run, split: str, listener: OnEvent) -> "tuple[Trusted, tuple[str, ...]]":
    """The pictures of one of the run's splits, looked at; there is nothing to note about where they are from."""
    from cnntrain.evaluation.selection import examples_of_split
    from cnntrain.evaluation.trust import trust_own

    examples = examples_of_split(run, split)
    return trust_own(run, split, examples, on_picture=pictures_told(listener, len(examples))), ()


def other_pictures(
    run: Run,
    data: Path,
    label_regex: str | None,
    bad_images: Literal["error", "skip"],
    allow_leak: bool,
    listener: OnEvent,
) -> "tuple[Trusted, tuple[str, ...]]":
    """The pictures of another source, looked at, and notes on what of it is left out or missing."""
    from cnntrain.evaluation.selection import examples_of_data
    from cnntrain.evaluation.trust import trust_other

    examples, notes = examples_of_data(data, run.classes, label_regex=label_regex)
    told = pictures_told(listener, len(examples))
    return trust_other(run, examples, bad_images=bad_images, allow_leak=allow_leak, on_picture=told), notes


def weaknesses(run: Run, name: str, trusted: "Trusted") -> Iterator[str]:
    """What weakens the result."""
    from cnntrain.data.leaks import described, shared

    yield from weaknesses_of_model(run)
    if before := sum(picture["split"] == name for picture in run.record.data.get("skipped", ())):
        yield f"{before} bad {name} pictures were left out when the run was fitted; run.json lists them"
    if trusted.skipped:
        first = trusted.skipped[0]
        yield f"{len(trusted.skipped)} bad pictures are skipped, {first.path} ({first.problem}) first"
    if trusted.leaks:
        yield f"a leak is allowed: {described(trusted.leaks)}"
    if trusted.alike:
        yield f"{len(trusted.alike)} pictures are near-duplicates of training pictures, {trusted.alike[0]} first"
    validation = in_split(read_examples(run.directory.examples), "validation")
    if name not in ("train", "validation") and (chosen_on := shared(validation, trusted.examples)):
        yield f"{described(chosen_on)}; the best epoch was chosen on these, and any threshold is fitted on them"


def weaknesses_of_model(run: Run) -> Iterator[str]:
    """Why a model is less than its configuration promises."""
    if run.record.smoke:
        from cnntrain.evaluation.trust import SMOKE_NOTE  # which takes seconds to load

        yield SMOKE_NOTE
    if run.record.status != "finished":
        yield f"the run is not finished ({run.record.status}): its model is the best of its first epochs"


def flip_of(run: Run, *, tta: bool) -> "Flip":
    """The mirror images to average over: none, or those that a run was trained with.

    Raises:
        UsageError: Some are asked for and the run was trained without.
    """
    flip = run.config.augment.flip
    if not tta:
        return "none"
    if flip == "none":
        raise UsageError(
            f"--tta averages over the mirror images that a run was trained with; {run.path} was trained with "
            "augment.flip: none; leave --tta out, or fit again with augment.flip: horizontal"
        )
    return flip


def evaluation_folder(run: Run, name: str, *, tta: bool) -> Path:
    """Where an evaluation lies. Raises UsageError if the name is not that of one folder."""
    return run.directory.evaluation(f"{name}{AVERAGED}" if tta else name)


def fingerprint_of(examples: Sequence[Example]) -> str:
    """Without splits, so that pictures have one fingerprint, whoever brings them."""
    from cnntrain.data.fingerprint import fingerprint

    return fingerprint([replace(example, split="") for example in examples])
