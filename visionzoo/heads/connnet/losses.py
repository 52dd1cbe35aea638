"""The losses of ConnNet and of its follow-up BiconNets."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Weight
from visionzoo.errors import require_known
from visionzoo.heads.connnet.connectivity import mask_to_connectivity, offsets_of, shift_to_partner
from visionzoo.registry import MODELS

MODES = ("paper", "bicon")
DICE_DIMS = {"image": (-2, -1), "column": (-2,)}

# Bounds of log probabilities: the lower one as in torch's binary cross-entropy; expm1 of the upper one is not 0.
_LOWEST, _HIGHEST = -100.0, -1e-30
_DICE_SMOOTH = 0.001


@MODELS.register_module()
class ConnectivityLoss(nn.Module):
    """Loss of a cube of logits against the cube of a mask.

    Args:
        mode: ``paper``: binary cross-entropy, the mean over all channels and pixels (ConnNet). ``bicon``: the same,
            plus cross-entropy of the votes of both ends, a penalty at edges where all votes are high, and cross-entropy
            and dice of the map (BiconNets, arXiv 2103.00334, as in its code).
        dice_dims: ``image``: dice per image, as intended; ``column``: dice per column, as in BiconNets' code.
        neighbours: 8 or 4.
        loss_weight: factor of all terms.

    Raises:
        UnknownName: an unknown ``mode`` or ``dice_dims``.
        ConfigError: another number of neighbours.

    Example:
        >>> import torch
        >>> loss = ConnectivityLoss(mode="bicon")
        >>> terms = loss(torch.zeros(1, 8, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool))
        >>> sorted(terms)
        ['loss_cube', 'loss_dice', 'loss_edge', 'loss_map', 'loss_vote']
    """

    PART_OF = "ConnectivityHead"

    def __init__(self, mode: str = "paper", dice_dims: str = "image", neighbours: int = 8, loss_weight: Weight = 1.0):
        super().__init__()
        require_known(mode, MODES, "mode of ConnectivityLoss")
        require_known(dice_dims, DICE_DIMS, "dice_dims of ConnectivityLoss")
        offsets_of(neighbours)
        self.mode, self.dice_dims, self.neighbours, self.loss_weight = mode, dice_dims, neighbours, loss_weight

    def forward(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Compute the weighted terms, whose sum is the loss.

        Args:
            logits: (B, N * K, H, W); half precision is converted to float32.
            masks: (B, K, H, W), bool or integers: nonzero is salient, and different numbers are different instances,
                which are not connected.

        Returns:
            ``loss_cube``; in mode ``bicon`` also ``loss_edge``, ``loss_vote``, ``loss_map`` and ``loss_dice``.
        """
        cube = mask_to_connectivity(masks, self.neighbours, instance_ids=True)
        with torch.autocast(logits.device.type, enabled=False):
            logits, target = logits.float(), cube.float()
            if self.mode == "paper":
                terms = {"loss_cube": F.binary_cross_entropy_with_logits(logits, target)}
            else:
                shape = (-1, self.neighbours, *logits.shape[2:])
                terms = self._bicon(logits.reshape(shape), target.reshape(shape), (masks != 0).flatten(0, 1).float())
        return {name: self.loss_weight * term for name, term in terms.items()}

    def _bicon(self, logits: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Compute the terms for cubes (M, N, H, W) and masks (M, H, W).

        Terms are computed in logs, because votes are products of small numbers.
        """
        log_sure = F.logsigmoid(logits)
        log_vote = (log_sure + shift_to_partner(log_sure, self.neighbours, fill=_LOWEST)).clamp(_LOWEST, _HIGHEST)
        log_map = log_vote.amax(1)
        connected = target.sum(1)
        is_edge = (connected > 0) & (connected < self.neighbours)
        edge = -_log_of_rest(log_vote.amin(1)) * is_edge
        return {
            "loss_cube": 0.8 * F.binary_cross_entropy_with_logits(logits, target),
            "loss_edge": edge.mean(),
            "loss_vote": 0.2 * _cross_entropy(log_vote, target),
            "loss_map": _cross_entropy(log_map, mask),
            "loss_dice": self._dice(log_map.exp(), mask),
        }

    def _dice(self, found: Tensor, mask: Tensor) -> Tensor:
        dims = DICE_DIMS[self.dice_dims]
        common, total = (found * mask).sum(dims), found.sum(dims) + mask.sum(dims)
        return (1 - (2 * common + _DICE_SMOOTH) / (total + _DICE_SMOOTH)).mean()


def _log_of_rest(log_prob: Tensor) -> Tensor:
    """Compute log(1 - p) from log p."""
    return torch.log(-torch.expm1(log_prob)).clamp(min=_LOWEST)


def _cross_entropy(log_prob: Tensor, target: Tensor) -> Tensor:
    return -(target * log_prob + (1 - target) * _log_of_rest(log_prob)).mean()
