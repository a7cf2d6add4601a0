"""What an unquoted YAML scalar means here: fewer rules than YAML has, and none that surprise."""

import math
import re

Scalar = str | int | float | bool | None

_CONSTANTS: dict[str, Scalar] = {"": None, "~": None, "null": None}
_BOOLEANS = {"true": True, "false": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|nan)", re.IGNORECASE)
MAX_DIGITS = 30


def read_plain(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Whole numbers are decimal (`010` is ten), `1e-3`, `.5` and `1.` are floats, `true` and `false` in any case are
    booleans, `null`, `~` and nothing are None; all else (`yes`, `NO`, `0x10`, `1:30`, dates) is text.

    Raises:
        ValueError: A number that is not finite, or a whole number of more than 30 digits.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _finite(float(text))
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("a number must be finite")
    return text


def _integer(text: str) -> int:
    if len(text.lstrip("+-")) > MAX_DIGITS:
        raise ValueError(f"a whole number has at most {MAX_DIGITS} digits")
    return int(text)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("a number must be finite")
    return number
