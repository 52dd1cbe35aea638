"""From a ``type`` in a config to its class, without building anything. Imports torch and the libraries named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from visionzoo.config.signatures import arguments_of

if TYPE_CHECKING:
    from visionzoo.registry import ZooRegistry


def all_registries() -> dict[str, ZooRegistry]:
    """Every registry of ours by the name of its variable."""
    from visionzoo import registry

    return {name: value for name, value in vars(registry).items() if isinstance(value, registry.ZooRegistry)}


def find_part(type_name: str, registries: Iterable[str]) -> Callable[..., Any] | None:
    """The class or function of that name in the first of ``registries`` that has it, or None."""
    known = all_registries()
    with _own_scope():
        for name in registries:
            found = known[name].get(type_name)
            if found is not None:
                return found
    return None


def find_anywhere(type_name: str) -> Callable[..., Any] | None:
    """The class or function of that name in whichever registry has it, or None."""
    return find_part(type_name, all_registries())


def arguments_of_type(type_name: str) -> set[str] | None:
    """Names of the arguments that a type takes; None when it takes any, or is unknown."""
    part = find_anywhere(type_name)
    if part is None:
        return None
    arguments = arguments_of(part)
    return None if arguments.open else set(arguments.names)


@contextmanager
def _own_scope() -> Iterator[None]:
    from mmengine.registry import DefaultScope

    import_module("mmcv.ops")  # registers the layers that mmcv.cnn leaves out, such as DCNv2
    with DefaultScope.overwrite_default_scope("visionzoo"):
        yield
