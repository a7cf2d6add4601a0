"""What `cnntrain explain` looks into: the network of a run, or one that was trained on ImageNet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.errors import DataError, UsageError
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnntrain.data.decoder import Preprocessing
    from cnntrain.data.unlabelled import NamedPicture

PREFIX = "pretrained:"
_NAMED = 20  # pictures in an error


@dataclass(frozen=True)
class Subject:
    """A network, and what must be known to show it pictures.

    Args:
        name: What it is called.
        model: Pictures (N, height, width, channels), 0 to 255, to probabilities; without a top, to feature maps.
        preprocessing: How its pictures are made.
        classes: Names in the order of its outputs; none where it has no top.
        folder: Where pictures of what it sees go unless somebody says otherwise.
        max_pixels: Of the largest picture that is read.
    """

    name: str
    model: Any
    preprocessing: "Preprocessing"
    classes: tuple[str, ...]
    folder: Path
    max_pixels: int


def open_subject(
    run: Run | str | Path, *, weights: str | None, has_top: bool, device: DeviceChoice, listener: OnEvent
) -> Subject:
    """The network of a run, or the one that `pretrained:NAME` stands for.

    Args:
        run: A run, its folder, or `pretrained:` and the name of a network of `keras.applications`.
        weights: Of a pretrained network: `imagenet` (when absent), `none` for random ones, or the path of a file.
        has_top: Whether a pretrained network is needed with its classes.
        device: `auto`, `cpu` or `gpu`.
        listener: Told what must be known about it.

    Raises:
        UsageError: There is no such pretrained network, or weights are given for a run.
        RunError: There is no such run.
        ModelFileError: The model is missing or damaged, or the weights cannot be had.
    """
    if not isinstance(run, Run) and str(run).startswith(PREFIX):
        prepare(device)
        return _pretrained(str(run).removeprefix(PREFIX), weights or "imagenet", has_top, listener)
    if weights is not None:
        raise UsageError(f"a run has its own weights; --weights is for {PREFIX}NAME in place of a run; got: {weights}")
    run = run if isinstance(run, Run) else open_run(Path(run))
    prepare(device)
    from cnntrain.evaluation.trust import SMOKE_NOTE, open_model

    model, preprocessing = open_model(run)
    if run.record.smoke:
        listener(Message(SMOKE_NOTE))
    folder, limit = run.directory.explanations, run.config.data.max_pixels
    return Subject(run.name, model, preprocessing, run.classes, folder, limit)


def _pretrained(name: str, weights: str, has_top: bool, listener: OnEvent) -> Subject:
    from cnntrain.config.sections import Data
    from cnntrain.data.decoder import Preprocessing
    from cnntrain.models.imagenet import build_imagenet, check_name, picture_side

    known = check_name(name)
    if weights == "none":
        listener(Message(f"{known} has random weights: it knows nothing"))
    model = build_imagenet(known, weights, include_top=has_top)
    side = picture_side(known)
    return Subject(
        name=known,
        model=model,
        preprocessing=Preprocessing(side, side, 3),
        classes=_imagenet_classes(listener) if has_top else (),
        folder=Path("explain") / f"pretrained_{known}",
        max_pixels=Data.model_fields["max_pixels"].default,
    )


def _imagenet_classes(listener: OnEvent) -> tuple[str, ...]:
    from cnntrain.models.imagenet import CLASSES, class_names

    try:
        return class_names()
    except OSError as error:
        listener(Message(f"warning: {error}; classes are told by their numbers, 0 to {CLASSES - 1}"))
        return tuple(str(number) for number in range(CLASSES))


def usable(images: Sequence[str | Path], subject: Subject) -> tuple["NamedPicture", ...]:
    """Pictures that were named one by one, with their orientations.

    Raises:
        DataError: One is missing, damaged or too large.
    """
    from cnntrain.data.unlabelled import look_at_named, named_picture

    good, bad = look_at_named([named_picture(image) for image in images], max_pixels=subject.max_pixels)
    if bad:
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise DataError(f"{'; '.join(map(str, bad[:_NAMED]))}{more}; give the paths of pictures that can be decoded")
    return good


def as_seen(pictures: Sequence["NamedPicture"], subject: Subject) -> "NDArray[np.uint8]":
    """Pictures as the network gets them: uint8 (N, height, width, channels)."""
    from cnntrain.data.few import at_once
    from cnntrain.data.unlabelled import open_named

    return at_once(open_named(pictures, subject.preprocessing))


def as_it_is(picture: "NamedPicture", subject: Subject) -> "NDArray[np.uint8]":
    """A picture upright, in its own size and in color: uint8 (height, width, 3)."""
    from dataclasses import replace

    from cnntrain.data.decoder import decode, decode_as_stored

    content = Path(picture.file).read_bytes()
    height, width = decode_as_stored(content).shape[:2]
    if picture.orientation >= 5:  # lies on its side
        height, width = width, height
    own = replace(subject.preprocessing, height=height, width=width, channels=3)
    pixels: NDArray[np.uint8] = decode(content, picture.orientation, own).numpy()
    return pixels


def as_png(picture: "NDArray[np.uint8]") -> bytes:
    """A picture of 1 or 3 channels as a PNG file's bytes."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(stream, format="png")
    return stream.getvalue()
