"""Which arguments a part takes, read from its class: what a config may and must say.

A class that hands ``**kwargs`` on to its base takes the base's arguments too. Whether it hands them on is read
from its source; where that cannot be told, every argument is accepted, so that no right config is refused.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Arguments:
    """What a part takes.

    Attributes:
        names: all names in signature order.
        required: those without a default.
        open: whether any other name is taken.
        annotations: of the names that have one, as text.
        perhaps: arguments of the bases, and their annotations, where the source does not show if they are passed on.
    """

    names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    open: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    perhaps: Mapping[str, str] = field(default_factory=dict)

    def accept(self, name: str) -> bool:
        """Whether a config may give ``name``."""
        return self.open or name in self.names

    def know(self, name: str) -> bool:
        """Whether the class or one of its bases names it, so that it is worth filling in."""
        return name in self.names or name in self.perhaps

    def annotation(self, name: str) -> str:
        """What is written at the argument, empty without."""
        return self.annotations.get(name, "") or self.perhaps.get(name, "")


@dataclass(frozen=True)
class _Forward:
    """How an ``__init__`` hands its ``**kwargs`` to its base, besides the arguments it fills itself."""

    after: str | None  # the class named in ``super(Class, self)``
    positional: int
    keywords: tuple[str, ...]
    starred: bool
    taken: tuple[str, ...]


@cache
def arguments_of(part: Callable[..., Any]) -> Arguments:
    """Arguments of a registered class, function or partial."""
    if isinstance(part, partial):
        return _of_partial(part)
    if not inspect.isclass(part):
        return _of_signature(part)
    if "__init__" not in vars(part) and _plain_new(part):
        return _of_signature(part)
    return _of_classes(part.__mro__)


def _plain_new(cls: type) -> bool:
    """Whether instances come from a ``__new__`` of the class itself, as those of named tuples do."""
    return "__new__" in vars(cls)


def _of_signature(part: Callable[..., Any], skip: int = 0) -> Arguments:
    try:
        parameters = list(inspect.signature(part).parameters.values())
    except (TypeError, ValueError):  # written in C: nothing is known
        return Arguments(open=True)
    return _of_parameters(parameters[skip:])


def _of_parameters(parameters: list[inspect.Parameter]) -> Arguments:
    named = [p for p in parameters if p.kind in _KEYWORD]
    return Arguments(
        names=tuple(p.name for p in named),
        required=tuple(p.name for p in named if p.default is inspect.Parameter.empty),
        open=any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters),
        annotations={p.name: _annotation(p) for p in named if p.annotation is not inspect.Parameter.empty},
    )


def _annotation(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def _of_partial(part: partial[Any]) -> Arguments:
    inner = arguments_of(part.func)
    names = inner.names[len(part.args) :]
    filled = part.keywords
    required = tuple(n for n in inner.required if n in names and n not in filled)
    return Arguments(names, required, inner.open, inner.annotations, inner.perhaps)


def _of_classes(classes: tuple[type, ...]) -> Arguments:
    """Arguments of the first ``__init__`` along ``classes``, and of those that it hands ``**kwargs`` to."""
    for index, cls in enumerate(classes):
        if cls is object:
            return Arguments()
        if "__init__" in vars(cls):
            init = inspect.unwrap(vars(cls)["__init__"])
            own = _of_signature(init, skip=1)
            return _with_base(own, init, cls, classes[index + 1 :]) if own.open else own
    return Arguments(open=True)


def _with_base(own: Arguments, init: Callable[..., Any], cls: type, bases: tuple[type, ...]) -> Arguments:
    # nn.Module names **kwargs, but takes none; torch.compile puts a constructor of its own in that one's place
    if init.__module__.startswith(("torch.nn.", "torch._dynamo.")):
        return Arguments(own.names, own.required, annotations=own.annotations)
    forward = _forward_of(init)
    if forward is None:
        base = _of_classes(bases)
        perhaps = {name: base.annotation(name) for name in (*base.names, *base.perhaps) if name not in own.names}
        return replace(own, perhaps=perhaps)
    names_of_bases = [base.__name__ for base in bases]
    if forward.after != cls.__name__ and forward.after in names_of_bases:
        bases = bases[names_of_bases.index(forward.after) + 1 :]
    base = _of_classes(bases)
    filled = {*base.names[: forward.positional], *forward.keywords}
    names = [*own.names, *forward.taken, *(n for n in base.names if n not in filled)]
    required = [n for n in base.required if n not in filled and not forward.starred and n not in forward.taken]
    return Arguments(
        names=tuple(dict.fromkeys(names)),
        required=tuple(dict.fromkeys([*own.required, *required])),
        open=base.open,
        perhaps={name: text for name, text in base.perhaps.items() if name not in filled},
        annotations={**base.annotations, **own.annotations},
    )


def _forward_of(init: Callable[..., Any]) -> _Forward | None:
    """Return how ``init`` passes on its ``**kwargs``; None if its source does not show it."""
    try:
        function = ast.parse(textwrap.dedent(inspect.getsource(init))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not isinstance(function, ast.FunctionDef) or function.args.kwarg is None:
        return None
    name = function.args.kwarg.arg
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    handing = [call for call in calls if _hands_on(call, name)]
    taken = [key for call in calls if (key := _taken_by(call, name)) is not None]
    uses = sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(function))
    if len(handing) != 1 or not _calls_base(handing[0]) or uses != 1 + len(taken):
        return None
    call = handing[0]
    return _Forward(
        after=_named_in_super(call),
        positional=sum(not isinstance(arg, ast.Starred) for arg in call.args),
        keywords=tuple(keyword.arg for keyword in call.keywords if keyword.arg is not None),
        starred=any(isinstance(arg, ast.Starred) and not _is_own_star(arg, function) for arg in call.args)
        or sum(keyword.arg is None for keyword in call.keywords) > 1,
        taken=tuple(taken),
    )


def _is_own_star(arg: ast.Starred, function: ast.FunctionDef) -> bool:
    """Whether ``*args`` are the function's own, which are empty: configs give keywords alone."""
    own = function.args.vararg
    return own is not None and isinstance(arg.value, ast.Name) and arg.value.id == own.arg


def _named_in_super(call: ast.Call) -> str | None:
    inner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(inner, ast.Call) and inner.args and isinstance(inner.args[0], ast.Name):
        return inner.args[0].id
    return None


def _hands_on(call: ast.Call, name: str) -> bool:
    return any(k.arg is None and isinstance(k.value, ast.Name) and k.value.id == name for k in call.keywords)


def _calls_base(call: ast.Call) -> bool:
    """Whether a call is ``super().__init__(...)`` or ``super(Class, self).__init__(...)``."""
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "__init__"
        and isinstance(function.value, ast.Call)
        and isinstance(function.value.func, ast.Name)
        and function.value.func.id == "super"
    )


def _taken_by(call: ast.Call, name: str) -> str | None:
    """``x`` when a call is ``kwargs.pop("x", ...)`` or ``kwargs.get("x", ...)``."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in ("pop", "get", "setdefault") or not call.args:
        return None
    key = call.args[0]
    if not isinstance(function.value, ast.Name) or function.value.id != name or not isinstance(key, ast.Constant):
        return None
    return key.value if isinstance(key.value, str) else None
