"""Print configs as Python text that loads again, with the origin of each value, and compare configs."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from visionzoo.config.tree import Origins, join

if TYPE_CHECKING:
    from mmengine.config import Config

_WIDTH = 100
_INDENT = "    "


def config_text(cfg: Config | Mapping[str, Any], origins: Origins | None = None) -> str:
    """Return a config as Python text. The text loads to an equal config.

    Args:
        cfg: the merged config.
        origins: if given, each line ends with a comment that names the source of its value.

    Example:
        >>> print(config_text({"model": {"type": "RCNet", "num_outs": 5}}), end="")
        model = dict(type='RCNet', num_outs=5)
    """
    lines = [line for key, value in _plain(cfg).items() for line in _lines(f"{key} = ", value, key, "", origins)]
    if origins is None:
        return "".join(f"{text}\n" for text, _ in lines)
    column = min(max((len(text) for text, _ in lines), default=0), _WIDTH)
    rows = (f"{text:<{column}}  # {source}" if source else text for text, source in lines)
    return "".join(f"{row}\n" for row in rows)


def _plain(cfg: Config | Mapping[str, Any]) -> dict[str, Any]:
    return cfg.to_dict() if hasattr(cfg, "to_dict") else dict(cfg)


# One line of text, and the source of its value (None for a bracket).
Line = tuple[str, "str | None"]


def _lines(head: str, value: Any, path: str, tail: str, origins: Origins | None) -> Iterator[Line]:
    """Yield ``head`` + value + ``tail``: on one line if it fits and has one source, else one line per item."""
    flat = _flat(value)
    sources = _sources(value, path, origins)
    if not isinstance(value, (dict, list, tuple)) or (len(head + flat + tail) <= _WIDTH and len(sources) <= 1):
        yield f"{head}{flat}{tail}", next(iter(sources), None)
        return
    indent = head[: len(head) - len(head.lstrip())] + _INDENT
    opening, closing = _brackets(value)
    yield f"{head}{opening}", None
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        label = _label(key, value) if isinstance(value, dict) else ""
        yield from _lines(f"{indent}{label}", item, join(path, key), ",", origins)
    yield f"{indent[: -len(_INDENT)]}{closing}{tail}", None


def _sources(value: Any, path: str, origins: Origins | None) -> set[str]:
    """Return the sources of a value and of everything inside it."""
    if origins is None:
        return set()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    inside = {source for key, item in items for source in _sources(item, join(path, key), origins)}
    own = origins.of(path)
    return inside or ({own} if own else set())


def _flat(value: Any) -> str:
    """Return a value as text on one line."""
    if isinstance(value, dict):
        opening, closing = _brackets(value)
        return f"{opening}{', '.join(_label(key, value) + _flat(item) for key, item in value.items())}{closing}"
    if isinstance(value, (list, tuple)):
        opening, closing = _brackets(value)
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"{opening}{', '.join(map(_flat, value))}{comma}{closing}"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)


def _brackets(value: Any) -> tuple[str, str]:
    if isinstance(value, dict):
        return ("dict(", ")") if _has_plain_keys(value) else ("{", "}")
    return ("[", "]") if isinstance(value, list) else ("(", ")")


def _has_plain_keys(value: dict[Any, Any]) -> bool:
    return all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in value)


def _label(key: Any, value: dict[Any, Any]) -> str:
    return f"{key}=" if _has_plain_keys(value) else f"{key!r}: "


@dataclass
class Difference:
    """Differences of two configs by dotted path.

    Attributes:
        only_first: values that only the first config has.
        only_second: values that only the second config has.
        changed: values of both configs, first and second, where they differ.
    """

    only_first: dict[str, Any] = field(default_factory=dict)
    only_second: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.only_first or self.only_second or self.changed)

    def lines(self) -> list[str]:
        """Return lines sorted by path: ``- path = value`` (only first), ``+ path = value``, ``~ path: old -> new``."""
        rows = [(path, f"- {path} = {_flat(value)}") for path, value in self.only_first.items()]
        rows += [(path, f"+ {path} = {_flat(value)}") for path, value in self.only_second.items()]
        rows += [(path, f"~ {path}: {_flat(old)} -> {_flat(new)}") for path, (old, new) in self.changed.items()]
        return [line for _, line in sorted(rows)]


def diff_configs(first: Config | Mapping[str, Any], second: Config | Mapping[str, Any]) -> Difference:
    """Return the changes that turn ``first`` into ``second``. Lists of equal length are compared item by item.

    Example:
        >>> diff_configs({"task": "lanes", "work_dir": "a"}, {"task": "lanes", "work_dir": "b"}).lines()
        ["~ work_dir: 'a' -> 'b'"]
    """
    difference = Difference()
    _compare(_plain(first), _plain(second), "", difference)
    return difference


def _compare(old: Any, new: Any, path: str, difference: Difference) -> None:
    if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
        for key in {**old, **new}:
            here = join(path, key)
            if key not in new:
                difference.only_first[here] = old[key]
            elif key not in old:
                difference.only_second[here] = new[key]
            else:
                _compare(old[key], new[key], here, difference)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            _compare(one, other, join(path, index), difference)
    elif old != new or type(old) is not type(new):
        difference.changed[path] = (old, new)
