"""Makes simple pictures, for runs that only show that everything works."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from cnntrain.errors import UsageError
from cnntrain.files import new_folder

_NOISE = 32  # largest change of a pixel, out of 255


def write_generated(
    dest: Path,
    *,
    classes: Sequence[str],
    image_size: tuple[int, int],
    channels: Literal[1, 3],
    counts: Mapping[str, int],
    seed: int,
) -> None:
    """Writes a data set of noisy stripes, split already, as PNGs `dest/SPLIT/CLASS/NUMBER.png`.

    Stripes of one class share angle, width and colour. The same arguments give the same pictures.

    Args:
        dest: The folder to make.
        classes: Their names.
        image_size: Height and width in pixels.
        channels: 1 for grayscale, 3 for RGB.
        counts: Pictures a class for each split (`train`, `validation`, `test`); 0 leaves a split out.
        seed: Of phases and noise, from 0.

    Raises:
        UsageError: A class has a name that no folder can have or that would be passed over.
        WriteError: `dest` exists or cannot be written.
    """
    from PIL import Image

    for name in classes:
        if not name or name.startswith(".") or any(letter in name for letter in "/\\\0"):
            raise UsageError(f"the class {name!r} cannot be a folder's name; generated pictures need one that can")
    with new_folder(dest) as folder:
        for split_number, (split, count) in enumerate(sorted(counts.items())):
            for number, name in enumerate(classes if count else ()):
                place = folder / split / name
                place.mkdir(parents=True)
                random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, split_number, number])))
                pictures = _pictures(number, len(classes), image_size, channels, random)
                for index, picture in zip(range(count), pictures, strict=False):
                    Image.fromarray(picture).save(place / f"{index:04d}.png")


def _pictures(
    number: int, classes: int, size: tuple[int, int], channels: int, random: np.random.Generator
) -> Iterator[npt.NDArray[np.uint8]]:
    """Endless pictures of one class, (height, width) or (height, width, 3)."""
    angle = math.pi * number / classes
    waves = 2 + number % 3  # across the picture
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    along = 2 * math.pi * waves * (rows * math.sin(angle) / height + columns * math.cos(angle) / width)
    shades = 2 * math.pi * (number / classes + np.arange(channels) / 3)
    tint = 0.6 + 0.4 * np.cos(shades)  # a channel
    while True:
        stripes = 0.5 + 0.5 * np.sin(along + random.uniform(0, 2 * math.pi))
        noise = random.integers(-_NOISE, _NOISE, size=(height, width, channels), endpoint=True)
        picture = np.clip(stripes[..., None] * tint * 255 + noise, 0, 255).astype(np.uint8)
        yield picture if channels == 3 else picture[..., 0]
