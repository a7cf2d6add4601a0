"""Measured rounds in a file of JSON lines, so that a comparison can be gathered over several sittings."""

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cnntrain.files import write_bytes

FORMAT = 1
ROOT = Path(__file__).parent.parent
DEFAULT = Path(__file__).parent / "results.jsonl"

Round = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """The rounds of one comparison, of one machine, versions, code and parameters, in a file that others share.

    A line is one round: a JSON object with `format`, `benchmark`, `setting`, `parameters`, `values`, and when and under
    what load it was measured. Lines that are none of ours are left out and kept.

    Args:
        path: The file, which may be missing.
        benchmark: Name of the comparison.
        setting: What else decides about the values: `machine`, `versions` and `source`, a digest of the code.
        parameters: Of the comparison; JSON values.
        any_source: Whether rounds of earlier states of the code count, too.
    """

    path: Path
    benchmark: str
    setting: Mapping[str, Any]
    parameters: Mapping[str, Any]
    any_source: bool = False

    def add(self, values: Round) -> None:
        """Appends a round; the file is whole at any time. Raises WriteError."""
        known = self._content()
        line = {
            "format": FORMAT,
            "benchmark": self.benchmark,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "load": _load(),
            "setting": self.setting,
            "parameters": self.parameters,
            "values": values,
        }
        end = b"" if known.endswith(b"\n") or not known else b"\n"  # of a line that was cut off
        write_bytes(self.path, known + end + json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def rounds(self) -> list[Round]:
        """The values of all rounds that were measured in the same way, oldest first.

        Raises:
            SystemExit: The file cannot be read, or holds something else.
        """
        return [line["values"] for line in self._lines() if self._is_same(line)]

    def _is_same(self, line: Mapping[str, Any]) -> bool:
        ignored = {"source"} if self.any_source else set()
        mine, other = (
            {name: value for name, value in setting.items() if name not in ignored}
            for setting in (self.setting, line["setting"])
        )
        return line["benchmark"] == self.benchmark and mine == other and line["parameters"] == self.parameters

    def _lines(self) -> list[dict[str, Any]]:
        texts = [text for text in self._content().splitlines() if text.strip()]
        lines = [line for text in texts if (line := _parsed(text)) is not None]
        if texts and not lines:
            raise SystemExit(f"{self.path} holds no results but something else; name another file with --results")
        if len(lines) < len(texts):
            print(f"{self.path}: {len(texts) - len(lines)} lines are damaged and left out", file=sys.stderr)
        return lines

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise SystemExit(f"cannot read {self.path}: {error.strerror}; name another file with --results") from error


def _load() -> float | None:
    """The mean number of processes that wanted a core in the last minute, where the system tells it."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _parsed(text: bytes) -> dict[str, Any] | None:
    """A line as it was written by `Results.add`, or nothing."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or line.get("format") != FORMAT or not isinstance(line.get("benchmark"), str):
        return None
    return line if all(isinstance(line.get(key), dict) for key in ("setting", "parameters", "values")) else None


def source_digest(paths: Iterable[Path]) -> str:
    """What stands for the code below `paths`: it changes when what the code does may have changed.

    Args:
        paths: Python and YAML files, and folders of Python files. Comments, docstrings and layout do not count.

    Returns:
        12 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(_meaning(file).encode())
    return digest.hexdigest()[:12]


def _meaning(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".yaml":
        import yaml

        return repr(yaml.safe_load(text))
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def numbers(rounds: Sequence[Round], name: str) -> list[float]:
    """What the rounds that measured `name` found."""
    return [float(values[name]) for values in rounds if isinstance(values.get(name), int | float)]
