"""What one file holds, found from its bytes alone."""

from dataclasses import dataclass
from typing import Literal

Fault = Literal["", "unreadable", "empty", "not_a_picture", "too_large", "undecodable", "damaged"]
Trait = Literal["alpha", "16_bit", "animated", "cmyk", "palette", "grayscale"]


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in one file.

    Args:
        sha256: Checksum of its bytes; empty when it cannot be read.
        kind: `jpeg`, `png`, `bmp`, `gif` or `webp` by its content; empty for anything else.
        height: Pixels as stored, before it is turned upright; 0 when unknown.
        width: Likewise.
        orientation: EXIF's number of how to turn it upright, 1 to 8; 1 where it says nothing.
        traits: What is special about it.
        fault: What makes it a bad picture; empty for a good one.
        problem: The fault in a phrase for messages; empty for a good one.
        signature: What near-duplicates are found by; empty for bad, tiny and featureless pictures.
    """

    sha256: str
    kind: str = ""
    height: int = 0
    width: int = 0
    orientation: int = 1
    traits: tuple[Trait, ...] = ()
    fault: Fault = ""
    problem: str = ""
    signature: bytes = b""
