"""The configuration reference, made from the sections; `python -m cnntrain.config.reference` prints it."""

import sys
from typing import Any

from cnntrain.config import schema
from cnntrain.config.problems import shown
from cnntrain.config.schema import Node

_OPENING = """# Configuration reference

This page is made from `cnntrain/config/sections/` by `python -m cnntrain.config.reference > docs/configuration.md`.

A configuration is one YAML file. Unknown keys, repeated keys and values of the wrong type are errors, all told at once,
each with its line. Numbers may be written `1e-3`; only `true` and `false` are booleans (`yes` and `no` are text); tags
and merge keys are refused. `cnntrain fit CONFIG --set KEY=VALUE` replaces one value, for instance
`--set train.epochs=5` or `--set model.blocks.0.filters=16`; the value `null` takes the key out.
"""


def reference_markdown() -> str:
    """A Markdown page with a table for each section: its keys, their types, defaults and meaning."""
    tables: dict[str, str] = {}
    _add_tables(schema.root(), "", tables)
    return "\n".join([_OPENING, *tables.values()])


def _add_tables(section: Node, path: str, tables: dict[str, str]) -> None:
    """Adds the table of a section that stands at `path`, then those of the sections in it, each section once."""
    title = section["title"]
    if title in tables:
        return
    tables[title] = _table(section, path)
    for name, node in section["properties"].items():
        child = f"{path}.{name}" if path else name
        for inner in schema.alternatives(node):
            if "properties" in inner:
                _add_tables(inner, child, tables)
            for item in schema.alternatives(inner.get("items", {})):
                if "properties" in item:
                    _add_tables(item, f"{child}.N", tables)


def _table(section: Node, path: str) -> str:
    rows = [_row(name, node, section) for name, node in section["properties"].items()]
    lines = [f"## {_heading(section, path)}", "", section["description"], "", "| key | type | default | meaning |"]
    return "\n".join([*lines, "|---|---|---|---|", *rows, ""])


def _heading(section: Node, path: str) -> str:
    kind = section["properties"].get("kind", {}).get("const")
    heading = f"`{path}`" if path else "The whole file"
    return f"{heading} of `kind: {kind}`" if kind else heading


def _row(name: str, node: Node, section: Node) -> str:
    required = name in section.get("required", ())
    meaning = node.get("description") or schema.resolved(node)["description"]
    cells = (f"`{name}`", schema.describe(node), "required" if required else _default(node), " ".join(meaning.split()))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(node: Node) -> str:
    """The default as it would stand in YAML; that of a whole section is told by the section's own table."""
    value: Any = node.get("default")
    if value is None:
        return "absent"
    if not isinstance(value, dict):
        return f"`{shown(value)}`"
    given = {name: item for name, item in value.items() if item is not None}
    return f"`{shown(given['name'])}`" if list(given) == ["name"] else "its defaults"


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(reference_markdown())
