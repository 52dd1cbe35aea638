"""Modules import each other without circles, and no room uses the private names of another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "visionzoo"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    """The folder of the package that a module lies in: ``heads``; a file of the top level is its own room."""
    return module.split(".")[1] if "." in module else ""


def imports_of(module: str) -> Iterator[tuple[str, str]]:
    """Module and name of every import of ours, inside functions too; not those that only type checkers read."""
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    skipped = {id(node) for block in ast.walk(tree) if is_for_types(block) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("visionzoo") and id(node) not in skipped:
            yield from ((node.module, alias.name) for alias in node.names)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported_modules(module: str) -> set[str]:
    named = (f"{source}.{name}" if f"{source}.{name}" in FILES else source for source, name in imports_of(module))
    return set(named) - {module}


def test_modules_are_found():
    assert len(FILES) > 200
    assert imported_modules("visionzoo.engine.training")


def test_there_is_no_circle():
    try:
        TopologicalSorter({module: imported_modules(module) for module in FILES}).prepare()
    except CycleError as error:
        raise AssertionError(f"modules import each other in a circle: {' -> '.join(error.args[1])}") from None


def test_private_names_stay_in_their_room():
    borrowed = [
        f"{module} imports {name} of {source}"
        for module in FILES
        for source, name in imports_of(module)
        if name.startswith("_") and not name.startswith("__") and room_of(source) != room_of(module)
    ]
    assert borrowed == []
