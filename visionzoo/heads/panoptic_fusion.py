"""Panoptic maps, instances and semantic maps from one forward pass of a mask classifier.

A mask classifier (MaskFormer, Mask2Former, kMaX-DeepLab) predicts for each of its queries the logits of the classes and
of a mask. Two rules join them: that of mmdet's ``MaskFormerFusionHead``, and that of kMaX-DeepLab.

Tensors: B batch, Q queries, C classes (things first), H and W in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor
from torch.nn import functional as F

from visionzoo.allowed import CountOrZero, Index, Share, Steps
from visionzoo.errors import ConfigError, require_known
from visionzoo.registry import MODELS
from visionzoo.structures.arrays import as_array
from visionzoo.structures.panoptic import PanopticMap

RULES = ("mmdet", "kmax")

# mmdet's number of a pixel is its class plus this times the number of its object.
_OBJECTS = 1000

# Options of mmdet's test_cfg, and the arguments of PanopticFusion.
_OF_TEST_CFG = {
    "max_per_image": "max_per_image",
    "object_mask_thr": "class_threshold",
    "iou_thr": "overlap_threshold",
    "filter_low_score": "filter_low_score",
}
_SWITCHES = ("panoptic_on", "semantic_on", "instance_on")
_GRAPH_SETTINGS = (
    *("rule", "num_things_classes", "class_threshold", "mask_threshold", "overlap_threshold", "filter_low_score"),
    *("least_pixels", "max_per_image", "outputs"),
)


@dataclass(frozen=True)
class Fused:
    """Results of one image. Each is None if it was not requested.

    Attributes:
        panoptic: (H, W) int32 segment of each pixel, 1, 2, ... in order of acceptance, 0 for pixels without one.
        labels: class index of each segment.
        scores: class score of each segment, from 0 to 1.
        instances: ``bboxes`` (N, 4) xyxy, ``labels`` (N,), ``scores`` (N,) and ``masks`` (N, H, W) bool; things only.
        semantic: (H, W) int64 class index of each pixel.
    """

    panoptic: Tensor | None = None
    labels: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    instances: InstanceData | None = None
    semantic: Tensor | None = None

    def panoptic_map(self) -> PanopticMap | None:
        """Return the segments as a map whose categories are class indices; None if they were not requested."""
        if self.panoptic is None:
            return None
        categories = {number: (label, False) for number, label in enumerate(self.labels, start=1)}
        return PanopticMap.of_ids(as_array(self.panoptic), categories)


@MODELS.register_module()
class PanopticFusion(BaseModule):
    """Fusion of the queries of a mask classifier; it has no weights. It replaces mmdet's ``MaskFormerFusionHead``.

    The rule of mmdet gives each pixel to the query with the largest product of class and mask score, among the queries
    above a class score; a segment needs a share of its mask. That of kMaX-DeepLab gives each query, in descending order
    of class times mask score, those pixels of its mask that are still free. Both merge stuff of the same class.

    Args:
        num_things_classes, num_stuff_classes: number of classes; either may be 0.
        rule: ``mmdet`` or ``kmax``.
        class_threshold: a query needs a higher class score: a number, or one for things and one for stuff. Default: 0.8
            for ``mmdet``, (0.7, 0.2) for ``kmax``.
        mask_threshold: pixels with a higher mask score are the mask of a query. Default: 0.5 for ``mmdet``, 0.4 for
            ``kmax``.
        overlap_threshold: least share of a mask that its segment has; more than this share for ``kmax``.
        filter_low_score: for ``mmdet``, True to leave out the pixels of a segment outside of its mask.
        least_pixels: for ``kmax``, least number of free pixels of things and of stuff; 0 for any.
        max_per_image: largest number of instances before those of stuff are left out. A larger number than queries
            times classes means all of them.
        outputs: some of ``panoptic``, ``instances`` and ``semantic``.
        test_cfg: mmdet's options of a detector (``max_per_image``, ``object_mask_thr``, ``iou_thr``,
            ``filter_low_score``, ``panoptic_on``, ``instance_on``, ``semantic_on``), which replace the arguments above.
        loss_panoptic: None; the fusion has no loss.
        init_cfg: None; the fusion has no weights.

    Raises:
        UnknownName: no such rule or output.
        ConfigError: there is no class, an option of ``test_cfg`` is unknown, or a loss was requested.

    Example:
        >>> fusion = PanopticFusion(1, 1, class_threshold=0.5)
        >>> classes = torch.tensor([[5.0, 0, 0], [0, 5.0, 0]])
        >>> masks = torch.tensor([[[5.0, -5.0]], [[-5.0, 5.0]]])
        >>> fused = fusion.fuse(classes, masks)
        >>> fused.panoptic.tolist(), fused.labels, fused.semantic.tolist(), len(fused.instances)
        ([[1, 2]], [0, 1], [[0, 1]], 2)
    """

    PART_OF = "MaskFormer"
    OUTPUTS = ("panoptic", "instances", "semantic")

    def __init__(
        self,
        num_things_classes: CountOrZero = 80,
        num_stuff_classes: CountOrZero = 53,
        rule: str = "mmdet",
        class_threshold: Share | Sequence[Share] | None = None,
        mask_threshold: Share | None = None,
        overlap_threshold: Share = 0.8,
        filter_low_score: bool = False,
        least_pixels: Sequence[Index] = (0, 0),
        max_per_image: Steps = 100,
        outputs: Sequence[str] = OUTPUTS,
        test_cfg: Mapping[str, Any] | None = None,
        loss_panoptic: None = None,
        init_cfg: None = None,
    ):
        super().__init__(init_cfg)
        require_known(rule, RULES, "rule of PanopticFusion")
        for name in outputs:
            require_known(name, self.OUTPUTS, "output of PanopticFusion")
        self.num_things_classes, self.num_stuff_classes = num_things_classes, num_stuff_classes
        self.num_classes = num_things_classes + num_stuff_classes
        self._require_classes(loss_panoptic)
        self.rule, self.outputs, self.test_cfg = rule, tuple(outputs), dict(test_cfg or {})
        self.class_threshold: Any = (0.7, 0.2) if rule == "kmax" else 0.8
        self.class_threshold = self.class_threshold if class_threshold is None else class_threshold
        self.mask_threshold = mask_threshold if mask_threshold is not None else 0.4 if rule == "kmax" else 0.5
        self.overlap_threshold, self.filter_low_score = overlap_threshold, filter_low_score
        self.least_pixels, self.max_per_image = tuple(least_pixels), max_per_image
        self._read_test_cfg(self.test_cfg)

    def _require_classes(self, loss: object) -> None:
        if not self.num_classes:
            raise ConfigError(
                "PanopticFusion",
                expected="at least one class",
                found="num_things_classes=0 and num_stuff_classes=0",
                advice="write the numbers of the data set",
            )
        if loss is not None:
            raise ConfigError(
                "PanopticFusion", expected="loss_panoptic=None", found="a loss", advice="the fusion has no weights"
            )

    def _read_test_cfg(self, options: Mapping[str, Any]) -> None:
        for name in options:
            require_known(name, (*_OF_TEST_CFG, *_SWITCHES), "option of PanopticFusion's test_cfg")
        for name, argument in _OF_TEST_CFG.items():
            if name in options:
                setattr(self, argument, options[name])
        switched = dict(zip(("panoptic_on", "instance_on", "semantic_on"), self.OUTPUTS, strict=True))
        for switch, output in switched.items():
            if switch in options:
                others = tuple(each for each in self.outputs if each != output)
                self.outputs = (*others, output) if options[switch] else others

    def graph_settings(self) -> dict[str, Any]:
        """Return what :func:`visionzoo.structures.query_fusion.fused` needs for the queries of an exported graph."""
        return {name: getattr(self, name) for name in _GRAPH_SETTINGS}

    def loss(self, **inputs: Any) -> dict[str, Tensor]:
        """Return no loss."""
        return {}

    def predict(
        self,
        mask_cls_results: Tensor,
        mask_pred_results: Tensor,
        batch_data_samples: Sequence[BaseDataElement],
        rescale: bool = False,
        **unused: Any,
    ) -> list[dict[str, Any]]:
        """Fuse a batch, with the interface of mmdet.

        A sample receives ``pred_panoptic``, a :class:`PanopticMap` with class indices, ``pred_panoptic_scores`` of its
        segments, and ``pred_semantic``, (H, W) class indices, if they are requested.

        Args:
            mask_cls_results: logits of classes, (B, Q, C + 1); the last one is for "no object".
            mask_pred_results: logits of masks of the padded images, (B, Q, H, W).
            batch_data_samples: samples whose metainfo has ``img_shape``, and ``ori_shape`` if ``rescale`` is set.
            rescale: True to enlarge the masks to the size of the original image first.

        Returns:
            For each image ``pan_results``, with mmdet's numbers of pixels, and ``ins_results``, if requested.
        """
        results = []
        for classes, masks, sample in zip(mask_cls_results, mask_pred_results, batch_data_samples, strict=True):
            fused = self.fuse(classes, _unpadded(masks, sample.metainfo, rescale))
            self._write(sample, fused)
            results.append(self._in_mmdet(fused))
        return results

    def _write(self, sample: BaseDataElement, fused: Fused) -> None:
        if fused.panoptic is not None:
            sample.pred_panoptic = fused.panoptic_map()
            sample.pred_panoptic_scores = torch.tensor(fused.scores)
        if fused.semantic is not None:
            sample.pred_semantic = fused.semantic

    def _in_mmdet(self, fused: Fused) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if fused.panoptic is not None:
            is_thing = [label < self.num_things_classes for label in fused.labels]
            numbers = [self.num_classes]
            for label, thing in zip(fused.labels, is_thing, strict=True):
                numbers.append(label + _OBJECTS * (1 + sum(is_thing[: len(numbers) - 1])) if thing else label)
            table = torch.tensor(numbers, dtype=torch.int32, device=fused.panoptic.device)
            result["pan_results"] = PixelData(sem_seg=table[fused.panoptic.long()][None])
        if fused.instances is not None:
            result["ins_results"] = fused.instances
        return result

    def fuse(self, classes: Tensor, masks: Tensor) -> Fused:
        """Fuse the queries of one image.

        Args:
            classes: logits of classes, (Q, C + 1); the last one is for "no object".
            masks: logits of masks, (Q, H, W), in the size of the results.

        Raises:
            ConfigError: the logits have another number of classes.
        """
        if classes.shape[-1] != self.num_classes + 1:
            raise ConfigError(
                "PanopticFusion",
                expected=f"logits of {self.num_classes} classes and of no object",
                found=f"{classes.shape[-1]} logits",
                advice="write num_things_classes and num_stuff_classes of the head",
            )
        queries = _Queries.of(classes, masks, self.rule, float(self.mask_threshold))
        panoptic, labels, scores = self._segments(queries) if "panoptic" in self.outputs else (None, [], [])
        instances = self._instances(queries) if "instances" in self.outputs else None
        return Fused(panoptic, labels, scores, instances, queries.semantic() if "semantic" in self.outputs else None)

    def _segments(self, queries: _Queries) -> tuple[Tensor, list[int], list[float]]:
        return self._by_kmax(queries) if self.rule == "kmax" else self._by_mmdet(queries)

    def _thresholds(self, labels: Tensor) -> Tensor:
        """Return the least class score of each query."""
        given = self.class_threshold
        things, stuff = given if isinstance(given, (list, tuple)) else (given, given)
        return torch.where(labels < self.num_things_classes, float(things), float(stuff))

    def _by_mmdet(self, queries: _Queries) -> tuple[Tensor, list[int], list[float]]:
        """Give each pixel to one query, and keep the queries that win enough of their masks."""
        scores, labels = queries.classes.max(-1)
        kept = (labels != self.num_classes) & (scores > self._thresholds(labels))
        scores, labels, masks = scores[kept], labels[kept], queries.masks[kept]
        size = queries.masks.shape[-2:]
        if not len(masks):
            return torch.zeros(size, dtype=torch.int32, device=masks.device), [], []
        winners = (scores.view(-1, 1, 1) * masks).argmax(0)
        won = torch.bincount(winners.flatten(), minlength=len(masks))
        areas = (masks >= self.mask_threshold).flatten(1).sum(1)
        enough = (won > 0) & (areas > 0) & (won.double() / areas.clamp(min=1) >= self.overlap_threshold)
        if self.filter_low_score:
            inside = masks.gather(0, winners[None])[0] >= self.mask_threshold
            winners = torch.where(inside, winners, len(masks))
        numbers, found = self._numbered(labels.tolist(), enough.tolist(), winners)
        table = torch.tensor([*numbers, 0], dtype=torch.int32, device=masks.device)
        firsts = [numbers.index(number) for number in range(1, len(found) + 1)]
        return table[winners], found, scores[firsts].tolist()

    def _numbered(self, labels: list[int], enough: list[bool], winners: Tensor) -> tuple[list[int], list[int]]:
        """Return the segment of each query, 0 for none, and the labels of the segments. Stuff of a class is one."""
        has_pixels = torch.bincount(winners.flatten(), minlength=len(labels) + 1).tolist()
        numbers: list[int] = []
        found: list[int] = []
        stuff: dict[int, int] = {}
        for label, kept, pixels in zip(labels, enough, has_pixels, strict=False):
            if not (kept and pixels):
                numbers.append(0)
                continue
            number = stuff.get(label, 0)
            if not number:
                found.append(label)
                number = len(found)
            if label >= self.num_things_classes:
                stuff[label] = number
            numbers.append(number)
        return numbers, found

    def _by_kmax(self, queries: _Queries) -> tuple[Tensor, list[int], list[float]]:
        """Give each query the free pixels of its mask, the best query first."""
        scores, labels = queries.classes[:, :-1].max(-1)
        masks = queries.masks > self.mask_threshold
        order = (scores * queries.mask_scores(masks)).argsort(descending=True)
        panoptic = torch.zeros(masks.shape[-2:], dtype=torch.int32, device=masks.device)
        sure, areas = (scores > self._thresholds(labels)).tolist(), masks.flatten(1).sum(1).tolist()
        found: list[int] = []
        confidences: list[float] = []
        stuff: dict[int, int] = {}
        for query in order.tolist():
            if not sure[query] or not areas[query]:
                continue
            label = int(labels[query])
            free = masks[query] & (panoptic == 0)
            pixels, is_stuff = int(free.sum()), label >= self.num_things_classes
            if pixels < self.least_pixels[is_stuff] or pixels <= self.overlap_threshold * areas[query]:
                continue
            if label not in stuff:
                found.append(label)
                confidences.append(float(scores[query]))
            panoptic[free] = number = stuff.get(label, len(found))
            if is_stuff:
                stuff[label] = number
        return panoptic, found, confidences

    def _instances(self, queries: _Queries) -> InstanceData:
        """Return the best pairs of query and class, of things only."""
        scores = queries.classes[:, :-1]
        best, places = scores.flatten().topk(min(self.max_per_image, scores.numel()), sorted=False)
        labels, rows = places % self.num_classes, places // self.num_classes
        is_thing = labels < self.num_things_classes
        best, labels, rows = best[is_thing], labels[is_thing], rows[is_thing]
        used, which = rows.unique(return_inverse=True)  # a query has several classes, but one mask
        masks = queries.instance_masks(used)
        quality = queries.mask_quality(masks, used)
        return InstanceData(
            bboxes=_boxes(masks)[which], labels=labels, scores=best * quality[which], masks=masks[which]
        )


@dataclass(frozen=True)
class _Queries:
    """Scores of the queries of one image.

    Attributes:
        classes: (Q, C + 1), probabilities of the classes and of "no object".
        masks: (Q, H, W), mask scores from 0 to 1.
        rule: see :class:`PanopticFusion`.
        threshold: mask score above which a pixel is in the mask, for ``kmax``.
        logits: (Q, H, W), logits of the masks.
    """

    classes: Tensor
    masks: Tensor
    rule: str
    threshold: float
    logits: Tensor

    @classmethod
    def of(cls, classes: Tensor, masks: Tensor, rule: str, threshold: float) -> _Queries:
        scores = masks.softmax(0) if rule == "kmax" else masks.sigmoid()
        return cls(classes.softmax(-1), scores, rule, threshold, masks)

    def mask_scores(self, masks: Tensor) -> Tensor:
        """Return the mean score inside each mask, (Q,); 0 for an empty one."""
        inside = masks.flatten(1).to(self.masks.dtype)
        return (self.masks.flatten(1) * inside).sum(1) / inside.sum(1).clamp(min=1)

    def instance_masks(self, rows: Tensor) -> Tensor:
        """Return the masks of some queries, (n, H, W) bool."""
        return self.masks[rows] > self.threshold if self.rule == "kmax" else self.logits[rows] > 0

    def mask_quality(self, masks: Tensor, rows: Tensor) -> Tensor:
        """Return the mean score inside the masks of some queries, (n,), with mmdet's small number against 0 / 0."""
        inside = masks.flatten(1).to(self.masks.dtype)
        return (self.masks[rows].flatten(1) * inside).sum(1) / (inside.sum(1) + 1e-6)

    def semantic(self) -> Tensor:
        """Return the class of each pixel, (H, W): of the winning query for ``kmax``, else of all queries together."""
        probabilities = self.classes[:, :-1]
        if self.rule == "kmax":
            return probabilities.argmax(-1)[self.masks.argmax(0)]
        return torch.einsum("qc,qhw->chw", probabilities, self.masks).argmax(0)


def _unpadded(masks: Tensor, meta: Mapping[str, Any], rescale: bool) -> Tensor:
    """Return the masks of an image without padding, in the size of the original image if ``rescale`` is set."""
    height, width = meta["img_shape"][:2]
    masks = masks[:, :height, :width]
    if rescale:
        masks = F.interpolate(masks[:, None], size=meta["ori_shape"][:2], mode="bilinear", align_corners=False)[:, 0]
    return masks


def _boxes(masks: Tensor) -> Tensor:
    """Return the box around each mask, (N, H, W) to (N, 4) xyxy in pixels; zeros for an empty one."""
    sides = []
    for axis in (1, 2):  # any() over rows gives the columns
        used = masks.any(axis)
        length = used.shape[1]
        first = used.int().argmax(1) if length else used.sum(1)
        last = length - used.flip(1).int().argmax(1) if length else used.sum(1)
        sides.append((first, last))
    (left, right), (top, bottom) = sides
    boxes = torch.stack([left, top, right, bottom], 1).float()
    return boxes * masks.flatten(1).any(1)[:, None]
