"""Find the class of a ``type`` in a config without building it. This imports torch and the library of the type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING, Any

from visionzoo.config.signatures import arguments_of
from visionzoo.errors import nearest_name

if TYPE_CHECKING:
    from visionzoo.registry import ZooRegistry

SCOPES = ("mmdet", "mmseg", "mmcv", "mmengine", "timm", "visionzoo")


# The parts found so far, and the state of the registries at that time.
_found: dict[tuple[str, tuple[str, ...]], Callable[..., Any]] = {}
_found_in: tuple[int, ...] = ()


@cache
def all_registries() -> dict[str, ZooRegistry]:
    """Return the registries of the zoo by the names of their variables."""
    from visionzoo import registry

    return {name: value for name, value in vars(registry).items() if isinstance(value, registry.ZooRegistry)}


def find_part(type_name: str, registries: Iterable[str]) -> Callable[..., Any] | None:
    """Return the class or function with this name in the first of ``registries`` that has it, or None.

    Parts that were found are kept until a part is registered. A name that was not found is looked up again.
    """
    global _found_in
    key, state = (type_name, tuple(registries)), _state()
    if state != _found_in:
        _found.clear()
    if key not in _found:
        part = _look_up(*key)
        if part is None:
            return None
        _found[key] = part
        _found_in = _state()  # the first search imports and registers parts
    return _found[key]


def _state() -> tuple[int, ...]:
    """Return numbers that change when a part is registered or removed."""
    registries = all_registries().values()
    return (*(one.registrations for one in registries), *(len(one.module_dict) for one in registries))


def _look_up(type_name: str, registries: tuple[str, ...]) -> Callable[..., Any] | None:
    known = all_registries()
    with _own_scope():
        parts = (known[name].get(type_name) for name in registries)
        return next((part for part in parts if part is not None), None)


def find_anywhere(type_name: str) -> Callable[..., Any] | None:
    """Return the class or function with this name in any registry, or None."""
    return find_part(type_name, all_registries())


def arguments_of_type(type_name: str) -> set[str] | None:
    """Return the names of the arguments of a type; None if it takes any, or is unknown."""
    part = find_anywhere(type_name)
    if part is None:
        return None
    arguments = arguments_of(part)
    return None if arguments.open else set(arguments.names)


def find_op(name: str) -> Callable[..., Any] | None:
    """Return the function or layer with this name in ``mmcv.ops``, where mmdet looks up RoI layers and NMS."""
    return getattr(import_module("mmcv.ops"), name, None)


def kind_of(registries: Iterable[str]) -> str:
    """Return the word for a part of the first registry: ``model``, ``hook``."""
    known = all_registries()
    return next((known[name].name for name in registries), "part")


def name_answer(name: str, registries: Iterable[str]) -> str:
    """Return the advice for an unknown type: the scope to write, or the nearest name."""
    chosen = tuple(registries) or tuple(all_registries())
    scope = name.rpartition(".")[0]
    if not scope:
        return _unscoped_answer(name, chosen)
    if scope == "timm":
        return _did_you_mean(name, [f"timm.{model}" for model in import_module("timm").list_models()])
    known = names_in_scope(scope, chosen)
    if not known:
        return _did_you_mean(scope, SCOPES, otherwise=f"known scopes: {', '.join(SCOPES)}")
    return _did_you_mean(name, [f"{scope}.{other}" for other in known])


def _unscoped_answer(name: str, registries: tuple[str, ...]) -> str:
    own = [other for registry in registries for other in all_registries()[registry].known_names()]
    by_scope = {scope: names_in_scope(scope, registries) for scope in ("mmdet", "mmseg")}
    for scope, names in by_scope.items():
        if name in names:
            return f"write {scope}.{name}"
    foreign = [f"{scope}.{other}" for scope, names in by_scope.items() for other in names]
    unscoped = {other.partition(".")[2]: other for other in reversed(foreign)}
    nearest = nearest_name(name, [*own, *unscoped])
    return f"did you mean {unscoped.get(nearest, nearest)}?" if nearest else "see visionzoo.registry for the names"


def _did_you_mean(name: str, known: Iterable[str], otherwise: str = "check the name") -> str:
    nearest = nearest_name(name, known)
    return f"did you mean {nearest}?" if nearest else otherwise


def names_in_scope(scope: str, registries: Iterable[str]) -> list[str]:
    """Return the names in the registries of another library that have the same parents."""
    names: set[str] = set()
    for registry in registries:
        parent = all_registries()[registry].parent
        child = parent.children.get(scope) if parent is not None else None
        if child is not None:
            child.import_from_location()
            names |= set(child.module_dict)
    return sorted(names)


@contextmanager
def _own_scope() -> Iterator[None]:
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("visionzoo"), redirect_stdout(StringIO()):  # mmdet prints on import
        yield
