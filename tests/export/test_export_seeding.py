"""Seeded logits of classes are as far apart as those of trained models."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from visionzoo.export.seeding import _Spreading


@pytest.mark.parametrize("layer", [nn.Linear(8, 3), nn.Conv2d(8, 3, 1)], ids=["linear", "conv"])
def test_the_first_call_scales_the_weight(layer):
    torch.manual_seed(0)
    inputs = 0.01 * torch.randn(40, 8, *(3, 3)[: layer.weight.ndim - 2])
    plain = layer(inputs)
    layer.register_forward_hook(_Spreading())
    found, again = layer(inputs), layer(inputs)
    assert plain.transpose(0, 1).flatten(1).std(1).mean() < 0.1
    assert found.transpose(0, 1).flatten(1).std(1).mean() == pytest.approx(2.0, rel=1e-3)
    assert torch.equal(found, again)
