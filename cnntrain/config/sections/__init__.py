"""The typed, frozen sections of a configuration. Field descriptions here are the configuration reference."""

from cnntrain.config.sections.augment import Augment, Erasing, RandAugment
from cnntrain.config.sections.base import Section
from cnntrain.config.sections.data import MAX_PIXELS, Data
from cnntrain.config.sections.model import BatchNorm, Block, Convnet, Head, HeadLayer, Pretrained
from cnntrain.config.sections.train import EarlyStopping, Features, Optimizer, ReduceLR, Schedule, Stage, Train
from cnntrain.config.sections.whole import Config

__all__ = [
    "MAX_PIXELS",
    "Augment",
    "BatchNorm",
    "Block",
    "Config",
    "Convnet",
    "Data",
    "EarlyStopping",
    "Erasing",
    "Features",
    "Head",
    "HeadLayer",
    "Optimizer",
    "Pretrained",
    "RandAugment",
    "ReduceLR",
    "Schedule",
    "Section",
    "Stage",
    "Train",
]
