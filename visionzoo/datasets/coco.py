"""Boxes and masks in COCO's format, for COCO and all data sets converted to it."""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

with contextlib.redirect_stdout(io.StringIO()):  # mmdet prints on import; stdout is only for results
    from mmdet.datasets.coco import CocoDataset

from visionzoo.allowed import Index, Steps
from visionzoo.datasets.coco_annotations import in_order, require_segmentations
from visionzoo.datasets.coco_file import (
    category_ids,
    choose_classes,
    read_annotations,
    reason_omitted,
    require_image_files,
    require_learnable,
)
from visionzoo.datasets.coco_stated import stated_records
from visionzoo.datasets.converting import converted_file, source_of
from visionzoo.datasets.every_nth import chosen, keys_of
from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.findings import say_notes
from visionzoo.datasets.issues import Issue
from visionzoo.datasets.json_objects import no_garbage_collection
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError
from visionzoo.registry import DATASETS


@DATASETS.register_module()
class CocoDetection(CocoDataset):
    """Images with boxes (and masks) from one COCO ``instances`` file.

    On disk::

        <data_root>/<ann_file>                        annotations/instances_train2017.json
        <data_root>/<data_prefix["img"]>/<file_name>  train2017/000000000009.jpg

    The constructor checks the format of the file and the class names. Unless ``lazy_init`` is set, it also checks that
    an image remains after filtering and that the files of all used images exist.

    ``metainfo`` has ``classes``, their ``category_ids`` in the file, ``palette``, and ``ann_file``, the absolute path
    of the file, and ``annotations``, its name in messages. Metrics read the ground truth from this file.

    Args:
        ann_file: path of the JSON file, relative to ``data_root`` or absolute; or ``voc:train``, the split ``train`` of
            the Pascal VOC folder ``data_root``. See :mod:`visionzoo.datasets.converting` for other layouts.
        data_root: a folder, or ``tiny://coco?train=16&val=8&seed=0`` for drawn scenes.
        data_prefix: ``dict(img=...)``: folder of the images in ``data_root``.
        classes: names in label order. Each must be a category of the file. Default: all its categories, by id.
        metainfo: additional entries of ``metainfo``. Its ``classes`` are used if the argument ``classes`` is None.
        max_samples: number of images; the first ones after filtering are kept. Default: all.
        filter_cfg: filter for training. With ``filter_empty_gt``, images without an annotation of the classes are
            removed. Images whose shorter side is below ``min_size`` pixels are removed.
        pipeline: transforms, applied to each sample in order.
        test_mode: True to ignore ``filter_cfg`` and keep all images.
        serialize_data: True to store the samples in one byte buffer that workers share.
        lazy_init: True to read and check the annotations but build the samples at the first access.
        max_refetch: number of other images to try if the pipeline returns None.
        absent_classes: names in ``classes`` without an object in this data set. The file need not have them. Their
            ``category_ids`` are None.
        allow_outside: True to allow files outside ``data_root``, see
            :func:`visionzoo.datasets.file_names.require_inside`.
        every: N keeps every N-th image by name, for validation. Default: all images.
        not_every: N keeps the other images, for training. See :func:`~visionzoo.datasets.every_nth.chosen`.

    Raises:
        DataError, ConfigError: see :mod:`visionzoo.datasets.coco_file`.

    Example:
        >>> root, ann_file = "tiny://coco?train=1&val=1&size=64", "annotations/instances_val2017.json"
        >>> dataset = CocoDetection(ann_file, root, dict(img="val2017/"), serialize_data=False)
        >>> len(dataset), dataset.metainfo["classes"]
        (1, ('disc', 'triangle', 'star'))
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        data_prefix: Mapping[str, str] | None = None,
        classes: str | Sequence[str] | None = None,
        metainfo: dict | None = None,
        max_samples: Steps | None = None,
        filter_cfg: dict | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        serialize_data: bool = True,
        lazy_init: bool = False,
        max_refetch: Index = 1000,
        absent_classes: Sequence[str] = (),
        allow_outside: bool = False,
        every: int | None = None,
        not_every: int | None = None,
    ):
        root = resolve_data_root(data_root)
        path, file = source_of(root, ann_file), converted_file(root, ann_file)  # messages have the path of the user
        record = read_annotations(root, file, need_annotations=not test_mode, where=path)
        folder = root / ((data_prefix or {}).get("img") or "")
        names_of_files = [image["file_name"] for image in record["images"]]
        require_inside(names_of_files, folder, root, path, allow_outside=allow_outside)
        self._path, self._every, self._not_every = path, every, not_every
        facts = dict(metainfo or {})
        wanted = _as_names(classes if classes is not None else facts.get("classes"))
        names = choose_classes(path, record, wanted, absent_classes)
        if any(dict(step).get("with_mask") for step in pipeline if not callable(step)):
            require_segmentations(path, record, "the pipeline has with_mask=True")
        ids = category_ids(record, names, absent_classes)
        if not test_mode:
            require_learnable(path, record, ids)
        facts.update(classes=names, category_ids=ids, palette=facts.get("palette") or _palette(len(names)))
        self._record: dict | None = None if lazy_init else record
        del record, names_of_files  # mmengine searches all objects for cycles when it serialises
        super().__init__(
            ann_file=file,
            metainfo=facts,
            data_root=str(root),
            data_prefix=data_prefix if data_prefix is not None else {"img": ""},
            filter_cfg=filter_cfg,
            indices=max_samples,
            pipeline=list(pipeline),
            test_mode=test_mode,
            serialize_data=serialize_data,
            lazy_init=lazy_init,
            max_refetch=max_refetch,
        )
        # mmengine replaces a path in metainfo by the text of the file
        self._metainfo |= {"ann_file": str((root / file).resolve()), "annotations": path}

    @staticmethod
    def records_as_stated(settings: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[Issue]]:
        """Return the records of all images with all boxes of the file, and its issues, for ``visionzoo check-data``.

        Boxes that training leaves out are included, and so are images whose file is missing. Entries that the file
        does not state in a usable form are left out; the reader reports them.

        Args:
            settings: arguments of the data set.

        Raises:
            DataError: the file cannot be read at all.
        """
        return stated_records(settings)

    @no_garbage_collection()
    def load_data_list(self) -> list[dict]:
        """Return one dict for each image: ``img_path``, ``img_id``, ``height``, ``width`` and ``instances``."""
        record = self._record or read_annotations(
            Path(self.data_root),
            self.ann_file,
            need_annotations=not self.test_mode,
            say_notes=False,
            where=self._path,
        )
        self._record = None
        ids = self.metainfo["category_ids"]
        self.cat2label = {cat_id: label for label, cat_id in enumerate(ids) if cat_id is not None}
        self.cat_ids = list(self.cat2label)
        by_image, omitted = defaultdict(list), Counter[str]()
        for annotation in record["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        images = {image["id"]: image for image in record["images"]}
        samples = [self._sample(images[image_id], by_image[image_id], omitted) for image_id in in_order(images)]
        keys = keys_of([sample["img_path"] for sample in samples])
        samples = chosen(samples, keys, self._path, self._every, self._not_every)
        self._annotated = {a["image_id"] for a in record["annotations"] if a["category_id"] in self.cat2label}
        _say_omitted(self._path, omitted)
        return samples

    def _sample(self, image: dict, annotations: list[dict], omitted: Counter[str]) -> dict[str, Any]:
        instances = []
        for annotation in annotations:
            reason = reason_omitted(annotation, image)
            label = self.cat2label.get(annotation["category_id"])
            if reason:
                omitted[reason] += 1
            elif label is not None:
                instances.append(_instance(annotation, label))
        return {
            "img_path": os.path.join(self.data_prefix["img"], image["file_name"]),
            "img_id": image["id"],
            "seg_map_path": None,
            "height": image["height"],
            "width": image["width"],
            "instances": instances,
        }

    def filter_data(self) -> list[dict]:
        """Return the samples that ``filter_cfg`` keeps.

        Raises:
            DataError: no sample remains (the message states how many samples each rule removed), no sample for training
                has a box to learn, or an image file is missing.
        """
        kept, dropped = self.data_list, dict[str, int]()
        if not self.test_mode and self.filter_cfg:
            kept, dropped = _filter(self.data_list, self._annotated, **self.filter_cfg)
        if not kept:
            classes = ", ".join(self.metainfo["classes"][:6])
            reasons = ", ".join(f"{count} dropped by {reason}" for reason, count in dropped.items() if count)
            raise DataError(
                f"{self._path}: 0 of {len(self.data_list)} images kept: {reasons} "
                f"(classes: {classes}); check classes and filter_cfg"
            )
        used = kept if self._indices is None else kept[: self._indices]
        if not self.test_mode and all(box["ignore_flag"] for sample in used for box in sample["instances"]):
            raise DataError(
                self._path,
                expected=f"a box to learn in the {len(used)} images that are used",
                found=f"none (of {len(self.data_list)} images)",
                advice="check max_samples and filter_cfg",
            )
        require_image_files([sample["img_path"] for sample in used], Path(self.data_root))
        return kept


def _as_names(classes: Any) -> tuple[str, ...] | None:
    return (classes,) if isinstance(classes, str) else None if classes is None else tuple(classes)


def _palette(count: int) -> list[tuple[int, int, int]]:
    """Return one RGB colour for each class. COCO's 80 colours are repeated for more classes."""
    colours = CocoDataset.METAINFO["palette"]
    return [colours[label % len(colours)] for label in range(count)]


