"""The section `augment`."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cnntrain.config.sections.base import Fraction, Section

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Erasing(Section):
    """A rectangle of noise over a part of the picture (Zhong et al., Random Erasing Data Augmentation, 2020)."""

    probability: Annotated[float, Field(gt=0.0, le=1.0)]
    """How often a picture gets one."""
    area: Annotated[tuple[Share, Share], Field(strict=False)] = (0.02, 0.33)
    """Smallest and largest part of the picture's area that is covered; the rectangle's sides are in a ratio of 0.3 to
    1 / 0.3, drawn evenly in logarithms."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.area[0] > self.area[1]:
            raise ValueError("the smallest area stands before the largest one")
        return self


class RandAugment(Section):
    """A few operations drawn for each picture from one list of fourteen (Cubuk et al., RandAugment, 2020)."""

    operations: Annotated[int, Field(ge=1, le=14)] = 2
    """How many, one after another."""
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    """How strong they are, up to 30; automatic contrast and equalizing have no strength."""


def _probability(value: Any) -> Any:
    """Lets a bare number stand for a mapping with that probability; zero for none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return ({"probability": value} if value else None) if is_number else value


ErasingValue = Annotated[Erasing | None, BeforeValidator(_probability, json_schema_input_type=float | Erasing | None)]


class Augment(Section):
    """Random changes of training pictures, drawn anew for each picture in each epoch. Zero means off."""

    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    """Largest rotation in degrees, either way."""
    shift: Fraction = 0.0
    """Largest shift, as a fraction of height and of width."""
    shear: Annotated[float, Field(ge=0.0, lt=90.0)] = 0.0
    """Largest shear angle in degrees, either way; horizontal lines tilt."""
    zoom: Fraction = 0.0
    """Height and width are scaled by factors drawn independently from 1 - zoom to 1 + zoom."""
    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """Mirroring, each with probability one half."""
    fill: Literal["nearest", "reflect", "wrap", "constant"] = "nearest"
    """What is put where a changed picture leaves the frame empty; `constant` is black."""

    crop: Fraction = 0.0
    """A window whose sides are a part of height and of width drawn from 1 - crop to 1, the same for both, anywhere in
    the picture, is scaled up to the whole frame."""
    brightness: Fraction = 0.0
    """Pixels are multiplied by a factor drawn from 1 - brightness to 1 + brightness."""
    contrast: Fraction = 0.0
    """The distance of pixels to the picture's mean gray is multiplied by a factor drawn from 1 - contrast to 1 +
    contrast."""
    saturation: Fraction = 0.0
    """The distance of pixels to their own gray is multiplied by a factor drawn from 1 - saturation to 1 +
    saturation."""
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Largest turn of the colours, either way, as a fraction of the colour circle."""
    erasing: ErasingValue = None
    """Random erasing: a probability, or a mapping with `probability` and `area`. After all other changes but MixUp and
    CutMix."""
    rand_augment: RandAugment | None = None
    """RandAugment, before the other changes. Off unless it stands here: it hurts short runs on little data."""
    mixup: Annotated[float, Field(ge=0.0)] = 0.0
    """MixUp (Zhang et al. 2018): each batch is blended with itself in another order, targets too, by a part drawn from
    a beta distribution with this parameter twice. Off by default: it hurts short runs on little data."""
    cutmix: Annotated[float, Field(ge=0.0)] = 0.0
    """CutMix (Yun et al. 2019): a rectangle of each picture is taken from another of its batch, targets in proportion,
    its area by a beta distribution with this parameter twice. Off by default: it hurts short runs on little data. With
    MixUp too, each batch gets one of them, by the toss of a coin."""

    @property
    def is_active(self) -> bool:
        """Whether anything is changed at all."""
        return any(
            getattr(self, name) != field.default for name, field in type(self).model_fields.items() if name != "fill"
        )

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed with others, and so are their targets."""
        return bool(self.mixup or self.cutmix)
