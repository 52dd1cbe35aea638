"""Groups of places without a dilation inside: an axis is split into them and joined again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def for_each_group(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dilations: Sequence[int],
    axis: int = 0,
) -> Tensor:
    """Split each axis into (place in the group, group), call ``attend``, and join the results.

    Where the dilation does not divide the length, longer and shorter groups are processed separately. ``attend``
    receives (B, n_0, groups_0, n_1, groups_1, ..., heads, D).
    """
    if axis == len(dilations):
        return attend(q, k, v)
    at, dilation = 1 + 2 * axis, dilations[axis]
    parts = zip(_split(q, at, dilation), _split(k, at, dilation), _split(v, at, dilation), strict=True)
    done = [for_each_group(attend, *part, dilations=dilations, axis=axis + 1) for part in parts]
    return _join(done, at, q.shape[at], dilation)


def _split(x: Tensor, at: int, dilation: int) -> list[Tensor]:
    """Split axis ``at`` into (n, groups): the longer groups first, then those with one place less."""
    length, uneven = divmod(x.shape[at], dilation)
    whole = x.narrow(at, 0, length * dilation).unflatten(at, (length, dilation))
    if not uneven:
        return [whole]
    rest = x.narrow(at, length * dilation, uneven).unsqueeze(at)
    longer = torch.cat([whole.narrow(at + 1, 0, uneven), rest], dim=at)
    return [longer, whole.narrow(at + 1, uneven, dilation - uneven)]


def _join(parts: list[Tensor], at: int, size: int, dilation: int) -> Tensor:
    """Invert :func:`_split`."""
    if len(parts) == 1:
        return parts[0].flatten(at, at + 1)
    longer, shorter = parts
    length = size // dilation
    whole = torch.cat([longer.narrow(at, 0, length), shorter], dim=at + 1).flatten(at, at + 1)
    return torch.cat([whole, longer.select(at, length)], dim=at)
