"""`cnntrain scan`: what is wrong with the data."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.config.sections import MAX_PIXELS
from cnntrain.errors import UsageError
from cnntrain.files import write_text
from cnntrain.runtime import prepare
from cnntrain.training.events import OnEvent, ignore, pictures_told

if TYPE_CHECKING:
    from cnntrain.data.scanning.findings import Scan


def scan(
    source: str | Path,
    *,
    label_regex: str | None = None,
    max_pixels: int = MAX_PIXELS,
    on_event: OnEvent | None = None,
) -> "Scan":
    """Looks at every picture of a source through the decoder that training uses. It changes nothing.

    Args:
        source: Whatever `split`, `fit` and `evaluate` take; labels and splits may be missing.
        label_regex: Finds the class in a picture's path.
        max_pixels: Largest height times width of a picture that is decoded.
        on_event: Told how far it is.

    Raises:
        DataError: There is no such source, or no picture in it.
        UsageError: The pattern is none.
        WriteError: There is no room to unpack an archive.
    """
    from cnntrain.data.scanning.findings import Scan
    from cnntrain.data.scanning.look_at import look_at_all
    from cnntrain.data.sources import find_unlabelled, unpacked

    with tempfile.TemporaryDirectory(prefix="cnntrain-") as scratch, unpacked(Path(source), Path(scratch)) as place:
        found = find_unlabelled(place, name=str(source), label_regex=label_regex)
        prepare("cpu")
        paths = [str(found.root / example.path) for example in found.examples]
        looks = look_at_all(paths, max_pixels=max_pixels, on_picture=pictures_told(on_event or ignore, len(paths)))
        return Scan(str(source), found.examples, looks, found.passed_over, found.notes)


def write_scan(found: "Scan", path: str | Path) -> None:
    """Writes a row a picture as CSV, whole or not at all.

    Raises:
        UsageError: The file is the source itself.
        WriteError: It cannot be written.
    """
    if Path(path).resolve() == Path(found.name).resolve():
        raise UsageError(f"the table of a scan would replace its source {path}; choose another file")
    write_text(Path(path), found.to_csv())
