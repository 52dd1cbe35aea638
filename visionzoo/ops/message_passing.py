"""Spatial message passing: each slice of a feature map adds a message from the slice before it, in one direction.

Slices are the rows of a map, or its columns. Each but the first of a direction adds what the slice before it, already
changed, has to say: ``out[i] = x[i] + relu(conv(out[i - 1]))`` with one kernel for all (Pan et al., AAAI 2018, arXiv
1712.06080, section 3; released code XingangPan/SCNN). In ordinary use this is one convolution per slice; here a slice's
neighbourhoods are a view of one padded buffer, and a step is one matrix product. In training all steps are one node of
autograd: its backward pass sends only the gradient of the map through the slices, and forms the kernel's gradient for
all of them at once.

Tensors: B batch, C channels, S slices, L places in a slice, K width of the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv1d_weight

from visionzoo.errors import ConfigError

# Number of images above which a step is faster as a convolution than as a matrix product.
_MANY_IMAGES = 4


def pass_messages(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dim: int,
    reverse: bool = False,
    update_first: bool = True,
) -> Tensor:
    """Add to every slice of ``x`` a message from the slice before it.

    Half precision is computed in float32, since values add up over all slices.

    Args:
        x: feature map, (B, C, H, W).
        weight: one kernel shared by all slices, (C, C, K), K odd.
        bias: of the messages, (C,); the authors have none.
        dim: 2 to send rows down, 3 to send columns right.
        reverse: send up, or left.
        update_first: whether row or column 0 gets its message when sending up or left. The authors' code and its port
            say yes; pytorch-auto-drive's leaves it as it is, and its weights need the same.

    Returns:
        (B, C, H, W), of the type of ``x``; float32 under autocast. The slice that sends first is unchanged, slice ``i``
        sees all before it. Of few images the memory format is channels last.

    Raises:
        ConfigError: ``dim``, or a weight or bias that does not belong to ``x``.
    """
    _check(x, weight, bias, dim)
    route = _Route(dim, reverse, x.shape[dim], 0 if update_first or not reverse else 1)
    is_half, is_mixed = x.dtype in (torch.float16, torch.bfloat16), _is_mixed(x)
    inputs = (x, weight, bias)
    if is_half or is_mixed:
        inputs = tuple(None if value is None else value.float() for value in inputs)  # type: ignore[assignment]
    with _full_precision(x):
        out = _run(*inputs, route)
    return out.to(x.dtype) if is_half and not is_mixed else out


def pass_messages_by_list(x: Tensor, weight: Tensor, bias: Tensor | None, order: Sequence[int], dim: int) -> Tensor:
    """The same as a list of slices, which programs can be recorded from; for tests and benchmarks too.

    Args:
        x, weight, bias, dim: as :func:`pass_messages` takes them.
        order: slices that send and get messages, the first one sends only; others stay as they are.
    """
    slices = list(x.unbind(dim))
    for source, target in pairwise(order):
        message = F.conv1d(slices[source], weight, bias, padding=weight.shape[2] // 2)
        slices[target] = slices[target] + message.relu()
    return torch.stack(slices, dim)


def _run(x: Tensor, weight: Tensor, bias: Tensor | None, route: _Route) -> Tensor:
    if torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return pass_messages_by_list(x, weight, bias, route.order, route.dim)
    if torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in (x, weight, bias)):
        return _Pass.apply(x, weight, bias, route)
    body = _body_of(x)(weight, bias, route)
    buffer = body.arrange(x)
    _scan(body, buffer)
    return body.restore(buffer)


@dataclass(frozen=True)
class _Route:
    """Slices that send and receive: along ``dim``, from the first or the last of ``size``, all but ``left_out``."""

    dim: int
    reverse: bool
    size: int
    left_out: int

    @property
    def order(self) -> range:
        """Slices in the order of the messages."""
        return range(self.size - 1, self.left_out - 1, -1) if self.reverse else range(self.size)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Sender and receiver of every message."""
        return list(pairwise(self.order))

    @property
    def spans(self) -> tuple[slice, slice]:
        """All senders, and the receivers in the same order."""
        low, high = self.left_out, self.size - 1
        lower, upper = slice(low, high), slice(low + 1, high + 1)
        return (upper, lower) if self.reverse else (lower, upper)


