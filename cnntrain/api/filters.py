"""`cnntrain explain filters`: the pictures that excite the filters of a layer most."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.api.subjects import open_subject
from cnntrain.errors import UsageError
from cnntrain.files import new_folder, write_bytes
from cnntrain.runs.run import Run
from cnntrain.runtime import DeviceChoice
from cnntrain.training.events import OnEvent, StepDone, ignore

if TYPE_CHECKING:
    from cnntrain.interpretation.filters import FilterPictures


@dataclass(frozen=True)
class FilterGrids:
    """What excites the filters of a layer, as files.

    Args:
        folder: Where they lie.
        layer: Name of the layer.
        filters: Their numbers, counted from 0.
        silent: Those of them that nothing excites.
        grids: The files, each with up to 64 filters.
    """

    folder: Path
    layer: str
    filters: tuple[int, ...]
    silent: tuple[int, ...]
    grids: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """The paths and the silent filters, for scripts."""
        return {
            "format": 1,
            "folder": str(self.folder),
            "layer": self.layer,
            "filters": list(self.filters),
            "silent": list(self.silent),
            "grids": [str(path) for path in self.grids],
        }


def explain_filters(
    run: Run | str | Path,
    layer: str,
    *,
    filters: int | Sequence[int] | None = None,
    steps: int = 30,
    size: int = 128,
    seed: int = 0,
    weights: str | None = None,
    output: str | Path | None = None,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> FilterGrids:
    """Draws for each filter of a layer the picture that excites it most, 64 of them a PNG file.

    Args:
        run: A run, its folder, or `pretrained:NAME` for a network of `keras.applications`.
        layer: Name of a layer whose output is a map a filter.
        filters: How many, from the first on, or their numbers; all when absent.
        steps: Of gradient ascent.
        size: Height and width of the pictures in pixels.
        seed: Of noise and jitter.
        weights: Of a pretrained network without its top: `imagenet` (when absent), `none`, or the path of a file.
        output: The folder to make; when absent `RUN/explain/filters/LAYER`, or
            `explain/pretrained_NAME/filters/LAYER`, which is replaced.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        UsageError: There is no such layer, filter or pretrained network, the layer's output is no map, or a number is
            out of its range.
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged, or the weights cannot be had.
        WriteError: The files cannot be written, or `output` holds something already.
    """
    listener = on_event or ignore
    if steps < 1 or size < 1 or seed < 0:
        raise UsageError(f"steps and size are at least 1, a seed at least 0; got: {steps}, {size}, {seed}")
    subject = open_subject(run, weights=weights, has_top=False, device=device, listener=listener)
    from cnntrain.interpretation.filters import choose_filters, excite

    chosen = choose_filters(subject.model, layer, filters)
    found = excite(
        subject.model,
        layer,
        chosen,
        steps=steps,
        size=size,
        seed=seed,
        on_step=lambda step, of: listener(StepDone("steps", step, of)),
    )
    folder = Path(output) if output is not None else subject.folder / "filters" / layer
    with new_folder(folder, overwrite=output is None) as place:
        names = _draw(place, layer, found, count=len(choose_filters(subject.model, layer, None)))
    silent = tuple(number for number, is_silent in zip(chosen, found.is_silent, strict=True) if is_silent)
    return FilterGrids(folder, layer, chosen, silent, tuple(folder / name for name in names))


def _draw(place: Path, layer: str, found: "FilterPictures", *, count: int) -> list[str]:
    """Writes the grids; gives their names."""
    from cnntrain.plots.filters import GRID, draw_filters
    from cnntrain.plots.style import to_png

    names = []
    for start in range(0, len(found.filters), GRID):
        part = slice(start, start + GRID)
        shown, is_silent = found.filters[part], found.is_silent[part].tolist()
        names.append(f"{start // GRID + 1:02d}_filters.png")
        figure = draw_filters(layer, shown, found.pictures[part], is_silent, count=count)
        write_bytes(place / names[-1], to_png(figure))
    return names
