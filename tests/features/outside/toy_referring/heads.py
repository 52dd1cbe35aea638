"""The map of a phrase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch


@MODELS.register_module()
class ToyPhraseHead(nn.Module):
    """Compute logits from the products of features and a phrase."""

    def __init__(self, in_channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, feats: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return logits, (B, H, W)."""
        return torch.einsum("bchw,bc->bhw", feats[0], batch.text.states[:, 0]) + self.bias

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        truth = torch.stack([sample.gt_map.float() / 255 for sample in batch.samples])
        return {"loss_map": nn.functional.binary_cross_entropy_with_logits(self(feats, batch), truth)}

    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Any:
        for sample, logits in zip(batch.samples, self(feats, batch), strict=True):
            sample.set_field(logits.sigmoid(), "pred_map")
        return batch.samples
