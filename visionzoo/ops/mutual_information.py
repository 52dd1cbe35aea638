"""Mutual information of two images, differentiable, from joint histograms with soft bins.

Two forms exist. ``parzen``: each image spans the bins between its smallest and largest value, and a value is divided
among the four nearest bins by a cubic B-spline (Mattes et al., SPIE 2001). ``compat``: MICDIR's code. Values of 0 to 1
are multiplied by 255, and a Gaussian of standard deviation 0.32 around each bin centre, whatever the number of bins,
gives the shares of a value. With few bins, most values belong to no bin.

Histograms are summed over parts of the image. The backward pass computes the shares again, so that memory does not grow
with the number of voxels times the number of bins.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from visionzoo.errors import ConfigError, DataError, require_known

FORMS = ("parzen", "compat")

_COMPAT_RANGE, _COMPAT_DEVIATION, _COMPAT_EPS = 255.0, 0.32, 1e-10
# Number of shares of one image that exist at a time.
_SHARES = 2**22


class MutualInformation(NamedTuple):
    """Information in bits, (B,) each.

    Attributes:
        shared: mutual information, H(fixed) + H(moving) - H(fixed, moving).
        normalised: twice the mutual information, divided by H(fixed) + H(moving); 0 if both are 0.
    """

    shared: Tensor
    normalised: Tensor


def mutual_information(fixed: Tensor, moving: Tensor, bins: int = 32, form: str = "parzen") -> MutualInformation:
    """Compute the mutual information of each pair of a batch.

    Half precision is computed in float32.

    Args:
        fixed, moving: (B, C, *S) with any number of axes. ``compat`` expects values of 0 to 1.
        bins: number of bins, at least 5 for ``parzen`` and 2 for ``compat``.
        form: ``parzen`` or ``compat``.

    Returns:
        The mutual information and its normalised form. With ``compat``, both may exceed the range of their definition,
        because the entropies of one image and of both come from different histograms.

    Raises:
        ConfigError: too few bins.
        DataError: the images have different shapes.
        UnknownName: an unknown form.

    Example:
        >>> image = torch.rand(1, 1, 20, 30, generator=torch.Generator().manual_seed(0))
        >>> float(mutual_information(image, 1 - image).normalised) > 0.6
        True
    """
    _check(fixed, moving, bins, form)
    kind = torch.float64 if torch.float64 in (fixed.dtype, moving.dtype) else torch.float32
    pairs = [[image.to(kind).flatten() for image in pair] for pair in zip(fixed, moving)]
    with torch.autocast(fixed.device.type, enabled=False):
        values = [_of_pair(a, b, bins, form) for a, b in pairs]
    return MutualInformation(*(torch.stack(each) for each in zip(*values)))


def _of_pair(fixed: Tensor, moving: Tensor, bins: int, form: str) -> tuple[Tensor, Tensor]:
    if form == "parzen":
        joint = _summed(_in_bins(fixed, bins), _in_bins(moving, bins), bins, form)[0] / len(fixed)
        first, second, both = _entropy(joint.sum(1)), _entropy(joint.sum(0)), _entropy(joint)
    else:
        joint, *marginals = _summed(fixed * _COMPAT_RANGE, moving * _COMPAT_RANGE, bins, form)
        first, second = (_compat_entropy(each / len(fixed)) for each in marginals)
        both = _compat_entropy(joint)
    shared = first + second - both
    return shared, 2 * shared / (first + second).clamp(min=_COMPAT_EPS)


def _summed(fixed: Tensor, moving: Tensor, bins: int, form: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the joint histogram (bins of fixed, bins of moving) and the histogram of each image."""
    joint, first, second = fixed.new_zeros(bins, bins), fixed.new_zeros(bins), fixed.new_zeros(bins)
    part = max(1, _SHARES // bins)
    trains = torch.is_grad_enabled() and (fixed.requires_grad or moving.requires_grad)
    for a, b in zip(fixed.split(part), moving.split(part)):
        values = (
            checkpoint(_histograms, a, b, bins, form, use_reentrant=False) if trains else _histograms(a, b, bins, form)
        )
        joint, first, second = (total + each for total, each in zip((joint, first, second), values))
    return joint, first, second


def _histograms(fixed: Tensor, moving: Tensor, bins: int, form: str) -> tuple[Tensor, Tensor, Tensor]:
    shares = _spline_shares if form == "parzen" else _gaussian_shares
    a, b = shares(fixed, bins), shares(moving, bins)
    return a.T @ b, a.sum(0), b.sum(0)


# --------------------------------------------------------------------------- shares of values in bins


def _in_bins(values: Tensor, bins: int) -> Tensor:
    """Scale values to 1.5 to bins - 2.5, so that the four nearest bins exist; a constant image has one value."""
    low, high = values.detach().min(), values.detach().max()
    span = torch.where(high > low, high - low, torch.ones_like(low))
    return (values - low) / span * (bins - 4) + 1.5


def _spline_shares(values: Tensor, bins: int) -> Tensor:
    """Return the shares of the four nearest bins; computing all others, which are 0, takes six times as long."""
    second = values.detach().floor()
    after = values - second
    before = 1 - after
    near = [2 / 3 - distance.square() * (1 - distance / 2) for distance in (after, before)]
    four = torch.stack([before.pow(3) / 6, *near, after.pow(3) / 6], dim=1)
    places = second.long().clamp(1, bins - 3)[:, None] + torch.arange(-1, 3, device=values.device)  # also of NaN
    return values.new_zeros(len(values), bins).scatter(1, places, four)


def _gaussian_shares(values: Tensor, bins: int) -> Tensor:
    centres = torch.linspace(0, _COMPAT_RANGE, bins, dtype=values.dtype, device=values.device)
    return torch.exp(-0.5 * ((values[:, None] - centres) / _COMPAT_DEVIATION).square())


def _entropy(shares: Tensor) -> Tensor:
    """Return the entropy in bits of shares whose sum is 1. A share of 0 adds nothing and has no gradient."""
    return -torch.xlogy(shares, shares.clamp(min=torch.finfo(shares.dtype).tiny)).sum() / torch.log(
        shares.new_tensor(2.0)
    )


def _compat_entropy(shares: Tensor) -> Tensor:
    shares = shares / (shares.sum() + _COMPAT_EPS)
    return -(shares * torch.log2(shares + _COMPAT_EPS)).sum()


# --------------------------------------------------------------------------- checks


def _check(fixed: Tensor, moving: Tensor, bins: int, form: str) -> None:
    require_known(form, FORMS, "form of mutual information")
    least = 5 if form == "parzen" else 2
    if bins < least:
        raise ConfigError("mutual information", expected=f"at least {least} bins", found=f"{bins}", advice="use 32")
    if fixed.shape != moving.shape:
        raise DataError(
            "mutual information",
            expected="two images of one shape",
            found=f"{tuple(fixed.shape)} and {tuple(moving.shape)}",
            advice="bring both images to one grid",
        )
