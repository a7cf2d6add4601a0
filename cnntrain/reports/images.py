"""Pictures inside the page, within its budget."""

import base64
import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BUDGET = 3_600_000  # bytes for the confusion matrix and its pictures, of the 5 MB that a page may have

_THUMBNAIL = 96  # pixels
_LARGE = 224
_FEW = 48  # pixels
_QUALITY = 72
_MARKUP = 280  # bytes around a picture


def thumbnail(picture: NDArray[np.uint8]) -> str:
    """A picture (height, width, 1 or 3) of at most 96 pixels as a data URI."""
    return _encoded(picture, _THUMBNAIL)


def large(picture: NDArray[np.uint8]) -> str:
    """A picture (height, width, 1 or 3) of at most 224 pixels as a data URI."""
    return _encoded(picture, _LARGE)


def png_uri(content: bytes) -> str:
    """A PNG file as a data URI."""
    return _uri("png", content)


def thumbnails(pictures: Iterable[NDArray[np.uint8]], names: Iterable[str], *, budget: int = BUDGET) -> list[str]:
    """Thumbnails of the first pictures, as many as the budget allows.

    Args:
        pictures: In the order in which they are wanted; no more of them are taken than needed.
        names: What each is called, which takes room too.
        budget: Bytes for thumbnails, names and what stands around them.

    Returns:
        A data URI for each of the first pictures.
    """
    taken: list[str] = []
    for picture, name in zip(pictures, names, strict=False):
        image = thumbnail(picture)
        budget -= len(image) + 2 * len(name.encode("utf-8", "replace")) + _MARKUP
        if budget < 0:
            break
        taken.append(image)
    return taken


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of a few pixels with each of them as a square, so that one can see it; others as they are."""
    longest = max(picture.shape[:2])
    if longest > _FEW:
        return picture
    times = _LARGE // longest
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def _encoded(picture: NDArray[np.uint8], longest: int) -> str:
    is_small = max(picture.shape[:2]) <= _FEW
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    stream = io.BytesIO()
    if is_small:  # PNG takes little more room than JPEG then, and the few pixels stay what they are
        times = max(1, longest // max(image.size))
        image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST).save(
            stream, format="png", optimize=True
        )
        return png_uri(stream.getvalue())
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    image.save(stream, format="jpeg", quality=_QUALITY, optimize=True)
    return _uri("jpeg", stream.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
