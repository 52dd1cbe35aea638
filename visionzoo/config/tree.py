"""A config as a tree: dotted paths, the merge rule, and the source of each value.

``_base_``, ``--tiny`` and ``--cfg-options`` follow one merge rule:

* a dict replaces the old dict if its ``type`` differs, or if it has ``_delete_=True``;
* any other dict is merged key by key;
* any other value, also a list, replaces the old value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DELETE = "_delete_"

KeyPath = tuple[str, ...]
_ABSENT = object()


class Origins(dict[str, str]):
    """From a dotted path to the source of its value: a file, ``--tiny`` or ``--cfg-options``."""

    def of(self, path: str) -> str | None:
        """Return the source of ``path``, else of the dict or list around it, else of the first value inside it."""
        at = path
        while at:
            if at in self:
                return self[at]
            at = at.rpartition(".")[0]
        below = (source for key, source in self.items() if key.startswith(f"{path}.") or not path)
        return self.get(f"{path}.type") or next(below, None)

    def forget(self, path: str) -> None:
        """Remove the sources of ``path`` and of everything inside it."""
        for key in [key for key in self if key == path or key.startswith(f"{path}.")]:
            del self[key]

    def record(self, path: str, value: Any, source: str) -> None:
        """Record ``source`` for ``value`` at ``path`` and for everything inside it."""
        self.forget(path)
        self._record_leaves(path, value, source)

    def _record_leaves(self, path: str, value: Any, source: str) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                self._record_leaves(join(path, key), item, source)
        else:
            self[path] = source


def join(path: str, key: object) -> str:
    """Return the dotted path of ``key`` inside ``path``."""
    return f"{path}.{key}" if path else str(key)


def replaces(new: Any, old: Any) -> bool:
    """Return True if ``new`` replaces ``old``, False if it is merged into it."""
    if not isinstance(new, dict) or not isinstance(old, dict) or new.get(DELETE):
        return True
    return "type" in new and new["type"] != old.get("type", new["type"])


def merge(old: dict[Any, Any], new: dict[Any, Any], origins: Origins, source: str, path: str = "") -> dict[Any, Any]:
    """Return ``old`` with ``new`` merged into it. Both dicts are unchanged; ``origins`` records ``source``.

    Example:
        >>> merge({"neck": {"type": "RCNet", "num_outs": 5}}, {"neck": {"num_outs": 4}}, Origins(), "--tiny")
        {'neck': {'type': 'RCNet', 'num_outs': 4}}
    """
    merged = dict(old)
    for key, value in new.items():
        here = join(path, key)
        if replaces(value, old.get(key)):
            merged[key] = value
            origins.record(here, value, source)
        else:
            merged[key] = merge(old[key], value, origins, source, here)
    return merged


def without_deletes(value: Any) -> Any:
    """Return a copy of ``value`` without the keys ``_delete_``, which only the merge reads."""
    if isinstance(value, dict):
        return {key: without_deletes(item) for key, item in value.items() if key != DELETE}
    if isinstance(value, (list, tuple)):
        return type(value)(without_deletes(item) for item in value)
    return value


def odd_values(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of everything except None, bools, numbers, strings, lists, tuples and dicts."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int)):
                yield path, key
            yield from odd_values(item, join(path, key))
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            yield from odd_values(item, join(path, index))
    elif value is not None and type(value) not in (bool, int, float, str):
        yield path, value


def plain(value: Any) -> Any:
    """Return a copy of ``value`` in new builtin dicts, lists and tuples."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value


def all_paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield every dotted path in a tree, parents before children."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        yield from all_paths(item, join(path, key))


def child(node: Any, key: str) -> Any:
    """Return the value of ``key`` in a dict, list or tuple, or ``MISSING``."""
    if isinstance(node, dict):
        return node.get(key, node.get(int(key), _ABSENT) if key.isdigit() else _ABSENT)
    if isinstance(node, (list, tuple)) and key.isdigit() and int(key) < len(node):
        return node[int(key)]
    return _ABSENT


def lookup(tree: Any, path: KeyPath) -> Any:
    """Return the value at ``path``, or ``MISSING``."""
    for key in path:
        tree = child(tree, key)
        if tree is _ABSENT:
            break
    return tree


def with_value(node: Any, path: KeyPath, value: Any) -> Any:
    """Return a copy of ``node`` with ``value`` at ``path``. Missing dicts on the path are created."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(node, (list, tuple)):
        items = list(node)
        items[int(key)] = with_value(items[int(key)], rest, value)
        return type(node)(items)
    old = node if isinstance(node, dict) else {}
    actual: str | int = int(key) if key not in old and key.isdigit() and int(key) in old else key
    return {**old, actual: with_value(old.get(actual), rest, value)}


MISSING = _ABSENT
