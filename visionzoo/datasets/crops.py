"""Boxes of a detection data set as images of one class each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from visionzoo.allowed import Weight
from visionzoo.datasets.class_map import ClassMap
from visionzoo.datasets.classification import ClassificationData
from visionzoo.datasets.coco_file import category_ids, choose_classes, read_annotations, require_image_files
from visionzoo.datasets.every_nth import Key, keys_of
from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.transforms.loading import read_image
from visionzoo.errors import DataError
from visionzoo.registry import DATASETS

Box = tuple[int, int, int, int]


@DATASETS.register_module()
class CocoCrops(ClassificationData):
    """Crops of all boxes of a COCO json; the category of a box is its class.

    Crowds, boxes outside their image and boxes smaller than ``min_size`` are omitted. ``visionzoo convert voc2coco``
    converts Pascal VOC to this format. A sample has ``img``, (H, W, 3) uint8 RGB of the crop, ``gt_label``,
    ``img_path`` of the whole image, ``crop_box`` (x0, y0, x1, y1, pixels), ``img_id`` and ``ann_id``.

    Args:
        ann_file: path of the json, in ``data_root`` or absolute.
        data_root: a folder, or ``tiny://coco?train=16&val=8&seed=0`` for drawn scenes.
        img_folder: folder of the images in ``data_root``.
        classes: names in label order; the file must have all of them. Boxes of other classes are omitted. Default: all
            names of the file.
        margin: extension of the crop on each side, as a fraction of the box's width and height, clipped at the border.
        min_size: smallest side of a box in pixels.
        keep_crops: keep crops in memory; otherwise the whole image is read again for each access.
        absent_classes: names in ``classes`` without a box in this data set. The file need not have them.
        allow_outside: True to allow files outside ``data_root``, see
            :func:`visionzoo.datasets.file_names.require_inside`.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError, ConfigError: see :mod:`visionzoo.datasets.coco_file`; DataError also if no box remains.

    Example:
        >>> root, ann_file = "tiny://coco?train=1&val=1&size=64", "annotations/instances_val2017.json"
        >>> dataset = CocoCrops(ann_file, root, img_folder="val2017", serialize_data=False)
        >>> dataset.metainfo["classes"]
        ('disc', 'triangle', 'star')
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        img_folder: str = "",
        classes: str | Sequence[str] | None = None,
        margin: Weight = 0.0,
        min_size: Weight = 1.0,
        keep_crops: bool = False,
        absent_classes: Sequence[str] = (),
        allow_outside: bool = False,
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        record = read_annotations(root, ann_file)
        files = [image["file_name"] for image in record["images"]]
        require_inside(files, root / img_folder, root, root / ann_file, allow_outside=allow_outside)
        names = choose_classes(root / ann_file, record, None if classes is None else tuple(classes), absent_classes)
        ids = category_ids(record, names, absent_classes)
        labels = {category: label for label, category in enumerate(ids) if category is not None}
        samples = list(_samples(record, labels, str(root / img_folder), margin, min_size))
        if not samples:
            raise DataError(
                f"{root / ann_file}: 0 of {len(record['annotations'])} boxes kept (classes: {', '.join(names[:6])}, "
                f"min_size={min_size:g}, no crowds); check classes and min_size"
            )
        used = samples[: loading.get("max_samples")]
        require_image_files(sorted({sample["img_path"] for sample in used}), root)
        self._kept: dict[int, np.ndarray] | None = {} if keep_crops else None
        super().__init__(
            root,
            ClassMap.of(names),
            samples,
            **loading,
        )

    @staticmethod
    def keys_of(samples: Sequence[dict[str, Any]]) -> list[Key]:
        """Return the image of each crop, so that ``every`` and ``not_every`` keep the crops of an image together."""
        return keys_of([sample["img_path"] for sample in samples])

    def prepare_data(self, idx: int) -> Any:
        """Return the sample ``idx`` with its crop, after the pipeline."""
        sample = self.get_data_info(idx)
        sample["img"] = self._crop(sample)
        sample["img_shape"] = sample["ori_shape"] = sample["img"].shape[:2]
        return self.pipeline(sample)

    def _crop(self, sample: dict) -> np.ndarray:
        if self._kept is None:
            return _cut(sample)
        if sample["ann_id"] not in self._kept:
            self._kept[sample["ann_id"]] = _cut(sample)
        return self._kept[sample["ann_id"]].copy()


def _samples(record: dict, labels: dict[int, int], folder: str, margin: float, min_size: float) -> Any:
    images = {image["id"]: image for image in record["images"]}
    for annotation in record["annotations"]:
        image = images[annotation["image_id"]]
        box = _pixels(annotation["bbox"], margin, image["width"], image["height"])
        is_large = min(annotation["bbox"][2:]) >= min_size and box[2] > box[0] and box[3] > box[1]
        if is_large and annotation["category_id"] in labels and not annotation["iscrowd"]:
            yield {
                "img_path": os.path.join(folder, image["file_name"]),
                "img_id": image["id"],
                "ann_id": annotation["id"],
                "crop_box": box,
                "whole_size": (image["height"], image["width"]),
                "gt_label": labels[annotation["category_id"]],
            }


def _pixels(bbox: Sequence[float], margin: float, width: int, height: int) -> Box:
    """Return the pixel bounds (x0, y0, x1, y1) that contain a box with its margin, clipped to the image."""
    x, y, w, h = bbox
    left, top = np.floor([x - margin * w, y - margin * h]).astype(int)
    right, bottom = np.ceil([x + w + margin * w, y + h + margin * h]).astype(int)
    return max(int(left), 0), max(int(top), 0), min(int(right), width), min(int(bottom), height)


def _cut(sample: dict) -> np.ndarray:
    image = read_image(sample["img_path"], exif=False)
    if image.shape[:2] != tuple(sample["whole_size"]):
        height, width = sample["whole_size"]
        raise DataError(
            sample["img_path"],
            expected=f"{width}x{height} pixels as in its annotation",
            found=f"{image.shape[1]}x{image.shape[0]}",
            advice="correct the annotation or the file",
        )
    left, top, right, bottom = sample["crop_box"]
    return image[top:bottom, left:right].copy()
