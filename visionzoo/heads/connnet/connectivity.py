"""Connectivity cubes state for every pixel and each neighbour whether both belong to the same salient object.

Convention: neighbours are ordered row by row: UL, U, UR, L, R, LL, D, LR. Channel i of a pixel and channel 7 - i of its
neighbour i describe the same pair of pixels (ConnNet, arXiv 1804.07836; channel order and voting: BiconNets, arXiv
2103.00334). With K classes the cube is class-major: channel 8 * k + i (DconnNet, arXiv 2304.00145). The variant with
four neighbours (U, L, R, D, in this order), instance ids and components are our additions.

All functions use slices, so they work for any image size and on any device.

Tensors: B images, K classes, N neighbours, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from visionzoo.errors import ConfigError, DataError, require_known

# (row, column) offsets from a pixel to its N neighbours, by N; the opposite of i is N - 1 - i.
OFFSETS: dict[int, tuple[tuple[int, int], ...]] = {
    8: ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)),
    4: ((-1, 0), (0, -1), (0, 1), (1, 0)),
}
REDUCTIONS = ("product", "mean", "and", "none")
THRESHOLD = 0.5

# Effect of a change of the image on the (row, column) offset of a neighbour.
_CHANGES = {
    "horizontal": lambda dy, dx: (dy, -dx),
    "vertical": lambda dy, dx: (-dy, dx),
    "diagonal": lambda dy, dx: (-dy, -dx),
    "transpose": lambda dy, dx: (dx, dy),
}


def offsets_of(neighbours: int) -> tuple[tuple[int, int], ...]:
    """Return (row, column) offsets of the 8 or 4 neighbours, in the order of the channels.

    Raises:
        ConfigError: another number of neighbours.
    """
    if neighbours not in OFFSETS:
        raise ConfigError("connectivity", expected="8 or 4 neighbours", found=f"{neighbours}", advice="use 8")
    return OFFSETS[neighbours]


# --------------------------------------------------------------------------- truth


def mask_to_connectivity(mask: Tensor, neighbours: int = 8, instance_ids: bool = False) -> Tensor:
    """Compute the cube of a mask: 1 where a pixel and its neighbour are both salient, else 0.

    Neighbours outside the image are background. A salient pixel without a salient neighbour has only zeros in the
    cube, so the cube does not represent it.

    Args:
        mask: (B, H, W), or (B, K, H, W) with one mask per class; bool or integers, where nonzero is salient. Binarise
            grey masks first, after all geometric changes, because products of soft values are meaningless.
        neighbours: N, 8 or 4.
        instance_ids: values are ids of instances; only pixels of the same instance are connected.

    Returns:
        (B, N * K, H, W) uint8, of 0 and 1.

    Raises:
        ConfigError: another number of neighbours.
        DataError: the mask holds floats or has another number of axes.

    Example:
        >>> cube = mask_to_connectivity(torch.ones(1, 2, 2, dtype=torch.bool), neighbours=4)
        >>> cube[0].flatten(1).tolist()  # up, left, right, down
        [[0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 0, 0]]
    """
    offsets_of(neighbours)
    if mask.is_floating_point() or mask.ndim not in (3, 4):
        raise DataError(
            "connectivity",
            expected="a mask (B, H, W) or (B, K, H, W) of bool or integers",
            found=f"{mask.dtype} of shape {tuple(mask.shape)}",
            advice="compare it with a threshold first",
        )
    mask = mask[:, None] if mask.ndim == 3 else mask
    values = mask if instance_ids else mask != 0
    split = values[:, :, None].expand(-1, -1, neighbours, -1, -1)
    return torch.stack(_pairs(split, neighbours, _same_object), 2).to(torch.uint8).flatten(1, 2)


def permute_channels(cube: Tensor, change: str, neighbours: int = 8) -> Tensor:
    """Reorder the channels of a cube after a change of the image.

    The caller changes rows and columns of the cube: ``cube(flip(mask)) == permute_channels(flip(cube(mask)),
    "horizontal")``. If the mask is available, change the mask instead.

    Args:
        cube: (B, N * K, H, W).
        change: ``horizontal`` or ``vertical`` flip, ``diagonal`` (both flips: 180 degrees), or ``transpose``.
        neighbours: N, 8 or 4.

    Returns:
        (B, N * K, H, W).

    Raises:
        UnknownName: an unknown ``change``.
        DataError: the number of channels is not a multiple of N.
    """
    require_known(change, _CHANGES, "change of an image")
    offsets = offsets_of(neighbours)
    order = [offsets.index(_CHANGES[change](dy, dx)) for dy, dx in offsets]
    return _by_neighbour(cube, neighbours)[:, :, order].flatten(1, 2)


# --------------------------------------------------------------------------- voting


def shift_to_partner(cube: Tensor, neighbours: int = 8, fill: float = 0.0) -> Tensor:
    """Return the neighbour's value of the same pair: channel N - 1 - i at p + offset i, for each channel i at p.

    Args:
        cube: (B, N * K, H, W).
        neighbours: N, 8 or 4.
        fill: value for neighbours outside the image.

    Returns:
        (B, N * K, H, W), of the type of ``cube``.

    Raises:
        DataError: the number of channels is not a multiple of N.
    """
    split = _by_neighbour(cube, neighbours)
    size = cube.shape[-2:]
    partners = []
    for channel, offset in enumerate(offsets_of(neighbours)):
        _, there = _overlap(offset, size)
        partners.append(F.pad(split[:, :, neighbours - 1 - channel][there], _margins(offset, size), value=fill))
    return torch.stack(partners, 2).flatten(1, 2)


def pair_votes(prob: Tensor, reduce: str = "product", neighbours: int = 8) -> Tensor:
    """Combine the two values of every pair, channel i at p and channel N - 1 - i at p + offset i, into one vote.

    Args:
        prob: (B, N * K, H, W), probabilities. Half precision is converted to float32, where products do not underflow.
        reduce: ``product`` of both (BiconNets' bilateral voting); ``mean`` of both (our addition); ``and``: both are
            >= 0.5 (mutual confirmation); ``none``: values are not combined. Votes for neighbours outside the image
            are 0, except with ``none``.
        neighbours: N, 8 or 4.

    Returns:
        (B, N * K, H, W): float32 (float64 for float64), or bool for ``and``.

    Raises:
        UnknownName: an unknown ``reduce``.
        DataError: the number of channels is not a multiple of N.

    Example:
        >>> pair_votes(torch.full((1, 4, 1, 2), 0.5), neighbours=4).flatten().tolist()  # the channels U, L, R, D
        [0.0, 0.0, 0.0, 0.25, 0.25, 0.0, 0.0, 0.0]
    """
    require_known(reduce, REDUCTIONS, "reduction of pairs")
    split = _by_neighbour(prob, neighbours)
    if reduce == "none":
        return _full_precision(split).flatten(1, 2)
    if reduce == "and":
        split = split >= THRESHOLD
        return torch.stack(_pairs(split, neighbours, torch.logical_and), 2).flatten(1, 2)
    combine = torch.mul if reduce == "product" else _mean
    return torch.stack(_pairs(_full_precision(split), neighbours, combine), 2).flatten(1, 2)


def connectivity_to_map(prob: Tensor, reduce: str = "product", neighbours: int = 8) -> Tensor:
    """Compute the map of a cube: for each class, the largest vote of every pixel.

    Args:
        prob: (B, N * K, H, W), probabilities.
        reduce: see :func:`pair_votes`; ``and`` returns a bool mask of the pixels in at least one confirmed pair.
        neighbours: N, 8 or 4.

    Returns:
        (B, K, H, W), in [0, 1] or bool.

    Raises:
        UnknownName: an unknown ``reduce``.
        DataError: the number of channels is not a multiple of N.

    Example:
        >>> connectivity_to_map(torch.ones(1, 8, 2, 2)).tolist()
        [[[[1.0, 1.0], [1.0, 1.0]]]]
    """
    votes = _by_neighbour(pair_votes(prob, reduce, neighbours), neighbours)
    return votes.any(2) if reduce == "and" else votes.amax(2)


def pair_agreement(prob: Tensor, neighbours: int = 8) -> Tensor:
    """Compute the share of pairs inside the image whose two values differ by less than 0.5.

    Args:
        prob: (B, N * K, H, W), probabilities.
        neighbours: N, 8 or 4.

    Returns:
        (B,), in [0, 1]; nan for images of a single pixel.
    """
    prob = _full_precision(prob)
    is_inside = shift_to_partner(torch.ones_like(prob), neighbours) > 0
    agrees = (prob - shift_to_partner(prob, neighbours)).abs() < THRESHOLD
    return (agrees & is_inside).sum((1, 2, 3)) / is_inside.sum((1, 2, 3))


def connectivity_components(prob: Tensor, threshold: float = THRESHOLD, neighbours: int = 8) -> Tensor:
    """Label instances: pixels that are connected by mutually confirmed pairs.

    Unlike components of a mask, two instances that only touch remain separate.

    Args:
        prob: (B, N * K, H, W), probabilities.
        threshold: smallest value of both ends of a confirmed pair.
        neighbours: N, 8 or 4.

    Returns:
        (B, K, H, W) int64 on the CPU: 0 for pixels without a confirmed pair, and 1 to the number of instances of each
        mask, in the order of their first pixels.

    Example:
        >>> cube = mask_to_connectivity(torch.tensor([[[1, 1, 2, 2]]]), instance_ids=True)
        >>> connectivity_components(cube).tolist()
        [[[[1, 1, 2, 2]]]]
    """
    confirmed = _by_neighbour(prob.detach(), neighbours) >= threshold
    pairs = torch.stack(_pairs(confirmed, neighbours, torch.logical_and), 2).cpu().numpy()
    labels = [[_components(mask, offsets_of(neighbours)) for mask in image] for image in pairs]
    return torch.from_numpy(np.array(labels, dtype=np.int64).reshape(pairs.shape[:2] + pairs.shape[3:]))


def _components(pairs: np.ndarray, offsets: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the (H, W) labels of (N, H, W) bool, the confirmed pairs."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    height, width = pairs.shape[1:]
    ends = []
    for channel, (dy, dx) in enumerate(offsets[: len(offsets) // 2]):  # the other half holds the same pairs
        start = np.flatnonzero(pairs[channel])
        ends.append(np.stack([start, start + dy * width + dx]))
    first, second = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(height * width,) * 2)
    _, components = connected_components(graph, directed=False)
    is_member = pairs.any(axis=0).ravel()
    labels = np.zeros(height * width, np.int64)
    _, place, number = np.unique(components[is_member], return_index=True, return_inverse=True)
    labels[is_member] = np.argsort(np.argsort(place))[number] + 1
    return labels.reshape(height, width)


# --------------------------------------------------------------------------- slices


def _pairs(split: Tensor, neighbours: int, combine: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
    """Combine the values of each pair once and store the result at both pixels; pairs across the border are 0.

    ``split`` is (B, K, N, H, W); the result is one (B, K, H, W) for each neighbour.
    """
    size = split.shape[-2:]
    votes: dict[int, Tensor] = {}
    offsets = offsets_of(neighbours)
    for channel in range(neighbours // 2):
        opposite = neighbours - 1 - channel
        here, there = _overlap(offsets[channel], size)
        pair = combine(split[:, :, channel][here], split[:, :, opposite][there])
        votes[channel] = F.pad(pair, _margins(offsets[channel], size))
        votes[opposite] = F.pad(pair, _margins(offsets[opposite], size))
    return [votes[channel] for channel in range(neighbours)]


def _overlap(offset: tuple[int, int], size: Sequence[int]) -> tuple[Any, Any]:
    """Return slices of all pixels whose neighbour is inside the image, and slices of these neighbours."""
    (dy, dx), (height, width) = offset, size
    rows, columns = max(height - abs(dy), 0), max(width - abs(dx), 0)
    here, there = ((max(-dy, 0), max(-dx, 0)), (max(dy, 0), max(dx, 0)))
    return tuple((..., slice(top, top + rows), slice(left, left + columns)) for top, left in (here, there))  # type: ignore[return-value]


def _margins(offset: tuple[int, int], size: Sequence[int]) -> tuple[int, int, int, int]:
    """Return the margins (left, right, top, bottom) in pixels around the first slices of :func:`_overlap`."""
    (dy, dx), (height, width) = offset, size
    left, top = min(max(-dx, 0), width), min(max(-dy, 0), height)
    return left, min(max(dx, 0), width), top, min(max(dy, 0), height)


def _by_neighbour(cube: Tensor, neighbours: int) -> Tensor:
    """Reshape (B, N * K, H, W) to (B, K, N, H, W)."""
    offsets_of(neighbours)
    if cube.ndim != 4 or cube.shape[1] % neighbours or not cube.shape[1]:
        raise DataError(
            "connectivity",
            expected=f"a cube (B, {neighbours} * K, H, W)",
            found=f"shape {tuple(cube.shape)}",
            advice="give the number of neighbours of the cube",
        )
    return cube.unflatten(1, (-1, neighbours))


def _same_object(a: Tensor, b: Tensor) -> Tensor:
    return (a == b) & (a != 0)


def _mean(a: Tensor, b: Tensor) -> Tensor:
    return (a + b) / 2


def _full_precision(prob: Tensor) -> Tensor:
    return prob if prob.dtype == torch.float64 else prob.float()
