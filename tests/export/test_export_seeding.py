"""Seeded logits of classes are as far apart as those of trained models."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from visionzoo.export.seeding import _Ranked, _set_range, _Spreading


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


def test_the_best_logits_of_each_image_have_scores_below_one():
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 1)
    with torch.no_grad():
        layer.weight.mul_(40)
    levels = [torch.randn(2, 4, 8, 9), torch.randn(2, 4, 4, 5)]
    assert torch.cat([layer(level).flatten() for level in levels]).sigmoid().max() == 1
    ranked = _Ranked()
    hook = layer.register_forward_hook(ranked)
    plain = [layer(level) for level in levels]
    hook.remove()
    _set_range(layer, *ranked.limits())
    found = [layer(level).detach() for level in levels]
    by_image = torch.cat([level.flatten(1) for level in found], 1)
    best = by_image.topk(100, 1).values
    assert float(best.max()) == pytest.approx(2.5, abs=1e-4)
    assert float(best.min()) == pytest.approx(-0.5, abs=1e-4)
    for before, after in zip(plain, found, strict=True):  # the order stays
        assert float(after.flatten()[before.flatten().argsort()].diff().min()) > -1e-5
