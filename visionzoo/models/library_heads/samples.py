"""Conversion of the samples of a batch to the data samples that mmdet's and mmseg's heads read."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor
from torch.nn import functional as F

with contextlib.redirect_stdout(io.StringIO()):  # libraries print on import; stdout is only for results
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import BaseBoxes
    from mmdet.structures.mask import BitmapMasks
    from mmseg.structures import SegDataSample

from visionzoo.errors import DataError
from visionzoo.structures.arrays import as_array
from visionzoo.structures.batch import Batch

# Class index of pixels without a class, and of the padding of maps.
_IGNORED = 255

# Fields of a sample of PackTaskInputs, and the fields of mmdet's instances.
_FIELDS = {"gt_bboxes": "bboxes", "gt_bboxes_labels": "labels", "gt_masks": "masks"}


def detection_samples(batch: Batch, *, truth: Sequence[str] = ()) -> list[DetDataSample]:
    """Return one sample of mmdet for each sample of a batch, or for each image of a batch without samples.

    The samples of the batch are not changed, although heads of mmdet change theirs.

    Args:
        batch: images (B, C, H, W), and samples with the instances of mmdet's ``PackDetInputs`` (``gt_instances``,
            ``ignored_instances``, ``gt_sem_seg``), or with the fields of ``PackTaskInputs`` (``gt_bboxes``,
            ``gt_bboxes_labels``, ``gt_masks``, ``gt_ignore_flags``, ``gt_map``).
        truth: fields of the ground truth that each sample must have: ``bboxes``, ``labels``, ``masks``, ``sem_seg``.
            With none, for predictions, no ground truth is converted; it may have the size of the original image.

    Raises:
        DataError: a field of ``truth`` is missing, or a sample has several images.
    """
    size = _size_of(batch)
    if batch.samples is None:
        return [DetDataSample(metainfo=_about({}, size, pad_shape=size)) for _ in batch.inputs]
    samples = []
    for sample in _single(batch):
        made = DetDataSample(metainfo=_about(sample.metainfo, size, pad_shape=sample.metainfo.get("pad_shape") or size))
        if truth:
            _set_truth(made, sample, size)
            _require(made, truth)
        samples.append(made)
    return samples


def segmentation_samples(batch: Batch, *, with_truth: bool = False) -> list[SegDataSample]:
    """Return one sample of mmseg for each sample of a batch, or for each image of a batch without samples.

    Args:
        batch: images (B, C, H, W), and samples with the map of mmseg's ``PackSegInputs`` (``gt_sem_seg``), or with
            ``gt_map`` of ``PackTaskInputs``: the class index of each pixel, 255 without a class.
        with_truth: True if each sample must have a map.

    Raises:
        DataError: the map is missing, or a sample has several images.
    """
    size = _size_of(batch)
    if batch.samples is None:
        return [SegDataSample(metainfo=_about({}, size, pad_shape=size)) for _ in batch.inputs]
    samples = []
    for sample in _single(batch):
        made = SegDataSample(metainfo=_about(sample.metainfo, size, pad_shape=size))
        semantic = _semantic_of(sample)
        if semantic is not None:
            made.gt_sem_seg = PixelData(data=_padded(semantic, size).long())
        elif with_truth:
            raise _missing(made, "gt_sem_seg", "load the map of classes, and pack it with PackSemanticInputs")
        samples.append(made)
    return samples


def _size_of(batch: Batch) -> tuple[int, int]:
    """Return height and width of the padded images."""
    height, width = batch.inputs.shape[-2:]
    return int(height), int(width)


def _single(batch: Batch) -> Sequence[BaseDataElement]:
    if len(batch.inputs) != len(batch.samples):
        raise DataError(
            "batch",
            expected="one image in every sample for a head of mmdet or mmseg",
            found=f"{len(batch.inputs)} images in {len(batch.samples)} samples",
            advice="use a head that reads groups",
        )
    return batch.samples


def _about(meta: Mapping[str, Any], size: tuple[int, int], pad_shape: Sequence[int]) -> dict[str, Any]:
    """Return the metainfo with the sizes that heads read.

    The scale is (x, y), the size after the pipeline divided by the original size.
    """
    image = _two(meta.get("img_shape") or size)
    original = _two(meta.get("ori_shape") or image)
    scale = meta.get("scale_factor")
    if scale is None:
        scale = (image[1] / original[1], image[0] / original[0])
    sizes = {"img_shape": image, "ori_shape": original, "pad_shape": _two(pad_shape), "batch_input_shape": size}
    return {**meta, **sizes, "scale_factor": scale}


def _two(shape: Sequence[int]) -> tuple[int, int]:
    return int(shape[0]), int(shape[1])


# --------------------------------------------------------------------------- ground truth


def _set_truth(made: DetDataSample, sample: BaseDataElement, size: tuple[int, int]) -> None:
    _set_instances(made, sample, size)
    semantic = _semantic_of(sample)
    if semantic is not None:
        made.gt_sem_seg = PixelData(sem_seg=_padded(semantic, size))


def _set_instances(made: DetDataSample, sample: BaseDataElement, size: tuple[int, int]) -> None:
    given = sample.get("gt_instances")
    if given is not None:
        made.gt_instances = _converted(given, size)
        if sample.get("ignored_instances") is not None:
            made.ignored_instances = _converted(sample.get("ignored_instances"), size)
    elif sample.get("gt_bboxes_labels") is not None:
        every = InstanceData(**{to: sample.get(name) for name, to in _FIELDS.items() if sample.get(name) is not None})
        flags = sample.get("gt_ignore_flags")
        ignored = torch.zeros(len(every), dtype=torch.bool) if flags is None else torch.as_tensor(flags).bool().cpu()
        made.gt_instances = _converted(every[~ignored], size)
        made.ignored_instances = _converted(every[ignored], size)


def _converted(instances: InstanceData, size: tuple[int, int]) -> InstanceData:
    """Return instances with boxes as a tensor, and masks of the padded size."""
    fields = dict(instances.items())
    if isinstance(fields.get("bboxes"), BaseBoxes):
        fields["bboxes"] = fields["bboxes"].tensor
    if fields.get("masks") is not None:
        fields["masks"] = _padded_masks(fields["masks"], size)
    return InstanceData(metainfo=instances.metainfo, **fields)


def _padded_masks(masks: Any, size: tuple[int, int]) -> Any:
    if not hasattr(masks, "pad"):
        array = as_array(masks)
        masks = BitmapMasks(array, *array.shape[-2:])
    return masks.pad(size, pad_val=0)


def _semantic_of(sample: BaseDataElement) -> Tensor | None:
    """Return the true class of each pixel, (1, H, W); None without a map."""
    packed = sample.get("gt_sem_seg")
    if packed is not None:
        return packed.sem_seg if "sem_seg" in packed else packed.data
    plain = sample.get("gt_map")
    return None if plain is None else plain.reshape(1, *plain.shape[-2:])


def _padded(semantic: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = semantic.shape[-2:]
    return F.pad(semantic, (0, max(size[1] - width, 0), 0, max(size[0] - height, 0)), value=_IGNORED)


def _require(sample: DetDataSample, truth: Sequence[str]) -> None:
    for name in truth:
        if name == "sem_seg":
            if "gt_sem_seg" not in sample:
                raise _missing(sample, "gt_sem_seg", "load the map of classes, and pack it with PackPanopticInputs")
        elif "gt_instances" not in sample or name not in sample.gt_instances:
            advice = "load the annotations of the objects, and pack them with PackDetInputs"
            raise _missing(sample, f"gt_instances.{name}", advice)


def _missing(sample: BaseDataElement, name: str, advice: str) -> DataError:
    where = sample.metainfo.get("img_path") or "sample"
    return DataError(where, expected=f"{name} to learn from", found="none", advice=advice)
