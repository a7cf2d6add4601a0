"""The JSON Schema of a configuration, and what it says about one key in words."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from cnntrain.config.problems import Key
from cnntrain.config.sections import Config

Node = dict[str, Any]

_NOUNS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


def json_schema() -> Node:
    """The JSON Schema (draft 2020-12) of a configuration, for editors that complete and check YAML by one."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    schema["title"] = "cnntrain"
    return schema


@cache
def root() -> Node:
    """The schema of the whole configuration; not to be changed."""
    return json_schema()


def find(location: tuple[str | int, ...]) -> tuple[Key, Node]:
    """Follows a location that pydantic reports.

    Args:
        location: Names and indexes; a section that comes in kinds is followed by the name of its kind.

    Returns:
        The key as the user writes it, without the names of kinds, and its schema, which is empty for unknown keys.
    """
    key: Key = ()
    node = root()
    for part in location:
        kinds = node.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            node = resolved({"$ref": kinds[part]})
        else:
            key, node = (*key, part), _child(node, part)
    return key, node


def _child(node: Node, part: str | int) -> Node:
    """The schema of a name or index in `node`."""
    for one in alternatives(node):
        if isinstance(part, int) and one.get("type") == "array":
            fixed: list[Node] = one.get("prefixItems", [])
            return fixed[part] if part < len(fixed) else one.get("items", {})
        if part in one.get("properties", {}):
            return dict(one["properties"][part])
    return {}


def resolved(node: Node) -> Node:
    """The schema that `node` refers to, or itself."""
    reference = node.get("$ref")
    return node if reference is None else root()["$defs"][reference.removeprefix("#/$defs/")]


def alternatives(node: Node) -> Iterator[Node]:
    """The schemas that a value may follow, references resolved, `null` left out."""
    node = resolved(node)
    options = node.get("anyOf") or node.get("oneOf")
    if options:
        for option in options:
            yield from alternatives(option)
    elif node and node.get("type") != "null":
        yield node


def known_keys(node: Node) -> list[str]:
    """The keys that a section has."""
    return [name for one in alternatives(node) for name in one.get("properties", {})]


def choices(node: Node) -> list[str]:
    """The words that a value is chosen from; empty where it is not a choice."""
    found = [one.get("enum", [one["const"]] if "const" in one else []) for one in alternatives(node)]
    return [str(word) for words in found for word in words]


def kinds(node: Node) -> tuple[str, list[str]]:
    """The key that says which kind a section is, and its choices."""
    discriminator = resolved(node)["discriminator"]
    return discriminator["propertyName"], list(discriminator["mapping"])


def nouns(node: Node) -> str:
    """What kind of value is wanted: `a whole number`, `a list or a whole number`."""
    words = ["a name" if choices(one) else _NOUNS[one["type"]] for one in alternatives(node)]
    return " or ".join(dict.fromkeys(words))


def limits(node: Node) -> str:
    """The range of a number or the length of a list: `at least 1`, `0 to below 1`; empty where there is none."""
    return " or ".join(filter(None, (_range(one) or _length(one) for one in alternatives(node))))


def describe(node: Node) -> str:
    """Kind and range of a value: `a whole number, at least 1`, `one of rgb, grayscale`."""
    return "; or ".join(dict.fromkeys(_describe(one) for one in alternatives(node)))


def _describe(one: Node) -> str:
    words = choices(one)
    if words:
        return " or ".join(words) if len(words) < 3 else "one of " + ", ".join(words)
    text = _NOUNS[one["type"]]
    items = one.get("items") or (one.get("prefixItems") or [{}])[0]
    parts = [text, limits(one), f"each {describe(items)}" if items else ""]
    return ", ".join(part for part in parts if part)


def _range(one: Node) -> str:
    """In words, the limits of a number."""
    low, above = one.get("minimum"), one.get("exclusiveMinimum")
    high, below = one.get("maximum"), one.get("exclusiveMaximum")
    upper = f"at most {_number(high)}" if high is not None else f"below {_number(below)}" if below is not None else ""
    if above is not None:
        return f"above {_number(above)}" + (f", {upper}" if upper else "")
    if low is None:
        return upper
    return f"{_number(low)} to {upper.removeprefix('at most ')}" if upper else f"at least {_number(low)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _length(one: Node) -> str:
    """In words, how long a list or a text is."""
    if one.get("minLength"):
        return "not empty"
    low, high = one.get("minItems"), one.get("maxItems")
    if low is None:
        return ""
    return f"{'exactly' if low == high else 'at least'} {low} item{'s' if low > 1 else ''}"
