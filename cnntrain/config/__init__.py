"""Configurations: typed, frozen sections, read from strict YAML with a line for every mistake."""

from cnntrain.config.dumping import config_to_yaml
from cnntrain.config.loading import LoadedConfig, Source, load_config
from cnntrain.config.problems import Key, Problem, nearest, shown
from cnntrain.config.schema import json_schema
from cnntrain.config.sections import (
    Augment,
    Block,
    Config,
    Convnet,
    Data,
    EarlyStopping,
    Head,
    HeadLayer,
    Optimizer,
    Pretrained,
    ReduceLR,
    Schedule,
    Section,
    Stage,
    Train,
)

__all__ = [
    "Augment",
    "Block",
    "Config",
    "Convnet",
    "Data",
    "EarlyStopping",
    "Head",
    "HeadLayer",
    "Key",
    "LoadedConfig",
    "Optimizer",
    "Pretrained",
    "Problem",
    "ReduceLR",
    "Schedule",
    "Section",
    "Source",
    "Stage",
    "Train",
    "config_to_yaml",
    "json_schema",
    "load_config",
    "nearest",
    "shown",
]
