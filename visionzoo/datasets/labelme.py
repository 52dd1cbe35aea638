"""Reading of labelme's JSON files, one for each image.

Points are (x, y) positions in pixels; (0, 0) is the upper left corner of the first pixel, so they are edges. This is
the convention of labelme's canvas, and of its conversion to COCO (examples/instance_segmentation in wkentaro/labelme).
A mask is a PNG over the pixels from its first to its second point, both included.

Rectangles, polygons, circles and masks are objects. Lines, line strips and points have no area and are left out. Shapes
with one label and one ``group_id`` are the parts of one object. ``flags`` are ignored.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visionzoo.datasets.coco_records import AnnotatedImage, AnnotatedImages, Region
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.image_lookup import agreed_size, are_pixels, first_file, named_image
from visionzoo.datasets.json_objects import read_json
from visionzoo.datasets.numerals import json_number
from visionzoo.datasets.outlines import bounds_of, corners_of, ellipse
from visionzoo.errors import DataError
from visionzoo.structures.detections import encode_mask
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS, is_left_over

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NO_AREA = ("point", "points", "line", "linestrip")
_OBJECTS = ("rectangle", "polygon", "circle", "mask", "rotation")


def read_labelme(place: Path, *, watch: Callable[[Sequence[Path]], Iterable[Path]] = iter) -> AnnotatedImages:
    """Read labelme's JSON files.

    Args:
        place: their folder, which may have subfolders, or one file. The subfolders ``train``, ``val`` (``valid``) and
            ``test`` are splits; without them, all images are ``train``.
        watch: returns its argument and may show the progress.

    Returns:
        The images by split. Images without a JSON file are left out, with a note.

    Raises:
        DataError: there is no JSON file, or a file is not labelme's, has no image, states another size than its image,
            or has a shape without a meaning. One error covers all files.
    """
    splits = _find(place)
    advice = "correct the files, or save them again with labelme"
    with Findings(place, expected="labelme's JSON files", advice=advice) as findings:
        reader = _Reader(findings)
        read = {split: [reader.read(file) for file in watch(files)] for split, files in splits.items()}
        images = {split: [image for image in members if image is not None] for split, members in read.items()}
        _require_once([image.file for members in images.values() for image in members], findings)
        _note_others(splits, images, findings)
    return AnnotatedImages(place, "labelme", images, changes=reader.changes, advice="check the shapes in the files")


def _find(place: Path) -> dict[str, list[Path]]:
    """Return the JSON files by split."""
    if place.is_file():
        return {"train": [place]}
    if not place.is_dir():
        raise DataError(place, expected="a folder of labelme", found="no such folder", advice="check the path")
    files = [path for path in sorted(place.rglob("*")) if path.suffix.lower() == ".json" and not path.is_dir()]
    splits: dict[str, list[Path]] = {}
    for path in files:
        folders = path.relative_to(place).parts
        if not any(map(is_left_over, folders)):
            split = next((_SPLITS[part.lower()] for part in folders[:-1] if part.lower() in _SPLITS), "train")
            splits.setdefault(split, []).append(path)
    if not splits:
        raise DataError(place, expected="labelme's JSON files", found="none", advice="check the path")
    return splits


def _require_once(files: Sequence[Path], findings: Findings) -> None:
    for file, times in Counter(file.resolve() for file in files).items():
        if times > 1:
            findings.wrong(file.name, "image", expected="one JSON file", found=f"{times}")


def _note_others(splits: dict[str, list[Path]], images: dict[str, list[AnnotatedImage]], findings: Findings) -> None:
    used = {image.file.resolve() for members in images.values() for image in members}
    folders = {path.parent for files in splits.values() for path in files}
    others = (path for folder in folders for path in folder.iterdir() if path.suffix.lower() in ANY_IMAGE_ENDINGS)
    alone = [path for path in others if not is_left_over(path.name) and path.is_file() and path.resolve() not in used]
    findings.note("images without a JSON file, left out", len(alone))


class _Reader:
    """Reader of JSON files; it counts the shapes that it leaves out."""

    def __init__(self, findings: Findings):
        self.findings, self.changes = findings, Counter[str]()

    def read(self, path: Path) -> AnnotatedImage | None:
        try:
            record = read_json(path)
        except DataError as error:
            self.findings.wrong(path.name, "file", expected=f"{error.expected}", found=f"{error.found}")
            return None
        if not isinstance(record.get("shapes"), list):
            self.findings.wrong(path.name, "shapes", expected="a list", found=shown(record.get("shapes")))
            return None
        file = self._image(path, record.get("imagePath"))
        if file is None:
            return None
        stated = [record.get(key) for key in ("imageWidth", "imageHeight")]
        numbers = [json_number(value, self.findings) for value in stated]
        if any(value is not None and number is None for value, number in zip(stated, numbers, strict=True)):
            self.findings.wrong(
                path.name, "size", expected="numbers in imageWidth and imageHeight", found=shown(stated)
            )
            return None
        size = agreed_size(file, numbers, path.name, self.findings)
        if size is None:
            return None
        parts = (
            self._part(shape, f"{path.name}, shape {number}", size) for number, shape in enumerate(record["shapes"], 1)
        )
        return AnnotatedImage(file, *size, tuple(_joined([part for part in parts if part is not None], size)))

    def _image(self, path: Path, name: Any) -> Path | None:
        """Return the image: the stated one, or the one that has the stem of the JSON file."""
        stems = (path.with_suffix(ending) for ending in (*ANY_IMAGE_ENDINGS, *map(str.upper, ANY_IMAGE_ENDINGS)))
        folders = [path.parent, path.parent.parent / "images"]
        quiet = Findings(path, expected="an image")
        file = named_image(name, folders, path.name, quiet) or first_file(stems)
        if file is None:
            return named_image(name, folders, path.name, self.findings)
        if quiet:
            self.findings.note("files whose imagePath does not exist, the image with their name is used")
        return file

    def _part(self, shape: Any, where: str, size: tuple[int, int]) -> tuple[Any, Region] | None:
        """Return the group and region of a shape; None if it is left out or wrong."""
        if not isinstance(shape, dict):
            self.findings.wrong(where, "shape", expected="an object", found=shown(shape))
            return None
        kind = shape.get("shape_type") or "polygon"  # the first versions of labelme had polygons only
        if kind in _NO_AREA:
            self.changes[f"left out: of kind {kind}"] += 1
            return None
        label, group = shape.get("label"), shape.get("group_id")
        if not isinstance(label, str) or not label.strip() or not label.strip().isprintable():
            self.findings.wrong(where, "label", expected="the name of a class", found=shown(label))
        elif group is not None and type(group) is not int:
            self.findings.wrong(where, "group_id", expected="a whole number or null", found=shown(group))
        elif kind not in _OBJECTS:
            self.findings.wrong(where, "shape_type", expected=f"one of {', '.join(_OBJECTS)}", found=shown(kind))
        else:
            region = self._region(label.strip(), kind, shape, where, size)
            return None if region is None else (group, region)
        return None

    def _region(self, label: str, kind: str, shape: dict, where: str, size: tuple[int, int]) -> Region | None:
        points = self._points(shape.get("points"), where)
        if points is None:
            return None
        counts = {"rectangle": (2, 4), "circle": (2,), "mask": (2,)}.get(kind)
        if len(points) < 3 if counts is None else len(points) not in counts:
            expected = "at least 3" if counts is None else " or ".join(map(str, counts))
            self.findings.wrong(where, "points", expected=f"{expected} for a {kind}", found=f"{len(points)}")
            return None
        if kind == "rectangle":
            return Region(label, (*points[0], *points[1]) if len(points) == 2 else bounds_of([points]))
        if kind == "circle":
            radius = math.dist(*points)
            return Region(label, outlines=(ellipse(points[0], (radius, radius)),))
        if kind == "mask":
            mask = self._mask(shape.get("mask"), points, where, size)
            return None if mask is None else Region(label, mask=encode_mask(mask))
        return Region(label, outlines=(points,))

    def _points(self, given: Any, where: str) -> list[tuple[float, float]] | None:
        pairs: list[Any] = given if isinstance(given, list) else [None]
        if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            points = [[json_number(value, self.findings) for value in pair] for pair in pairs]
            if all(map(are_pixels, points)):
                return [(x, y) for x, y in points if x is not None and y is not None]
        self.findings.wrong(where, "points", expected="a list of [x, y] in pixels", found=shown(given))
        return None

    def _mask(
        self, data: Any, points: Sequence[tuple[float, float]], where: str, size: tuple[int, int]
    ) -> np.ndarray | None:
        """Return the mask (H, W) in the whole image, or None after an error."""
        (left, top), (right, bottom) = ((int(x), int(y)) for x, y in points)
        inside = 0 <= left <= right < size[0] and 0 <= top <= bottom < size[1]
        part = _decoded(data, (right - left + 1, bottom - top + 1)) if inside else None
        if part is None:
            expected = "two points in the image, and a PNG of the pixels between them"
            self.findings.wrong(where, "mask", expected=expected, found=f"{shown(points)}, {shown(data, most=20)}")
            return None
        mask = np.zeros(size[::-1], bool)
        mask[top : bottom + 1, left : right + 1] = part
        return mask


def _decoded(data: Any, size: tuple[int, int]) -> np.ndarray | None:
    """Return the pixels of a PNG in base64, or None if it is broken or has another size."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
            return np.asarray(image.convert("L")) > 0 if image.size == size else None
    except binascii.Error:
        return None
    except Exception:  # the plugins of Pillow raise errors of almost any type
        return None


