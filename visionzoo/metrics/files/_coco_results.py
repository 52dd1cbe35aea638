"""Result files of COCO's detection tasks, checked against the images and categories of the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.errors import DataError

if TYPE_CHECKING:
    from visionzoo.datasets.findings import Findings

_ADVICE = "write a list of objects with image_id, category_id, score, and bbox or segmentation"


def read_truth(path: Path, masks: Path | None, *, need_masks: bool) -> dict[str, Any]:
    """Read the objects of an annotation file of COCO, or the things of panoptic annotations.

    Masks of panoptic annotations lose nothing; images without annotation are left out.

    Args:
        path: the file; or a folder of COCONut-XL.
        masks: for panoptic annotations, folder of the PNG files. Default: by the name of the file.
        need_masks: True if every annotation must have a segmentation.

    Raises:
        DataError: the file, or a PNG, is missing or has errors.
    """
    from visionzoo.datasets.coco_annotations import require_segmentations
    from visionzoo.datasets.coco_file import read_coco
    from visionzoo.datasets.panoptic.files import PanopticFile
    from visionzoo.datasets.panoptic.instances import instances_record
    from visionzoo.datasets.panoptic.maps import folder_of_masks, maps_in
    from visionzoo.datasets.panoptic.reading import read_panoptic

    if is_panoptic(path):
        whole = read_panoptic(path)
        file = PanopticFile(whole.where, whole.annotated, whole.categories)
        return instances_record(file, maps_in(masks or folder_of_masks(path), file))
    truth = read_coco(path)
    if need_masks:
        require_segmentations(path, truth, "masks are measured")
    return truth


def is_panoptic(path: Path) -> bool:
    """Return True for panoptic annotations: a folder of JSON files, or a file whose entries have ``segments_info``."""
    if path.is_dir():
        return any(path.rglob("*.json"))
    return path.is_file() and b'"segments_info"' in path.read_bytes()


def read_results(path: Path, truth: Mapping[str, Any], region: str) -> list[dict[str, Any]]:
    """Read a list of detections.

    Polygons and uncompressed run lengths become compressed run lengths. A detection that occurs twice counts twice, as
    in pycocotools; a warning states the number.

    Args:
        path: the file.
        truth: content of an annotation file of COCO.
        region: ``bbox``, or ``segmentation`` for masks.

    Raises:
        DataError: the file is not a list of detections. Detections are of other images or categories than the truth,
            or a mask does not fit its image. The message has the number of errors by field and the first three.
    """
    from visionzoo.datasets.findings import Findings
    from visionzoo.datasets.json_objects import read_json_value

    value = read_json_value(path, "a list of detections", _ADVICE)
    value = value.get("annotations") if isinstance(value, dict) else value
    if not isinstance(value, list):
        raise DataError(path, expected="a list of detections", found="another JSON value", advice=_ADVICE)
    with Findings(path, expected="detections of this data set", advice=_ADVICE) as findings:
        reader = _Reader(truth, region, findings)
        return [found for number, entry in enumerate(value) if (found := reader.read(entry, number)) is not None]


class _Reader:
    """Checks entries one by one."""

    def __init__(self, truth: Mapping[str, Any], region: str, findings: Findings):
        self.images = {image["id"]: image for image in truth["images"]}
        self.categories = {category["id"] for category in truth["categories"]}
        self.region, self.findings = region, findings
        self.seen: set[tuple[Any, ...]] = set()

    def read(self, entry: Any, number: int) -> dict[str, Any] | None:
        """Return a detection, or None after a finding."""
        place = f"entry {number}"
        if not isinstance(entry, dict):
            self.findings.wrong(place, "detection", expected="an object", found=f"{entry!r:.40}")
            return None
        place = f"{place} (image {entry.get('image_id')!r})"
        entry = self._with_ids(entry)
        problem = self._problem(entry)
        if problem is not None:
            self.findings.wrong(place, problem[0], expected=problem[1], found=problem[2])
            return None
        if (key := self._key(entry)) in self.seen:
            self.findings.note("detections that occur several times count each time")
        self.seen.add(key)
        return self._with_run_lengths(entry) if self.region == "segmentation" else entry

    def _with_ids(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return the entry with numbers for ids that are given as text, if the truth has these numbers."""
        ids = dict(entry)
        for field, known in (("image_id", self.images), ("category_id", self.categories)):
            value = entry.get(field)
            if isinstance(value, str) and value not in known and value.isdecimal() and int(value) in known:
                ids[field] = int(value)
                self.findings.note(f"{field} as text, read as a number")
        return ids

    def _key(self, entry: Mapping[str, Any]) -> tuple[Any, ...]:
        return entry["image_id"], entry["category_id"], entry["score"], repr(entry[self.region])

    def _problem(self, entry: Mapping[str, Any]) -> tuple[str, str, str] | None:
        """Return field, expected and found value of what is wrong, or None."""
        from visionzoo.datasets.coco_annotations import segmentation_problem

        for field, known, nouns in (
            ("image_id", self.images, "images"),
            ("category_id", self.categories, "categories"),
        ):
            value = entry.get(field)
            if isinstance(value, bool) or not isinstance(value, int | str) or value not in known:
                return field, f"one of the {len(known)} {nouns} of the truth", f"{value!r:.40}"
        score = entry.get("score")
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            return "score", "a number", f"{score!r:.40}"
        region = entry.get(self.region)
        if self.region == "segmentation":
            image = self.images[entry["image_id"]]
            problem = segmentation_problem(region, (image["height"], image["width"]))
            return None if problem is None else (self.region, "polygons, or run lengths of the image's size", problem)
        if isinstance(region, list) and len(region) == 4 and all(map(_is_finite, region)) and min(region[2:]) >= 0:
            return None
        return "bbox", "left, top, width, height", f"{region!r:.40}"

    def _with_run_lengths(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        from pycocotools import mask as masks

        image, region = self.images[entry["image_id"]], entry["segmentation"]
        size = [image["height"], image["width"]]
        if isinstance(region, list):
            region = masks.merge(masks.frPyObjects(region, *size))
        elif isinstance(region["counts"], list):
            region = masks.frPyObjects(region, *size)
        return {**entry, "segmentation": region}


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
