"""The terms of HMoDE's objective, as in the authors' released code; options fix its errors.

Tensors: B images, M maps, H, W pixels, h, w cells. Densities are multiplied by ``log_para``. All terms are sums, not
means.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Side of a region in pixels, number of hard regions, and number of them that are compared with each other.
REGION = 16
HARD_REGIONS = 9
_RANKS = 3

_LOG_EPS = 1e-10
_VARIATION_EPS = 1e-10


def attention_loss(attention: Tensor, positives: Tensor, pixels: Tensor) -> Tensor:
    """Compute the binary cross-entropy of the attention, enlarged to the image and summed over its pixels.

    Args:
        attention: (B, h, w), in [0, 1].
        positives: (B, h, w): number of occupied pixels in each cell.
        pixels: (B, h, w): number of pixels in each cell.

    Example:
        >>> round(attention_loss(torch.full((1, 1, 1), 0.5), torch.ones(1, 1, 1), torch.full((1, 1, 1), 4.0)).item(), 2)
        2.77
    """
    occupied = positives * (attention + _LOG_EPS).log()
    empty = (pixels - positives) * (1 - attention + _LOG_EPS).log()
    return -(occupied + empty).sum()


def importance_loss(gates: Tensor, *, by_image: bool = False) -> Tensor:
    """Compute the squared coefficient of variation of the two weights of each pair of experts, summed over pairs.

    Args:
        gates: (B, M, 2, h, w), weights of each pair.
        by_image: compute the term for each image and sum over images, so that the mean over a batch does not depend
            on its size. The released code computes one term for the whole batch.

    Example:
        >>> importance_loss(torch.full((1, 3, 2, 2, 2), 0.5)).item()
        0.0
    """
    weights = gates.sum((3, 4))
    weights = weights if by_image else weights.sum(0, keepdim=True)
    return (weights.var(2) / (weights.mean(2).square() + _VARIATION_EPS)).sum()


def local_counting_losses(
    maps: Tensor, target: Tensor, *, margin: float = 0.0, train_regions: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute the absolute and relative local counting loss of one image (``relloss`` of the released code).

    Absolute: the squared errors of the nine 16x16 regions with the largest errors, the hard regions.

    Relative: the hard regions are ranked by their true counts and compared in threes: ranks 0, 3, 6, then 1, 4, 7, then
    2, 5, 8. Predicted counts ``p0, p1, p2`` must decrease like the true counts, and ``p0`` must differ more from ``p2``
    than from ``p1``.

    Incomplete regions at the image's border are ignored. If there are fewer than nine regions, all are hard and the
    compared ranks are closer; with fewer than three the relative loss is 0.

    Args:
        maps: (M, H, W), predictions enlarged to the image.
        target: (H, W).
        margin: share of a true difference that predictions must reach. With 0, as in the released code, equal
            predictions have no loss, and a map of zeros minimises this loss.
        train_regions: compute gradients of the absolute loss; the released code does not.

    Returns:
        Absolute and relative losses, (M,) each.

    Example:
        >>> regions, ranks = local_counting_losses(torch.ones(2, 32, 32), torch.zeros(32, 32))
        >>> regions.tolist()  # four regions of 256 pixels
        [1024.0, 1024.0]
    """
    with torch.set_grad_enabled(train_regions and torch.is_grad_enabled()):
        errors = _region_sums((maps - target).square())
        hard, chosen = errors.sort(dim=1, descending=True, stable=True)
        count = min(HARD_REGIONS, errors.shape[1])
        hard, chosen = hard[:, :count], chosen[:, :count]
    truth, ranks = (
        _region_sums(target[None]).expand(len(maps), -1).gather(1, chosen).sort(dim=1, descending=True, stable=True)
    )
    counts = _region_sums(maps).gather(1, chosen).gather(1, ranks)
    return hard.sum(1), _ranking_loss(counts, truth, margin)


def _ranking_loss(found: Tensor, truth: Tensor, margin: float) -> Tensor:
    """Compute the relative losses (M,) of (M, K) counts, sorted by decreasing true count."""
    step = found.shape[1] // _RANKS
    predicted = [found[:, rank * step : (rank + 1) * step] for rank in range(_RANKS)]
    true = [truth[:, rank * step : (rank + 1) * step] for rank in range(_RANKS)]
    wanted = [margin * (true[0] - true[1]), margin * (true[0] - true[2]), margin * (true[1] - true[2])]
    first, second = predicted[0] - predicted[1], predicted[0] - predicted[2]
    terms = (wanted[0] - first).relu() + (wanted[1] - second).relu() + (wanted[2] + first - second).relu()
    return terms.sum(1)


def _region_sums(maps: Tensor) -> Tensor:
    """Sum (M, H, W) over complete regions, row by row: (M, R); R is 0 if no region fits."""
    if min(maps.shape[1:]) < REGION:
        return maps.new_zeros(len(maps), 0)
    return F.avg_pool2d(maps[:, None], REGION).flatten(1) * REGION**2
