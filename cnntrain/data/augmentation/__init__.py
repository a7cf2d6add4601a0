"""Random changes of training pictures: drawn with numpy as tables, applied to batches in the graph."""

from cnntrain.data.augmentation.changes import Change, draw_changes
from cnntrain.data.augmentation.geometry import draw_transforms, warp
from cnntrain.data.augmentation.mixing import draw_mixtures, mix

__all__ = ["Change", "draw_changes", "draw_mixtures", "draw_transforms", "mix", "warp"]
