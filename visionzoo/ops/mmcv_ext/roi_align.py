"""RoIAlign (He et al. 2017, section 3) with average and max pooling of the samples in a bin.

Convention:
    ``rois`` are (R, 5): image index and xyxy in pixels of the input image. With ``aligned``,
    coordinates are shifted by half a pixel, so that pixel centres are at .5. Without it, boxes
    are at least one feature pixel wide. ``sampling_ratio`` 0 uses ceil(box / bins) samples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from visionzoo.ops.mmcv_ext.precision import fills_tensors, widen

MAX, AVG = 0, 1
LOWEST = -10000.0  # initial value of mmcv's maximum, and the value of a bin without samples


class Geometry(NamedTuple):
    """Bins of each box on the feature map. Axis 1 is (y, x)."""

    image: Tensor  # (R,) int64
    start: Tensor  # (R, 2) top left corner, feature pixels
    bin_size: Tensor  # (R, 2)
    samples: Tensor  # (R, 2) int64, samples per bin


@fills_tensors
def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output``. Max pooling also fills the positions of the sampled maxima.

    Args:
        input: feature map, (B, C, Hin, Win).
        rois: (R, 5).
        output: (R, C, aligned_height, aligned_width).
        argmax_y, argmax_x: like ``output``, in feature pixels. They are unchanged in average mode.
        aligned_height, aligned_width: number of bins.
        spatial_scale: feature pixels per image pixel.
        sampling_ratio: samples per bin along each axis, 0 for ceil(box / bins).
        pool_mode: 0 max, 1 average.
        aligned: shift coordinates by half a pixel.
    """
    feats, boxes = widen(input), rois.to(widen(input).dtype)
    bins = (aligned_height, aligned_width)
    if pool_mode == AVG:
        pooled = torch.ops.torchvision.roi_align(feats, boxes, spatial_scale, *bins, sampling_ratio, aligned)
        output.copy_(pooled)
        return
    geometry = _geometry(boxes, bins, spatial_scale, sampling_ratio, aligned)
    for samples in geometry.samples.unique(dim=0):
        chosen = (geometry.samples == samples).all(1).nonzero()[:, 0]
        best, best_y, best_x = _pool_max(feats, _rows(geometry, chosen), bins, samples.tolist())
        output[chosen] = best.to(output.dtype)
        argmax_y[chosen] = best_y.to(argmax_y.dtype)
        argmax_x[chosen] = best_x.to(argmax_x.dtype)


@fills_tensors
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add to ``grad_input`` (B, C, Hin, Win) the gradient of :func:`roi_align_forward`."""
    grad, boxes = widen(grad_output), rois.to(widen(grad_output).dtype)
    bins = (aligned_height, aligned_width)
    if pool_mode == AVG:
        grad_input += torch.ops.torchvision._roi_align_backward(
            grad, boxes, spatial_scale, *bins, *grad_input.shape, sampling_ratio, aligned
        )
    else:
        grad_input += _unpool_max(grad, boxes[:, 0].long(), widen(argmax_y), widen(argmax_x), grad_input.shape)


def _geometry(
    rois: Tensor, bins: tuple[int, int], spatial_scale: float, sampling_ratio: int, aligned: bool
) -> Geometry:
    shift = 0.5 if aligned else 0.0
    start = rois[:, [2, 1]] * spatial_scale - shift
    size = rois[:, [4, 3]] * spatial_scale - shift - start
    if not aligned:
        size = size.clamp(min=1)
    bin_size = size / size.new_tensor(bins)
    samples = torch.full_like(bin_size, sampling_ratio) if sampling_ratio > 0 else bin_size.ceil().clamp(min=0)
    return Geometry(rois[:, 0].long(), start, bin_size, samples.long())


def _rows(geometry: Geometry, chosen: Tensor) -> Geometry:
    return Geometry(*(column[chosen] for column in geometry))


def _pool_max(
    feats: Tensor, geometry: Geometry, bins: tuple[int, int], samples: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return maxima (R, C, H, W) and their y and x, for boxes with the same number of samples per bin.

    One sample of each bin is processed at a time, so memory does not grow with the number of samples.
    """
    channels_last = feats.permute(0, 2, 3, 1)
    shape = (len(geometry.image), *bins, feats.shape[1])
    best = feats.new_full(shape, LOWEST)
    best_y, best_x = feats.new_full(shape, -1), feats.new_full(shape, -1)
    for step_y in range(samples[0]):
        for step_x in range(samples[1]):
            y = _sample_positions(geometry, 0, bins[0], (step_y + 0.5) / samples[0])[:, :, None]
            x = _sample_positions(geometry, 1, bins[1], (step_x + 0.5) / samples[1])[:, None, :]
            value = _interpolate(channels_last, geometry.image[:, None, None], y, x)
            higher = value > best
            best = torch.where(higher, value, best)
            best_y = torch.where(higher, y[..., None], best_y)
            best_x = torch.where(higher, x[..., None], best_x)
    return best.permute(0, 3, 1, 2), best_y.permute(0, 3, 1, 2), best_x.permute(0, 3, 1, 2)


def _sample_positions(geometry: Geometry, axis: int, count: int, part: float) -> Tensor:
    """Return coordinates (R, count) at the fraction ``part`` of each of ``count`` bins along one axis."""
    size = geometry.bin_size[:, axis, None]
    return geometry.start[:, axis, None] + torch.arange(count, device=size.device) * size + part * size


def _interpolate(channels_last: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return bilinear values (..., C) at points whose index tensors broadcast to (...)."""
    _, height, width, _ = channels_last.shape
    parts = [
        weight[..., None] * channels_last[image, row, column] for row, column, weight in _corners(y, x, height, width)
    ]
    return parts[0] + parts[1] + parts[2] + parts[3]


def _unpool_max(grad: Tensor, image: Tensor, y: Tensor, x: Tensor, shape: torch.Size) -> Tensor:
    """Distribute the gradient of each bin to the four pixels around the sample of the maximum."""
    _, channels, height, width = shape
    plane = image[:, None, None, None] * channels + torch.arange(channels, device=grad.device)[:, None, None]
    spread = grad.new_zeros(shape)
    for row, column, weight in _corners(y, x, height, width):
        index = (plane * height + row) * width + column
        spread.view(-1).index_add_(0, index.flatten(), (grad * weight).flatten())
    return spread


def _corners(y: Tensor, x: Tensor, height: int, width: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return row, column and weight of the four pixels around each point.

    Points up to one pixel outside the map read the border. The weight of points further outside is zero.
    """
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    top, bottom, down = _neighbours(y, height)
    left, right, along = _neighbours(x, width)
    return [
        (top, left, inside * (1 - down) * (1 - along)),
        (top, right, inside * (1 - down) * along),
        (bottom, left, inside * down * (1 - along)),
        (bottom, right, inside * down * along),
    ]


def _neighbours(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the next lower pixel, the next higher pixel, and the distance of a position from the lower one."""
    position = position.clamp(min=0, max=size - 1)
    below = position.long()
    return below, (below + 1).clamp(max=size - 1), position - below
