"""RoI max pooling (Girshick 2015, section 2.1) with bins that are not rounded to the grid.

A bin of mmcv starts at the floor and ends at the ceiling of its exact edges. The far edge of the
scaled box is (x2 + 1) * scale. torchvision rounds the box first and returns other numbers.
"""

from __future__ import annotations

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from visionzoo.ops.mmcv_ext.precision import fills_tensors, widen


@fills_tensors
def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill ``output`` with maxima and ``argmax`` with their indices.

    Args:
        input: feature map, (B, C, Hin, Win).
        rois: (R, 5), image index and xyxy in image pixels.
        output: (R, C, pooled_height, pooled_width).
        argmax: like ``output``, int32 ``y * Win + x``. A bin without pixels has index -1 and maximum 0.
        pooled_height, pooled_width: number of bins.
        spatial_scale: feature pixels per image pixel.
    """
    feats, boxes = widen(input), rois.to(widen(input).dtype)
    _, _, height, width = feats.shape
    first_y, last_y = _bins(boxes[:, 2], boxes[:, 4], pooled_height, spatial_scale, height)
    first_x, last_x = _bins(boxes[:, 1], boxes[:, 3], pooled_width, spatial_scale, width)
    best, place = _scan(feats, boxes[:, 0].long(), (first_y, last_y), (first_x, last_x))
    output.copy_(best)
    argmax.copy_(place)


@fills_tensors
def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add to ``grad_input`` (B, C, Hin, Win) the gradient of :func:`roi_pool_forward`."""
    grad = widen(grad_output).contiguous()
    grad_input += torch.ops.torchvision._roi_pool_backward(
        grad, rois.to(grad.dtype), argmax, spatial_scale, pooled_height, pooled_width, *grad_input.shape
    )


def _bins(low: Tensor, high: Tensor, count: int, scale: float, size: int) -> tuple[Tensor, Tensor]:
    """Return the first pixel and the end (exclusive) of ``count`` bins, (R, count) each; equal for an empty bin."""
    start, length = low * scale, (high + 1) * scale - low * scale
    step = torch.arange(count + 1, device=low.device)
    edges = start[:, None] + step * (length / count)[:, None]
    first = edges[:, :-1].floor().clamp(0, size).long()
    last = edges[:, 1:].ceil().clamp(0, size).long()
    return first, torch.where(length[:, None] > 0, torch.maximum(first, last), first)


def _scan(
    feats: Tensor, image: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return maxima (R, C, H, W) and their indices, comparing one pixel of each bin at a time in reading order."""
    channels_last, width = feats.permute(0, 2, 3, 1), feats.shape[3]
    tall, wide = (int((last - first).max()) if len(image) else 0 for first, last in (rows, columns))
    shape = (len(image), rows[0].shape[1], columns[0].shape[1], feats.shape[1])
    best = feats.new_full(shape, torch.finfo(feats.dtype).min)
    place = torch.full(shape, -1, device=feats.device)
    for down in range(tall):
        for right in range(wide):
            y, x = (rows[0] + down)[:, :, None], (columns[0] + right)[:, None, :]
            within = ((y < rows[1][:, :, None]) & (x < columns[1][:, None, :]))[..., None]
            y, x = y.clamp(max=feats.shape[2] - 1), x.clamp(max=width - 1)
            value = channels_last[image[:, None, None], y, x]
            higher = within & (value > best)
            best = torch.where(higher, value, best)
            place = torch.where(higher, (y * width + x)[..., None], place)
    best = torch.where(place < 0, 0, best)
    return best.permute(0, 3, 1, 2), place.permute(0, 3, 1, 2)
