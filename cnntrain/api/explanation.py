"""`cnntrain explain activations`: what the layers of a network make of a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.api.subjects import as_png, as_seen, open_subject, usable
from cnntrain.files import new_folder, write_bytes
from cnntrain.runs.run import Run
from cnntrain.runtime import DeviceChoice
from cnntrain.training.events import OnEvent, StepDone, ignore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    weights: str | None = None,
    output: str | Path | None = None,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> ActivationPictures:
    """Draws every channel of a network's layers for one picture, a PNG file a layer.

    Args:
        run: A run, its folder, or `pretrained:NAME` for a network of `keras.applications`.
        image: The picture.
        layers: Names of the layers; all convolution and pooling layers when there are none.
        weights: Of a pretrained network without its top: `imagenet` (when absent), `none`, or the path of a file.
        output: The folder to make; when absent `RUN/explain/activations/IMAGE_STEM`, or
            `explain/pretrained_NAME/activations/IMAGE_STEM`, which is replaced.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Raises:
        UsageError: There is no such layer or pretrained network, or the layer's output is no map.
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged, or the weights cannot be had.
        DataError: The picture is missing or damaged.
        WriteError: The files cannot be written, or `output` holds something already.
    """
    listener = on_event or ignore
    subject = open_subject(run, weights=weights, has_top=False, device=device, listener=listener)
    from cnntrain.interpretation.activations import choose_layers, compute_activations

    chosen = choose_layers(subject.model, layers)
    (picture,) = as_seen(usable([image], subject), subject)
    folder = Path(output) if output is not None else subject.folder / "activations" / Path(image).stem
    with new_folder(folder, overwrite=output is None) as place:
        write_bytes(place / "input.png", as_png(picture))
        names = _draw_layers(place, compute_activations(subject.model, picture, chosen), listener)
    return ActivationPictures(folder, folder / "input.png", {layer: folder / name for layer, name in names.items()})


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
