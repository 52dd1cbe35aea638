"""NASNet-A written out operation by operation from the paper's figures, as a reference for tests and timings.

The input is a state dict with our names and images; the output is all states. Every branch applies its own ReLU and
its own TensorFlow SAME padding and pooling. Branches share nothing, and no code is shared with our cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Formulas:
    """Weights of the network and the settings that the figures leave open.

    Attributes:
        state: tensors by our names.
        num_cells: number of normal cells.
        eps: epsilon of the norms.
        skips: if true, the first cell after a reduction reads the reduction's first input as its second state.
    """

    state: Mapping[str, Tensor]
    num_cells: int
    eps: float = 1e-3
    skips: bool = False

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return every state, before any ReLU, by the name of its cell."""
        is_cifar = "cell_stem_0.cur.conv.weight" not in self.state
        image = F.pad(image, (1, 1, 1, 1)) if is_cifar else image
        x = F.conv2d(image, self.state["conv0.conv.weight"], stride=1 if is_cifar else 2)
        maps: dict[str, Tensor] = {"conv0": self.norm(x, "conv0.bn")}
        if not is_cifar:
            maps["cell_stem_0"] = self.reduction_cell(maps["conv0"], None, "cell_stem_0")
            maps["cell_stem_1"] = self.reduction_cell(maps["cell_stem_0"], maps["conv0"], "cell_stem_1")
        for number in range(self.num_cells):
            states = list(maps.values())
            if number in (self.num_cells // 3, 2 * self.num_cells // 3):
                name = f"reduction_cell_{int(number > self.num_cells // 3)}"
                maps[name] = self.reduction_cell(states[-1], states[-2], name)
                prev = states[-2] if self.skips else states[-1]
            else:
                prev = states[-2] if len(states) > 1 else None
            maps[f"cell_{number}"] = self.normal_cell([*maps.values()][-1], prev, f"cell_{number}")
        return maps

    # ------------------------------------------------------------------- cells

    def normal_cell(self, cur: Tensor, prev: Tensor | None, name: str) -> Tensor:
        cur, prev = self.prepared(cur, prev, name)
        nodes = [
            self.separable(cur, f"{name}.node_0_left", 1) + self.separable(prev, f"{name}.node_0_right", 1),
            self.separable(prev, f"{name}.node_1_left", 1) + self.separable(prev, f"{name}.node_1_right", 1),
            average_pool(cur, 1) + self.identity(prev, f"{name}.node_2_right"),
            self.pooled(prev, f"{name}.node_3_left") + self.pooled(prev, f"{name}.node_3_right"),
            self.separable(cur, f"{name}.node_4_left", 1) + cur,
        ]
        if f"{name}.output_prev.conv.weight" in self.state:
            prev = self.conv_norm(prev, f"{name}.output_prev")
        return torch.cat([prev, *nodes], 1)

    def reduction_cell(self, cur: Tensor, prev: Tensor | None, name: str) -> Tensor:
        cur, prev = self.prepared(cur, prev, name)
        node_0 = self.separable(cur, f"{name}.node_0_left", 2) + self.separable(prev, f"{name}.node_0_right", 2)
        node_1 = max_pool(cur, 2) + self.separable(prev, f"{name}.node_1_right", 2)
        node_2 = average_pool(cur, 2) + self.separable(prev, f"{name}.node_2_right", 2)
        node_3 = node_1 + average_pool(node_0, 1)
        node_4 = self.separable(node_0, f"{name}.node_4_left", 1) + max_pool(cur, 2)
        return torch.cat([node_1, node_2, node_3, node_4], 1)

    def prepared(self, cur: Tensor, prev: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
        new = self.conv_norm(F.relu(cur), f"{name}.cur")
        if prev is None:
            return new, cur
        if f"{name}.prev.path_1.weight" in self.state:
            return new, self.factorized_reduction(F.relu(prev), f"{name}.prev")
        if f"{name}.prev.conv.weight" in self.state:
            return new, self.conv_norm(F.relu(prev), f"{name}.prev")
        return new, prev

    # ------------------------------------------------------------------- operations

    def separable(self, x: Tensor, name: str, stride: int) -> Tensor:
        for turn in (1, 2):
            depthwise = self.state[f"{name}.depthwise_{turn}.weight"]
            x = F.conv2d(
                pad(F.relu(x), depthwise.shape[-1], stride), depthwise, stride=stride, groups=depthwise.shape[0]
            )
            x = self.norm(F.conv2d(x, self.state[f"{name}.pointwise_{turn}.weight"]), f"{name}.bn_{turn}")
            stride = 1
        return x

    def factorized_reduction(self, x: Tensor, name: str) -> Tensor:
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        paths = [F.avg_pool2d(x, 1, 2), F.avg_pool2d(shifted, 1, 2)]
        halves = [F.conv2d(path, self.state[f"{name}.path_{i}.weight"]) for i, path in enumerate(paths, start=1)]
        return self.norm(torch.cat(halves, 1), f"{name}.bn")

    def identity(self, x: Tensor, name: str) -> Tensor:
        return self.conv_norm(F.relu(x), name) if f"{name}.conv.weight" in self.state else x

    def pooled(self, x: Tensor, name: str) -> Tensor:
        x = average_pool(x, 1)
        return self.conv_norm(x, name) if f"{name}.conv.weight" in self.state else x

    def conv_norm(self, x: Tensor, name: str) -> Tensor:
        return self.norm(F.conv2d(x, self.state[f"{name}.conv.weight"]), f"{name}.bn")

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            self.state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias, eps=self.eps)


def average_pool(x: Tensor, stride: int) -> Tensor:
    """Divide sums over 3x3 pixels by the number of those pixels inside the map."""
    weight = torch.ones(1, 1, 3, 3, dtype=x.dtype)
    ones = torch.ones_like(x[:1, :1])
    counts = F.conv2d(pad(ones, 3, stride), weight, stride=stride)
    sums = F.avg_pool2d(pad(x, 3, stride), 3, stride) * 9
    return sums / counts


def max_pool(x: Tensor, stride: int) -> Tensor:
    """Compute maxima over 3x3 pixels of the map."""
    return F.max_pool2d(pad(x, 3, stride, float("-inf")), 3, stride)


def pad(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pad like TensorFlow's SAME."""
    sides = []
    for length in (x.shape[3], x.shape[2]):
        total = max(((length + stride - 1) // stride - 1) * stride + kernel - length, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides, value=value)
