"""Form of mmdet's two-stage detectors of boxes: Faster R-CNN.

Tensors: B images, N proposals of an image, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from visionzoo.graphs.form import ImageForm, NotExportable
from visionzoo.graphs.one_stage import NAMES, Level, clipped, decoded, levels_of, require_plain_nms, top
from visionzoo.graphs.suppression import paired_boxes, suppressed


def two_stage_form(model: nn.Module) -> ImageForm:
    """Return the form of a detector with a region proposal network and one second stage of boxes.

    Raises:
        NotExportable: it predicts masks, or a part of it has no form here.
    """
    detector: Any = model
    _check(detector)
    rpn, roi = detector.rpn_head, detector.roi_head
    proposals_cfg = rpn.test_cfg

    def compute(images: Tensor, sizes: Tensor) -> Mapping[str, Tensor]:
        feats = detector.extract_feat(images)
        boxes, is_there = _proposals(rpn, proposals_cfg, levels_of(rpn, rpn(feats)), sizes)
        read = _regions(roi.bbox_roi_extractor, feats, boxes)
        if roi.with_shared_head:
            read = roi.shared_head(read)
        logits, deltas = roi.bbox_head(read)
        found = _results(roi.bbox_head, roi.test_cfg, boxes, is_there, logits, deltas, sizes)
        return dict(zip(NAMES, found, strict=True))

    return ImageForm(model, compute, NAMES, paired_boxes)


def _check(detector: Any) -> None:
    roi = detector.roi_head
    if type(roi).__name__ != "StandardRoIHead":
        raise NotExportable(f"roi_head ({type(roi).__name__}): the exporter has the form of StandardRoIHead only")
    if roi.with_mask:
        raise NotExportable("mask_head: masks of boxes are pasted into the image by a loop that no graph has")
    if type(roi.bbox_roi_extractor).__name__ != "SingleRoIExtractor":
        raise NotExportable("bbox_roi_extractor: the exporter has the form of SingleRoIExtractor only")
    require_plain_nms(detector.rpn_head.test_cfg)
    require_plain_nms(roi.test_cfg)


def _proposals(head: Any, cfg: Any, levels: Sequence[Level], sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the proposals, (B, N, 4), and which of them exist, (B, N) bool."""
    parts = []
    for index, level in enumerate(levels):
        scores = level.logits.sigmoid() if head.use_sigmoid_cls else level.logits.softmax(-1)[..., :-1]
        score, anchor = top(scores.flatten(1), cfg.get("nms_pre", -1))
        deltas = level.deltas.gather(1, anchor[..., None].expand(-1, -1, 4))
        boxes = clipped(decoded(head.bbox_coder, level.priors[anchor], deltas), sizes)
        parts.append((boxes, score, torch.full_like(anchor, index)))
    boxes, score, label = (torch.cat(part, 1) for part in zip(*parts, strict=True))
    wide = (boxes[..., 2:] - boxes[..., :2] > cfg.get("min_bbox_size", -1)).all(-1)
    found, _, kept = suppressed(
        boxes,
        score,
        label,
        classes=len(levels),
        extent=sizes.max().to(boxes.dtype),
        threshold=-1.0,
        overlap=cfg.nms["iou_threshold"],
        most=cfg.max_per_img,
        valid=wide,
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
