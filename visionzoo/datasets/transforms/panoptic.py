"""Panoptic maps and semantic maps: ground truth for evaluation, targets for training, and their packing."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms.base import BaseTransform

with contextlib.redirect_stdout(io.StringIO()):  # mmdet prints on import; stdout is only for results
    from mmdet.datasets.transforms.formatting import PackDetInputs
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks
    from mmseg.datasets.transforms.formatting import PackSegInputs

from visionzoo.datasets.panoptic.maps import map_of, read_map, with_stated_areas
from visionzoo.datasets.semantic_maps import IGNORED, read_semantic_map
from visionzoo.datasets.transforms.planes import PlanesFirst
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.panoptic import PanopticMap

_META_KEYS = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")


@TRANSFORMS.register_module()
class LoadPanoptic(BaseTransform):
    """Set ``gt_panoptic`` and ``gt_semantic``, the ground truth in the pixels of the original image.

    ``gt_panoptic`` is a :class:`~visionzoo.structures.panoptic.PanopticMap` whose ``category_id`` is the class index.
    The area of a segment is the one that the file states, which may differ from the number of its pixels; without one,
    it is this number. ``gt_semantic`` is (H, W) uint8, the class index of each pixel, 255 without a label. Crowds have
    their class.

    Place it after the changes of geometry. ``PackPanopticInputs`` packs both.

    Raises:
        DataError: the PNG is missing, broken or of another size than the image, or its ids are not those of the
            segments.

    Example:
        >>> sample = {"panoptic_map": np.array([[4, 0]]), "segments": [{"id": 4, "category_id": 1, "iscrowd": 0}]}
        >>> LoadPanoptic()(sample)["gt_semantic"].tolist()
        [[1, 255]]
    """

    PROVIDES = ("gt_panoptic", "gt_semantic")

    def transform(self, results: dict) -> dict:
        results["gt_panoptic"] = with_stated_areas(_map_of(results), results["segments"])
        results["gt_semantic"] = results["gt_panoptic"].class_map(IGNORED).astype(np.uint8)
        return results

    def __repr__(self) -> str:
        return "LoadPanoptic()"


@TRANSFORMS.register_module()
class LoadPanopticTargets(BaseTransform):
    """Set the keys that mmdet and mmseg train on; later transforms change them with the image.

    - ``gt_seg_map``: (H, W) uint8, the class index of each pixel, 255 without a label. Crowds have their class.
    - ``gt_masks``, ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_ignore_flags``: the things that are not crowds, as
      ``BitmapMasks``, boxes xyxy from the edges of their pixels, (N,) int64 class indices, and (N,) False.

    Place it before the changes of geometry.

    Args:
        with_mask: False for no masks and boxes, for semantic models.

    Raises:
        DataError: see :class:`LoadPanoptic`.

    Example:
        >>> sample = {"panoptic_map": np.array([[4, 0]]), "segments": [{"id": 4, "category_id": 1, "iscrowd": 0}]}
        >>> targets = LoadPanopticTargets()({**sample, "num_things": 2})
        >>> targets["gt_seg_map"].tolist(), targets["gt_bboxes"].tensor.tolist(), targets["gt_bboxes_labels"].tolist()
        ([[1, 255]], [[0.0, 0.0, 1.0, 1.0]], [1])
    """

    PROVIDES = ("gt_seg_map", "gt_masks", "gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags")

    def __init__(self, with_mask: bool = True):
        self.with_mask = with_mask

    def transform(self, results: dict) -> dict:
        panoptic = _map_of(results)
        results["gt_seg_map"] = panoptic.class_map(IGNORED).astype(np.uint8)
        results.setdefault("seg_fields", []).append("gt_seg_map")
        if self.with_mask:
            _set_instances(results, panoptic)
        return results

    def __repr__(self) -> str:
        return f"LoadPanopticTargets(with_mask={self.with_mask})"


def _map_of(results: Mapping[str, Any]) -> PanopticMap:
    """Read the map of a sample; segments of classes that are not used have no label."""
    segments = results["segments"]
    if results.get("panoptic_map") is not None:
        panoptic = map_of(results["panoptic_map"], segments, "panoptic_map")
    else:
        panoptic = read_map(results["panoptic_path"], segments, results["ori_shape"][:2], like=results["img_path"])
    unused = [each.id for each in panoptic.segments if each.category_id < 0]
    if not unused:
        return panoptic
    ids = np.where(np.isin(panoptic.ids, unused), 0, panoptic.ids).astype(np.uint32)
    return PanopticMap(ids, tuple(each for each in panoptic.segments if each.category_id >= 0))


def _set_instances(results: dict, panoptic: PanopticMap) -> None:
    things = [each for each in panoptic.segments if each.category_id < results["num_things"] and not each.iscrowd]
    masks = np.zeros((len(things), *panoptic.size), np.uint8)
    for mask, segment in zip(masks, things):
        mask[panoptic.mask(segment)] = 1
    corners = [(x, y, x + width, y + height) for x, y, width, height in (each.bbox for each in things)]
    results["gt_masks"] = BitmapMasks(masks, *panoptic.size)
    results["gt_bboxes"] = HorizontalBoxes(np.array(corners, np.float32).reshape(-1, 4))
    results["gt_bboxes_labels"] = np.array([each.category_id for each in things], np.int64)
    results["gt_ignore_flags"] = np.zeros(len(things), bool)


@TRANSFORMS.register_module()
class LoadSemanticMap(BaseTransform):
    """Set ``gt_seg_map`` and ``gt_semantic`` of a sample of ``SemanticFolders``.

    Both are (H, W) uint8, the class index of each pixel, 255 without a label. Later transforms change ``gt_seg_map``
    with the image, and ``gt_semantic`` keeps the pixels of the original image.

    The sample has ``seg_map_path``, ``num_classes`` and ``reduce_zero_label``: True if the file has 0 for pixels
    without a label and k + 1 for class k. 255 is a pixel without a label in any file.

    Raises:
        DataError: the map is missing, broken or of another size than the image, or has a number without a class.
    """

    PROVIDES = ("gt_seg_map", "gt_semantic")

    def transform(self, results: dict) -> dict:
        labels = read_semantic_map(
            results["seg_map_path"],
            results["num_classes"],
            reduce_zero_label=results["reduce_zero_label"],
            size=results["ori_shape"][:2],
            like=results["img_path"],
        )
        results["gt_semantic"] = results["gt_seg_map"] = labels
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results

    def __repr__(self) -> str:
        return "LoadSemanticMap()"


class _WithTruth(PlanesFirst):
    """Adds ``gt_panoptic`` and ``gt_semantic``, if the sample has them, to the packed data sample."""

    def transform(self, results: dict) -> dict:
        packed = super().transform(results)
        if "gt_panoptic" in results:
            packed["data_samples"].set_data({"gt_panoptic": results["gt_panoptic"]})
        if "gt_semantic" in results:
            truth = torch.from_numpy(np.ascontiguousarray(results["gt_semantic"]))
            packed["data_samples"].set_data({"gt_semantic": truth})
        return packed


@TRANSFORMS.register_module()
class PackPanopticInputs(_WithTruth, PackDetInputs):
    """Pack a sample for mmdet's models, as ``mmdet.PackDetInputs``, together with ``gt_panoptic`` and ``gt_semantic``.

    Args:
        meta_keys: keys that become metainfo, if the sample has them.

    Example:
        >>> packed = PackPanopticInputs()({"img": np.zeros((4, 6, 3), np.uint8), "gt_semantic": np.zeros((4, 6))})
        >>> packed["inputs"].shape, packed["data_samples"].gt_semantic.shape
        (torch.Size([3, 4, 6]), torch.Size([4, 6]))
    """

    def __init__(self, meta_keys: Sequence[str] = _META_KEYS):
        super().__init__(meta_keys=tuple(meta_keys))


@TRANSFORMS.register_module()
class PackSemanticInputs(_WithTruth, PackSegInputs):
    """Pack a sample for mmseg's models, as ``mmseg.PackSegInputs``, together with ``gt_panoptic`` and ``gt_semantic``.

    Args:
        meta_keys: keys that become metainfo, if the sample has them.

    Example:
        >>> packed = PackSemanticInputs()({"img": np.zeros((4, 6, 3), np.uint8), "gt_semantic": np.zeros((4, 6))})
        >>> packed["inputs"].shape, packed["data_samples"].gt_semantic.shape
        (torch.Size([3, 4, 6]), torch.Size([4, 6]))
    """

    def __init__(self, meta_keys: Sequence[str] = _META_KEYS):
        super().__init__(meta_keys=tuple(meta_keys))
