"""``--cfg-options path=value``: changes of a config from the command line, applied last.

A value is a Python literal (``None``, ``1e-3``, ``[1, 2]``, ``True``, ``{"type": "Adam"}`` or ``dict(type="Adam")``) or
else a string. A new ``type`` of a part of the model drops all arguments of the old part, except those in the same
command and ``variant="tiny"``, which every part of a tiny model has. A new ``type`` of a data set, an optimizer, a
schedule or a hook keeps those that the new part takes too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from visionzoo.config.keys import ADDABLE, TOP_LEVEL, UNTYPED
from visionzoo.config.literals import repeated_key
from visionzoo.config.positions import extra_at, position
from visionzoo.config.tree import (
    MISSING,
    KeyPath,
    Origins,
    all_paths,
    child,
    join,
    lookup,
    odd_values,
    plain,
    with_value,
)
from visionzoo.errors import ConfigError, nearest_name

# Sources of a value: an option of the command line, or one of a Python call or a short option.
SOURCE, OPTIONS = "--cfg-options", "options"

# From the name of a type to its arguments; None if it takes any, or is unknown.
Accepts = Callable[[str], "set[str] | None"]


@dataclass
class Changed:
    """A config with its options applied.

    Attributes:
        values: the config.
        notes: one line for each replaced part, with the dropped arguments.
        replaced: the old parts by dotted path.
    """

    values: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    replaced: dict[str, dict[str, Any]] = field(default_factory=dict)


def parse_options(options: Iterable[str] | Mapping[str, Any]) -> dict[KeyPath, Any]:
    """Return options as a mapping from path to value.

    Args:
        options: ``["model.neck.num_outs=5", ...]``, or a mapping from dotted path to value.

    Raises:
        ConfigError: an option has no ``=``, has an empty key in its path, or occurs twice with different values.

    Example:
        >>> parse_options(["model.neck.num_outs=5", "work_dir=out"])
        {('model', 'neck', 'num_outs'): 5, ('work_dir',): 'out'}
    """
    pairs = options.items() if isinstance(options, Mapping) else map(_split_option, _as_list(options))
    parsed: dict[KeyPath, Any] = {}
    for dotted, value in pairs:
        path = _split_path(str(dotted))
        _refuse_odd(dotted, value)
        if path in parsed and parsed[path] != value:
            raise ConfigError(
                f"option {dotted}",
                expected="one value",
                found=f"{parsed[path]!r} and {value!r}",
                advice="remove one",
            )
        parsed[path] = plain(value)
    return parsed


def _as_list(options: Iterable[str]) -> list[str]:
    return [options] if isinstance(options, str) else list(options)


def _split_option(option: str) -> tuple[str, Any]:
    dotted, equals, text = option.partition("=")
    if not equals:
        raise ConfigError(
            f"option {option}", expected="PATH=VALUE", found="no `=`", advice=f"write it as {option}=VALUE"
        )
    return dotted.strip(), _literal(dotted.strip(), text.strip())


def _literal(dotted: str, text: str) -> Any:
    try:
        tree = _DictCalls().visit(ast.parse(text, mode="eval"))
        value = ast.literal_eval(tree)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        if text.startswith(("[", "(", "{", "dict(")):
            raise ConfigError(
                f"option {dotted}",
                expected="a Python literal",
                found=f"{text}",
                advice=f'quote the strings in it, as in \'{dotted}=["a", "b"]\'',
            ) from error
        return text
    if repeated := repeated_key(tree):
        raise ConfigError(
            f"option {dotted}", expected="each key of a dict once", found=f"{repeated[0]} twice", advice="remove one"
        )
    return text if isinstance(value, (bytes, complex)) or value is Ellipsis else value


class _DictCalls(ast.NodeTransformer):
    """Replace ``dict(type="GN", num_groups=32)``, the form in configs, by a literal dict."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        names = [keyword.arg for keyword in node.keywords]
        if not (isinstance(node.func, ast.Name) and node.func.id == "dict") or node.args or None in names:
            return node
        made = ast.Dict([ast.Constant(name) for name in names], [keyword.value for keyword in node.keywords])
        return ast.copy_location(made, node)


