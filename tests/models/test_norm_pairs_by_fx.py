"""The pairs of convolutions and norms are those that torch.fx finds by tracing every module."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest
from torch import nn
from torch.fx import Tracer

from visionzoo.models.norm_pairs import CONVS, NORMS, _seen_neighbours
from visionzoo.models.wiring import build_model

BACKBONES = {
    "mmdet.ResNet": dict(type="mmdet.ResNet", depth=50),
    "mmdet.CSPDarknet": dict(type="mmdet.CSPDarknet", deepen_factor=0.33, widen_factor=0.25),
    "mmdet.HRNet": dict(
        type="mmdet.HRNet",
        extra=dict(
            stage1=dict(num_modules=1, num_branches=1, block="BOTTLENECK", num_blocks=(1,), num_channels=(16,)),
            stage2=dict(num_modules=1, num_branches=2, block="BASIC", num_blocks=(1, 1), num_channels=(8, 16)),
            stage3=dict(num_modules=1, num_branches=3, block="BASIC", num_blocks=(1,) * 3, num_channels=(8, 16, 32)),
            stage4=dict(
                num_modules=1, num_branches=4, block="BASIC", num_blocks=(1,) * 4, num_channels=(8, 16, 32, 64)
            ),
        ),
    ),
    "timm.resnet18": dict(type="timm.resnet18"),
    "timm.mobilenetv3_small_050": dict(type="timm.mobilenetv3_small_050"),
    "timm.ese_vovnet19b_dw": dict(type="timm.ese_vovnet19b_dw"),
    "NASNet": dict(type="NASNet", variant="tiny"),
    "BossNet": dict(type="BossNet", variant="tiny"),
    "EfficientNetLite": dict(type="EfficientNetLite", variant="tiny"),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_the_same_neighbours_as_by_tracing(name):
    model = build_model(dict(type="TaskModel", backbone=BACKBONES[name], head=dict(type="ClassificationHead")))
    parts = [part for part in model.modules() if any(isinstance(child, NORMS) for child in part.children())]

    found = {pair for part in parts for pair in pairs_in(_seen_neighbours(part))}

    assert found == {pair for part in parts for pair in pairs_in(traced_neighbours(part))}
    assert found


def pairs_in(neighbours):
    return {(conv, norm) for conv, norm in neighbours if isinstance(conv, CONVS) and isinstance(norm, NORMS)}


class Calls(Tracer):
    """Tracer of one module that does not look into the modules inside it."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return True


def traced_neighbours(part: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    parameters = inspect.signature(part.forward).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    try:
        nodes = Calls().trace(part, defaults or None).nodes
    except Exception:  # as in the code under test, what cannot be traced proves nothing
        return []
    times = Counter(node.target for node in nodes if node.op == "call_module")
    pairs = [(node, *node.users) for node in nodes if len(node.users) == 1]
    called = [pair for pair in pairs if all(node.op == "call_module" and times[node.target] == 1 for node in pair)]
    return [(part.get_submodule(first.target), part.get_submodule(second.target)) for first, second in called]
