"""Allowed values of arguments: declared in the annotations of a class, read by the config check and by its constructor.

::

    class RCNet(nn.Module):
        def __init__(self, num_outs: Few = 5, eps: Positive = 1e-5): ...

A registry of the zoo checks the arguments of its classes at construction, by :func:`check_on_construction`. The config
check uses the same declarations, by :func:`hints_of` and :func:`problem_of`.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from visionzoo.errors import ConfigError, article_of

_MARK = "_checks_arguments"  # attribute of a constructor that checks its arguments
_LONGEST = 60  # letters of a list in a message; a longer list is "a list"


@dataclass(frozen=True)
class Range:
    """Allowed values of one setting.

    Attributes:
        whole: True for whole numbers only.
        least: smallest number.
        above: the number must be larger than this.
        most: largest number.
        below: the number must be smaller than this.
        others: further allowed values.
        optional: True if None is allowed.
        listed: True if a list or tuple of allowed values is allowed too.
        words: if not empty, only these values are allowed, and no number.
        text: True for strings that are not empty, and no number.
        mapping: True for dicts, and no number.
    """

    whole: bool = False
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    others: tuple[Any, ...] = ()
    optional: bool = False
    listed: bool = False
    words: tuple[Any, ...] = ()
    text: bool = False
    mapping: bool = False

    def __contains__(self, value: Any) -> bool:
        if value is None:
            return self.optional
        if isinstance(value, (list, tuple)):
            return self.listed
        for other in (*self.others, *self.words):
            if type(other) is type(value) and other == value:
                return True
        if self.text or self.mapping:
            return isinstance(value, str if self.text else dict) and (bool(value) or self.mapping)
        return not self.words and self._has_number(value)

    def _has_number(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        value = cast(Any, value)  # numbers.Real declares no order
        return (
            _is_finite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.words:
            return " or ".join(repr(word) for word in self.words)
        if self.text or self.mapping:
            return "a dict" if self.mapping else "a name or a list of names" if self.listed else "a name"
        number = f"a {'whole ' if self.whole else ''}number {self._limits()}".rstrip()
        return " or ".join([number, *map(repr, self.others)])

    def _limits(self) -> str:
        if self.least is not None and self.most is not None:
            return f"from {self.least:,} to {self.most:,}"
        bounds = (("of at least", self.least), ("above", self.above), ("of at most", self.most), ("below", self.below))
        return " and ".join(f"{word} {bound:,}" for word, bound in bounds if bound is not None)


@dataclass(frozen=True)
class Items:
    """Allowed number of items of a list.

    Attributes:
        least: smallest number of items.
        most: largest number of items, or None for any.
    """

    least: int = 1
    most: int | None = None

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, Collection) and self.least <= len(value) <= (self.most or len(value))


# The words for common ranges. The upper bounds keep a mistyped number from using all of the memory.
Few = Annotated[int, Range(whole=True, least=1, most=1024)]  # layers, heads, levels, sides of a kernel
Count = Annotated[int, Range(whole=True, least=1, most=65_536)]  # channels, classes, pixels of a side
CountOrZero = Annotated[int, Range(whole=True, least=0, most=65_536)]
Steps = Annotated[int, Range(whole=True, least=1)]  # samples, iterations
Index = Annotated[int, Range(whole=True, least=0)]
IndexOrNone = Annotated[int, Range(whole=True, least=-1)]  # -1 is none, or the last
Byte = Annotated[int, Range(whole=True, least=0, most=255)]  # values of a pixel
Degrees = Annotated[int, Range(whole=True, least=0, most=180)]
GameLevel = Annotated[int, Range(whole=True, least=0, most=10)]  # level L divides an image into 4**L regions
Positive = Annotated[float, Range(above=0)]  # spreads, distances
Weight = Annotated[float, Range(least=0)]  # factors of a loss: a negative one would train for the opposite
Share = Annotated[float, Range(least=0, most=1)]  # probabilities, scores, overlaps
Part = Annotated[float, Range(least=0, below=1)]  # dropped shares
Fraction = Annotated[float, Range(above=0, most=1)]  # kept shares
Sides = Annotated[Sequence[Count], Items(2, 2)]  # two sides of an image in pixels
Bounds = Annotated[Sequence[Positive], Items(2, 2)]  # the smallest and the largest of a factor
Indices = Annotated[Sequence[Index], Items()]
Numbers = Annotated[Sequence[float], Items()]  # one per channel
Spreads = Annotated[Sequence[Positive], Items()]  # one per channel

Hint = Any


def hints_of(part: Callable[..., Any]) -> dict[str, Hint]:
    """Return the annotations of the arguments that a part checks at construction, those of its bases too.

    Args:
        part: a class or function. A part that :func:`check_on_construction` did not change has no such annotations.

    Example:
        >>> class Crop:
        ...     def __init__(self, size: Count): ...
        >>> check_on_construction(Crop)
        >>> {name: describe(hint) for name, hint in hints_of(Crop).items()}
        {'size': 'a whole number from 1 to 65,536'}
    """
    found: dict[str, Hint] = {}
    for base in reversed(part.__mro__ if inspect.isclass(part) else ()):
        init: Any = vars(base).get("__init__")
        found |= _hints_of_function(init.__wrapped__) if hasattr(init, _MARK) else {}
    return found


@cache
def _hints_of_function(function: types.FunctionType) -> dict[str, Hint]:
    """Return the annotations of a function. An annotation that cannot be read is omitted."""
    found: dict[str, Hint] = {}
    for name, written in function.__annotations__.items():
        try:
            found[name] = eval(written, function.__globals__) if isinstance(written, str) else written
        except (NameError, AttributeError, TypeError):  # names that only the type checker imports
            continue
    return found


def problem_of(value: Any, hint: Hint) -> str:
    """Return the problem of a value for an annotation, or an empty string.

    Example:
        >>> problem_of(0, Count)
        'expected a whole number from 1 to 65,536, found 0'
        >>> problem_of([1.0, 2.0], Sequence[Positive])
        ''
    """
    return "" if fits(value, hint) else f"expected {describe(hint)}, found {shown(value)}"


def fits(value: Any, hint: Hint) -> bool:
    """Return True if an annotation allows a value. Annotations of other kinds allow everything.

    Example:
        >>> fits((1, 2), tuple[int, int]), fits((1,), tuple[int, int]), fits("a", Literal["a", "b"])
        (True, False, True)
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return fits(value, args[0]) and all(value in allowed for allowed in args[1:])
    if origin in (Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is Literal:
        return any(type(value) is type(arg) and value == arg for arg in args)
    if origin is tuple:
        return _fits_tuple(value, args)
    kind = origin or hint
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return isinstance(value, Mapping) and (len(args) < 2 or all(fits(item, args[1]) for item in value.values()))
    if kind in _LISTS:
        return _is_list(value) and (not args or all(fits(item, args[0]) for item in value))
    return _fits_plain(value, kind)


_LISTS = (Sequence, Collection, list, tuple)


def _fits_tuple(value: Any, args: tuple[Hint, ...]) -> bool:
    if not _is_list(value):
        return False
    if len(args) == 2 and args[1] is Ellipsis:
        return all(fits(item, args[0]) for item in value)
    return len(value) == len(args) and all(fits(item, arg) for item, arg in zip(value, args, strict=True))


def _is_list(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, (str, bytes, Mapping))


def _fits_plain(value: Any, kind: Hint) -> bool:
    if kind is None or kind is type(None):
        return value is None
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and _is_finite(value)
    if kind is bool:
        return type(value).__name__ in ("bool", "bool_")  # numpy has its own class
    if kind is str:
        return isinstance(value, str)
    return True


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return True


def describe(hint: Hint) -> str:
    """Return the allowed values of an annotation as words.

    Example:
        >>> describe(tuple[Count, int] | None)
        'a list of 2 items (a whole number from 1 to 65,536, a whole number) or None'
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _describe_annotated(args[0], args[1:])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(arg) for arg in args))
    if origin is Literal:
        return " or ".join(map(repr, args))
    if origin is tuple and args[-1:] != (Ellipsis,):
        words = [describe(arg) for arg in args]
        return f"a list of {len(args)} items ({words[0] + ' each' if len(set(words)) == 1 else ', '.join(words)})"
    kind = origin or hint
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return f"a dict ({describe(args[1])} each)" if len(args) == 2 and args[1] is not Any else "a dict"
    if kind in _LISTS:
        return f"a list of items ({describe(args[0])} each)" if args else "a list"
    return _PLAIN.get(cast(Any, kind), getattr(kind, "__name__", f"{kind}"))


_PLAIN = {int: "a whole number", float: "a number", bool: "True or False", str: "a string", type(None): "None"}


def _describe_annotated(base: Hint, limits: tuple[Any, ...]) -> str:
    for limit in limits:
        if isinstance(limit, Range):
            return f"{limit}"
        if isinstance(limit, Items):
            most = "" if limit.most is None else f" to {limit.most}"
            number = f"{limit.least}{most or ' or more'}" if limit.most != limit.least else f"{limit.least}"
            return describe(base).replace("a list of items", f"a list of {number} items")
    return describe(base)


def shown(value: Any) -> str:
    """Return a value for a message: a short list, a number or text as it is written; a dict or a long list as a word.

    Example:
        >>> shown({"a": 1}), shown("two"), shown([0, 1])
        ('a dict', "'two'", '[0, 1]')
    """
    if isinstance(value, Mapping) or len(repr(value)) > _LONGEST:
        return article_of(value)[:_LONGEST]
    return repr(value)


def check_on_construction(cls: type) -> None:
    """Make the constructors of a class and of its bases in the same package check their arguments.

    Args:
        cls: the class. Its ``__init__`` is replaced once by a function that checks the arguments first.
    """
    package = cls.__module__.partition(".")[0]
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        is_own = base.__module__.partition(".")[0] == package
        if is_own and isinstance(init, types.FunctionType) and not hasattr(init, _MARK):
            base.__init__ = _checked(base.__name__, init)  # type: ignore[misc]


def _checked(name: str, init: types.FunctionType) -> Callable[..., None]:
    signature = inspect.signature(init)

    @wraps(init)
    def init_checked(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            given = signature.bind(self, *args, **kwargs).arguments
        except TypeError:  # a missing or unknown argument, which the call below reports
            given = {}
        _require_allowed(name, given, _hints_of_function(init))
        init(self, *args, **kwargs)

    setattr(init_checked, _MARK, True)
    return init_checked


def _require_allowed(where: str, given: Mapping[str, Any], hints: Mapping[str, Hint]) -> None:
    for name, value in given.items():
        if name in hints and not fits(value, hints[name]):
            raise ConfigError(
                f"{where}.{name}", expected=describe(hints[name]), found=shown(value), advice="use such a value"
            )