# --------------------------------------------------------------------------- one step


class _MatrixBody:
    """Slices (B, L, C) between zeros: all neighbourhoods of a slice are one view, and a message one matrix product."""

    def __init__(self, weight: Tensor, bias: Tensor | None, route: _Route):
        self.kernel, self.half, self.route = weight.shape[2], weight.shape[2] // 2, route
        self.matrix = weight.permute(2, 1, 0).flatten(0, 1).contiguous()  # (K * C, C)
        self.bias = bias
        self.axes = (2, 0, 3, 1) if route.dim == 2 else (3, 0, 2, 1)
        self.back = (1, 3, 0, 2) if route.dim == 2 else (1, 3, 2, 0)

    def empty(self, x: Tensor) -> Tensor:
        """(S, B, L + K - 1, C), zeros."""
        slices, batch, length, channels = (x.shape[axis] for axis in self.axes)
        return x.new_zeros(slices, batch, length + 2 * self.half, channels)

    def arrange(self, x: Tensor) -> Tensor:
        """The map in a new buffer."""
        buffer = self.empty(x)
        self._inside(buffer).copy_(x.permute(self.axes))
        return buffer

    def restore(self, buffer: Tensor) -> Tensor:
        """The map that a buffer holds, channels last, as they are here."""
        return self._inside(buffer).permute(self.back).contiguous(memory_format=torch.channels_last)

    def slices(self, buffer: Tensor) -> Sequence[Tensor]:
        """What is changed: one (B, L, C) each."""
        return self._inside(buffer).unbind(0)

    def senders(self, buffer: Tensor) -> Sequence[Tensor]:
        """What messages are made of: (B, L, K * C) each, where rows overlap."""
        slices, batch, padded, channels = buffer.shape
        length = padded - 2 * self.half
        strides = (batch * padded * channels, padded * channels, channels, 1)
        return buffer.as_strided((slices, batch, length, self.kernel * channels), strides).unbind(0)

    def message(self, sender: Tensor) -> Tensor:
        rows = sender.reshape(-1, sender.shape[2])
        found = rows @ self.matrix if self.bias is None else torch.addmm(self.bias, rows, self.matrix)
        return found.view(*sender.shape[:2], -1)

    def weight_gradient(self, buffer: Tensor, messages: Tensor) -> Tensor:
        """(C, C, K) of the map and the gradients of all messages, both as buffers.

        The zeros between slices let one shift of all places stand for the shift in each slice.
        """
        senders, receivers = self.route.spans
        given, found = (part.flatten(0, 2) for part in (buffer[senders], messages[receivers]))
        rows = len(given) - 2 * self.half
        found = found[self.half : self.half + rows].t()
        return torch.stack([found @ given[shift : shift + rows] for shift in range(self.kernel)], 2)

    def bias_gradient(self, messages: Tensor) -> Tensor:
        return messages[self.route.spans[1]].sum((0, 1, 2))

    def _inside(self, buffer: Tensor) -> Tensor:
        return buffer[:, :, self.half : buffer.shape[2] - self.half]


class _ConvBody:
    """Slices (B, C, L), and a message is one convolution."""

    def __init__(self, weight: Tensor, bias: Tensor | None, route: _Route):
        self.weight, self.bias, self.route = weight, bias, route
        self.half = weight.shape[2] // 2
        self.axes = (2, 0, 1, 3) if route.dim == 2 else (3, 0, 1, 2)
        self.back = (1, 2, 0, 3) if route.dim == 2 else (1, 2, 3, 0)

    def empty(self, x: Tensor) -> Tensor:
        """(S, B, C, L), zeros."""
        return x.new_zeros([x.shape[axis] for axis in self.axes])

    def arrange(self, x: Tensor) -> Tensor:
        return self.empty(x).copy_(x.permute(self.axes))

    def restore(self, buffer: Tensor) -> Tensor:
        return buffer.permute(self.back).contiguous()

    def slices(self, buffer: Tensor) -> Sequence[Tensor]:
        return buffer.unbind(0)

    def senders(self, buffer: Tensor) -> Sequence[Tensor]:
        return buffer.unbind(0)

    def message(self, sender: Tensor) -> Tensor:
        return F.conv1d(sender, self.weight, self.bias, padding=self.half)

    def weight_gradient(self, buffer: Tensor, messages: Tensor) -> Tensor:
        senders, receivers = self.route.spans
        given, found = (part.flatten(0, 1) for part in (buffer[senders], messages[receivers]))
        if not len(given):
            return torch.zeros_like(self.weight)
        return conv1d_weight(given, self.weight.shape, found, padding=self.half)

    def bias_gradient(self, messages: Tensor) -> Tensor:
        return messages[self.route.spans[1]].sum((0, 1, 3))


