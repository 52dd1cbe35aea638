"""The terms of HMoDE's objective, as in the authors' released code; what it gets wrong is fixed by option.

Tensors: B images, M maps, H, W pixels, h, w cells. Densities are times ``log_para``. All are sums, not means.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Side of a region in pixels, how many of them are hard, and how many of these are compared with each other.
REGION = 16
HARD_REGIONS = 9
_RANKS = 3

_LOG_EPS = 1e-10
_VARIATION_EPS = 1e-10


def attention_loss(attention: Tensor, positives: Tensor, pixels: Tensor) -> Tensor:
    """Binary cross-entropy of the attention enlarged to the image, summed over its pixels.

    Args:
        attention: (B, h, w), in [0, 1].
        positives: (B, h, w): pixels of each cell where there is somebody.
        pixels: (B, h, w): all pixels of each cell.
    """
    there = positives * (attention + _LOG_EPS).log()
    nobody = (pixels - positives) * (1 - attention + _LOG_EPS).log()
    return -(there + nobody).sum()


def importance_loss(gates: Tensor, *, by_image: bool = False) -> Tensor:
    """Squared coefficient of variation of what each pair of experts is weighted with, the sum over the pairs.

    Args:
        gates: (B, M, 2, h, w), weights of each pair.
        by_image: of every image by itself, and the sum over images, which makes the mean over a batch
            independent of its size. The released code takes the batch as one.
    """
    weights = gates.sum((3, 4))
    weights = weights if by_image else weights.sum(0, keepdim=True)
    return (weights.var(2) / (weights.mean(2).square() + _VARIATION_EPS)).sum()


def local_counting_losses(
    maps: Tensor, target: Tensor, *, margin: float = 0.0, train_regions: bool = False
) -> tuple[Tensor, Tensor]:
    """Absolute and relative local counting loss of one image (``relloss`` of the released code).

    Absolute: the squared errors of those 16x16 regions where they are largest, nine if there are as many. Relative:
    these regions are ranked by their true counts and compared three by three, ranks 0, 3, 6 with each other and so on;
    predicted counts ``p0, p1, p2`` must fall as the true ones do, and ``p0`` must differ from ``p2`` by more than
    from ``p1``. Regions that the image's end cuts are left out. With less than nine, all are hard and ranks lie
    closer; with less than three there is nothing to compare.

    Args:
        maps: (M, H, W), predictions enlarged to the image.
        target: (H, W).
        margin: share of a true difference that predictions have to show. With 0, as released, equal predictions are
            perfect, and the loss alone is least for a map of zeros.
        train_regions: whether the absolute loss has gradients; the released code cuts them.

    Returns:
        (M,) and (M,).
    """
    with torch.set_grad_enabled(train_regions and torch.is_grad_enabled()):
        errors = _region_sums((maps - target).square())
        hard, chosen = errors.sort(dim=1, descending=True, stable=True)
        count = min(HARD_REGIONS, errors.shape[1])
        hard, chosen = hard[:, :count], chosen[:, :count]
    truth, ranks = (
        _region_sums(target[None]).expand(len(maps), -1).gather(1, chosen).sort(dim=1, descending=True, stable=True)
    )
    found = _region_sums(maps).gather(1, chosen).gather(1, ranks)
    return hard.sum(1), _ranking_loss(found, truth, margin)


def _ranking_loss(found: Tensor, truth: Tensor, margin: float) -> Tensor:
    """(M, K) counts by falling true count to (M,)."""
    step = found.shape[1] // _RANKS
    predicted = [found[:, rank * step : (rank + 1) * step] for rank in range(_RANKS)]
    true = [truth[:, rank * step : (rank + 1) * step] for rank in range(_RANKS)]
    wanted = [margin * (true[0] - true[1]), margin * (true[0] - true[2]), margin * (true[1] - true[2])]
    first, second = predicted[0] - predicted[1], predicted[0] - predicted[2]
    terms = (wanted[0] - first).relu() + (wanted[1] - second).relu() + (wanted[2] + first - second).relu()
    return terms.sum(1)


def _region_sums(maps: Tensor) -> Tensor:
    """(M, H, W) to (M, R): sums over whole regions, row by row; R is 0 where none fits."""
    if min(maps.shape[1:]) < REGION:
        return maps.new_zeros(len(maps), 0)
    return F.avg_pool2d(maps[:, None], REGION).flatten(1) * REGION**2
