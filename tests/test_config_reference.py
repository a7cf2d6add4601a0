import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cnntrain.config import json_schema
from cnntrain.config.reference import reference_markdown

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
RAW = {
    "seed": 1,
    "data": {"source": "x", "classes": ["a", "b"], "image_size": [24, 24]},
    "augment": {"rotation": 40},
    "model": {
        "kind": "convnet",
        "blocks": [{"filters": 8}],
        "head": {"layers": [{"dense": 4}, {"dropout": 0.5}]},
    },
    "train": {
        "optimizer": "adam",
        "schedule": {"name": "cosine"},
        "stages": [{"name": "one", "optimizer": {"name": "sgd", "momentum": 0.9}}],
    },
}


def test_the_page_in_docs_is_up_to_date() -> None:
    command = "python -m cnntrain.config.reference > docs/configuration.md"
    assert PAGE.read_text(encoding="utf-8") == reference_markdown(), f"out of step; run {command}"


def test_the_module_prints_the_page() -> None:
    command = [sys.executable, "-W", "error", "-m", "cnntrain.config.reference"]
    printed = subprocess.run(command, capture_output=True, check=True, cwd=PAGE.parent.parent)
    assert printed.stdout.decode("utf-8") == reference_markdown()


@pytest.mark.parametrize(
    "row",
    [
        "| `source` | text, not empty | required | A data set that is split",
        "| `zoom` | a number, 0 to below 1 | `0.0` | Height and width",
        "| `image_size` | a list, exactly 2 items, each a whole number, 1 to 8192 | `[180, 180]` | Height and",
        "| `color` | rgb or grayscale | `rgb` | Channels",
        "| `factor` | a number, above 0, below 1 | `0.5` | What the rate",
        "| `optimizer` | one of sgd, rmsprop, adam, adamw, nadam, adagrad, lion; or a mapping | `rmsprop` | Update",
        "| `gradient_clipping` | a number, above 0 | absent | Largest norm",
        "| `blocks` | a list, at least 1 item, each a mapping | required | Convolution blocks",
    ],
)
def test_rows_tell_type_range_and_default(row: str) -> None:
    assert sum(line.startswith(row) for line in reference_markdown().splitlines()) == 1


def test_every_section_has_one_table_and_every_key_a_meaning() -> None:
    schema = json_schema()
    page = reference_markdown()
    assert page.count("| key | type | default | meaning |") == 1 + len(schema["$defs"])
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == sum(len(section["properties"]) for section in (schema, *schema["$defs"].values()))
    assert all(len(row.split(" | ")[3]) > 5 for row in rows)


def test_the_json_schema_takes_a_valid_configuration() -> None:
    schema = json_schema()
    assert schema["title"] == "cnntrain"
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(RAW, schema)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("sede",), 1),
        (("data", "sorce"), "x"),
        (("model", "blocks", 0, "kernel"), 3),
        (("model", "kind"), "net"),
        (("data", "image_size"), [1]),
        (("data", "classes"), ["a"]),
        (("train", "optimizer"), "adm"),
        (("train", "stages", 0, "epochs"), 0),
        (("augment", "rotation"), "40"),
    ],
)
def test_the_json_schema_refuses_what_loading_refuses(key: tuple[Any, ...], value: Any) -> None:
    raw = copy.deepcopy(RAW)
    holder = raw
    for part in key[:-1]:
        holder = holder[part]
    holder[key[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw, json_schema())