def _split_path(dotted: str) -> KeyPath:
    path = tuple(dotted.split("."))
    if not all(path):
        raise ConfigError(
            f"option {dotted}=...", expected="a path like model.neck.num_outs", found="an empty key", advice="fix it"
        )
    return path


def _refuse_odd(dotted: str, value: Any) -> None:
    for _, odd in odd_values(value):
        raise ConfigError(
            f"option {dotted}",
            expected="None, a bool, number, string, list, tuple or dict",
            found=f"{type(odd).__name__}",
        )


def apply_options(
    values: dict[str, Any],
    options: dict[KeyPath, Any],
    origins: Origins,
    accepts: Accepts,
    *,
    allow_new: bool = False,
    source: str = SOURCE,
) -> Changed:
    """Return a config with ``options`` applied. The order of the options does not matter.

    Args:
        values: the config; not changed.
        options: from path to value, see :func:`parse_options`.
        origins: changed in place; records the new values.
        accepts: returns the arguments of a type.
        allow_new: let options add keys that the config and its parts do not have.
        source: the source that ``origins`` records for the options.

    Raises:
        ConfigError: a path does not exist and ``allow_new`` is False. The message names the nearest path.
    """
    changed = Changed(values)
    options = _flattened(options, values)
    for path in sorted(options, key=len):  # outer parts first, because an inner part may belong to the new outer part
        if path[-1] == "type" and len(path) > 1:
            _replace_part(changed, path[:-1], options, origins, accepts)
    for path in sorted(options, key=len):
        if not allow_new:
            _require_known(changed.values, path, accepts)
        _require_possible(changed.values, path, options[path])
        changed.values = with_value(changed.values, path, options[path])
        origins.record(".".join(path), options[path], SOURCE)
    return changed


def _flattened(options: dict[KeyPath, Any], values: dict[str, Any]) -> dict[KeyPath, Any]:
    """Split a dict into one option per key where the config has a dict, so that the two merge."""
    flat: dict[KeyPath, Any] = {}
    for path, value in options.items():
        for inner, item in _flatten(path, value, lookup(values, path)):
            if inner in flat and flat[inner] != item:
                dotted = ".".join(inner)
                raise ConfigError(f"option {dotted}", expected="one value", found=f"{flat[inner]!r} and {item!r}")
            flat[inner] = item
    return flat


def _flatten(path: KeyPath, value: Any, old: Any) -> list[tuple[KeyPath, Any]]:
    if not isinstance(value, dict) or not isinstance(old, dict) or not value:
        return [(path, value)]
    same_part = value.get("type", old.get("type")) == old.get("type")
    flat: list[tuple[KeyPath, Any]] = []
    for key, item in value.items():
        flat += _flatten((*path, str(key)), item, child(old, str(key)) if same_part else None)
    return flat


def _replace_part(
    changed: Changed, part: KeyPath, options: dict[KeyPath, Any], origins: Origins, accepts: Accepts
) -> None:
    """Clear a part if its type changes, except the arguments that :func:`_kept` names."""
    old, new_type = lookup(changed.values, part), options[(*part, "type")]
    if not isinstance(old, dict) or old.get("type", new_type) == new_type:
        return
    dotted = ".".join(part)
    given = {path[len(part)] for path in options if path[: len(part)] == part and len(path) > len(part)}
    others = [str(key) for key in old if str(key) not in given]
    kept = _kept({name: old[name] for name in others}, position(dotted), new_type, accepts)
    dropped = [key for key in others if key not in kept]
    facts = [f"{word} {', '.join(names)}" for word, names in (("kept", kept), ("dropped", dropped)) if names]
    changed.notes.append(f"{dotted}: {old['type']} -> {new_type}, {', '.join(facts) or 'nothing dropped'}")
    changed.replaced[dotted] = plain(old)
    changed.values = with_value(changed.values, part, {"type": new_type, **{key: old[key] for key in kept}})
    for key in ("type", *dropped, *given):
        origins.forget(join(dotted, key))


