"""Configurations that come as Python mappings: copied into the plain values that YAML would give."""

from collections.abc import Mapping
from typing import Any

from cnntrain.config.problems import Key, Problem, shown
from cnntrain.config.scalars import MAX_DIGITS
from cnntrain.config.yaml_reader import MAX_DEPTH


def plain_values(mapping: Mapping[Any, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """A copy of `mapping` in dictionaries, lists, text, numbers, booleans and None.

    Tuples become lists. Values of other types stay, for the sections to refuse.

    Returns:
        The copy, and a problem for each key that is no text, value nested deeper than 32 or number beyond 30 digits.
    """
    problems: list[Problem] = []
    return _mapping(mapping, (), problems), problems


def _mapping(mapping: Mapping[Any, Any], key: Key, problems: list[Problem]) -> dict[str, Any]:
    copy = {}
    for name, value in mapping.items():
        if isinstance(name, str):
            copy[name] = _copied(value, (*key, name), problems)
        else:
            problems.append(Problem(key, "a key must be text", got=shown(name)))
    return copy


def _copied(value: Any, key: Key, problems: list[Problem]) -> Any:
    if isinstance(value, Mapping | list | tuple) and len(key) >= MAX_DEPTH:
        problems.append(Problem(key[:1], f"values are nested at most {MAX_DEPTH} deep"))
        return None
    if isinstance(value, Mapping):
        return _mapping(value, key, problems)
    if isinstance(value, list | tuple):
        return [_copied(item, (*key, index), problems) for index, item in enumerate(value)]
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        problems.append(Problem(key, f"a whole number has at most {MAX_DIGITS} digits"))
        return None
    return float(value) if isinstance(value, float) else value  # NumPy's float64 is a float, and prints otherwise
