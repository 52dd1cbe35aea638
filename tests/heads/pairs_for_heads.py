"""Pairs of drawn images for tests of registration heads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from visionzoo.models.wiring import build_model
from visionzoo.ops.warp import warp
from visionzoo.structures.task_sample import TaskSample

BLOBS = 5
POOLS = {2: F.avg_pool2d, 3: F.avg_pool3d}


def smooth_noise(shape: tuple[int, ...], window: int, draw: torch.Generator) -> Tensor:
    """Return (B, C, *S) noise of spread 1, averaged twice in windows."""
    noise, pool = torch.randn(shape, generator=draw), POOLS[len(shape) - 2]
    for _ in range(2):
        noise = pool(noise, window, stride=1, padding=window // 2)
    return noise / noise.std()


def pairs(count: int, size: tuple[int, ...], seed: int = 0, shift: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return pairs (B, 2, *S) of blobs and a smooth field, and label maps (B, 1, *S) of the fixed and moving images."""
    draw, axes = torch.Generator().manual_seed(seed), len(size)
    grid = torch.stack(torch.meshgrid(*(torch.arange(side) for side in size), indexing="ij"))
    labels = torch.zeros(count, 1, *size)
    for row in range(count):
        for label in range(1, BLOBS + 1):
            centre = torch.rand(axes, generator=draw) * (torch.tensor(size) - 12) + 6
            inside = (grid - centre.reshape(-1, *[1] * axes)).square().sum(0) < 4.5**2
            labels[row, 0, inside] = label
    moving = labels / BLOBS + 0.05 * smooth_noise(tuple(labels.shape), 3, draw)
    field = shift * smooth_noise((count, axes, *size), 11, draw)
    fixed, moved = warp(moving, field), warp(labels, field, mode="nearest")
    return torch.cat([fixed, moving], 1), moved, labels


def mean_dice(first: Tensor, second: Tensor) -> float:
    """Return the mean Dice of all blobs that are in either map."""
    scores = []
    for label in range(1, BLOBS + 1):
        a, b = ((each == label).flatten(1).float() for each in (first, second))
        both = a.sum(1) + b.sum(1)
        scores.append((2 * (a * b).sum(1) / both)[both > 0])
    return float(torch.cat(scores).mean())


def model_of(backbone: dict, head: dict) -> torch.nn.Module:
    """Return a model with weights drawn from one seed."""
    torch.manual_seed(0)
    return build_model({"type": "TaskModel", "backbone": backbone, "head": head})


def samples_of(images: Tensor) -> list[TaskSample]:
    """Return one sample per pair, without padding."""
    return [TaskSample(metainfo={"img_shape": tuple(images.shape[2:])}) for _ in images]


def trained(model: torch.nn.Module, images: Tensor, steps: int, rate: float = 1e-3) -> list[float]:
    """Train with Adam on one batch, and return the losses."""
    optimizer, totals = torch.optim.Adam(model.parameters(), rate), []
    model.train()
    for _ in range(steps):
        total = sum(model(images, samples_of(images), mode="loss").values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    return totals


def predicted(model: torch.nn.Module, images: Tensor) -> list[TaskSample]:
    """Return the samples with predictions."""
    return model.eval()(images, samples_of(images), mode="predict")
