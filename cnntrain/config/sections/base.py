"""What all sections are made of: the base class and the kinds of values."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=1, le=8192)]
Pair = Annotated[tuple[Pixels, Pixels], Field(strict=False)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values are never converted, nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def named(value: Any) -> Any:
    """Lets a bare name stand for a mapping with that name."""
    return {"name": value} if isinstance(value, str) else value
