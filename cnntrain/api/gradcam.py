"""`cnntrain explain gradcam`: where in a picture that lies which speaks for a class."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cnntrain.api.fonts import tell_missing_fonts
from cnntrain.api.subjects import Subject, as_it_is, as_png, as_seen, open_subject, usable
from cnntrain.errors import DataError, UsageError
from cnntrain.files import new_folder, write_bytes
from cnntrain.runs.run import Run
from cnntrain.runtime import DeviceChoice
from cnntrain.training.events import Message, OnEvent, StepDone, ignore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnntrain.data.unlabelled import NamedPicture
    from cnntrain.plots.heat_map import ClassHeat

HeatMethod = Literal["auto", "gradcam", "gradcam++", "integrated_gradients"]

_TOP = 3
_AT_ONCE = 16  # pictures that are in memory
_NO_LETTER = re.compile(r"[^\w.-]+")
_LONGEST = 40  # characters of a class's name in the name of a file


@dataclass(frozen=True)
class HeatMap:
    """What speaks for a class in a picture.

    Args:
        name: Of the class.
        probability: Of the class, by the model.
        file: The picture in its own size with the heat on it.
        is_cold: Whether nothing speaks for the class.
    """

    name: str
    probability: float
    file: Path
    is_cold: bool


@dataclass(frozen=True)
class ExplainedPicture:
    """The heat maps of one picture.

    Args:
        picture: Its path as it was given.
        summary: A file with the picture and all heat maps side by side.
        heat_maps: A class each, the likeliest first or as they were asked for.
    """

    picture: str
    summary: Path
    heat_maps: tuple[HeatMap, ...]


@dataclass(frozen=True)
class HeatMapPictures:
    """Heat maps of pictures, as files.

    Args:
        folder: Where they lie, a folder a picture.
        method: `gradcam`, `gradcam++` or `integrated_gradients`.
        layer: Whose maps Grad-CAM looked at.
        pictures: In the order given.
    """

    folder: Path
    method: str
    layer: str | None
    pictures: tuple[ExplainedPicture, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {
            "format": 1,
            "folder": str(self.folder),
            "method": self.method,
            "layer": self.layer,
            "pictures": [
                {
                    "path": one.picture,
                    "summary": str(one.summary),
                    "classes": [
                        {"class": heat.name, "probability": heat.probability, "path": str(heat.file)}
                        for heat in one.heat_maps
                    ],
                }
                for one in self.pictures
            ],
        }


def explain_gradcam(
    run: Run | str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    classes: Sequence[str] = (),
    top: int | None = None,
    method: HeatMethod = "auto",
    layer: str | None = None,
    weights: str | None = None,
    output: str | Path | None = None,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> HeatMapPictures:
    """Draws where in pictures that lies which speaks for a class, over each picture in its own size.

    Args:
        run: A run, its folder, or `pretrained:NAME` for a network of `keras.applications` with its 1,000 classes.
        images: The pictures.
        classes: Names of the classes; when there are none, the likeliest of each picture.
        top: How many of those: 3 when absent.
        method: `auto` is Grad-CAM, or integrated gradients where the network has no map to look at.
        layer: Whose maps Grad-CAM looks at; the last with more than one place when absent.
        weights: Of a pretrained network with its top: `imagenet` (when absent), `none`, or the path of a file.
        output: The folder to make; when absent `RUN/explain/METHOD`, or `explain/pretrained_NAME/METHOD`, in which
            the folder of each picture is replaced.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is, and where nothing speaks for a class.

    Raises:
        UsageError: There is no such class, layer or pretrained network, the layer has no map of more than one place, or
            the options do not fit together.
        RunError: There is no such run.
        ModelFileError: The model is missing or damaged, or the weights cannot be had.
        DataError: There is no picture, or one is missing or damaged.
        WriteError: The files cannot be written, or `output` holds something already.
    """
    listener = on_event or ignore
    given = [images] if isinstance(images, str | Path) else list(images)
    _check_request(given, classes, top)
    subject = open_subject(run, weights=weights, has_top=True, device=device, listener=listener)
    from cnntrain.interpretation.heat_maps import choose_method

    used, looked_at = choose_method(subject.model, method, layer)
    question = _Question(used, looked_at, _wanted(subject.classes, classes), top or _TOP)
    pictures = usable(given, subject)
    folder = Path(output) if output is not None else subject.folder / used
    done: list[ExplainedPicture] = []
    with ExitStack() as stack:
        whole = stack.enter_context(new_folder(folder)) if output is not None else None
        for drawn, name in zip(_drawn(subject, pictures, question), _folder_names(given), strict=True):
            tell_missing_fonts(listener, [drawn.picture, *(heat.name for heat in drawn.heats)])
            with nullcontext(whole / name) if whole else new_folder(folder / name, overwrite=True) as place:
                done.append(_write(drawn, place, folder / name))
            listener(StepDone("pictures", len(done), len(pictures)))
            _tell_cold(drawn, listener)
    return HeatMapPictures(folder, used, looked_at, tuple(done))


def _check_request(images: Sequence[str | Path], classes: Sequence[str], top: int | None) -> None:
    if classes and top is not None:
        raise UsageError("classes are named or the likeliest are taken; give --class or --top, not both")
    if top is not None and top < 1:
        raise UsageError(f"the number of classes to show is at least 1; got: {top}")
    if not images:
        raise DataError("there must be a picture to look at, and none is given")


@dataclass(frozen=True)
class _Question:
    """What is asked of each picture.

    Args:
        method: `gradcam`, `gradcam++` or `integrated_gradients`.
        layer: Of Grad-CAM.
        wanted: Indices of classes; the likeliest when there are none.
        top: How many of those.
    """

    method: Literal["gradcam", "gradcam++", "integrated_gradients"]
    layer: str | None
    wanted: tuple[int, ...]
    top: int

    @property
    def line(self) -> str:
        """How it is answered, for whoever looks at a summary."""
        from cnntrain.interpretation.heat_maps import METHOD_NAMES

        return METHOD_NAMES[self.method] + (f", {self.layer}" if self.layer else "")


@dataclass(frozen=True)
class _Drawn:
    """A picture with its heat maps, in memory.

    Args:
        picture: Its path as it was given.
        pixels: uint8 (height, width, 3), upright, in its own size.
        heats: Its classes with their heat on it.
        cold: Names of the classes that nothing speaks for.
        line: How the heat was made.
    """

    picture: str
    pixels: "NDArray[np.uint8]"
    heats: "tuple[ClassHeat, ...]"
    cold: tuple[str, ...]
    line: str


def _drawn(subject: Subject, pictures: "Sequence[NamedPicture]", question: _Question) -> Iterator[_Drawn]:
    """The pictures with their heat maps; a few at a time are in memory."""
    import numpy as np

    from cnntrain.data.unlabelled import open_named
    from cnntrain.evaluation.answering import predict_probabilities
    from cnntrain.interpretation.heat_maps import heat_maker

    heat_maps = heat_maker(subject.model, method=question.method, layer=question.layer)
    for start in range(0, len(pictures), _AT_ONCE):
        group = pictures[start : start + _AT_ONCE]
        chances = predict_probabilities(subject.model, open_named(group, subject.preprocessing), len(subject.classes))
        likeliest = np.argsort(-chances, axis=1, kind="stable")[:, : question.top]
        rows = [question.wanted or tuple(row.tolist()) for row in likeliest]
        shown = np.repeat(as_seen(group, subject), len(rows[0]), axis=0)
        asked = [target for targets in rows for target in targets]
        heats = iter(heat_maps(shown, asked))
        for picture, targets, chance in zip(group, rows, chances, strict=True):
            yield _laid_over(subject, picture, question, {target: next(heats) for target in targets}, chance)


def _laid_over(
    subject: Subject,
    picture: "NamedPicture",
    question: _Question,
    heats: "Mapping[int, NDArray[np.float32]]",
    chances: "NDArray[np.float32]",
) -> _Drawn:
    """Heat maps of classes, by their indices, on the picture in its own size."""
    from cnntrain.interpretation.placement import brought_back
    from cnntrain.plots.heat_map import ClassHeat, overlaid

    pixels = as_it_is(picture, subject)
    size = (pixels.shape[0], pixels.shape[1])
    found = tuple(
        ClassHeat(
            subject.classes[index],
            float(chances[index]),
            overlaid(pixels, brought_back(heat, size, subject.preprocessing)),
        )
        for index, heat in heats.items()
    )
    cold = tuple(subject.classes[index] for index, heat in heats.items() if not heat.any())
    return _Drawn(picture.name, pixels, found, cold, question.line)


def _write(drawn: _Drawn, place: Path, folder: Path) -> ExplainedPicture:
    """Writes the pictures of one picture to `place`, which is to become `folder`."""
    from cnntrain.plots.heat_map import draw_heat_maps
    from cnntrain.plots.style import to_png

    title = Path(drawn.picture).name
    summary = to_png(draw_heat_maps(drawn.pixels, drawn.heats, name=title, method=drawn.line))
    write_bytes(place / "summary.png", summary)
    maps = []
    for number, heat in enumerate(drawn.heats, start=1):
        file = f"{number:02d}_{_NO_LETTER.sub('_', heat.name)[:_LONGEST]}.png"
        write_bytes(place / file, as_png(heat.picture))
        maps.append(HeatMap(heat.name, heat.probability, folder / file, heat.name in drawn.cold))
    return ExplainedPicture(drawn.picture, folder / "summary.png", tuple(maps))


def _tell_cold(drawn: _Drawn, listener: OnEvent) -> None:
    for name in drawn.cold:
        listener(Message(f"{drawn.picture}: nothing speaks for {name}, so its heat map is empty"))


def _wanted(known: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """Indices of classes by their names. Raises UsageError."""
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {_listed(known)}"
            raise UsageError(f"the model has no class {name}; {hint}")
    return tuple(dict.fromkeys(known.index(name) for name in names))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _folder_names(images: Sequence[str | Path]) -> list[str]:
    """A folder name for each picture: that of its file, with a number where several are called so."""
    taken: set[str] = set()
    names = []
    for stem in (Path(image).stem for image in images):
        free = chain([stem], (f"{stem}_{number}" for number in count(2)))
        names.append(
            next(name for name in free if name.casefold() not in taken)
        )  # as some file systems tell them apart
        taken.add(names[-1].casefold())
    return names
