"""COCO records from annotated images of other formats.

Coordinates are edges in pixels, counted from 0: a box over the whole image is ``(0, 0, width, height)``. Each reader
brings the numbers of its format to this convention. They are rounded to 0.01 pixel, because formats with fractions of
the image state no more.

Rules for all formats:

* What is beyond the border is cut off. Swapped corners are sorted. A region that is narrower than a pixel, or outside
  the image, is left out.
* If a region has an outline, regions that are only boxes get their corners as outline, because training of masks needs
  one for each region.
* ``file_name`` is the path below the common folder of the images of a split.

Each change is counted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.datasets.findings import Findings
from visionzoo.datasets.outlines import Box, Outline, area_of, bounds_of, clip_outline, corners_of
from visionzoo.errors import DataError, require_known
from visionzoo.structures.image_size import size_of_file


@dataclass(frozen=True)
class Region:
    """One annotated object.

    Attributes:
        name: name of its class.
        box: left, top, right and bottom edge in pixels. None: the bounds of the outlines or the mask.
        outlines: polygons of (x, y) points in pixels; their union is the object.
        mask: a run-length code of COCO, instead of outlines.
        crowd: True if metrics ignore the object.
    """

    name: str
    box: Box | None = None
    outlines: tuple[Outline, ...] = ()
    mask: Mapping[str, Any] | None = None
    crowd: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """One image with its regions; its size in pixels comes from the image file."""

    file: Path
    width: int
    height: int
    regions: tuple[Region, ...] = ()


@dataclass
class AnnotatedImages:
    """The images of a data set.

    Attributes:
        root: the folder or file, for messages.
        kind: name of the format, for messages.
        splits: images by split.
        classes: names in category order, as the data set states them. None: all names, sorted.
        changes: number of changes by kind.
        advice: advice if there is no region.
    """

    root: Path
    kind: str
    splits: dict[str, list[AnnotatedImage]]
    classes: Sequence[str] | None = None
    changes: Counter[str] = field(default_factory=Counter)
    advice: str = "check the annotations"


@dataclass
class CocoRecords:
    """COCO records, image files and their common folder by split, and the number of changes by kind."""

    records: dict[str, dict]
    images: dict[str, list[Path]]
    folders: dict[str, Path]
    changes: Counter[str]


def measured(file: Path, findings: Findings) -> tuple[int, int] | None:
    """Return the (width, height) of an image file in pixels, or None if it cannot be read.

    The training loader ignores the rotation in EXIF data, so the size is the stored one. A file that EXIF data turn
    by a quarter is noted.
    """
    try:
        str(file).encode()
    except UnicodeEncodeError:
        findings.wrong(ascii(file.name), "image", expected="a name in UTF-8", found="other bytes (rename the file)")
        return None
    try:
        size = size_of_file(file)
        turned = size_of_file(file, exif=True) != size
    except DataError as error:
        findings.wrong(file.name, "image", expected="a readable one", found=f"{error.but}")
        return None
    findings.note("images that EXIF data turn: boxes are read for the stored, unturned pixels", int(turned))
    return size


def each_nth(source: AnnotatedImages, val_every: int | None) -> AnnotatedImages:
    """Move every N-th image of ``train``, sorted by name, to ``val``.

    Args:
        source: changed in place.
        val_every: N; None for no change.

    Raises:
        DataError: there is a ``val`` split, or no ``train`` split.
    """
    if val_every is None:
        return source
    if "val" in source.splits or "train" not in source.splits:
        raise DataError(
            f"--val-every {val_every}",
            expected="a data set with train and without val",
            found=", ".join(source.splits),
            advice="omit --val-every",
        )
    images = sorted(source.splits["train"], key=lambda image: str(image.file))
    val = images[val_every - 1 :: val_every]
    chosen = {image.file for image in val}
    source.splits["train"] = [image for image in images if image.file not in chosen]
    source.splits["val"] = val
    return source


def to_coco(source: AnnotatedImages, classes: Sequence[str] = ()) -> CocoRecords:
    """Convert annotated images to COCO records.

    Args:
        source: the images.
        classes: names in category order; regions of other classes are omitted. Default: all names.

    Returns:
        COCO records by split, the image files, and the changes.

    Raises:
        UnknownName: the data set has no class of this name.
        DataError: no region remains that a model can learn.

    Example:
        >>> image = AnnotatedImage(Path("a.jpg"), 40, 30, (Region("cat", (0, 0, 10, 20)),))
        >>> coco = to_coco(AnnotatedImages(Path("."), "YOLO", {"train": [image]}))
        >>> coco.records["train"]["annotations"][0]["bbox"]
        [0, 0, 10, 20]
    """
    changes = Counter(source.changes)
    names = _class_names(source, classes)
    categories = {name: number for number, name in enumerate(names, start=1)}
    files = sorted({image.file for images in source.splits.values() for image in images}, key=lambda file: str(file))
    image_ids = {file: number for number, file in enumerate(files, start=1)}
    folders = {split: _common_folder(images) for split, images in source.splits.items()}
    annotations = _Annotations(categories, _has_outlines(source), changes)
    records = {
        split: {
            "info": {"description": f"{source.root.name}, converted from {source.kind}"},
            "licenses": [],
            "images": [_image_record(image, image_ids[image.file], folders[split]) for image in images],
            "annotations": [one for image in images for one in annotations.of(image, image_ids[image.file])],
            "categories": [
                {"id": number, "name": name, "supercategory": "none"} for name, number in categories.items()
            ],
        }
        for split, images in source.splits.items()
    }
    _require_regions(source, records, changes)
    images = {split: [image.file for image in images] for split, images in source.splits.items()}
    return CocoRecords(records, images, folders, changes)


def _class_names(source: AnnotatedImages, wanted: Sequence[str]) -> list[str]:
    regions = (region for images in source.splits.values() for image in images for region in image.regions)
    known = list(source.classes) if source.classes is not None else sorted({region.name for region in regions})
    for name in wanted:
        require_known(name, known, "class in these images")
    return list(dict.fromkeys(wanted)) or known


def _has_outlines(source: AnnotatedImages) -> bool:
    regions = (region for images in source.splits.values() for image in images for region in image.regions)
    return any(region.outlines or region.mask for region in regions)


def _common_folder(images: Sequence[AnnotatedImage]) -> Path:
    folders = {os.path.dirname(os.path.abspath(image.file)) for image in images}
    return Path(os.path.commonpath(folders)) if folders else Path()


def _image_record(image: AnnotatedImage, image_id: int, folder: Path) -> dict:
    name = Path(os.path.abspath(image.file)).relative_to(folder).as_posix()
    return {"id": image_id, "file_name": name, "width": image.width, "height": image.height}


def _require_regions(source: AnnotatedImages, records: dict[str, dict], changes: Counter[str]) -> None:
    regions = [one for record in records.values() for one in record["annotations"]]
    if any(not one["iscrowd"] for one in regions):
        return
    left = [f"{count} {change}" for change, count in changes.items() if change.startswith("left out")]
    found = ", ".join([*([f"{len(regions)} difficult"] if regions else []), *left])
    raise DataError(
        source.root,
        expected="at least one box to learn",
        found=found or "no object in any file",
        advice=source.advice,
    )


class _Annotations:
    """Builder of annotations with consecutive ids; it counts its changes."""

    def __init__(self, categories: dict[str, int], outlined: bool, changes: Counter[str]):
        self.categories, self.outlined, self.changes = categories, outlined, changes
        self.made = 0

    def of(self, image: AnnotatedImage, image_id: int) -> list[dict]:
        annotations = (self._annotation(image, image_id, region) for region in image.regions)
        return [annotation for annotation in annotations if annotation is not None]

    def _annotation(self, image: AnnotatedImage, image_id: int, region: Region) -> dict | None:
        if region.name not in self.categories:
            self.changes["left out: of other classes"] += 1
            return None
        shape = self._from_mask(region.mask) if region.mask else self._from_edges(image, region)
        if shape is None:
            return None
        self.made += 1
        return {
            "id": self.made,
            "image_id": image_id,
            "category_id": self.categories[region.name],
            **shape,
            "iscrowd": int(region.crowd),
        }

    def _from_edges(self, image: AnnotatedImage, region: Region) -> dict | None:
        """Return bbox, area and segmentation of a box or outlines, or None if nothing remains."""
        stated = bounds_of(region.outlines) if region.outlines else self._sorted(region.box or (0, 0, 0, 0))
        parts = [clip_outline(outline, image.width, image.height) for outline in region.outlines]
        parts = [part for part in parts if len(part) >= 3]
        if region.outlines and not parts:
            return self._left_out("nothing inside the image")
        box = bounds_of(parts) if parts else _clipped(stated, image)
        if box[2] <= box[0] or box[3] <= box[1]:
            return self._left_out("nothing inside the image")
        if min(box[2] - box[0], box[3] - box[1]) < 1:
            return self._left_out("narrower than a pixel")
        if max(abs(edge - clipped) for edge, clipped in zip(stated, box, strict=True)) > 1:  # less is rounding
            self.changes["cut off at the border"] += 1
        return self._shape(box, parts)

    def _shape(self, box: Box, parts: list[list[tuple[float, float]]]) -> dict | None:
        area = sum(map(area_of, parts)) if parts else (box[2] - box[0]) * (box[3] - box[1])
        if round(area, 2) <= 0:  # points on a line, or lines that cross in the middle
            return self._left_out("of no area")
        shape = {"bbox": _rounded(box[0], box[1], box[2] - box[0], box[3] - box[1]), "area": round(area, 2)}
        if self.outlined:
            if not parts:
                self.changes["without an outline: the corners are used"] += 1
            outlines = parts or [corners_of(box)]
            shape["segmentation"] = [_rounded(*(value for point in part for value in point)) for part in outlines]
        return shape

    def _from_mask(self, mask: Mapping[str, Any]) -> dict | None:
        """Return bbox, area and segmentation of a run-length code."""
        from pycocotools import mask as coco

        code = {"size": list(mask["size"]), "counts": mask["counts"].encode("ascii")}
        area = int(coco.area(code))
        if area == 0:
            return self._left_out("of no area")
        return {"bbox": [int(value) for value in coco.toBbox(code)], "area": area, "segmentation": dict(mask)}

    def _sorted(self, box: Box) -> Box:
        x0, y0, x1, y1 = box
        if x0 > x1 or y0 > y1:
            self.changes["put in order: swapped corners"] += 1
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def _left_out(self, reason: str) -> dict | None:
        self.changes[f"left out: {reason}"] += 1
        return None


def _clipped(box: Box, image: AnnotatedImage) -> Box:
    return max(box[0], 0), max(box[1], 0), min(box[2], image.width), min(box[3], image.height)


def _rounded(*values: float) -> list[float]:
    return [round(value, 2) for value in values]
