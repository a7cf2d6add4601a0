"""Feature maps of a frozen base, computed once and trained on many times."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from cnntrain.data.pipeline import Pictures, image_batches, steps_of
from cnntrain.training.events import OnEvent, StepDone


def extract_split(
    extractor: keras.Model, pictures: Pictures, *, batch_size: int, task: str, on_event: OnEvent
) -> Pictures:
    """Runs the frozen base over every picture once.

    Args:
        extractor: Pictures to feature maps (N, height, width, channels), in inference mode.
        pictures: What it is run over, in their order.
        batch_size: Pictures a forward pass.
        task: What progress is reported as.
        on_event: Told after every batch.

    Returns:
        The same pictures with float32 feature maps stored in memory.
    """
    if not len(pictures):
        return pictures
    shape = tuple(int(side) for side in extractor.output.shape[1:])
    features = np.empty((len(pictures), *shape), np.float32)
    steps = steps_of(len(pictures), batch_size)
    start = 0
    for step, batch in enumerate(image_batches(pictures, batch_size), start=1):
        found: Any = extractor.predict_on_batch(batch)
        features[start : start + len(found)] = found
        start += len(found)
        on_event(StepDone(task=task, step=step, steps=steps))
    return replace(pictures, stored=features, is_stored=None)
