"""The house: what flows where, and who may know whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cnntrain"
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "untrusted": set(),
    "runtime": {"errors", "__version__"},
    "config": {"errors"},
    "data": {"errors", "files", "config"},
    "models": {"errors", "untrusted", "config"},
    "runs": {"errors", "files", "untrusted", "config"},
    "training": {"errors", "files", "untrusted", "runtime", "config", "data", "models", "runs"},
    "evaluation": {"errors", "config", "data", "models", "runs"},
    "interpretation": {"errors", "data", "models"},
    "plots": set(),
    "reports": {"errors", "files", "data", "models", "runs", "evaluation", "interpretation", "plots"},
    "exports": {"errors", "files", "data", "models", "runs", "evaluation", "interpretation", "plots"},
    "cli": {"errors", "api"},
}
HEAVY = {"tensorflow", "keras", "matplotlib", "sklearn", "scipy", "pydantic", "numpy", "PIL", "rich", "yaml"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    room = _room(path)
    if room in MAY_IMPORT:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ours = {name.split(".")[1] for name in _imports(tree) if name.startswith("cnntrain.")}
        assert ours - MAY_IMPORT[room] - {room} == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_a_command_module_loads_nothing_heavy(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [name for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for name in _imports(node)]
    assert {name.split(".")[0] for name in top} & HEAVY == set()
    assert "cnntrain.api" not in top


def test_models_losses_and_metrics_do_not_compute_with_tensorflow() -> None:
    """They must run on other backends of Keras too."""
    names = ("class_weights", "compiling", "interpolation", "loop", "lr_find", "progress", "stopping")
    training = [PACKAGE / "training" / f"{name}.py" for name in names]
    for path in [*(PACKAGE / "models").rglob("*.py"), *(PACKAGE / "untrusted").rglob("*.py"), *training]:
        assert not any(name.startswith("tensorflow") for name in _imports(ast.parse(path.read_text("utf-8"))))


def test_modules_are_small_and_have_door_plates() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), path
        assert text.count("\n") <= 400, path
        assert path.stem not in {"utils", "helpers", "common", "misc", "manager"}
