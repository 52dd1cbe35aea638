"""Spatial message passing: each slice of a feature map adds a message from the slice before it, in one direction.

Slices are the rows or the columns of a map. The first slice of a direction is unchanged. Each other slice adds a
message from the updated slice before it: ``out[i] = x[i] + relu(conv(out[i - 1]))``. All slices share one kernel.
Source: Pan et al., AAAI 2018, arXiv 1712.06080, section 3; released code XingangPan/SCNN.

The direct implementation is one convolution per slice. Here, the neighbourhoods of a slice are a view of one padded
buffer, and a step is one matrix product. In training, all steps are one autograd node. Its backward pass sends only the
gradient of the map through the slices, and computes the gradient of the kernel for all slices at once.

Tensors: B batch, C channels, S slices, L positions in a slice, K width of the kernel.
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
    """Add to each slice of ``x`` a message from the slice before it.

    Half precision is computed in float32, because values add up over all slices.

    Args:
        x: feature map, (B, C, H, W).
        weight: one kernel shared by all slices, (C, C, K), K odd.
        bias: bias of the messages, (C,). The authors use none.
        dim: 2 passes messages down the rows, 3 passes them right along the columns.
        reverse: pass messages up or left instead.
        update_first: add a message to row or column 0 when ``reverse`` is set. The authors' code and its port do so.
            pytorch-auto-drive leaves that slice unchanged, so its weights need False.

    Returns:
        (B, C, H, W), of the type of ``x``, or float32 under autocast. The first slice in the order of the messages is
        unchanged; each other slice depends on all slices before it. With few images the memory format is channels
        last.

    Raises:
        ConfigError: ``dim`` is not 2 or 3, or the shape of the weight or bias does not match ``x``.

    Example:
        >>> x, weight = torch.ones(1, 1, 3, 1), torch.ones(1, 1, 1)
        >>> pass_messages(x, weight, dim=2).flatten().tolist()
        [1.0, 2.0, 3.0]
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
    """Pass messages with one convolution per slice. Graphs are recorded from this form; tests compare against it.

    Args:
        x, weight, bias, dim: as for :func:`pass_messages`.
        order: indices of the slices that take part, in the order of the messages. The first slice only sends; slices
            that are not listed are unchanged.

    Returns:
        (B, C, H, W).

    Example:
        >>> x, weight = torch.ones(1, 1, 3, 1), torch.ones(1, 1, 1)
        >>> pass_messages_by_list(x, weight, None, [0, 1], dim=2).flatten().tolist()
        [1.0, 2.0, 1.0]
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
    """Order of the messages along ``dim``.

    Attributes:
        dim: 2 for rows, 3 for columns.
        reverse: start with the last slice.
        size: number of slices.
        left_out: number of slices at index 0 that take no part, 0 or 1.
    """

    dim: int
    reverse: bool
    size: int
    left_out: int

    @property
    def order(self) -> range:
        """Indices of the slices in the order of the messages."""
        return range(self.size - 1, self.left_out - 1, -1) if self.reverse else range(self.size)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Sender and receiver of each message."""
        return list(pairwise(self.order))

    @property
    def spans(self) -> tuple[slice, slice]:
        """All senders, and all receivers in the same order."""
        low, high = self.left_out, self.size - 1
        lower, upper = slice(low, high), slice(low + 1, high + 1)
        return (upper, lower) if self.reverse else (lower, upper)


# --------------------------------------------------------------------------- one step


