"""Keys that a dict in a config has twice. Python keeps the last value of such a key without an error."""

from __future__ import annotations

import ast
from collections import Counter


def repeated_key(tree: ast.AST) -> tuple[str, int] | None:
    """Return the first key that a literal dict has twice, and the line of that dict; None without such a key.

    Example:
        >>> repeated_key(ast.parse("heads = {'lanes': 1, 'lanes': 2}"))
        ("'lanes'", 1)
        >>> repeated_key(ast.parse("heads = {'lanes': 1, **heads}")) is None
        True
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = Counter(repr(key.value) for key in node.keys if isinstance(key, ast.Constant))
            for key in (key for key, times in keys.items() if times > 1):
                return key, node.lineno
    return None
