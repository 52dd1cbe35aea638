"""Graphs of the heads of mmdet's one-stage detectors: RetinaNet, ATSS and GFL.

Tensors: B images, A anchors of a level, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from visionzoo.graphs.form import HeadGraph, NotExportable
from visionzoo.graphs.pairing import paired_boxes
from visionzoo.graphs.suppression import suppressed
from visionzoo.structures.batch import Batch

NAMES = ("boxes", "scores", "labels")


@dataclass(frozen=True)
class Level:
    """Outputs of a head on one level: logits (B, A, K), box values (B, A, D), centerness logits (B, A) or None."""

    logits: Tensor
    deltas: Tensor
    factor: Tensor | None
    priors: Tensor
    stride: float


Decode = Callable[[Any, Tensor, Tensor, float], Tensor]


def _by_deltas(head: Any, priors: Tensor, deltas: Tensor, stride: float) -> Tensor:
    return decoded(head.bbox_coder, priors, deltas)


def _by_distances(head: Any, priors: Tensor, deltas: Tensor, stride: float) -> Tensor:
    """Decode GFL's distributions of the distances from the centre to the four edges."""
    bins = torch.linspace(0, head.reg_max, head.reg_max + 1, device=deltas.device)
    distances = (deltas.unflatten(-1, (4, head.reg_max + 1)).softmax(-1) * bins).sum(-1) * stride
    centre = (priors[..., :2] + priors[..., 2:]) / 2
    return torch.cat([centre - distances[..., :2], centre + distances[..., 2:]], -1)


# by class of the head: how it decodes boxes
DECODERS: dict[str, Decode] = {
    "RetinaHead": _by_deltas,
    "ATSSHead": _by_deltas,
    "GFLHead": _by_distances,
}


def decoded(coder: Any, priors: Tensor, deltas: Tensor) -> Tensor:
    """Decode deltas to boxes as mmdet's ``DeltaXYWHBBoxCoder`` does, without clipping them: (..., 4) to (..., 4).

    Raises:
        NotExportable: another coder.
    """
    if type(coder).__name__ != "DeltaXYWHBBoxCoder" or getattr(coder, "add_ctr_clamp", False):
        raise NotExportable(f"bbox_coder: the exporter has no form of {type(coder).__name__}")
    moves = deltas * deltas.new_tensor(coder.stds) + deltas.new_tensor(coder.means)
    side = priors[..., 2:] - priors[..., :2]
    centre = (priors[..., :2] + priors[..., 2:]) * 0.5 + side * moves[..., :2]
    limit = 4.135166556742356  # |log(16 / 1000)|
    half = side * moves[..., 2:].clamp(-limit, limit).exp() * 0.5
    return torch.cat([centre - half, centre + half], -1)


def clipped(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Move the corners of boxes (B, N, 4) into images of ``sizes`` (B, 2), height and width."""
    limit = sizes.flip(1).repeat(1, 2)[:, None].to(boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limit)


def one_stage_graph(detector: Any) -> HeadGraph:
    """Return the graph of the head of a one-stage detector, with the outputs :data:`NAMES`.

    Args:
        detector: holds the head as ``bbox_head``.

    Raises:
        NotExportable: the head has no form here.
    """
    head = detector.bbox_head
    kind = type(head).__name__
    if kind not in DECODERS:
        raise NotExportable(f"bbox_head ({kind}): the exporter has the form of {', '.join(DECODERS)} only")
    require_plain_nms(head.test_cfg)

    def compute(feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> Mapping[str, Tensor]:
        levels = levels_of(head, head(tuple(feats)))
        candidates = [_candidates(head, level, DECODERS[kind]) for level in levels]
        boxes, scores, labels = (torch.cat(part, 1) for part in zip(*candidates, strict=True))
        cfg = head.test_cfg
        boxes = clipped(boxes, sizes)
        found = suppressed(
            boxes,
            scores,
            labels,
            classes=head.cls_out_channels,
            extent=sizes.max().to(boxes.dtype),
            threshold=-1.0,
            overlap=cfg.nms["iou_threshold"],
            most=cfg.max_per_img,
            valid=are_wide(boxes, cfg) & (scores >= 0),
        )
        return dict(zip(NAMES, found, strict=True))

    return HeadGraph(NAMES, compute, partial(paired_boxes, overlap=head.test_cfg.nms["iou_threshold"]))


def require_plain_nms(cfg: Any) -> None:
    """Raise an error for another suppression than that of :func:`suppressed`.

    Raises:
        NotExportable: another type, or one suppression for all classes.
    """
    nms = cfg.nms
    if nms.get("type", "nms") != "nms" or nms.get("class_agnostic", False):
        raise NotExportable("test_cfg.nms", expected="type nms by class", found=f"{dict(nms)}", advice="use nms")


def levels_of(head: Any, outputs: tuple[Any, ...]) -> list[Level]:
    """Return the outputs of a head by level, with the anchors in front of the values."""
    logits, deltas, *factors = outputs
    generator, levels = head.prior_generator, []
    for index, (own, delta) in enumerate(zip(logits, deltas, strict=True)):
        size, anchors = own.shape[2:], generator.num_base_priors[index]
        priors = generator.single_level_grid_priors(size, index, own.dtype, own.device)
        factor = _by_anchor(factors[0][index], anchors)[..., 0] if factors else None
        stride = float(generator.strides[index][0])
        levels.append(Level(_by_anchor(own, anchors), _by_anchor(delta, anchors), factor, priors, stride))
    return levels


def _by_anchor(x: Tensor, anchors: int) -> Tensor:
    """Convert (B, A * K, h, w) to (B, h * w * A, K).

    Only axes of known size are split, because splitting h * w takes seconds while a graph of any size is recorded.
    """
    cells = x.flatten(2).transpose(1, 2)
    return cells if anchors == 1 else cells.unflatten(2, (anchors, -1)).flatten(1, 2)


def _candidates(head: Any, level: Level, decode: Decode) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best pairs of anchor and class of a level: boxes (B, n, 4), scores (B, n), labels (B, n).

    A pair whose score is not above the threshold has the score -1.
    """
    scores = probabilities(head, level.logits)
    classes = scores.shape[2]
    score, place = top(scores.flatten(1), head.test_cfg.get("nms_pre", -1))
    anchor, label = place // classes, place % classes
    values = level.deltas.gather(1, anchor[..., None].expand(-1, -1, level.deltas.shape[2]))
    boxes = decode(head, level.priors[anchor], values, level.stride)
    is_above = score > head.test_cfg.get("score_thr", 0)
    if level.factor is not None:
        score = score * level.factor.gather(1, anchor).sigmoid()
    return boxes, torch.where(is_above, score, torch.full_like(score, -1.0)), label


def probabilities(head: Any, logits: Tensor) -> Tensor:
    """Return the scores of the classes of a head, without the background: (B, A, K) of logits."""
    return logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[..., :-1]


def are_wide(boxes: Tensor, cfg: Any) -> Tensor:
    """Return which boxes (B, N, 4) are wider and higher than ``min_bbox_size`` of a head's settings, (B, N) bool."""
    return (boxes[..., 2:] - boxes[..., :2] > cfg.get("min_bbox_size", -1)).all(-1)


def top(values: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the ``most`` largest values of each row and their places; all if there are fewer, or if it is -1."""
    count = values.shape[1]
    return values.topk(count if most < 0 else torch.sym_min(most, count), 1)
