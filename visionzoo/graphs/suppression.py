"""Non-maximum suppression inside a graph, for a batch of images and any number of boxes.

Shapes depend on the input only where boxes are below the threshold. Tensors: B images, N candidates of each image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.ops import nms


def suppressed(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    *,
    classes: int,
    extent: Tensor | float,
    threshold: float,
    overlap: float,
    most: int,
    valid: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Suppress boxes that overlap a better box of the same image and label.

    Each pair of image and label has its own cell of a grid, so one suppression is enough. The grid is as compact as
    possible, because the rounding of coordinates grows with the distance from the origin.

    Args:
        boxes: (B, N, 4) xyxy in pixels, between 0 and ``extent``.
        scores: (B, N).
        labels: (B, N) int64, 0 to ``classes`` - 1.
        classes: number of labels.
        extent: largest coordinate.
        threshold: boxes whose score is not higher are dropped.
        overlap: boxes with a higher IoU are suppressed.
        most: number of results of an image.
        valid: (B, N) bool, candidates that count; None for all.

    Returns:
        The ``most`` best results of each image: boxes (B, most, 4), scores (B, most) and labels (B, most). Absent
        results have score 0 and label -1.

    Example:
        >>> boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 5], [0, 0, 4, 4]]])
        >>> scores, labels = torch.tensor([[0.5, 0.9, 0.4]]), torch.tensor([[0, 0, 1]])
        >>> found = suppressed(
        ...     boxes, scores, labels, classes=2, extent=5, threshold=0.1, overlap=0.5, most=3
        ... )
        >>> found[1].tolist(), found[2].tolist()
        ([[0.8999999761581421, 0.4000000059604645, 0.0]], [[0, 1, -1]])
    """
    images, count = scores.shape
    is_candidate = scores > threshold
    if valid is not None:
        is_candidate = is_candidate & valid
    chosen = torch.nonzero(is_candidate.reshape(-1)).squeeze(1)
    columns = math.ceil(math.sqrt(classes))
    rows = math.ceil(classes / columns)
    image = torch.arange(images, device=scores.device)[:, None]
    down = image * rows + labels // columns
    cell = torch.stack([labels % columns, down, labels % columns, down], -1).to(boxes.dtype)
    apart = (boxes + cell * (extent + 1)).reshape(-1, 4)[chosen]
    kept = chosen[nms(apart, scores.reshape(-1)[chosen], overlap)]
    is_kept = torch.zeros_like(scores.reshape(-1)).index_fill(0, kept, 1.0).reshape(images, count)
    ranked = torch.where(is_kept > 0, scores, torch.full_like(scores, -1.0))
    return best(boxes, ranked, labels, most)


def best(boxes: Tensor, ranked: Tensor, labels: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ``most`` candidates with the highest ``ranked``, of which negative ones are absent."""
    missing = most - ranked.shape[1]
    padded = torch.nn.functional.pad(ranked, (0, most), value=-1.0) if missing != 0 else ranked
    score, index = padded.topk(most, 1)
    index = index.clamp(max=ranked.shape[1] - 1)
    box = boxes.gather(1, index[..., None].expand(-1, -1, 4))
    is_absent = score < 0
    label = torch.where(is_absent, torch.full_like(index, -1), labels.gather(1, index))
    return torch.where(is_absent[..., None], 0.0, box), score.clamp(min=0), label
