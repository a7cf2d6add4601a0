"""`--set KEY=VALUE`: dotted keys merged into a configuration before it is checked."""

import re
from collections.abc import Iterable
from typing import Any

from cnntrain.config.origins import Origins, shown_override
from cnntrain.config.problems import Key, Problem, shown
from cnntrain.config.yaml_reader import MAX_DEPTH, YamlTextError, read_value

_INDEX = re.compile(r"[0-9]{1,6}")


class _OverrideError(Exception):
    """An override that cannot be merged."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def apply_overrides(value: Any, origins: Origins, overrides: Iterable[str]) -> tuple[Any, list[str]]:
    """Merges overrides in their order and notes in `origins` which keys come from them.

    VALUE is YAML; null removes the key. A number in KEY is the index of an existing list item; mappings that KEY
    passes through are made where they are absent.

    Args:
        value: The configuration as plain values; it is not changed.
        origins: Where its keys come from; it is changed.
        overrides: Texts `KEY=VALUE`.

    Returns:
        The merged configuration, and one line for each override that cannot be merged.
    """
    lines: list[str] = []
    for override in overrides:
        try:
            value = _applied(value, origins, override)
        except _OverrideError as error:
            lines.append(error.problem.line(shown_override(override)))
        except YamlTextError as error:
            lines.extend(problem.line(shown_override(override)) for _, problem in error.faults)
    return value, lines


def _applied(value: Any, origins: Origins, override: str) -> Any:
    parts, text = _split(override)
    touched: list[Key] = []
    merged = _merged(value, parts, read_value(text).value, (), touched)
    for key in touched:
        origins.replace(key, override)
    return merged


def _split(override: str) -> tuple[list[str], str]:
    name, equals, text = override.partition("=")
    parts = name.strip().split(".")
    if not equals or not all(parts) or len(parts) > MAX_DEPTH:
        raise _OverrideError(Problem((), "an override is written KEY=VALUE, for instance train.epochs=5"))
    if not text.strip():
        raise _OverrideError(Problem((), "the value is missing; null takes a key out"))
    return parts, text


def _merged(node: Any, parts: list[str], new: Any, key: Key, touched: list[Key]) -> Any:
    """A copy of `node`, which stands at `key`, with `new` at `parts` of it; `touched` gathers the keys it sets."""
    if not parts or node is None:
        touched.append(key)
    if not parts:
        return new
    node = {} if node is None else node
    step = _step(node, parts[0], key)
    old = node[step] if isinstance(step, int) else node.get(step)
    child = _merged(old, parts[1:], new, (*key, step), touched)
    copy = node.copy()
    if child is None and isinstance(copy, dict):
        copy.pop(step, None)
    else:
        copy[step] = child
    return copy


def _step(node: Any, part: str, key: Key) -> str | int:
    """What `part` of a dotted key means in `node`: a name in a mapping, an index in a list."""
    is_index = _INDEX.fullmatch(part) is not None
    if isinstance(node, dict) and not is_index:
        return part
    if isinstance(node, list) and is_index and int(part) < len(node):
        return int(part)
    if isinstance(node, dict | list):
        last = len(node) - 1 if isinstance(node, list) else -1
        allowed = f"0 to {last}" if last > 0 else "0" if last == 0 else ""
        raise _OverrideError(Problem((*key, part), "there is no such list item", allowed=allowed))
    raise _OverrideError(Problem(key, "is a single value; set it as a whole", got=shown(node)))
