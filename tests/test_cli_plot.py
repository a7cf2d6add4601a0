"""`cnntrain plot`: what it hands to the library call, and what it prints."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import cnntrain
from cnntrain.cli import group


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Puts a recorder in place of the library."""
    recorded: list[Any] = []

    def plot(runs: Any, **options: Any) -> Path:
        del options["on_event"]
        recorded.append((tuple(runs), options))
        return options["output"] or Path(runs[0], "plots", "curves.png")

    api = SimpleNamespace(plot=plot)
    monkeypatch.setitem(sys.modules, "cnntrain.api", api)
    monkeypatch.setattr(cnntrain, "api", api, raising=False)
    return recorded


def test_the_written_path_is_all_that_is_printed(calls: list[Any]) -> None:
    result = CliRunner().invoke(group, ["plot", "runs/digits"])
    assert result.exit_code == 0
    assert result.stdout == f"{Path('runs/digits/plots/curves.png')}\n"
    assert calls == [((Path("runs/digits"),), {"smoothing": 0.8, "output": None})]


def test_options_reach_the_library(calls: list[Any]) -> None:
    result = CliRunner().invoke(group, ["plot", "a", "b", "--smooth", "0", "--output", "both.png", "--json"])
    assert json.loads(result.stdout) == {"plot": "both.png"}
    assert calls == [((Path("a"), Path("b")), {"smoothing": 0.0, "output": Path("both.png")})]


@pytest.mark.parametrize("arguments", [[], ["a", "--smooth", "1"], ["a", "--smooth", "-0.1"], ["a", "--smooth", "x"]])
def test_wrong_usage_ends_with_2(calls: list[Any], arguments: list[str]) -> None:
    result = CliRunner().invoke(group, ["plot", *arguments])
    assert result.exit_code == 2
    assert calls == []
