"""Imports only go to lower layers, also inside functions; there are no cycles, and private names stay in their room."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "visionzoo"


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name; the name of a package is that of its ``__init__``."""
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return dict(zip(names, files))


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes except those that only type checkers execute."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from nodes(node)


@cache
def imports() -> tuple[tuple[str, str, str, int], ...]:
    """Yield (module, module or name's module that it imports, name, line), at the top or inside functions."""
    known, edges = modules(), []
    for module, path in known.items():
        for node in nodes(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                edges += [(module, alias.name, "", node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}:{node.lineno}: imports are absolute"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    edges.append((module, inner if inner in known else str(node.module), alias.name, node.lineno))
    return tuple(edge for edge in edges if edge[1].partition(".")[0] == PACKAGE)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floors() -> dict[str, int]:
    """Map each room to its floor, 0 for the top one, from the layers of setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["importlinter:contract:flow"]["layers"].split("\n")
    return {name.strip(" ()"): floor for floor, line in enumerate(filter(None, lines)) for name in line.split("|")}


def circles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """Return groups of modules that import each other, directly or through others."""
    reach = {start: {end for begin, end in edges if begin == start} for start, _ in edges}
    grows = True
    while grows:
        grows = False
        for ends in reach.values():
            wider = set().union(ends, *(reach.get(end, set()) for end in ends))
            grows, _ = grows or len(wider) > len(ends), ends.update(wider)
    inside = {name for name, ends in reach.items() if name in ends}
    return sorted({tuple(sorted(b for b in inside if b in reach[a] and a in reach[b])) for a in inside})


def test_no_module_imports_from_a_higher_floor_or_its_neighbour() -> None:
    floor = floors()
    upwards = [
        f"{module}:{line} imports {target}"
        for module, target, _, line in imports()
        if room(module) != room(target)
        and room(module) in floor
        and (room(target) in floor and floor[room(target)] <= floor[room(module)])
    ]
    assert upwards == []


def test_every_room_has_a_floor() -> None:
    folders = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
    assert folders - {"configs", "model_cards"} <= set(floors())


def test_no_private_name_leaves_its_room() -> None:
    """Only its own package may import a name with a leading underscore."""
    private = [
        f"{module}:{line} imports {name} of {target}"
        for module, target, name, line in imports()
        if name.startswith("_") and not name.startswith("__") and target != PACKAGE and room(module) != room(target)
    ]
    assert private == []


def test_there_are_no_import_cycles() -> None:
    assert circles({(module, target) for module, target, _, _ in imports()}) == []


def test_cycles_are_found() -> None:
    assert circles({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "e")}) == [("a", "b", "c"), ("e",)]


def test_names_of_files_mean_one_thing() -> None:
    stems = [path.stem for path in modules().values()]
    assert {"pairs", "setup", "weights"} & set(stems) == set()
    assert stems.count("released") == 1
