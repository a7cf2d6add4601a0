"""Pictures whose labels are perhaps wrong, as the page shows them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cnntrain.evaluation.mislabelled import Suspect
from cnntrain.reports.content import Suspicion
from cnntrain.reports.images import thumbnail


def suspicions_of(
    suspects: Sequence[Suspect], pictures: Iterable[NDArray[np.uint8]], names: Mapping[str, str]
) -> tuple[Suspicion, ...]:
    """Suspects with their pictures.

    Args:
        suspects: The most suspicious first.
        pictures: Theirs, each (height, width, channels).
        names: What a file is called in the page, by its path.
    """
    return tuple(
        Suspicion(
            name=names[suspect.path],
            split=suspect.split,
            label=suspect.label,
            label_probability=suspect.label_probability,
            suggested=suspect.suggested,
            suggested_probability=suspect.suggested_probability,
            image=thumbnail(picture),
        )
        for suspect, picture in zip(suspects, pictures, strict=True)
    )
