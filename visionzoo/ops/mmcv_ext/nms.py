"""Non-maximum suppression: hard, soft and matched.

Convention:
    Boxes are (N, 4) xyxy in pixels, and sizes are ``x2 - x1 + offset``. ``offset`` is 0 for
    continuous coordinates. It is 1 if a box from pixel 3 to pixel 3 is one pixel wide.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from visionzoo.ops.mmcv_ext.precision import widen

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the kept boxes, (K,) int64, best score first.

    A box is dropped if its IoU with a better kept box is above the threshold.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 3], [8, 8, 9, 9]])
        >>> nms(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.5, 0).tolist()
        [1, 2]
    """
    return torchvision.ops.nms(_far_edges_moved(widen(boxes), offset), scores.to(widen(boxes).dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al. 2017, section 3): overlap lowers a score instead of dropping the box.

    Args:
        boxes: (N, 4) on the CPU.
        scores: (N,).
        dets: (N, 5). The first K rows are filled with the kept boxes and their lowered scores.
        iou_threshold: minimum IoU that lowers a score, for the naive and the linear method.
        sigma: for the gaussian method, which multiplies each score by exp(-IoU^2 / sigma).
        min_score: boxes with a lower score are dropped, except the best box.
        method: 0 naive (score 0), 1 linear (times 1 - IoU), 2 gaussian.
        offset: 0 or 1.

    Returns:
        Indices of the kept boxes, (K,) int64, in the order of their lowered scores.

    Example:
        >>> boxes, dets = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 2], [8, 8, 9, 9]]), torch.zeros(3, 5)
        >>> softnms(boxes, torch.tensor([0.75, 0.5, 0.5]), dets, 0.3, 0.5, 0.01, 1, 0).tolist()
        [0, 2, 1]
        >>> dets[:, 4].tolist()
        [0.75, 0.5, 0.25]
    """
    edges = _far_edges_moved(widen(boxes), offset)
    left, left_scores = torch.arange(len(boxes)), widen(scores).clone()
    kept: list[int] = []
    while len(left):
        best = int(left_scores.argmax())
        index = int(left[best])
        dets[len(kept), :4] = boxes[index]
        dets[len(kept), 4] = left_scores[best]
        kept.append(index)
        left_scores = left_scores * _decay(_iou(edges[index], edges[left]), iou_threshold, sigma, method)
        stays = left_scores >= min_score
        stays[best] = False
        left, left_scores = left[stays], left_scores[stays]
    return torch.tensor(kept, dtype=torch.long)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return groups of box indices: a kept box, then the boxes that it suppresses, by falling score.

    ``dets`` is (N, 5), boxes and scores. Unlike in :func:`nms`, an IoU equal to the threshold suppresses.

    Example:
        >>> nms_match(torch.tensor([[0.0, 0, 4, 4, 0.9], [8, 8, 9, 9, 0.7], [0, 0, 4, 2, 0.5]]), 0.5)
        [[0, 2], [1]]
    """
    boxes, left = widen(dets[:, :4]), dets[:, 4].argsort(descending=True)
    groups: list[list[int]] = []
    while len(left):
        keeper, others = left[0], left[1:]
        suppressed = _iou(boxes[keeper], boxes[others]) >= iou_threshold
        groups.append([int(keeper), *others[suppressed].tolist()])
        left = others[~suppressed]
    return groups


def _far_edges_moved(boxes: Tensor, offset: int) -> Tensor:
    """Add ``offset`` to x2 and y2. Areas and overlaps of the result are those of the given boxes with that offset."""
    return boxes + boxes.new_tensor([0, 0, offset, offset]) if offset else boxes


def _iou(box: Tensor, boxes: Tensor) -> Tensor:
    """Return the IoU of one box (4,) with N boxes (N, 4). It is nan for two boxes without area."""
    size = (torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])).clamp(min=0)
    shared = size.prod(1)
    return shared / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared)


def _decay(iou: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    if method == GAUSSIAN:
        return torch.exp(-iou.square() / sigma)
    lowered = torch.zeros_like(iou) if method == NAIVE else 1 - iou
    return torch.where(iou >= iou_threshold, lowered, 1.0)