def _kept(old: Mapping[str, Any], at: str, new_type: Any, accepts: Accepts) -> list[str]:
    """Return the names of the arguments of an old part that the new one keeps: those that both take.

    A model keeps only the tiny variant, because sizes belong to its old part; a loop keeps none, because its unit is
    another one.
    """
    is_own = at.startswith(("model", "tta_model", "train_cfg"))
    names = [name for name in old if not is_own or (name, old[name]) == ("variant", "tiny")]
    known = accepts(new_type) if names and isinstance(new_type, str) else None
    extra = () if is_own else extra_at(at)
    return [name for name in names if known is not None and (name in known or name in extra)]


def _require_known(values: dict[str, Any], path: KeyPath, accepts: Accepts) -> None:
    """Follow ``path`` to its end, or to an absent key that the part there accepts. Else raise an error."""
    node: Any = values
    for depth, key in enumerate(path):
        below = child(node, key)
        if below is MISSING:
            if not isinstance(node, dict) or not _takes(node, path[:depth], key, accepts):
                raise ConfigError(_unknown_path(values, node, path, depth, accepts))
            return
        node = below


def _takes(node: dict[Any, Any], path: KeyPath, key: str, accepts: Accepts) -> bool:
    """Return True if the part ``node`` accepts ``key``, which the config does not set."""
    known = _known_keys(node, path, accepts)
    return key == "type" or known is None or key in known


def _known_keys(node: dict[Any, Any], path: KeyPath, accepts: Accepts) -> set[str] | None:
    if not path:
        return set(TOP_LEVEL)
    dotted = ".".join(path)
    if isinstance(node.get("type"), str):
        known = accepts(node["type"])
        return None if known is None else known | extra_at(position(dotted))
    return {*UNTYPED.get(dotted, ()), *ADDABLE.get(dotted, ()), *extra_at(position(dotted))}


def _unknown_path(values: dict[str, Any], node: Any, path: KeyPath, depth: int, accepts: Accepts) -> str:
    dotted, at, key = ".".join(path), ".".join(path[:depth]), path[depth]
    if isinstance(node, (list, tuple)):
        last = f"0 to {len(node) - 1}" if node else "none, it is empty"
        return f"option {dotted}: expected an index into {at} ({last}), found {key!r}; fix the path"
    if not isinstance(node, dict):
        return f"option {dotted}: expected a dict at {at}, found {node!r}; fix the path"
    keys = {str(known) for known in node} | (_known_keys(node, path[:depth], accepts) or set())
    nearest = nearest_name(key, keys)
    suggestion = join(at, nearest) if nearest else nearest_name(dotted, all_paths(values))
    adding = "--allow-new (allow_new=True) adds it"
    answer = f"did you mean {suggestion}? {adding}" if suggestion else adding
    return f"option {dotted}: expected a path of the config, found no {join(at, key)}; {answer}"


def _require_possible(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Raise an error for a string in place of a part, and for a path through a number or past the end of a list."""
    dotted, old = ".".join(path), lookup(values, path)
    if isinstance(value, str) and isinstance(old, dict) and "type" in old:
        raise ConfigError(
            f"option {dotted}={value}: expected a dict for the part {dotted}; did you mean {dotted}.type={value}?"
        )
    node: Any = values
    for depth, key in enumerate(path):
        if node is MISSING or node is None:
            return
        if not isinstance(node, dict) and child(node, key) is MISSING:
            raise ConfigError(_unknown_path(values, node, path, depth, lambda name: None))
        node = child(node, key)
