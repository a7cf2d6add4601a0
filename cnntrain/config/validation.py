"""From pydantic's errors to problems in our words."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cnntrain.config import schema
from cnntrain.config.problems import Key, Problem, nearest, shown

_RANGES = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
_LENGTHS = ("too_short", "too_long", "string_too_short")


def problems_of(error: ValidationError) -> list[Problem]:
    """One problem for each mistake; what only follows from another mistake is left out."""
    details = error.errors(include_url=False)
    locations = [detail["loc"] for detail in details]
    return [_problem(detail) for detail in details if not _is_consequence(detail, locations)]


def _is_consequence(detail: ErrorDetails, locations: list[Key]) -> bool:
    """Whether a list is called too short only because items of it are wrong."""
    own = detail["loc"]
    return detail["type"] == "too_short" and any(own == other[: len(own)] != other for other in locations)


def _problem(detail: ErrorDetails) -> Problem:
    kind = detail["type"]
    if kind in _SPECIAL:
        return _SPECIAL[kind](detail)
    key, node = schema.find(detail["loc"])
    got = shown(detail["input"])
    if kind in _RANGES:
        return Problem(key, "is out of range", allowed=schema.limits(node), got=got)
    if kind in _LENGTHS:
        return Problem(key, "has the wrong length", allowed=schema.limits(node), got=got)
    if kind == "finite_number":
        return Problem(key, "must be a finite number", got=got)
    if kind == "string_type" and isinstance(detail["input"], int | float):
        return Problem(key, "must be text; put it in quotes", got=got)
    if kind == "string_unicode":
        return Problem(key, "must be text of valid Unicode characters", got=got)
    return Problem(key, f"must be {schema.nouns(node)}", allowed=schema.limits(node), got=got)


def _missing(detail: ErrorDetails) -> Problem:
    key, node = schema.find(detail["loc"])
    if isinstance(key[-1], int):  # the second of two numbers
        key, node = schema.find(detail["loc"][:-1])
        return Problem(key, "has the wrong length", allowed=schema.limits(node), got=shown(detail["input"]))
    return Problem(key, "this key is missing", allowed=schema.describe(node))


def _unknown(detail: ErrorDetails) -> Problem:
    key, _ = schema.find(detail["loc"])
    _, section = schema.find(detail["loc"][:-1])
    known = schema.known_keys(section)
    return Problem(key, "unknown key", allowed=", ".join(known), suggestion=nearest(str(key[-1]), known))


def _no_kind(detail: ErrorDetails) -> Problem:
    key, node = schema.find(detail["loc"])
    name, kinds = schema.kinds(node)
    return Problem((*key, name), "this key is missing", allowed=", ".join(kinds))


def _unknown_kind(detail: ErrorDetails) -> Problem:
    key, node = schema.find(detail["loc"])
    name, kinds = schema.kinds(node)
    return _not_a_choice((*key, name), kinds, detail["input"][name])


def _unknown_choice(detail: ErrorDetails) -> Problem:
    key, node = schema.find(detail["loc"])
    return _not_a_choice(key, schema.choices(node), detail["input"])


def _not_a_choice(key: Key, choices: list[str], got: Any) -> Problem:
    suggestion = nearest(got, choices) if isinstance(got, str) else ""
    what = "is not one of the choices"
    return Problem(key, what, allowed=", ".join(choices), got=shown(got), suggestion=suggestion)


def _own_rule(detail: ErrorDetails) -> Problem:
    """A rule of a section's own; a whole section is not shown again."""
    key, _ = schema.find(detail["loc"])
    got = "" if isinstance(detail["input"], dict) else shown(detail["input"])
    return Problem(key, str(detail["ctx"]["error"]), got=got)


_SPECIAL: dict[str, Callable[[ErrorDetails], Problem]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "union_tag_not_found": _no_kind,
    "union_tag_invalid": _unknown_kind,
    "literal_error": _unknown_choice,
    "value_error": _own_rule,
}
