"""Last step of a pipeline: conversion of arrays to the tensors and the data sample of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms.base import BaseTransform
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from visionzoo.datasets.transforms.planes import planes_of, with_own_strides
from visionzoo.errors import DataError
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.task_sample import TaskSample

_RENAMED = {"gt_seg_map": "gt_map"}

# Values of the objects of a sample, and their names in mmdet's instances; flags of objects that are not learned.
_LABELS, _IGNORED = "gt_bboxes_labels", "gt_ignore_flags"
_OBJECTS = {"gt_bboxes": "bboxes", _LABELS: "labels", "gt_masks": "masks"}


@TRANSFORMS.register_module()
class PackTaskInputs(BaseTransform):
    """Return ``inputs`` and ``data_samples`` of a sample for the general task model.

    ``img`` (H, W, C) becomes ``inputs`` (C, H, W) of the same type. A list of G images of one size becomes
    (G, C, H, W), and ``group_size`` of the sample is G. Volumes (D, H, W, C) become (C, D, H, W). Values whose key
    begins with ``gt_`` become data of the sample: numbers and arrays as tensors, other values unchanged. So do data
    elements of mmengine under any key, such as an ``InstanceData``. Plain values with other keys become metainfo: None,
    strings, numbers, and lists and tuples of them. The objects of mmdet's and the zoo's transforms (``gt_bboxes``,
    ``gt_bboxes_labels``, ``gt_masks``) become ``gt_instances`` and ``ignored_instances``, as in ``PackDetInputs``.

    Args:
        meta_keys: keys that become metainfo, if the sample has them; None for all plain values.
        rename: new names in the data sample by old name. The default is ``gt_map`` for ``gt_seg_map``, because
            transforms of mmcv and mmseg change maps only under the name ``gt_seg_map``.

    Raises:
        DataError: the sample has no image, or images of a group differ in size.

    Example:
        >>> packed = PackTaskInputs()({"img": np.zeros((4, 6, 3), np.uint8), "gt_label": 2, "img_path": "a.png"})
        >>> packed["inputs"].shape, packed["data_samples"].gt_label, packed["data_samples"].img_path
        (torch.Size([3, 4, 6]), tensor(2), 'a.png')
    """

    def __init__(self, meta_keys: Sequence[str] | None = None, rename: Mapping[str, str] | None = None):
        self.meta_keys = None if meta_keys is None else tuple(meta_keys)
        self.rename = dict(_RENAMED if rename is None else rename)

    def transform(self, results: dict) -> dict:
        if results.get("img") is None:
            raise DataError(
                "PackTaskInputs",
                expected=f"an image in the sample {results.get('img_path')}",
                found="none",
                advice="load it first",
            )
        meta = {key: value for key, value in results.items() if self._is_meta(key, value)}
        inputs = _group(results["img"], meta) if isinstance(results["img"], list) else _channels_first(results["img"])
        if isinstance(results["img"], list):
            meta["group_size"] = len(inputs)
        sample = TaskSample(metainfo=meta)
        objects = {key: results[key] for key in _OBJECTS if key in results} if _LABELS in results else {}
        if objects:
            sample.set_data(_instances(objects, results.get(_IGNORED)))
        for key, value in results.items():
            if key in objects or (objects and key == _IGNORED):
                continue
            if key.startswith("gt_") or isinstance(value, BaseDataElement):
                sample.set_data({self.rename.get(key, key): _as_tensor(value)})
        return {"inputs": inputs, "data_samples": sample}

    def _is_meta(self, key: str, value: Any) -> bool:
        if self.meta_keys is not None:
            return key in self.meta_keys
        return not key.startswith("gt_") and _is_plain(value)

    def __repr__(self) -> str:
        return f"PackTaskInputs(meta_keys={self.meta_keys}, rename={self.rename})"


def _instances(objects: Mapping[str, Any], ignored: Any) -> dict[str, InstanceData]:
    """Return the objects to learn and those to ignore."""
    count = len(objects[_LABELS])
    flags = np.zeros(count, bool) if ignored is None else np.asarray(ignored, bool)
    parts = {"gt_instances": np.flatnonzero(~flags), "ignored_instances": np.flatnonzero(flags)}
    return {
        name: InstanceData(**{_OBJECTS[key]: _as_tensor(value[rows]) for key, value in objects.items()})
        for name, rows in parts.items()
    }


def _is_plain(value: Any) -> bool:
    """Return True if a value is None, a string, a number, or a list or tuple of such values."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (str, bool, int, float, np.generic))


def _group(images: list[np.ndarray], meta: dict[str, Any]) -> Tensor:
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise DataError(
            "PackTaskInputs",
            expected="the images of a group to have one size",
            found=f"{sorted(shapes)} in {meta.get('img_path')}",
            advice="resize them in the pipeline",
        )
    return torch.stack([_channels_first(image) for image in images])


def _channels_first(image: np.ndarray) -> Tensor:
    return torch.from_numpy(planes_of(image))


def _as_tensor(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype != object:
        return torch.from_numpy(with_own_strides(value))
    if isinstance(value, (bool, int, float, np.number)):
        return torch.as_tensor(value)
    return value