_Body = _MatrixBody | _ConvBody


def _body_of(x: Tensor) -> type[_MatrixBody] | type[_ConvBody]:
    return _ConvBody if len(x) >= _MANY_IMAGES else _MatrixBody


# --------------------------------------------------------------------------- all steps


def _scan(body: _Body, buffer: Tensor, is_active: Tensor | None = None) -> None:
    """Send all messages in ``buffer``; ``is_active`` is told where they were above 0."""
    slices, senders = body.slices(buffer), body.senders(buffer)
    active = None if is_active is None else is_active.unbind(0)
    for source, target in body.route.pairs:
        message = body.message(senders[source]).relu_()
        slices[target].add_(message)
        if active is not None:
            torch.gt(message, 0, out=active[target])


class _Pass(torch.autograd.Function):
    """All messages of one direction as one node."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, route: _Route) -> Tensor:
        ctx.route = route
        body = _body_of(x)(weight, bias, route)
        buffer = body.arrange(x)
        is_active = torch.zeros((route.size, *body.slices(buffer)[0].shape), dtype=torch.bool, device=x.device)
        _scan(body, buffer, is_active)
        ctx.save_for_backward(buffer, weight, is_active)
        return body.restore(buffer)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        buffer, weight, is_active = ctx.saved_tensors
        kind = _body_of(grad)
        with _full_precision(grad):
            back = kind(weight.flip(2).transpose(0, 1).contiguous(), None, ctx.route)
            total, messages = back.arrange(grad), back.empty(grad)
            _scan_back(back, total, messages, is_active)
            needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
            return (
                back.restore(total) if needs_x else None,
                kind(weight, None, ctx.route).weight_gradient(buffer, messages) if needs_weight else None,
                back.bias_gradient(messages) if needs_bias else None,
                None,
            )


def _scan_back(back: _Body, total: Tensor, messages: Tensor, is_active: Tensor) -> None:
    """From the last message to the first: its gradient into ``messages``, and its sender's share into ``total``."""
    totals, found, senders = back.slices(total), back.slices(messages), back.senders(messages)
    active = is_active.unbind(0)
    for source, target in reversed(back.route.pairs):
        torch.mul(totals[target], active[target], out=found[target])
        totals[source].add_(back.message(senders[target]))


# --------------------------------------------------------------------------- precision, errors


def _is_mixed(x: Tensor) -> bool:
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _full_precision(x: Tensor) -> AbstractContextManager[Any]:
    return torch.autocast(x.device.type, enabled=False) if _is_mixed(x) else nullcontext()


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, dim: int) -> None:
    if dim not in (2, 3):
        raise ConfigError(
            "pass_messages", expected="dim 2 for rows or 3 for columns", found=f"{dim}", advice="use one of them"
        )
    channels = x.shape[1] if x.ndim == 4 else 0
    if weight.ndim != 3 or tuple(weight.shape[:2]) != (channels, channels) or weight.shape[2] % 2 == 0:
        raise ConfigError(
            "pass_messages",
            expected="a map (B, C, H, W) and a weight (C, C, K) with K odd",
            found=f"{tuple(x.shape)} and {tuple(weight.shape)}",
            advice="make both agree",
        )
    if bias is not None and tuple(bias.shape) != (channels,):
        raise ConfigError(
            "pass_messages", expected=f"a bias of ({channels},)", found=f"{tuple(bias.shape)}", advice="leave it out"
        )
