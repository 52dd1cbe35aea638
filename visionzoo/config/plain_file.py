"""Config files of other people: only plain values may be in them, so that reading one runs no code."""

from __future__ import annotations

import ast
from pathlib import Path

from visionzoo.errors import ConfigError
from visionzoo.plugins import ZOO, plugins

_PLAIN = (
    ast.Module,
    ast.Assign,
    ast.Name,
    ast.Load,
    ast.Store,
    ast.Constant,
    ast.Dict,
    ast.List,
    ast.Tuple,
    ast.Set,
    ast.UnaryOp,
    ast.USub,
    ast.Call,
    ast.keyword,
    ast.Expr,
)


def require_plain_file(path: Path) -> None:
    """Raise an error unless a config file assigns only plain values, as the ``config.py`` of a run does.

    Args:
        path: a Python file: ``NAME = VALUE`` with numbers, text, lists, tuples, dicts and ``dict(...)``. It may import
            modules by ``custom_imports`` only from installed plugins.

    Raises:
        ConfigError: the file is not Python, contains anything else, or names a base.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "config.py")
        ...     _ = path.write_text("model = dict(type='RCNet', sizes=(1, -2))")
        ...     require_plain_file(path)
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ConfigError(path, expected="a config in Python", but=f"{error}", advice="do not use it") from error
    for node in ast.walk(tree):
        if not isinstance(node, _PLAIN) or (isinstance(node, ast.Call) and not _is_dict(node)) or _is_reading(node):
            line = getattr(node, "lineno", 1)
            raise ConfigError(
                f"{path}:{line}",
                expected="a config with plain values only",
                found=f"code ({ast.unparse(node)[:60]})",
                advice="do not use it, or read it and copy its values",
            )
    _require_known_imports(tree, path)


def _is_dict(node: ast.Call) -> bool:
    named = isinstance(node.func, ast.Name) and node.func.id == "dict"
    return named and not node.args and all(each.arg is not None for each in node.keywords)


def _is_reading(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id != "dict"


def _require_known_imports(tree: ast.Module, path: Path) -> None:
    allowed = {ZOO, *(package.name for package in plugins())}
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        targets = [each.id for each in node.targets if isinstance(each, ast.Name)]
        if "_base_" in targets:
            raise ConfigError(path, expected="a whole config", found="one with `_base_`", advice="do not use it")
        if "custom_imports" not in targets:
            continue
        texts = [each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
        other = [text for text in texts if isinstance(text, str) and text.partition(".")[0] not in allowed]
        if other:
            raise ConfigError(
                path, expected="custom_imports of installed plugins", found=other[0], advice="install its plugin"
            )
