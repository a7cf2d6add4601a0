"""`cnntrain explain`: what a run's network sees in a picture."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.errors import DataError
from cnntrain.files import new_folder, write_bytes
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, StepDone, ignore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnntrain.data.decoder import Preprocessing


@dataclass(frozen=True)
class ActivationPictures:
    """What the layers of a network made of one picture, as files.

    Args:
        folder: Where they lie.
        picture: The decoded picture as the network got it.
        layers: The file of each layer, from the picture upwards.
    """

    folder: Path
    picture: Path
    layers: Mapping[str, Path]

    def to_json(self) -> dict[str, Any]:
        """The paths, for scripts."""
        layers = [{"layer": name, "path": str(path)} for name, path in self.layers.items()]
        return {"format": 1, "folder": str(self.folder), "input": str(self.picture), "layers": layers}


def explain_activations(
    run: Run | str | Path,
    image: str | Path,
    *,
    layers: Sequence[str] = (),
    output: str | Path | None = None,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> ActivationPictures:
    """Draws every channel of a network's layers for one picture, a PNG file a layer.

    Args:
        run: A run, or its folder.
        image: The picture.
        layers: Names of the layers; all convolution and pooling layers when there are none.
        output: The folder to make; when absent `RUN/explain/activations/IMAGE_STEM`, which is replaced.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        UsageError: There is no such layer, or its output is no map.
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged.
        DataError: The picture is missing or damaged.
        WriteError: The files cannot be written, or `output` holds something already.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    listener = on_event or ignore
    prepare(device)
    from cnntrain.evaluation.trust import SMOKE_NOTE, open_model
    from cnntrain.interpretation.activations import choose_layers, compute_activations

    model, preprocessing = open_model(run)
    if run.record.smoke:
        listener(Message(SMOKE_NOTE))
    chosen = choose_layers(model, layers)
    picture = _decoded(run, Path(image), preprocessing)
    folder = Path(output) if output is not None else run.directory.activations(Path(image).stem)
    with new_folder(folder, overwrite=output is None) as place:
        write_bytes(place / "input.png", _as_png(picture))
        names = _draw_layers(place, compute_activations(model, picture, chosen), listener)
    return ActivationPictures(folder, folder / "input.png", {layer: folder / name for layer, name in names.items()})


def _decoded(run: Run, image: Path, preprocessing: "Preprocessing") -> "NDArray[np.uint8]":
    """The picture as the network gets it: uint8 (height, width, channels). Raises DataError for a bad one."""
    from cnntrain.data.pipeline import image_batches
    from cnntrain.data.unlabelled import look_at_named, named_picture, open_named

    good, bad = look_at_named([named_picture(image)], max_pixels=run.config.data.max_pixels)
    if bad:
        raise DataError(f"{bad[0]}; give one picture")
    pictures = open_named(good, preprocessing)
    picture: NDArray[np.uint8] = next(image_batches(pictures, 1).as_numpy_iterator())[0]
    return picture


def _draw_layers(place: Path, maps: "Mapping[str, NDArray[np.float32]]", listener: OnEvent) -> dict[str, str]:
    """Writes a picture a layer; gives their names by layer."""
    from cnntrain.plots.activations import draw_activations
    from cnntrain.plots.style import to_png

    names = {}
    for number, (layer, values) in enumerate(maps.items(), start=1):
        names[layer] = f"{number:02d}_{layer}.png"
        write_bytes(place / names[layer], to_png(draw_activations(layer, values)))
        listener(StepDone("layers", number, len(maps)))
    return names


def _as_png(picture: "NDArray[np.uint8]") -> bytes:
    """A picture of 1 or 3 channels as a PNG file's bytes."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(stream, format="png")
    return stream.getvalue()
