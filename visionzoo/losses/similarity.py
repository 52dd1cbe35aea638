"""Losses of image pairs: the lower, the more similar the fixed and the warped image.

Each takes ``loss(fixed, moved)``, (B, C, *S) each, and returns one number: the mean over the batch, multiplied by
``loss_weight``. Both images get gradients. Half precision is computed in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visionzoo.allowed import Few, Positive, Weight
from visionzoo.errors import DataError, require_known
from visionzoo.ops.local_correlation import local_correlation
from visionzoo.ops.mutual_information import FORMS, mutual_information
from visionzoo.registry import MODELS

_GLOBAL_EPS = 1e-8


@MODELS.register_module()
class GlobalNCC(nn.Module):
    """Negative normalised cross-correlation of the whole images, -1 for images that are linear in each other.

    Args:
        loss_weight: factor of the loss.

    Example:
        >>> image = torch.arange(12.0).reshape(1, 1, 3, 4)
        >>> GlobalNCC()(image, 5 + 2 * image)
        tensor(-1.)
    """

    def __init__(self, loss_weight: Weight = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, fixed: Tensor, moved: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Raises:
            DataError: the images have different shapes.
        """
        return -self.loss_weight * global_correlation(fixed, moved).mean()


def global_correlation(fixed: Tensor, moving: Tensor) -> Tensor:
    """Return the normalised cross-correlation of each pair, over all voxels.

    Args:
        fixed, moving: (B, C, *S).

    Returns:
        (B,), from -1 to 1; 0 if one image is constant.

    Raises:
        DataError: the images have different shapes.

    Example:
        >>> global_correlation(torch.eye(3)[None], -torch.eye(3)[None])
        tensor([-1.])
    """
    first, second = (_deviations(each.flatten(1)) for each in _precise(fixed, moving))
    spread = first.square().sum(1) * second.square().sum(1)
    smallest = torch.finfo(spread.dtype).tiny  # the root of 0 has no gradient
    return (first * second).sum(1) / (spread.clamp(min=smallest).sqrt() + _GLOBAL_EPS)


def _deviations(values: Tensor) -> Tensor:
    """Return the deviations from the mean of each row (B, N); exact zeros for a row that is constant up to rounding."""
    deviations = values - values.mean(1, keepdim=True)
    rounding = 4 * torch.finfo(values.dtype).eps * values.detach().abs().amax(1, keepdim=True)
    return deviations * (deviations.detach().abs().amax(1, keepdim=True) > rounding)


@MODELS.register_module()
class LocalNCC(nn.Module):
    """Negative mean of the squared correlation in a sliding window, as in VoxelMorph.

    Its value and gradients come from :func:`visionzoo.ops.local_correlation.local_correlation`.

    Args:
        window: side of the window in voxels, odd.
        eps: added to the product of the deviations; it suits values of about 0 to 1.
        loss_weight: factor of the loss.

    Example:
        >>> image = torch.rand(1, 1, 12, 15, generator=torch.Generator().manual_seed(0))
        >>> float(LocalNCC()(image, image)) < -0.99
        True
    """

    def __init__(self, window: Few = 9, eps: Positive = 1e-5, loss_weight: Weight = 1.0):
        super().__init__()
        self.window, self.eps, self.loss_weight = window, eps, loss_weight

    def forward(self, fixed: Tensor, moved: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Raises:
            ConfigError: the window is even or below 3.
            DataError: the images have different shapes.
        """
        return -self.loss_weight * local_correlation(fixed, moved, self.window, self.eps).mean()


@MODELS.register_module()
class MSE(nn.Module):
    """Mean squared difference of the images.

    Args:
        loss_weight: factor of the loss.

    Example:
        >>> MSE()(torch.zeros(1, 1, 3, 4), torch.full((1, 1, 3, 4), 2.0))
        tensor(4.)
    """

    def __init__(self, loss_weight: Weight = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, fixed: Tensor, moved: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Raises:
            DataError: the images have different shapes.
        """
        fixed, moved = _precise(fixed, moved)
        return self.loss_weight * (fixed - moved).square().mean()


@MODELS.register_module()
class MutualInformation(nn.Module):
    """Negative mutual information of the images, for images of different modalities.

    Args:
        form: ``parzen``: cubic B-splines over the range of each image. ``compat``: MICDIR's code, for values of 0 to 1.
        bins: number of bins of each image.
        normalised: True to divide twice the information by the entropies of both images.
        loss_weight: factor of the loss.

    Raises:
        UnknownName: an unknown form.

    Example:
        >>> image = torch.rand(1, 1, 12, 15, generator=torch.Generator().manual_seed(0))
        >>> float(MutualInformation()(image, 1 - image)) < -0.4
        True
    """

    def __init__(self, form: str = "parzen", bins: Few = 32, normalised: bool = True, loss_weight: Weight = 1.0):
        super().__init__()
        require_known(form, FORMS, "form of MutualInformation")
        self.form, self.bins, self.normalised, self.loss_weight = form, bins, normalised, loss_weight

    def forward(self, fixed: Tensor, moved: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Raises:
            ConfigError: too few bins.
            DataError: the images have different shapes.
        """
        information = mutual_information(fixed, moved, self.bins, self.form)
        return -self.loss_weight * (information.normalised if self.normalised else information.shared).mean()


def _precise(fixed: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
    """Return both images in float32 or float64."""
    if fixed.shape != moved.shape:
        raise DataError(
            "similarity",
            expected="two images of one shape",
            found=f"{tuple(fixed.shape)} and {tuple(moved.shape)}",
            advice="bring both images to one grid",
        )
    kind = torch.float64 if torch.float64 in (fixed.dtype, moved.dtype) else torch.float32
    return fixed.to(kind), moved.to(kind)
