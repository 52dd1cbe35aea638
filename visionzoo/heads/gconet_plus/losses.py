"""The losses of GCoNet+, as functions of tensors.

Tensors: N images; maps and truth are (N, 1, H, W) in [0, 1]. Truth may be soft.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy_of_maps(maps: Tensor, truth: Tensor) -> Tensor:
    """Compute binary cross-entropy, the mean over all pixels.

    Autocast is disabled, because it rejects binary cross-entropy of probabilities.

    Example:
        >>> round(cross_entropy_of_maps(torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2)).item(), 2)
        0.69
    """
    with torch.autocast(maps.device.type, enabled=False):
        return F.binary_cross_entropy(maps.float(), truth.float())


def iou_loss(maps: Tensor, truth: Tensor) -> Tensor:
    """Compute 1 - intersection / union for each image, summed over the images.

    If map and truth are both empty, the loss is 0; the authors' code returns nan.

    Example:
        >>> iou_loss(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item()
        0.0
    """
    overlap = (maps * truth).sum((1, 2, 3))
    union = truth.sum((1, 2, 3)) + maps.sum((1, 2, 3)) - overlap
    is_empty = union <= 0
    return (1 - overlap / union.masked_fill(is_empty, 1)).masked_fill(is_empty, 0).sum()


def focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Compute the binary focal loss (Lin et al., ICCV 2017), the mean over all pixels.

    The exponent is 2 and there are no class weights.

    Example:
        >>> round(focal_loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item(), 2)
        0.17
    """
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return ((1 - torch.exp(-entropy)).square() * entropy).mean()


def group_triplet_loss(features: Tensor, sizes: Sequence[int], margin: float = 0.1) -> Tensor:
    """Compute the group-based symmetric triplet loss (GST).

    It pulls the two halves of a group closer to each other than to the other group.

    Args:
        features: (N, C), images of the first group, then of the second.
        sizes: numbers of images of the two groups. If n is the smaller one, n // 2 images of each half are compared.
            For n = 1 the loss is 0; the authors' code returns nan.
        margin: distance by which the other group must be farther away.

    Example:
        >>> group_triplet_loss(torch.tensor([[0.0], [0.0], [1.0], [1.0]]), sizes=(2, 2)).item()
        0.0
    """
    first, second = features.split(list(sizes))
    half = min(sizes) // 2
    if half == 0:
        return features.sum() * 0
    forth = F.triplet_margin_loss(first[:half], first[-half:], second[:half], margin=margin)
    back = F.triplet_margin_loss(second[:half], second[-half:], first[:half], margin=margin)
    return forth + back
