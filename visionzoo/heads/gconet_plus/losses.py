"""The losses of GCoNet+, as functions of tensors.

N images; maps are (N, 1, H, W) in [0, 1], truth as well, and it may be soft.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy_of_maps(maps: Tensor, truth: Tensor) -> Tensor:
    """Binary cross entropy, mean over all pixels. Autocast refuses it on probabilities, so it runs without."""
    with torch.autocast(maps.device.type, enabled=False):
        return F.binary_cross_entropy(maps.float(), truth.float())


def iou_loss(maps: Tensor, truth: Tensor) -> Tensor:
    """1 - intersection / union for each image, summed over the images.

    Where both are empty, which gives nan in the authors' code, the loss is 0.
    """
    overlap = (maps * truth).sum((1, 2, 3))
    union = truth.sum((1, 2, 3)) + maps.sum((1, 2, 3)) - overlap
    is_empty = union <= 0
    return (1 - overlap / union.masked_fill(is_empty, 1)).masked_fill(is_empty, 0).sum()


def focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary focal loss with exponent 2 and without class weights (Lin et al., ICCV 2017), mean over all pixels."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return ((1 - torch.exp(-entropy)).square() * entropy).mean()


def group_triplet_loss(features: Tensor, sizes: Sequence[int], margin: float = 0.1) -> Tensor:
    """Halves of a group lie closer together than to the other group: the group-based symmetric triplet (GST).

    Args:
        features: (N, C), images of the first group, then of the second.
        sizes: of the two groups. With n the smaller one, n // 2 images of each half are compared; 0 if n is 1, where
            the authors' code gives nan.
        margin: by which the other group must be farther away.
    """
    first, second = features.split(list(sizes))
    half = min(sizes) // 2
    if half == 0:
        return features.sum() * 0
    there = F.triplet_margin_loss(first[:half], first[-half:], second[:half], margin=margin)
    back = F.triplet_margin_loss(second[:half], second[-half:], first[:half], margin=margin)
    return there + back