def _instance(annotation: dict, label: int) -> dict[str, Any]:
    """Return an annotation in the form of mmdet's data sets."""
    x, y, width, height = annotation["bbox"]
    instance = {"ignore_flag": annotation["iscrowd"], "bbox": [x, y, x + width, y + height], "bbox_label": label}
    if annotation.get("segmentation"):
        instance["mask"] = annotation["segmentation"]
    return instance


def _say_omitted(ann_file: str, counts: Counter[str]) -> None:
    if counts:
        what = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        say_notes(ann_file, {f"boxes that are not loaded: {what}; correct the file": 0})


def _filter(
    samples: list[dict], annotated: set[int], *, filter_empty_gt: bool = False, min_size: int = 0
) -> tuple[list[dict], dict[str, int]]:
    """Return the kept samples, and the number of samples that each rule dropped."""
    empty = [s for s in samples if filter_empty_gt and s["img_id"] not in annotated]
    dropped_ids = {s["img_id"] for s in empty}
    small = [s for s in samples if min(s["width"], s["height"]) < min_size and s["img_id"] not in dropped_ids]
    dropped_ids |= {s["img_id"] for s in small}
    kept = [s for s in samples if s["img_id"] not in dropped_ids]
    return kept, {"filter_empty_gt": len(empty), f"min_size={min_size}": len(small)}
