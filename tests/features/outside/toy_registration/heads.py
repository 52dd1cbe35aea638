"""The shift of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch


@MODELS.register_module()
class ToyShiftHead(nn.Module):
    """Compute the shift in voxels from the difference of the two feature maps of a pair."""

    def __init__(self, in_channels: int):
        super().__init__()
        self.layer = nn.Linear(in_channels, 1)

    def forward(self, feats: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return shifts, (B,)."""
        both = feats[0].unflatten(0, (-1, 2)).mean(dim=(3, 4)).diff(dim=1).abs().mean(dim=(1, 3))
        return self.layer(both)[:, 0] + (batch.pairs().fixed - batch.pairs().moving).abs().mean(dim=(1, 2, 3, 4))

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        truth = torch.stack([sample.gt_shift for sample in batch.samples])
        return {"loss_shift": (self(feats, batch) - truth).abs().mean()}

    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Any:
        pairs = batch.pairs()
        for sample, shift, fixed, moving in zip(batch.samples, self(feats, batch), *pairs, strict=True):
            sample.set_field(shift, "pred_shift")
            sample.set_field((fixed - moving)[0, fixed.shape[1] // 2].abs(), "pred_difference")
        return batch.samples
