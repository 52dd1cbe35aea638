"""RCNet written out formula by formula, without optimisation: the reference for tests and timings of our neck.

Input: a state dict and the backbone's maps. Output: all maps up to the output. There are five levels whose sizes halve
and round up, as in the authors' code. No code is shared with the neck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import deform_conv2d


class Stages(NamedTuple):
    """Results of the neck in order: five maps each, except for the two context vectors."""

    levels: list[Tensor]
    fused: list[Tensor]
    mixed: Tensor
    spatial: Tensor
    scale: Tensor
    outs: list[Tensor]


@dataclass
class Formulas:
    """Weights of the neck and the two settings that its formulas depend on.

    ``groups`` is that of a group norm; in ``training`` batch norms use, and update, batch statistics.
    """

    state: Mapping[str, Tensor]
    groups: int = 32
    training: bool = False

    def stages(self, inputs: Sequence[Tensor]) -> Stages:
        """Compute everything after the selection of inputs."""
        levels = self.levels(inputs)
        fused = self.reverse_pyramid(levels)
        mixed = self.shift_and_mix(self.on_grid(fused))
        spatial, scale = self.spatial_context(mixed), self.scale_context(mixed)
        return Stages(levels, fused, mixed, spatial, scale, self.add_back(fused, mixed, spatial, scale))

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return self.stages(inputs).outs

    # ------------------------------------------------------------------- levels

    def levels(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        feats = [self.norm(self.conv(x, f"lateral_convs.{i}.conv"), f"lateral_convs.{i}") for i, x in enumerate(inputs)]
        for i in range(5 - len(inputs)):
            x = self.norm(self.conv(pad(feats[-1]), f"extra_downsamples.{i}.0.conv"), f"extra_downsamples.{i}.0")
            feats.append(F.max_pool2d(x, 2, 2))
        return feats

    # ------------------------------------------------------------------- RevFP

    def reverse_pyramid(self, c: Sequence[Tensor]) -> list[Tensor]:
        p3 = self.node("RevFP.p3", [c[0], c[1]], attends=True)
        p4 = self.node("RevFP.p4", [c[1], c[2], p3], attends=True)
        p5 = self.node("RevFP.p5", [c[2], c[3], p4], attends=True)
        p6 = self.node("RevFP.p6", [c[3], c[4], p5], attends=True)
        p7 = self.node("RevFP.p7", [c[4], p6], attends=False)
        return [p3, p4, p5, p6, p7]

    def node(self, name: str, inputs: Sequence[Tensor], *, attends: bool) -> Tensor:
        x1, x2, *rest = (resize(x, inputs[0].shape[-2:]) for x in inputs)
        g1, g2 = mean_of(x1), mean_of(x2)
        if attends:
            x2 = self.attention(name, x1, x2) * x2
        w = torch.sigmoid(self.conv(torch.cat([g1, g2], 1), f"{name}.weight.0"))
        r = w * x1 + (1 - w) * x2
        for x3 in rest:
            y = self.fusing_conv(r, f"{name}.pre_fusion")
            w = torch.sigmoid(self.conv(torch.cat([mean_of(y), mean_of(x3)], 1), f"{name}.weight.1"))
            r = w * y + (1 - w) * x3
        return self.fusing_conv(r, f"{name}.post_fusion")

    def attention(self, name: str, x1: Tensor, x2: Tensor) -> Tensor:
        logits = self.conv(torch.cat([x1, x2], 1), f"{name}.spatial_weight", padding=1)
        logits = self.state[f"{name}.temp"] * x1.shape[1] ** -0.5 * logits
        batch, _, height, width = logits.shape
        return torch.softmax(logits.reshape(batch, 1, -1), -1).reshape(batch, 1, height, width) * height * width

    def fusing_conv(self, x: Tensor, name: str) -> Tensor:
        x = F.relu(x)
        if f"{name}.conv.conv_offset.weight" not in self.state:
            return self.norm(self.conv(x, f"{name}.conv", padding=1), name)
        o1, o2, m = torch.chunk(self.conv(x, f"{name}.conv.conv_offset", padding=1), 3, 1)
        weight, bias = self.state[f"{name}.conv.weight"], self.state.get(f"{name}.conv.bias")
        moved = deform_conv2d(x, torch.cat([o1, o2], 1), weight, bias, 1, 1, 1, torch.sigmoid(m))
        return self.norm(moved, name)

    # ------------------------------------------------------------------- CSN

    def on_grid(self, p: Sequence[Tensor]) -> Tensor:
        size = p[1].shape[-2:]
        maps = [F.adaptive_max_pool2d(p[0], size)]
        maps += [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in p[1:]]
        return torch.stack(maps, 1)

    def shift_and_mix(self, x: Tensor) -> Tensor:
        shifted = shift(x)
        mixed = []
        for level in range(5):
            name = f"CSN.msm.aggregation.{level}"
            y = F.relu(self.norm(self.conv(shifted[level], f"{name}.0.conv"), f"{name}.0"))
            mixed.append(self.conv(y, f"{name}.1"))
        return x + torch.stack(mixed, 1)

    def spatial_context(self, y: Tensor) -> Tensor:
        return self.context(y.mean(1), "CSN.spatialContext")

    def scale_context(self, y: Tensor) -> Tensor:
        return self.context(y.mean((3, 4)).transpose(1, 2).unsqueeze(3), "CSN.scaleContext")

    def context(self, x: Tensor, name: str) -> Tensor:
        batch, _, height, width = x.shape
        s = torch.softmax(self.conv(x, f"{name}.channel_agg").view(batch, 1, -1), -1) * height * width
        return self.conv(mean_of(x * s.view(batch, 1, height, width)), f"{name}.trans")

    def add_back(self, p: Sequence[Tensor], y: Tensor, spatial: Tensor, scale: Tensor) -> list[Tensor]:
        z = y + spatial.unsqueeze(1) + scale.unsqueeze(1)
        outs = [p[0] + F.interpolate(z[:, 0], size=p[0].shape[-2:], mode="bilinear", align_corners=False)]
        return outs + [p[i] + F.adaptive_max_pool2d(z[:, i], p[i].shape[-2:]) for i in range(1, 5)]

    # ------------------------------------------------------------------- layers

    def conv(self, x: Tensor, name: str, padding: int = 0) -> Tensor:
        return F.conv2d(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), padding=padding)

    def norm(self, x: Tensor, name: str) -> Tensor:
        s = self.state
        if f"{name}.gn.weight" in s:
            return F.group_norm(x, self.groups, s[f"{name}.gn.weight"], s[f"{name}.gn.bias"])
        if f"{name}.bn.weight" not in s:
            return x
        mean, var = s[f"{name}.bn.running_mean"], s[f"{name}.bn.running_var"]
        return F.batch_norm(x, mean, var, s[f"{name}.bn.weight"], s[f"{name}.bn.bias"], self.training, 0.1, 1e-5)


def pad(x: Tensor) -> Tensor:
    return F.pad(x, [0, x.shape[-1] % 2, 0, x.shape[-2] % 2], "replicate")


def resize(x: Tensor, size: torch.Size) -> Tensor:
    if x.shape[-2:] == size:
        return x
    if tuple(x.shape[-2:]) < tuple(size):
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    return F.max_pool2d(pad(x), 2, 2)


def mean_of(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 1)


def shift(x: Tensor) -> Tensor:
    """Shift (B, 5, C, H, W) to (5, B, C + 4 * (C // 16), H, W)."""
    part = x.shape[2] // 16
    s = torch.zeros_like(x[:, :, : 4 * part])
    for k, step in enumerate((1, -1, 2, -2)):
        for level in range(5):
            s[:, level, k * part : (k + 1) * part] = x[:, (level + step) % 5, k * part : (k + 1) * part]
    return torch.cat([s, x], 2).permute(1, 0, 2, 3, 4)