def _joined(parts: Sequence[tuple[Any, Region]], size: tuple[int, int]) -> Iterator[Region]:
    """Yield the objects: shapes with one label and one group are joined."""
    groups: dict[Any, list[Region]] = {}
    for number, (group, region) in enumerate(parts):
        key = ("alone", number) if group is None else (region.name, group)
        groups.setdefault(key, []).append(region)
    for regions in groups.values():
        yield regions[0] if len(regions) == 1 else _union(regions, size)


def _union(regions: Sequence[Region], size: tuple[int, int]) -> Region:
    outlines = [outline for region in regions for outline in _outlines(region)]
    if not any(region.mask for region in regions):
        alone = not any(region.outlines for region in regions)
        box = bounds_of(outlines) if alone else None
        return Region(regions[0].name, box, () if alone else tuple(outlines))
    from pycocotools import mask as coco

    polygons = [[float(value) for point in outline for value in point] for outline in outlines]
    codes = coco.frPyObjects(polygons, size[1], size[0]) if polygons else []
    masks = [{**region.mask, "counts": region.mask["counts"].encode()} for region in regions if region.mask]
    return Region(regions[0].name, mask=encode_mask(coco.merge([*codes, *masks])))


def _outlines(region: Region) -> Sequence[Sequence[tuple[float, float]]]:
    return region.outlines or ([corners_of(region.box)] if region.box else ())
