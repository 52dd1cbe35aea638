"""Read the arguments of a part from its class: the allowed and the required keys of its config.

A class that passes ``**kwargs`` to its base class also takes the arguments of the base. The source code of ``__init__``
is parsed to find this call. If no such call is found, every argument is accepted, so that no valid config is rejected.
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
    """Arguments of a part.

    Attributes:
        names: all names, in the order of the signature.
        required: names without a default.
        open: True if any other name is accepted.
        annotations: annotations as text, by name.
        inherited: annotations of arguments of base classes, by name, if the source code has no call that passes them.
    """

    names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    open: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    inherited: Mapping[str, str] = field(default_factory=dict)

    def accept(self, name: str) -> bool:
        """Return True if a config may set ``name``."""
        return self.open or name in self.names

    def know(self, name: str) -> bool:
        """Return True if the class or a base class has an argument ``name``. Such arguments can be filled in."""
        return name in self.names or name in self.inherited

    def annotation(self, name: str) -> str:
        """Return the annotation of an argument as text; empty if it has none."""
        return self.annotations.get(name, "") or self.inherited.get(name, "")


@dataclass(frozen=True)
class _Forward:
    """Call of the base class's ``__init__`` that passes ``**kwargs``.

    Attributes:
        after: the class named in ``super(Class, self)``, or None.
        positional: number of positional arguments in the call.
        keywords: names of the keyword arguments in the call.
        starred: True if the call also unpacks a second dict, or a sequence other than the ``*args`` of the caller.
        taken: names that the caller reads from ``**kwargs`` with ``pop``, ``get`` or ``setdefault``.
    """

    after: str | None
    positional: int
    keywords: tuple[str, ...]
    starred: bool
    taken: tuple[str, ...]


@cache
def arguments_of(part: Callable[..., Any]) -> Arguments:
    """Return the arguments of a registered class, function or partial.

    Example:
        >>> def crop(size: int, offset: int = 0): ...
        >>> arguments = arguments_of(crop)
        >>> arguments.names, arguments.required
        (('size', 'offset'), ('size',))
    """
    if isinstance(part, partial):
        return _of_partial(part)
    if not inspect.isclass(part):
        return _of_signature(part)
    if "__init__" not in vars(part) and _has_own_new(part):
        return _of_signature(part)
    return _of_classes(part.__mro__)


def default_of(part: Callable[..., Any], name: str) -> Any:
    """Return the default of an argument; None if the part has no such argument, or no default for it.

    Example:
        >>> def crop(size: int, offset: int = 2): ...
        >>> default_of(crop, "offset"), default_of(crop, "size"), default_of(crop, "angle")
        (2, None, None)
    """
    try:
        parameter = inspect.signature(part).parameters.get(name)
    except (TypeError, ValueError):  # some functions in C have no signature
        return None
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _has_own_new(cls: type) -> bool:
    """Return True if the class has its own ``__new__``, like a named tuple."""
    return "__new__" in vars(cls)


def _of_signature(part: Callable[..., Any], skip: int = 0) -> Arguments:
    try:
        parameters = list(inspect.signature(part).parameters.values())
    except (TypeError, ValueError):  # some functions in C have no signature
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
    return Arguments(names, required, inner.open, inner.annotations, inner.inherited)


def _of_classes(classes: tuple[type, ...]) -> Arguments:
    """Return the arguments of the first ``__init__`` in ``classes``, and of the bases that receive its ``**kwargs``."""
    for index, cls in enumerate(classes):
        if cls is object:
            return Arguments()
        if "__init__" in vars(cls):
            init = inspect.unwrap(vars(cls)["__init__"])
            own = _of_signature(init, skip=1)
            return _with_base(own, init, cls, classes[index + 1 :]) if own.open else own
    return Arguments(open=True)


def _with_base(own: Arguments, init: Callable[..., Any], cls: type, bases: tuple[type, ...]) -> Arguments:
    # nn.Module has **kwargs but accepts none of them; torch.compile replaces its constructor
    if init.__module__.startswith(("torch.nn.", "torch._dynamo.")):
        return Arguments(own.names, own.required, annotations=own.annotations)
    forward = _forward_of(init)
    if forward is None:
        base = _of_classes(bases)
        inherited = {name: base.annotation(name) for name in (*base.names, *base.inherited) if name not in own.names}
        return replace(own, inherited=inherited)
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
        inherited={name: text for name, text in base.inherited.items() if name not in filled},
        annotations={**base.annotations, **own.annotations},
    )


def _forward_of(init: Callable[..., Any]) -> _Forward | None:
    """Return the call in ``init`` that passes ``**kwargs`` to the base; None if its source code has no such call."""
    try:
        function = ast.parse(textwrap.dedent(inspect.getsource(init))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not isinstance(function, ast.FunctionDef) or function.args.kwarg is None:
        return None
    name = function.args.kwarg.arg
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    passing = [call for call in calls if _passes_kwargs(call, name)]
    taken = [key for call in calls if (key := _taken_by(call, name)) is not None]
    uses = sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(function))
    if len(passing) != 1 or not _calls_base(passing[0]) or uses != 1 + len(taken):
        return None
    call = passing[0]
    return _Forward(
        after=_named_in_super(call),
        positional=sum(not isinstance(arg, ast.Starred) for arg in call.args),
        keywords=tuple(keyword.arg for keyword in call.keywords if keyword.arg is not None),
        starred=any(isinstance(arg, ast.Starred) and not _is_own_star(arg, function) for arg in call.args)
        or sum(keyword.arg is None for keyword in call.keywords) > 1,
        taken=tuple(taken),
    )


def _is_own_star(arg: ast.Starred, function: ast.FunctionDef) -> bool:
    """Return True if ``arg`` is the function's own ``*args``, which is empty, because configs have only keywords."""
    own = function.args.vararg
    return own is not None and isinstance(arg.value, ast.Name) and arg.value.id == own.arg


def _named_in_super(call: ast.Call) -> str | None:
    inner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(inner, ast.Call) and inner.args and isinstance(inner.args[0], ast.Name):
        return inner.args[0].id
    return None


def _passes_kwargs(call: ast.Call, name: str) -> bool:
    return any(k.arg is None and isinstance(k.value, ast.Name) and k.value.id == name for k in call.keywords)


def _calls_base(call: ast.Call) -> bool:
    """Return True for a call ``super().__init__(...)`` or ``super(Class, self).__init__(...)``."""
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "__init__"
        and isinstance(function.value, ast.Call)
        and isinstance(function.value.func, ast.Name)
        and function.value.func.id == "super"
    )


def _taken_by(call: ast.Call, name: str) -> str | None:
    """Return ``x`` for ``kwargs.pop("x", ...)``, ``.get("x", ...)`` and ``.setdefault("x", ...)``, else None."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in ("pop", "get", "setdefault") or not call.args:
        return None
    key = call.args[0]
    if not isinstance(function.value, ast.Name) or function.value.id != name or not isinstance(key, ast.Constant):
        return None
    return key.value if isinstance(key.value, str) else None
