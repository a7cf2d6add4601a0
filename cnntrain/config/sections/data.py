"""The section `data`."""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from cnntrain.config.sections.base import Pair, Section

MAX_PIXELS = 50_000_000  # of a picture, unless said otherwise


def _classes(value: Any) -> Any:
    """Checks `data.classes`: at least two different names, or a count of at least two."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 2:
            raise ValueError("a classifier needs at least two classes")
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise ValueError("must be a list of class names or a count (put names that look like numbers in quotes)")
    if len(value) < 2:
        raise ValueError("a classifier needs at least two classes")
    if any(name[0] == "." or set(name) & set("/\\\0\n") for name in value):
        raise ValueError("classes are named like folders: no dot in front, no slashes, no line breaks")
    names = tuple(unicodedata.normalize("NFC", name) for name in value)  # the form in which folders are compared
    if len(set(names)) < len(names):
        raise ValueError("a class is named twice")
    return names


Classes = Annotated[
    tuple[str, ...] | int | None,
    PlainValidator(_classes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "minItems": 2},
                {"type": "integer", "minimum": 2},
                {"type": "null"},
            ],
        }
    ),
]


class Data(Section):
    """Which pictures, and how they reach the network."""

    source: Annotated[str, Field(min_length=1)]
    """A data set that is split: a folder with `train/`, `validation/` and `test/` and in each a folder a class, as
    `cnntrain split` makes it; a CSV or TSV with the columns path, label and split; or a .zip or .tar of either."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Cross-validation fold of the manifest that is held out as the validation part; the others are trained on."""
    classes: Classes = None
    """Class names in the order of the model's outputs, or how many there must be; absent: the sorted folder names."""
    image_size: Pair = (180, 180)
    """Height and width in pixels that every picture is resized to."""
    color: Literal["rgb", "grayscale"] = "rgb"
    """Channels of the pictures; a pretrained backbone gets grayscale repeated to three channels."""
    alpha: Literal["white", "black", "drop"] = "white"
    """What shows through where a picture is transparent; `drop` takes the colours hidden below as they are."""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """`stretch` changes the aspect ratio, `crop` keeps it and cuts off evenly what is too long, `pad` keeps it and adds
    black edges."""
    interpolation: Literal["bilinear", "bicubic", "lanczos3", "area", "nearest"] = "bilinear"
    """How pixels are computed when resizing; bilinear, bicubic and lanczos3 are antialiased when shrinking."""
    max_pixels: Annotated[int, Field(ge=1, le=178_956_970)] = MAX_PIXELS
    """Largest height times width of a file's picture; larger ones are bad pictures and are not decoded."""
    bad_images: Literal["error", "skip"] = "error"
    """Pictures that cannot be read or are damaged: an `error` that names all of them, or they are left out (`skip`) and
    listed in `run.json`."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 32
    """Pictures a training step; the last batch of an epoch holds what is left."""
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    """Where decoded pictures are kept between epochs; `auto`: in memory if they fit a quarter of it, else
    on disk if they fit half of the room there, else nowhere."""
