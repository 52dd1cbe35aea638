"""The neighbours of a query along each axis, and the settings that are possible for a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from visionzoo.errors import ConfigError

PerAxis = int | Sequence[int]
PerAxisFlag = bool | Sequence[bool]


@dataclass(frozen=True)
class AxisRule:
    """Neighbours of a query along one axis."""

    kernel: int
    stride: int
    dilation: int
    causal: bool

    def window(self, place: int, count: int) -> tuple[int, int]:
        """Return the first and the last neighbour of the query at ``place`` in a group of ``count``."""
        if self.causal:
            leader = min(place // self.stride * self.stride + self.stride - 1, count - 1)
            return max(leader - self.kernel + 1, 0), place
        leader = min(place // self.stride * self.stride + self.stride // 2, count - 1)
        left = self.kernel // 2
        right = self.kernel - left - 1
        centre = min(max(leader, left), count - 1 - right)
        return centre - left, centre + right


def neighborhood_rules(
    sizes: Sequence[int],
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    dilation: PerAxis = 1,
    is_causal: PerAxisFlag = False,
) -> tuple[AxisRule, ...]:
    """Return one rule for each axis of a map of ``sizes``.

    Raises:
        ConfigError: a kernel below 2, a stride above the kernel, or a window that is larger than the map.

    Example:
        >>> rule, _ = neighborhood_rules((9, 11), 3)
        >>> rule.window(0, 9), rule.window(4, 9)
        ((0, 2), (3, 5))
    """
    count = len(sizes)
    settings = (_each(kernel_size, count), _each(stride, count), _each(dilation, count), _each(is_causal, count))
    rules = tuple(AxisRule(int(k), int(s), int(d), bool(c)) for k, s, d, c in zip(*settings, strict=True))
    for axis, (rule, size) in enumerate(zip(rules, sizes, strict=True)):
        where = f"neighborhood attention, axis {axis}"
        if rule.kernel < 2:
            raise ConfigError(where, expected="a kernel of at least 2", found=f"{rule.kernel}", advice="use 7")
        if not 1 <= rule.stride <= rule.kernel:
            raise ConfigError(
                where,
                expected=f"a stride from 1 to the kernel's {rule.kernel}",
                found=f"{rule.stride}",
                advice="use 1",
            )
        if rule.dilation < 1:
            raise ConfigError(
                where, expected="a dilation of at least 1", found=f"{rule.dilation}", advice="use 1 for none"
            )
        if rule.kernel * rule.dilation > size:
            raise ConfigError(
                where,
                expected=f"kernel * dilation of at most the map's {size}",
                found=f"{rule.kernel} * {rule.dilation}",
                advice="lower the dilation, or pad the map (small_maps='pad' in the backbones)",
            )
    return rules


def _each(value: Any, count: int) -> tuple:
    values = tuple(value) if isinstance(value, Sequence) else (value,) * count
    if len(values) != count:
        raise ConfigError(
            "neighborhood attention",
            expected=f"one number or one for each of {count} axes",
            found=f"{value}",
            advice="correct it",
        )
    return values


def check_tensors(axes: int, q: Tensor, k: Tensor, v: Tensor) -> torch.Size:
    if q.ndim != axes + 3 or q.shape != k.shape or q.shape[:-1] != v.shape[:-1]:
        raise ConfigError(
            f"na{axes}d",
            expected=f"q, k and v of one shape with {axes + 3} axes (B, sizes, heads, D)",
            found=f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}",
            advice="permute them",
        )
    return q.shape[1:-2]


def check_bias(rpb: Tensor | None, rules: Sequence[AxisRule], heads: int) -> None:
    if rpb is None:
        return
    if any(rule.kernel % 2 == 0 or rule.stride > 1 or rule.causal for rule in rules):
        raise ConfigError(
            "neighborhood attention",
            expected="odd kernels, stride 1 and no causal axis with a relative position bias",
            found=(
                f"kernel {[r.kernel for r in rules]}, stride {[r.stride for r in rules]}, causal "
                f"{[r.causal for r in rules]}"
            ),
            advice="leave the bias out or change the others",
        )
    expected = (heads, *(2 * rule.kernel - 1 for rule in rules))
    if tuple(rpb.shape) != expected:
        raise ConfigError(
            "neighborhood attention",
            expected=f"a relative position bias of shape {expected}",
            found=f"{tuple(rpb.shape)}",
            advice="resize it to the kernel",
        )
