"""A whole configuration."""

from typing import Annotated, Literal

from pydantic import Field

from cnntrain.config.sections.augment import Augment
from cnntrain.config.sections.base import Section
from cnntrain.config.sections.data import Data
from cnntrain.config.sections.model import Convnet, Pretrained
from cnntrain.config.sections.train import Train


class Config(Section):
    """A whole configuration."""

    format: Literal[1] = 1
    """Version of this form of configuration."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1337
    """Seed of everything that is random: initial weights, order, augmentation, dropout."""
    data: Data
    """Which pictures, and how they reach the network."""
    augment: Augment = Augment()
    """Random changes of training pictures; absent: none."""
    model: Annotated[Convnet | Pretrained, Field(discriminator="kind")]
    """The network: `kind: convnet` or `kind: pretrained`."""
    train: Train = Train()
    """How the network is trained."""
