"""Common parts of heads that count by density: targets, sums over cells, and predictions.

A head predicts a map of h x w cells for an image of H x W pixels. The value of a cell is the density in people per
pixel times ``log_para``, the same for all its pixels, as if the map were enlarged by repeating cells. The map is never
enlarged: a sum over pixels is a sum over cells, weighted by the number of pixels of each cell.

Tensors: B images, M maps, h, w cells, H, W pixels of the padded batch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.errors import ConfigError
from visionzoo.layers.sample_sizes import Size, image_size, input_size, require_single_images, require_truth
from visionzoo.layers.windows import Window, cell_of_pixel
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample

# Targets are multiplied by this factor, so that their magnitude is about 1 (C-3 Framework's LOG_PARA).
LOG_PARA = 100.0


class CountingHead(BaseModule):
    """Base of heads that count people with a density map.

    Writes ``pred_count``, a float32 number, and ``pred_density``, (h, w) float32: people in each cell of a regular grid
    on the image, whose sum is ``pred_count``. Cells that cover only padding are removed, and pixels of padding do not
    count.

    ``TaskModel`` also uses ``dense`` and ``write`` to count in large images tile by tile.

    Args:
        in_strides: strides of all levels that the head receives, shallow first.
        stride: pixels per side of a cell of the density map.
        log_para: factor of the targets and divisor of the predictions, above 0.
        init_cfg: initialisation config of mmengine.

    Raises:
        ConfigError: ``log_para`` is not above 0.
    """

    def __init__(self, in_strides: Sequence[int], stride: int, log_para: float = LOG_PARA, init_cfg: Any = None):
        super().__init__(init_cfg)
        if not log_para > 0:
            raise ConfigError(
                f"{type(self).__name__}.log_para",
                expected="a number above 0",
                found=f"{log_para}",
                advice=f"use {LOG_PARA:g}",
            )
        self.in_strides, self.stride, self.log_para = tuple(in_strides), stride, log_para

    @abstractmethod
    def dense(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH, window: Window | None = None) -> Tensor:
        """Return the density times ``log_para``, (B, 1, h, w) float32, of whole images or of a window of them."""

    def write(self, dense: Tensor, samples: Sequence[TaskSample]) -> Sequence[TaskSample]:
        """Write counts and densities into the samples; ``dense`` must cover the whole (padded) images."""
        require_single_images(len(dense), samples)
        size = input_size(samples, dense.shape[2:], self.stride)
        write_density(dense[:, 0] / self.log_para, samples, size)
        return samples

    GRAPH_OUTPUTS = ("density", "count")

    def graph_outputs(self, feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> dict[str, Tensor]:
        """Return ``density`` (B, h, w), people per cell, 0 in padding, and ``count`` (B,), for an exported graph."""
        dense = self.dense(feats, batch)[:, 0] / self.log_para
        pixels = pixels_inside(dense.shape[1:], batch.inputs.shape[2:], sizes)
        people = dense.float() * pixels
        return {"density": people, "count": people.sum((1, 2))}

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """Return the samples with ``pred_count`` and ``pred_density``."""
        return self.write(self.dense(feats, batch), batch.samples)


def draw_weights(part: nn.Module, std: float | None) -> None:
    """Draw the weights of all convolutions from N(0, std), or by He's rule if ``std`` is None; set biases to 0."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            if std is None:
                nn.init.kaiming_normal_(module.weight)
            else:
                nn.init.normal_(module.weight, std=std)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


# --------------------------------------------------------------------------- truth


@dataclass(frozen=True)
class CellTruth:
    """Statistics of the truth per cell, which suffice to compute the squared error of all pixels.

    Attributes:
        pixels: (B, h, w) float32: number of pixels in each cell, without padding.
        mean: (B, h, w): mean target of these pixels; 0 in cells without pixels.
        rest: (B,): sum of squared differences of the pixels from the mean of their cell, which no prediction per cell
            can reduce.
    """

    pixels: Tensor
    mean: Tensor
    rest: Tensor

    def squared_errors(self, maps: Tensor) -> Tensor:
        """Compute the sums over pixels of (prediction - target)^2: (B, M, h, w) to (B, M)."""
        errors = self.pixels[:, None] * (maps - self.mean[:, None]).square()
        return errors.sum((2, 3)) + self.rest[:, None]


