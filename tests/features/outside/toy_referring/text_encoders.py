"""One embedding for each name of a colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from toy_referring.datasets import COLOURS
from visionzoo.registry import MODELS
from visionzoo.structures.batch import TextStates


@MODELS.register_module()
class ToyWords(nn.Module):
    """Encode phrases as (B, 1, width) states of their second word."""

    def __init__(self, width: int = 6):
        super().__init__()
        self.embedding = nn.Embedding(len(COLOURS), width)

    def forward(self, phrases: Sequence[str]) -> TextStates:
        words = torch.tensor([[COLOURS.index(phrase.split()[1])] for phrase in phrases])
        return TextStates(self.embedding(words.to(self.embedding.weight.device)), torch.ones_like(words).bool())
