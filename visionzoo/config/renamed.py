"""Renamed configs, types and keys. An old name works for two minor releases, with a warning that states the new name.

The entry ``"old": Renamed("new", until="0.4")`` means that release 0.4 removes the old name.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from visionzoo.config.tree import Origins, join


@dataclass(frozen=True)
class Renamed:
    """The new name, and the release that removes the old name."""

    new: str
    until: str


CONFIGS: dict[str, Renamed] = {}
TYPES: dict[str, Renamed] = {}
TOP_LEVEL_KEYS: dict[str, Renamed] = {}
# By the type that has the argument: {"RCNet": {"old": Renamed("new", until="0.4")}}.
ARGUMENTS: dict[str, dict[str, Renamed]] = {}


def current_config_name(name: str) -> str:
    """Return the current name of a config. Warn if ``name`` is an old one."""
    return _current(name, CONFIGS, "config")


def with_current_names(tree: dict[str, Any], origins: Origins) -> dict[str, Any]:
    """Return a config with the current names of keys, types and arguments. Warn about each old name."""
    renamed = {_current(key, TOP_LEVEL_KEYS, "config key", origins.of(key)): value for key, value in tree.items()}
    return {key: _rename_inside(value, key, origins) for key, value in renamed.items()}


def _rename_inside(node: Any, path: str, origins: Origins) -> Any:
    if isinstance(node, (list, tuple)):
        return type(node)(_rename_inside(item, join(path, index), origins) for index, item in enumerate(node))
    if not isinstance(node, dict):
        return node
    node = {key: _rename_inside(value, join(path, key), origins) for key, value in node.items()}
    if not isinstance(node.get("type"), str):
        return node
    source = origins.of(join(path, "type"))
    node["type"] = _current(node["type"], TYPES, f"type at {path}", source)
    table = ARGUMENTS.get(node["type"], {})
    return {_current(key, table, f"argument of {path}", source): value for key, value in node.items()}


def _current(name: str, table: dict[str, Renamed], what: str, source: str | None = None) -> str:
    if name not in table:
        return name
    renamed = table[name]
    where = f"{source}: " if source else ""
    warnings.warn(
        f"{where}the {what} {name!r} is now called {renamed.new!r}; "
        f"write the new name, the old one works until visionzoo {renamed.until}",
        FutureWarning,
        stacklevel=2,
    )
    return renamed.new