class _MatrixBody:
    """Slices (B, L, C) padded with zeros. The neighbourhoods of a slice are a view; a message is one matrix product."""

    def __init__(self, weight: Tensor, bias: Tensor | None, route: _Route):
        self.kernel, self.half, self.route = weight.shape[2], weight.shape[2] // 2, route
        self.matrix = weight.permute(2, 1, 0).flatten(0, 1).contiguous()  # (K * C, C)
        self.bias = bias
        self.axes = (2, 0, 3, 1) if route.dim == 2 else (3, 0, 2, 1)
        self.back = (1, 3, 0, 2) if route.dim == 2 else (1, 3, 2, 0)

    def empty(self, x: Tensor) -> Tensor:
        """Return a buffer of zeros, (S, B, L + K - 1, C)."""
        slices, batch, length, channels = (x.shape[axis] for axis in self.axes)
        return x.new_zeros(slices, batch, length + 2 * self.half, channels)

    def arrange(self, x: Tensor) -> Tensor:
        """Copy the map to a new buffer."""
        buffer = self.empty(x)
        self._inside(buffer).copy_(x.permute(self.axes))
        return buffer

    def restore(self, buffer: Tensor) -> Tensor:
        """Return the map that a buffer holds. Its memory format is channels last, like the buffer's."""
        return self._inside(buffer).permute(self.back).contiguous(memory_format=torch.channels_last)

    def slices(self, buffer: Tensor) -> Sequence[Tensor]:
        """Return a view of each slice that receives messages, (B, L, C)."""
        return self._inside(buffer).unbind(0)

    def senders(self, buffer: Tensor) -> Sequence[Tensor]:
        """Return the inputs of the messages, one view (B, L, K * C) per slice, in which neighbouring rows overlap."""
        slices, batch, padded, channels = buffer.shape
        length = padded - 2 * self.half
        strides = (batch * padded * channels, padded * channels, channels, 1)
        return buffer.as_strided((slices, batch, length, self.kernel * channels), strides).unbind(0)

    def message(self, sender: Tensor) -> Tensor:
        rows = sender.reshape(-1, sender.shape[2])
        message = rows @ self.matrix if self.bias is None else torch.addmm(self.bias, rows, self.matrix)
        return message.view(*sender.shape[:2], -1)

    def weight_gradient(self, buffer: Tensor, messages: Tensor) -> Tensor:
        """Return the gradient of the weight, (C, C, K), from the buffers of the map and of the messages' gradients.

        Zeros separate the slices, so one shift of all positions is correct for each slice.
        """
        senders, receivers = self.route.spans
        inputs, grads = (part.flatten(0, 2) for part in (buffer[senders], messages[receivers]))
        rows = len(inputs) - 2 * self.half
        grads = grads[self.half : self.half + rows].t()
        return torch.stack([grads @ inputs[shift : shift + rows] for shift in range(self.kernel)], 2)

    def bias_gradient(self, messages: Tensor) -> Tensor:
        return messages[self.route.spans[1]].sum((0, 1, 2))

    def _inside(self, buffer: Tensor) -> Tensor:
        return buffer[:, :, self.half : buffer.shape[2] - self.half]


class _ConvBody:
    """Slices (B, C, L). A message is one convolution."""

    def __init__(self, weight: Tensor, bias: Tensor | None, route: _Route):
        self.weight, self.bias, self.route = weight, bias, route
        self.half = weight.shape[2] // 2
        self.axes = (2, 0, 1, 3) if route.dim == 2 else (3, 0, 1, 2)
        self.back = (1, 2, 0, 3) if route.dim == 2 else (1, 2, 3, 0)

    def empty(self, x: Tensor) -> Tensor:
        """Return a buffer of zeros, (S, B, C, L)."""
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
        inputs, grads = (part.flatten(0, 1) for part in (buffer[senders], messages[receivers]))
        if not len(inputs):
            return torch.zeros_like(self.weight)
        return conv1d_weight(inputs, self.weight.shape, grads, padding=self.half)

    def bias_gradient(self, messages: Tensor) -> Tensor:
        return messages[self.route.spans[1]].sum((0, 1, 3))


_Body = _MatrixBody | _ConvBody


def _body_of(x: Tensor) -> type[_MatrixBody] | type[_ConvBody]:
    return _ConvBody if len(x) >= _MANY_IMAGES else _MatrixBody


# --------------------------------------------------------------------------- all steps


def _scan(body: _Body, buffer: Tensor, is_active: Tensor | None = None) -> None:
    """Pass all messages in ``buffer``, and set ``is_active`` to True where a message is above 0."""
    slices, senders = body.slices(buffer), body.senders(buffer)
    active = None if is_active is None else is_active.unbind(0)
    for source, target in body.route.pairs:
        message = body.message(senders[source]).relu_()
        slices[target].add_(message)
        if active is not None:
            torch.gt(message, 0, out=active[target])


class _Pass(torch.autograd.Function):
    """All messages of one direction as one autograd node."""

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
    """Run through the messages in reverse. Write their gradients to ``messages``; add those of senders to ``total``."""
    totals, grads, senders = back.slices(total), back.slices(messages), back.senders(messages)
    active = is_active.unbind(0)
    for source, target in reversed(back.route.pairs):
        torch.mul(totals[target], active[target], out=grads[target])
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
