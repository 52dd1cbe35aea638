"""Similarities of two images with closed-form gradients, without autograd.

Each returns its value, the gradient with respect to every voxel of the warped image, and a curvature: a positive number
per voxel, such that minus the curvature times a square approximates the second order. The gradient drives the
deformable optimiser, and gradient and curvature give the Gauss-Newton step of the affine one.

Sources: local correlation, Avants et al., Medical Image Analysis 2008; mutual information with Parzen windows, Mattes
et al., IEEE TMI 2003.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from visionzoo.errors import require_known
from visionzoo.ops.registration.axis_matrices import along_axes, box_sums

SIMILARITIES = ("correlation", "mutual_information")


@dataclass(frozen=True)
class Match:
    """How well two images agree.

    Attributes:
        value: () the similarity; larger is better.
        gradient: (*S), its derivative with respect to the warped image.
        curvature: (*S), >= 0, the negative of its approximate second derivative.
    """

    value: Tensor
    gradient: Tensor
    curvature: Tensor


Similarity = Callable[[Tensor], Match]


def similarity_of(
    name: str, fixed: Tensor, moving: Tensor, mask: Tensor | None, *, window: int | None = 9
) -> Similarity:
    """Return a similarity to the fixed image as a function of the warped image.

    Args:
        name: ``correlation`` or ``mutual_information``.
        fixed, moving: (*S).
        mask: (*S), weights of the voxels of the fixed image, or None.
        window: side of the windows of ``correlation``, None for the whole image.

    Raises:
        UnknownName: an unknown similarity.

    Example:
        >>> image = torch.rand(8, 9)
        >>> bool(similarity_of("correlation", image, image, None)(image).value > 0.95)
        True
    """
    require_known(name, SIMILARITIES, "similarity")
    if name == "correlation":
        return Correlation(fixed, mask, window=window)
    return MutualInformation(fixed, mask, range_of=moving)


class Correlation:
    """Squared correlation of intensities, as a mean over windows or in one window of the whole image. With a mask,
    a window counts by the voxels of the mask that it holds.

    It does not change if either image is multiplied by a number, of any sign, or a number is added, in each window
    separately. A larger step between windows changes the value little and costs less.

    Args:
        fixed: (*S), 2-D or 3-D.
        mask: (*S), weights >= 0 of the voxels, or None for all voxels. Voxels of weight 0 have no influence.
        window: odd side of the windows in voxels, or None for the whole image.
        stride: distance of the windows in voxels.

    Example:
        >>> fixed = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]])
        >>> round(float(Correlation(fixed, window=None)(2 - fixed).value), 3)
        1.0
    """

    # This share of the product of two usual variances is added to both parts of the fraction. Then windows of noise
    # count less, and equal images have no gradient.
    _FLOOR = 1e-2

    def __init__(self, fixed: Tensor, mask: Tensor | None = None, *, window: int | None = 9, stride: int = 2):
        self._sums = [box_sums(side, window=window, stride=stride).to(fixed) for side in fixed.shape]
        self._mask = mask
        weights = torch.ones_like(fixed) if mask is None else mask
        self._count = along_axes(weights, self._sums).clamp(min=1e-6)
        # Values near zero keep the digits of the difference of two sums.
        self._middle = (fixed * weights).sum() / weights.sum()
        self._fixed = fixed - self._middle
        weighted = self._fixed * weights
        self._sum = along_axes(weighted, self._sums)
        self._mean = self._sum / self._count
        self._variance = (along_axes(weighted * self._fixed, self._sums) - self._sum * self._mean).clamp(min=0)
        # Windows at the edge of a mask hold few voxels, and a map that moves the edge would raise their correlation.
        self._weights: Any = 1 / self._count.numel() if mask is None else self._count / self._count.sum()
        self._floor = self._FLOOR * ((self._variance / self._count).mean() * self._count) ** 2

    def __call__(self, warped: Tensor) -> Match:
        """Return the similarity to a warped image (*S)."""
        warped = warped - self._middle
        weighted = warped if self._mask is None else warped * self._mask
        products = torch.stack([weighted, weighted * warped, weighted * self._fixed])
        total, squares, cross = along_axes(products, self._sums)
        mean = total / self._count
        variance = (squares - total * mean).clamp(min=0)
        covariance = cross - self._sum * mean
        share = 1 / (self._variance * variance + self._floor)
        values = (covariance.square() + self._floor) * share
        weight = share * (2 * self._weights)
        of_fixed = covariance * weight
        of_warped = values * weight * self._variance
        terms = torch.stack([of_fixed, of_warped, of_warped * mean - of_fixed * self._mean])
        slope, bend, constant = along_axes(terms, self._sums, adjoint=True)
        gradient = torch.addcmul(constant, slope, self._fixed).addcmul_(bend, warped, value=-1)
        if self._mask is not None:
            gradient, bend = gradient * self._mask, bend * self._mask
        value = values.mean() if self._mask is None else (values * self._weights).sum()
        return Match(value, gradient, bend)


class MutualInformation:
    """Mutual information in nats, from a joint histogram with cubic B-spline windows over the warped intensities.

    The relation of the two intensities may be any function, as between T1 and T2 weighting. Intensities outside the
    range of the bins count as its ends.

    Args:
        fixed: (*S).
        mask: (*S), weights >= 0 of the voxels, or None.
        bins: number of bins of each image, >= 4.
        range_of: values whose range the bins of the warped image cover (default: those of ``fixed``).

    Example:
        >>> fixed = torch.linspace(0, 1, 400).reshape(20, 20)
        >>> similarity = MutualInformation(fixed, bins=8)
        >>> bool(similarity((fixed - 0.5) ** 2 * 4).value > similarity(fixed.T).value)
        True
    """

    def __init__(self, fixed: Tensor, mask: Tensor | None = None, *, bins: int = 32, range_of: Tensor | None = None):
        range_of = fixed if range_of is None else range_of
        self._bins, self._mask = bins, mask
        inside = fixed if mask is None else fixed[mask > 0]
        low, high = float(inside.min()), float(inside.max())
        self._row = ((fixed - low) * (bins / (high - low))).long().clamp_(0, bins - 1).reshape(-1)
        self._low, top = float(range_of.min()), float(range_of.max())
        # A cubic window covers 4 bins: two more bins on each side hold the windows of the extreme intensities.
        self._columns = bins + 4
        self._per_bin = (bins - 1) / (top - self._low)
        self._weights = (torch.ones_like(fixed) if mask is None else mask).reshape(-1)
        self._total = self._weights.sum()

    def __call__(self, warped: Tensor) -> Match:
        """Return the similarity to a warped image (*S)."""
        position = ((warped.reshape(-1) - self._low) * self._per_bin).clamp_(0, self._bins - 1) + 1.5
        first = position.floor()
        offset, start = position - first, self._row * self._columns + first.long() - 1
        joint = self._joint(start, offset)
        slopes = (joint / joint.sum(0, keepdim=True).clamp(min=1e-12)).clamp(min=1e-12).log()
        value = (joint * slopes).sum() - _negative_entropy(joint.sum(1))
        table = slopes.reshape(-1)
        gradient = sum(table[start + at] * weight for at, weight in enumerate(_cubic_slopes(offset)))
        curvature = self._curvature(joint)[self._row]
        scale = self._weights * (self._per_bin / self._total)
        shape = warped.shape
        return Match(value, (gradient * scale).reshape(shape), (curvature * scale * self._per_bin).reshape(shape))

    def _joint(self, start: Tensor, offset: Tensor) -> Tensor:
        size = self._bins * self._columns
        # In float32 a large bin would lose the small weights that are added to it.
        joint = sum(
            torch.bincount(start + at, weights=(weight * self._weights).double(), minlength=size)
            for at, weight in enumerate(_cubic(offset))
        )
        return (joint / self._total).reshape(self._bins, self._columns).to(offset)

    def _curvature(self, joint: Tensor) -> Tensor:
        """Return 1 / variance of the warped intensity in each bin of the fixed one: exact if it is Gaussian there."""
        at = torch.arange(self._columns).to(joint)
        weight = joint.sum(1).clamp(min=1e-12)
        mean = (joint * at).sum(1) / weight
        variance = (joint * at.square()).sum(1) / weight - mean.square()
        return 1 / variance.clamp(min=1 / 3)


def _negative_entropy(share: Tensor) -> Tensor:
    return (share * share.clamp(min=1e-12).log()).sum()


def _cubic(t: Tensor) -> list[Tensor]:
    """Return the weights of the 4 bins around a position, from its distance t to the second of them."""
    u = 1 - t
    return [u**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * u**2 + 3 * u**3) / 6, t**3 / 6]


def _cubic_slopes(t: Tensor) -> list[Tensor]:
    u = 1 - t
    return [-(u**2) / 2, -2 * t + 1.5 * t**2, 2 * u - 1.5 * u**2, t**2 / 2]
