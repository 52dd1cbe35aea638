"""Losses of displacement fields: smoothness, consistency of both directions, and no folds.

Fields are (B, n, *S) in voxels, see :mod:`visionzoo.ops.warp`. Each loss returns one number: the mean over the batch,
multiplied by ``loss_weight``. Half precision is computed in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visionzoo.allowed import Weight
from visionzoo.errors import require_known
from visionzoo.ops.warp import PADDINGS, warp
from visionzoo.registry import MODELS

PENALTIES = ("l1", "l2")


@MODELS.register_module()
class Gradient(nn.Module):
    """Mean of the absolute or squared differences of neighbours, averaged over the axes.

    Args:
        penalty: ``l1`` for absolute, ``l2`` for squared differences.
        loss_weight: factor of the loss.

    Raises:
        UnknownName: an unknown penalty.

    Example:
        >>> rows = torch.arange(4.0).reshape(1, 1, 4, 1).expand(1, 2, 4, 5)
        >>> Gradient()(3 * rows)
        tensor(4.5000)
    """

    def __init__(self, penalty: str = "l2", loss_weight: Weight = 1.0):
        super().__init__()
        require_known(penalty, PENALTIES, "penalty of Gradient")
        self.penalty, self.loss_weight = penalty, loss_weight

    def forward(self, field: Tensor) -> Tensor:
        """Compute the loss of a field or velocity, (B, n, *S)."""
        steps = [each.abs() if self.penalty == "l1" else each.square() for each in _steps(field)]
        return self.loss_weight * _mean_over_axes(steps)


@MODELS.register_module()
class AntiFolding(nn.Module):
    """Penalty of neighbours that overtake each other, as in ICNet and MICDIR.

    A difference d of neighbours along any axis, in any component, folds below -1. Its penalty is ``(-d - 1) ** 3``.

    Args:
        loss_weight: factor of the loss.

    Example:
        >>> AntiFolding()(torch.zeros(1, 2, 4, 5))
        tensor(0.)
    """

    def __init__(self, loss_weight: Weight = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, field: Tensor) -> Tensor:
        """Compute the loss of a field, (B, n, *S)."""
        return self.loss_weight * _mean_over_axes([(-each - 1).relu().pow(3) for each in _steps(field)])


@MODELS.register_module()
class InverseConsistency(nn.Module):
    """Mean squared displacement of the way forth and back, in both orders, in voxels.

    A point x moves to x + forth(x), and from there by back. The sum of both displacements is zero for a pair of inverse
    fields.

    Args:
        padding: displacement outside the grid: ``zeros`` as in ICNet, or ``border``.
        loss_weight: factor of the loss.

    Raises:
        UnknownName: an unknown padding.

    Example:
        >>> shift = torch.ones(1, 2, 4, 5)
        >>> InverseConsistency("border")(shift, -shift)
        tensor(0.)
    """

    def __init__(self, padding: str = "zeros", loss_weight: Weight = 1.0):
        super().__init__()
        require_known(padding, PADDINGS, "padding of InverseConsistency")
        self.padding, self.loss_weight = padding, loss_weight

    def forward(self, forth: Tensor, back: Tensor) -> Tensor:
        """Compute the loss of two fields, (B, n, *S) each.

        Raises:
            DataError: the fields have different grids.
        """
        forth, back = _precise(forth), _precise(back)
        ways = ((forth, back), (back, forth))
        errors = [(first + warp(second, first, padding=self.padding)).square().mean() for first, second in ways]
        return self.loss_weight * (errors[0] + errors[1])


def _steps(field: Tensor) -> list[Tensor]:
    """Return the differences of neighbours along each axis that has neighbours, next minus previous."""
    field = _precise(field)
    return [field.diff(dim=axis) for axis in range(2, field.ndim) if field.shape[axis] > 1]


def _mean_over_axes(steps: list[Tensor]) -> Tensor:
    return torch.stack([each.mean() for each in steps]).mean()


def _precise(field: Tensor) -> Tensor:
    return field if field.dtype == torch.float64 else field.float()
