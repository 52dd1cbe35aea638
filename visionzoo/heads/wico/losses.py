"""Losses of the mask of a phrase."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Positive, Weight
from visionzoo.errors import ConfigError, require_known
from visionzoo.registry import MODELS

KINDS = ("cross_entropy", "dice")


@MODELS.register_module()
class PhraseMaskLoss(nn.Module):
    """Loss of the two logits of each pixel, background and object.

    Args:
        kind: ``cross_entropy``, with one weight per class, of LAVT's first release; ``dice``, the mean over images and
            both classes of the dice loss, as the later release is described. Its code is not published, so its details
            are our choice.
        class_weights: weights of background and object, for ``cross_entropy``. The sum of weighted losses is divided by
            the sum of the weights of all pixels.
        smooth: added to both parts of the fraction of ``dice``, so that an absent class is a correct one.
        loss_weight: factor of the loss.

    Raises:
        ConfigError: not two weights, or a number out of its range.
        UnknownName: an unknown ``kind``.

    Example:
        >>> masks = torch.tensor([[[True, False]]])
        >>> logits = torch.tensor([[[[-9.0, 9.0]], [[9.0, -9.0]]]])
        >>> [round(PhraseMaskLoss(kind)(logits, masks).item(), 3) for kind in KINDS]
        [0.0, 0.0]
    """

    PART_OF = "LAVTHead"

    def __init__(
        self,
        kind: str = "cross_entropy",
        class_weights: Sequence[Positive] = (0.9, 1.1),
        smooth: Positive = 1.0,
        loss_weight: Weight = 1.0,
    ):
        super().__init__()
        require_known(kind, KINDS, "kind of PhraseMaskLoss")
        if len(class_weights) != 2:
            raise ConfigError(
                "PhraseMaskLoss.class_weights",
                expected="two weights, of background and object",
                found=f"{list(class_weights)}",
                advice="use (0.9, 1.1)",
            )
        self.kind, self.smooth, self.loss_weight = kind, smooth, loss_weight
        self.class_weights = tuple(class_weights)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Return a scalar.

        Args:
            logits: (B, 2, H, W); half precision is converted to float32.
            masks: (B, H, W) bool, True for the object.
        """
        logits = logits.float()
        if self.kind == "cross_entropy":
            return self.loss_weight * F.cross_entropy(logits, masks.long(), logits.new_tensor(self.class_weights))
        truth = torch.stack([~masks, masks], 1).float()
        return self.loss_weight * dice_loss(logits.softmax(1), truth, self.smooth)


def dice_loss(found: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """Return the mean of 1 - (2 |A B| + s) / (|A| + |B| + s) over maps (..., H, W) in [0, 1]."""
    common, total = (found * truth).sum((-2, -1)), found.sum((-2, -1)) + truth.sum((-2, -1))
    return (1 - (2 * common + smooth) / (total + smooth)).mean()
