"""The fast form of a model for inference on a CPU: equal results up to rounding, in less time.

Batch norms are folded into the convolutions before them, and models with a convolutional backbone use the memory format
``channels_last``. Parts with the attribute ``kept_tables`` (None in their class) get a dict there, in which they keep
what they compute only from their parameters. The model itself does not change: the fast form replaces tensors only
while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from visionzoo.models.norm_pairs import CONVS, NORMS, NormPair, norm_pairs

_DTYPES = (torch.float32, torch.float64)

_ABSENT = object()

_Version = list[tuple[Tensor, tuple[int, int]]]


@dataclass(frozen=True)
class _Swap:
    """An entry of a dict of a module, its value in the plain form (``_ABSENT`` without one) and in the fast form."""

    place: dict[str, Any]
    name: str
    plain: Any
    fast: Any

    def put(self, value: Any) -> None:
        if value is _ABSENT:
            self.place.pop(self.name, None)
        else:
            self.place[self.name] = value


class FastForm:
    """Fast form of a model. It follows the weights: if they change, the next run uses the new ones.

    Only models in eval mode with float32 or float64 weights on a CPU have one. Others, and models with hooks on the
    replaced parts, run in their plain form. Changes in place of ``Tensor.data`` are not noticed.

    Args:
        model: the model, which does not change.
        channels_last: use this memory format; None uses it if the model states it, see :func:`is_channels_last`.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
        >>> form, image = FastForm(model), torch.ones(1, 3, 2, 2)
        >>> with torch.no_grad(), form.applied():
        ...     fast = model(image)
        >>> torch.allclose(fast, model(image)), form.about()
        (True, {'name': 'fast', 'folded_norms': 1, 'channels_last': True, 'kept_tables': 0})
    """

    def __init__(self, model: nn.Module, *, channels_last: bool | None = None):
        self.model = model
        self.channels_last = is_channels_last(model) if channels_last is None else channels_last
        self._pairs = norm_pairs(model)
        self._keepers = [part for part in model.modules() if hasattr(part, KEPT)]
        paired = {part for pair in self._pairs for part in pair.parts}
        convs = [part for part in model.modules() if isinstance(part, nn.Conv2d)] if self.channels_last else []
        self._others = [conv for conv in convs if conv not in paired]
        self._parts = [*paired, *self._others, *self._keepers]
        self._swaps: list[_Swap] = []
        self._version: _Version = []
        self._running, self._lock, self._is_fast = 0, Lock(), False

    def about(self) -> dict[str, Any]:
        """Return what a run states about its form."""
        if not self._is_possible():
            return PLAIN
        about = {"name": "fast", "folded_norms": len(self._pairs), "channels_last": self.channels_last}
        return {**about, "kept_tables": len(self._keepers)}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model run in its fast form. Several threads may do so at the same time."""
        with self._lock:
            if not self._running and self._is_possible():
                self._refresh()
                self._is_fast = True
                self._put("fast")
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if not self._running and self._is_fast:
                    self._put("plain")
                    self._is_fast = False

    def _is_possible(self) -> bool:
        """Return True if there is something to replace, and all of it can be replaced."""
        return bool(self._parts) and not self.model.training and all(map(_is_replaceable, self._parts))

    def _put(self, form: str) -> None:
        for swap in self._swaps:
            swap.put(getattr(swap, form))

    def _refresh(self) -> None:
        """Make the tensors of the fast form, if the model has others than before."""
        tensors = [tensor for part in self._parts for tensor in _tensors_of(part)]
        known = self._version
        if len(known) == len(tensors) and all(a is b and _version(a) == v for a, (b, v) in zip(tensors, known)):
            return
        with torch.no_grad():
            kept = [_Swap(vars(part), KEPT, _ABSENT, {}) for part in self._keepers]
            self._swaps = [*self._folded(), *self._laid_out(), *kept]
        self._version = [(tensor, _version(tensor)) for tensor in tensors]

    def _folded(self) -> Iterator[_Swap]:
        for pair in self._pairs:
            for conv, (weight, bias) in zip(pair.convs, _folded(pair), strict=True):
                yield _Swap(conv._parameters, "weight", conv.weight, self._stored(weight))
                yield _Swap(conv._parameters, "bias", conv.bias, bias)
            yield _Swap(vars(pair.norm), "forward", _ABSENT, _unchanged)

    def _laid_out(self) -> Iterator[_Swap]:
        for conv in self._others:
            yield _Swap(conv._parameters, "weight", conv.weight, self._stored(conv.weight))

    def _stored(self, weight: Tensor) -> nn.Parameter:
        if self.channels_last and weight.ndim == 4:
            weight = weight.contiguous(memory_format=torch.channels_last)
        return nn.Parameter(weight, requires_grad=False)


PLAIN = {"name": "exact"}
KEPT = "kept_tables"


def is_channels_last(model: nn.Module) -> bool:
    """Return True if a model is faster in the memory format ``channels_last``.

    This depends on its backbone, whose class may state it in ``CHANNELS_LAST``. Else it is true for backbones whose
    only layers with weights are 2-D convolutions and norms. ``benchmarks/fast_form.py`` measures it.

    Example:
        >>> is_channels_last(nn.Conv2d(3, 4, 1)), is_channels_last(nn.Linear(3, 4))
        (True, False)
    """
    bare = getattr(model, "module", model)  # without the wrapper of several processes or augmentations
    trunk = getattr(bare, "backbone", bare)
    stated = getattr(trunk, "CHANNELS_LAST", None)
    if stated is not None:
        return stated
    weighted = [part for part in trunk.modules() if any(True for _ in part.parameters(recurse=False))]
    return bool(weighted) and all(isinstance(part, (nn.Conv2d, *NORMS)) for part in weighted)


def _is_replaceable(part: nn.Module) -> bool:
    tensors = _tensors_of(part)
    is_plain = all(tensor.device.type == "cpu" and tensor.dtype in _DTYPES for tensor in tensors)
    return is_plain and not (part.training or part._forward_hooks or part._forward_pre_hooks)


def _tensors_of(part: Any) -> list[Tensor]:
    """Return weight and bias of a convolution or norm, and the statistics of a norm."""
    stored = part._parameters if isinstance(part, CONVS) else {**part._parameters, **part._buffers}
    return [value for name, value in stored.items() if value is not None and name != "num_batches_tracked"]


def _version(tensor: Tensor) -> tuple[int, int]:
    """Return the place of a tensor's values and the number of their changes, which inference mode does not count."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def _folded(pair: NormPair) -> Iterable[tuple[Tensor, Tensor]]:
    """Return weight and bias of each convolution with the norm of its channels."""
    norm, widths = pair.norm, [conv.out_channels for conv in pair.convs]
    stored = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    shares = zip(*([None] * len(widths) if value is None else value.split(widths) for value in stored))
    for conv, (mean, variance, scale, shift) in zip(pair.convs, shares, strict=True):
        yield fuse_conv_bn_weights(conv.weight, conv.bias, mean, variance, norm.eps, scale, shift)


def _unchanged(value: Tensor) -> Tensor:
    return value
