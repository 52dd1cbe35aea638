"""Convolutions whose outputs only a batch norm reads. In eval mode such a norm can be part of the convolution."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from torch import nn

CONVS = (nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class NormPair:
    """A batch norm and the convolutions that compute its channels, in order."""

    norm: Any
    convs: tuple[Any, ...]

    @property
    def parts(self) -> tuple[Any, ...]:
        return (self.norm, *self.convs)


def norm_pairs(model: nn.Module) -> list[NormPair]:
    """Return the batch norms of a model whose inputs are the outputs of convolutions that nothing else reads.

    A module proves its pairs in one of three ways: it is an ``nn.Sequential``; or its class states them in
    ``NORM_PAIRS``, from the name of a norm to the names of the convolutions whose outputs it reads one after the other;
    or its ``forward`` runs with placeholders instead of tensors. Convolutions and norms that several modules contain,
    and those of subclasses, are left out.

    Example:
        >>> len(norm_pairs(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4))))
        1
    """
    pairs = [pair for part in model.modules() for pair in _pairs_of(part)]
    uses = Counter(id(part) for pair in pairs for part in pair.parts)
    uses += Counter(id(child) for part in model.modules() for child in part._modules.values())
    uses += Counter(id(tensor) for part in model.modules() for tensor in part._parameters.values())
    fixed = [pair for pair in pairs if pair.norm.running_mean is not None]
    return [pair for pair in fixed if all(_is_plain(part, uses) for part in pair.parts)]


def _is_plain(part: nn.Module, uses: Counter[int]) -> bool:
    """Return True if a part is in one pair and one module, and its parameters are its own."""
    own = [tensor for tensor in part._parameters.values() if tensor is not None]
    return type(part) in (*CONVS, *NORMS) and uses[id(part)] == 2 and all(uses[id(tensor)] == 1 for tensor in own)


def _pairs_of(part: nn.Module) -> Iterator[NormPair]:
    if stated := getattr(part, "NORM_PAIRS", None):
        for norm, convs in stated.items():
            yield NormPair(part.get_submodule(norm), tuple(map(part.get_submodule, convs)))
    elif any(isinstance(child, NORMS) for child in part.children()):
        is_sequence = type(part).forward is nn.Sequential.forward
        for conv, norm in _neighbours(part) if is_sequence else _seen_neighbours(part):
            if isinstance(conv, CONVS) and isinstance(norm, NORMS):
                yield NormPair(norm, (conv,))


def _neighbours(part: nn.Module) -> Iterator[tuple[Any, Any]]:
    yield from pairwise(part.children())


# --------------------------------------------------------------------------- a forward with placeholders
#
# ``torch.fx`` finds the same pairs (a test compares them), but takes ten times as long: 0.3 s of CPU time for a
# detector on ResNet-50 and 0.9 s for NASNet-Mobile, which a few images do not save.


class _Value:
    """Placeholder of a tensor. What is computed from it is a placeholder; a decision that depends on it is an error.

    Attributes:
        source: the module that returned it; None for other results.
        readers: the modules that read it; None for other operations.
    """

    def __init__(self, source: nn.Module | None = None):
        self.source = source
        self.readers: list[nn.Module | None] = []

    def __getattr__(self, name: str) -> _Value:
        if name.startswith("__"):
            raise AttributeError(name)
        return _result(None, self)

    def __call__(self, *args: Any, **kwargs: Any) -> _Value:
        return _result(None, self, args, kwargs)

    def __bool__(self) -> bool:
        raise TypeError("the value is unknown")

    __iter__ = __len__ = __index__ = __int__ = __float__ = __eq__ = __bool__  # type: ignore[assignment]
    __hash__ = object.__hash__

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> _Value:
        return _result(None, args, kwargs)


def _operator(self: _Value, *others: Any) -> _Value:
    return _result(None, self, others)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow"):
    for _side in ("", "r", "i"):
        setattr(_Value, f"__{_side}{_name}__", _operator)
for _name in ("getitem", "neg", "lt", "le", "gt", "ge"):
    setattr(_Value, f"__{_name}__", _operator)


def _result(source: nn.Module | None, *inputs: Any) -> _Value:
    """Return the result of a module, or of another operation, and note what it reads."""
    for value in _values_in(inputs):
        value.readers.append(source)
    return _Value(source)


def _values_in(inputs: Any) -> Iterator[_Value]:
    if isinstance(inputs, _Value):
        yield inputs
    elif isinstance(inputs, list | tuple | Mapping):
        for each in inputs.values() if isinstance(inputs, Mapping) else inputs:
            yield from _values_in(each)


def _seen_neighbours(part: nn.Module) -> list[tuple[Any, Any]]:
    """Return the pairs of called modules of which only the second one reads the result of the first one."""
    results: list[_Value] = []

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> _Value:
        results.append(_result(module, args, kwargs))
        return results[-1]

    needed = [each for each in inspect.signature(part.forward).parameters.values() if each.default is each.empty]
    try:
        with _replaced_forwards(part, call):
            _result(None, part.forward(*(_Value() for each in needed if each.kind is each.POSITIONAL_OR_KEYWORD)))
    except Exception:  # a forward that depends on values proves nothing, and its norms stay
        return []
    calls = Counter(id(value.source) for value in results)
    once = [value for value in results if len(value.readers) == 1 and value.readers[0] is not None]
    pairs = [(value.source, value.readers[0]) for value in once]
    return [pair for pair in pairs if all(calls[id(module)] == 1 for module in pair)]


@contextmanager
def _replaced_forwards(part: nn.Module, call: Callable[..., _Value]) -> Iterator[None]:
    """Let each module inside ``part`` call a function instead of its ``forward``. Attributes are reset at the end."""
    before = {module: dict(vars(module)) for module in part.modules()}
    try:
        for module in before:
            if module is not part:
                module.forward = partial(call, module)
        yield
    finally:
        for module, attributes in before.items():
            vars(module).clear()
            vars(module).update(attributes)
