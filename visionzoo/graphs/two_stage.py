"""Graph of the heads of mmdet's two-stage detectors: Faster R-CNN and Mask R-CNN.

Tensors: B images, N proposals of an image, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import roi_align

from visionzoo.graphs.form import HeadGraph, NotExportable
from visionzoo.graphs.one_stage import (
    NAMES,
    Level,
    are_wide,
    clipped,
    decoded,
    levels_of,
    probabilities,
    require_plain_nms,
    top,
)
from visionzoo.graphs.pairing import paired_boxes
from visionzoo.graphs.suppression import suppressed
from visionzoo.structures.batch import Batch


def two_stage_graph(detector: Any) -> HeadGraph:
    """Return the graph of a region proposal network and one second stage of boxes, and of masks.

    The masks, (B, N, h, w), are probabilities over the boxes; they are pasted into the image outside the graph.

    Args:
        detector: holds the heads as ``rpn_head`` and ``roi_head``.

    Raises:
        NotExportable: a part of the heads has no form here.
    """
    _check(detector)
    rpn, roi = detector.rpn_head, detector.roi_head
    proposals_cfg = rpn.test_cfg

    def compute(feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> Mapping[str, Tensor]:
        boxes, is_there = _proposals(rpn, proposals_cfg, levels_of(rpn, rpn(tuple(feats))), sizes)
        read = _regions(roi.bbox_roi_extractor, feats, boxes)
        if roi.with_shared_head:
            read = roi.shared_head(read)
        logits, deltas = roi.bbox_head(read)
        found = _results(roi.bbox_head, roi.test_cfg, boxes, is_there, logits, deltas, sizes)
        outputs = dict(zip(NAMES, found, strict=True))
        return {**outputs, "masks": _masks(roi, feats, found[0], found[2])} if roi.with_mask else outputs

    pair = partial(paired_boxes, overlap=roi.test_cfg.nms["iou_threshold"])
    if not roi.with_mask:
        return HeadGraph(NAMES, compute, pair)
    settings = {"mask_threshold": roi.test_cfg.mask_thr_binary}
    return HeadGraph((*NAMES, "masks"), compute, pair, settings)


def _check(detector: Any) -> None:
    roi = detector.roi_head
    if type(roi).__name__ != "StandardRoIHead":
        raise NotExportable(f"roi_head ({type(roi).__name__}): the exporter has the form of StandardRoIHead only")
    extractors = [roi.bbox_roi_extractor, *([roi.mask_roi_extractor] if roi.with_mask else [])]
    if any(type(each).__name__ != "SingleRoIExtractor" for each in extractors):
        raise NotExportable("bbox_roi_extractor: the exporter has the form of SingleRoIExtractor only")
    if roi.with_mask and not hasattr(roi.mask_head, "graph_masks") and type(roi.mask_head).__name__ != "FCNMaskHead":
        raise NotExportable(f"mask_head ({type(roi.mask_head).__name__}): the exporter has no form of it")
    require_plain_nms(detector.rpn_head.test_cfg)
    require_plain_nms(roi.test_cfg)


def _proposals(head: Any, cfg: Any, levels: Sequence[Level], sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the proposals, (B, N, 4), and which of them exist, (B, N) bool."""
    parts = []
    for index, level in enumerate(levels):
        score, anchor = top(probabilities(head, level.logits).flatten(1), cfg.get("nms_pre", -1))
        deltas = level.deltas.gather(1, anchor[..., None].expand(-1, -1, 4))
        boxes = clipped(decoded(head.bbox_coder, level.priors[anchor], deltas), sizes)
        parts.append((boxes, score, torch.full_like(anchor, index)))
    boxes, score, label = (torch.cat(part, 1) for part in zip(*parts, strict=True))
    found, _, kept = suppressed(
        boxes,
        score,
        label,
        classes=len(levels),
        extent=sizes.max().to(boxes.dtype),
        threshold=-1.0,
        overlap=cfg.nms["iou_threshold"],
        most=cfg.max_per_img,
        valid=are_wide(boxes, cfg),
    )
    return found, kept >= 0


def _regions(extractor: Any, feats: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Return the features of all boxes, (B * N, C, h, w), each from the level that its size chooses."""
    flat = boxes.flatten(0, 1)
    image = torch.arange(boxes.shape[0], device=boxes.device)[:, None].expand(-1, boxes.shape[1]).reshape(-1, 1)
    rois = torch.cat([image.to(boxes.dtype), flat], 1)
    side = ((flat[:, 2] - flat[:, 0]) * (flat[:, 3] - flat[:, 1])).clamp(min=0).sqrt()
    level = torch.floor(torch.log2(side / extractor.finest_scale + 1e-6))
    level = level.clamp(0, len(extractor.roi_layers) - 1)
    read = None
    for index, layer in enumerate(extractor.roi_layers):
        own = roi_align(
            feats[index], rois, layer.output_size, layer.spatial_scale, max(layer.sampling_ratio, 0), layer.aligned
        )
        chosen = (level == index)[:, None, None, None]
        read = torch.where(chosen, own, 0.0 if read is None else read)
    if read is None:
        raise NotExportable("bbox_roi_extractor: it has no level")
    return read


def _results(
    head: Any, cfg: Any, boxes: Tensor, is_there: Tensor, logits: Tensor, deltas: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes, scores and labels after the suppression of the second stage."""
    images, count = boxes.shape[:2]
    scores = logits.softmax(-1)[:, :-1]
    classes = scores.shape[1]
    values = deltas.reshape(-1, 1, 4) if head.reg_class_agnostic else deltas.reshape(-1, classes, 4)
    found = decoded(head.bbox_coder, boxes.reshape(-1, 1, 4), values).expand(-1, classes, 4)
    found = clipped(found.reshape(images, count * classes, 4), sizes)
    score = scores.reshape(images, count * classes)
    label = torch.arange(classes, device=score.device).repeat(count)[None].expand(images, -1)
    there = is_there[:, :, None].expand(-1, -1, classes).reshape(images, -1)
    return suppressed(
        found,
        score,
        label,
        classes=classes,
        extent=sizes.max().to(found.dtype),
        threshold=cfg.score_thr,
        overlap=cfg.nms["iou_threshold"],
        most=cfg.max_per_img if cfg.max_per_img > 0 else math.prod(score.shape[1:]),
        valid=there,
    )


def _masks(roi: Any, feats: Sequence[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
    """Return the masks of the results, (B, N, h, w), probabilities over each box."""
    logits = roi.mask_head(_regions(roi.mask_roi_extractor, feats, boxes))
    head = roi.mask_head
    maps = head.graph_masks(logits) if hasattr(head, "graph_masks") else logits.sigmoid()
    label = torch.zeros_like(labels) if getattr(head, "class_agnostic", False) else labels.clamp(min=0)
    index = label.reshape(-1, 1, 1, 1).expand(-1, 1, maps.shape[2], maps.shape[3])
    return maps.gather(1, index).reshape(boxes.shape[0], boxes.shape[1], maps.shape[2], maps.shape[3])