def cell_truth(target: Tensor, grid: Size, samples: Sequence[TaskSample]) -> CellTruth:
    """Compute the statistics of targets (B, H, W), 0 in padding, on a grid of (h, w) cells."""
    pixels = pixels_of_cells(grid, _size_of(target), samples).to(target.device)
    total = sum_over_cells(target, grid)
    mean = total / pixels.clamp_min(1)
    rest = (target.square().sum((1, 2)) - (total * mean).sum((1, 2))).clamp_min(0)
    return CellTruth(pixels, mean, rest)


def density_targets(samples: Sequence[TaskSample], size: Size) -> Tensor:
    """Stack ``gt_density`` of all samples to (B, H, W) float32, 0 in padding.

    Raises:
        DataError: a sample has no ``gt_density``, or one whose size differs from its image.
    """
    return torch.stack([_target_of(sample, size) for sample in samples])


def _target_of(sample: TaskSample, size: Size) -> Tensor:
    expected, truth = image_size(sample, size), sample.get("gt_density")
    load = "add a transform that makes density maps from points to the training pipeline"
    resize = "make it after the last change of the image's size"
    density = require_truth(sample, "gt_density", truth, expected, load=load, resize=resize)
    return F.pad(density.float(), (0, size[1] - expected[1], 0, size[0] - expected[0]))


# --------------------------------------------------------------------------- cells


def sum_over_cells(x: Tensor, grid: Size) -> Tensor:
    """Sum the pixels of each cell: (B, H, W) to (B, h, w).

    Example:
        >>> sum_over_cells(torch.ones(1, 4, 6), (2, 2)).tolist()
        [[[6.0, 6.0], [6.0, 6.0]]]
    """
    for dim, cells in ((1, grid[0]), (2, grid[1])):
        shape = list(x.shape)
        index, shape[dim] = cell_of_pixel(cells, shape[dim]).to(x.device), cells
        x = x.new_zeros(shape).index_add_(dim, index, x)
    return x


def pixels_of_cells(grid: Size, size: Size, samples: Sequence[TaskSample]) -> Tensor:
    """Count the pixels of each cell without padding, (B, h, w) float32 on the CPU."""
    owners = [cell_of_pixel(cells, pixels) for cells, pixels in zip(grid, size, strict=True)]
    counts = []
    for sample in samples:
        inside = image_size(sample, size)
        rows, columns = (
            owner[:length].bincount(minlength=cells) for owner, length, cells in zip(owners, inside, grid, strict=True)
        )
        counts.append(rows[:, None] * columns)
    return torch.stack(counts).float()


def pixels_inside(grid: Sequence[int], size: Sequence[int], sizes: Tensor) -> Tensor:
    """Count the pixels of each cell without padding, for sizes that are only known when a graph runs.

    Args:
        grid: (h, w) of the map.
        size: (H, W) of the padded batch.
        sizes: (B, 2) int64, height and width of each image.

    Returns:
        (B, h, w) float32, the same as :func:`pixels_of_cells`.

    Example:
        >>> pixels_inside((2, 2), (4, 6), torch.tensor([[3, 6]])).tolist()
        [[[6.0, 6.0], [3.0, 3.0]]]
    """
    counts = []
    for axis in (0, 1):
        cells, pixels = grid[axis], size[axis]
        edges = (torch.arange(cells + 1, device=sizes.device) * pixels + cells - 1) // cells
        inside = torch.minimum(edges[None], sizes[:, axis : axis + 1])
        counts.append(inside[:, 1:] - inside[:, :-1])
    return (counts[0][:, :, None] * counts[1][:, None, :]).float()


def write_density(density: Tensor, samples: Sequence[TaskSample], size: Size) -> None:
    """Write ``pred_count`` and ``pred_density`` into the samples.

    Args:
        density: (B, h, w), people per pixel.
        samples: one sample per image.
        size: (H, W) of the padded batch.
    """
    grid = (density.shape[1], density.shape[2])
    people = density.float() * pixels_of_cells(grid, size, samples).to(density.device)
    last = [cell_of_pixel(cells, pixels) for cells, pixels in zip(grid, size, strict=True)]
    for cells, sample in zip(people, samples, strict=True):
        height, width = image_size(sample, size)
        sample.pred_density = cells[: int(last[0][height - 1]) + 1, : int(last[1][width - 1]) + 1].clone()
        sample.pred_count = sample.pred_density.sum()


# --------------------------------------------------------------------------- samples


def _size_of(x: Tensor) -> Size:
    return x.shape[-2], x.shape[-1]
