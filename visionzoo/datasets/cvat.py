"""Reading of the export ``CVAT for images 1.1``: one XML file for all images.

Coordinates are edges in pixels, counted from 0: ``xbr - xtl`` is the width of a box. A mask has run lengths over the
rows of its rectangle, and the first run is background (https://docs.cvat.ai/docs/other/xml_format).

Boxes, polygons, ellipses and masks are objects. A turned box or ellipse becomes a polygon. Polylines, points, cuboids,
skeletons and tags are left out. ``occluded`` and attributes have no field in COCO and are ignored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from visionzoo.datasets.coco_records import AnnotatedImage, AnnotatedImages, Region
from visionzoo.datasets.file_names import files_with
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.image_lookup import agreed_size, are_pixels, named_image
from visionzoo.datasets.numerals import decimal
from visionzoo.datasets.outlines import corners_of, ellipse, turned
from visionzoo.datasets.voc_xml import parse_xml
from visionzoo.errors import DataError, first_of
from visionzoo.structures.detections import encode_mask

_WHAT = "an export `CVAT for images 1.1`"
_SPLITS = {"": "train", "default": "train", "training": "train", "valid": "val", "validation": "val"}
_SPLIT = re.compile(r"[\w-]{1,50}")
_OBJECTS = ("box", "polygon", "ellipse", "mask")
_LEFT_OUT = ("polyline", "points", "cuboid", "skeleton", "tag")


def read_cvat(
    place: Path,
    *,
    images: Path | None = None,
    watch: Callable[[Sequence[Element]], Iterable[Element]] = iter,
) -> AnnotatedImages:
    """Read an export of CVAT.

    Args:
        place: the XML file, or a folder with ``annotations.xml``.
        images: folder of the images. Default: ``images`` beside the XML file, and the folder of the file.
        watch: returns its argument and may show the progress.

    Returns:
        The images by split: the subsets of CVAT, or ``train``.

    Raises:
        DataError: the file is missing, broken or of another format, an image is missing or has another size, or a shape
            has no meaning. One error covers the file.
    """
    path = _find(place)
    folders = [images] if images is not None else [path.parent / "images", path.parent]
    with Findings(path, expected=_WHAT, advice="correct the file, or export it again") as findings:
        root = _parse(path, findings)
        nodes = root.findall("image")
        reader = _Reader(_labels(root, findings), folders, findings)
        read = [reader.read(node, f"image {number}") for number, node in enumerate(watch(nodes), 1)]
        for file, times in Counter(image.file.resolve() for _, image in filter(None, read)).items():
            if times > 1:
                findings.wrong(file.name, "image", expected="one entry", found=f"{times}")
    if not nodes:
        raise DataError(path, expected=f"{_WHAT} with images", found="none", advice="export the task again")
    splits: dict[str, list[AnnotatedImage]] = {}
    for split, image in filter(None, read):
        splits.setdefault(split, []).append(image)
    return AnnotatedImages(path, "CVAT", splits, reader.labels or None, reader.changes, "check the labels in CVAT")


def _find(place: Path) -> Path:
    if place.is_file():
        return place
    if not place.is_dir():
        raise DataError(place, expected=_WHAT, found="no such file", advice="check the path")
    files = files_with(place, (".xml",), Findings(place, expected=_WHAT, say_notes=False))
    named = [path for path in files if path.name.lower() == "annotations.xml"] or files
    if len(named) != 1:
        found = first_of(path.name for path in named) or "no XML file"
        raise DataError(place, expected=f"{_WHAT}, annotations.xml", found=found, advice="name the file itself")
    return named[0]


def _parse(path: Path, findings: Findings) -> Element:
    try:
        root = parse_xml(path, findings, what=_WHAT, root_tag="annotations")
    except DataError as error:
        advice = "use `visionzoo convert voc2coco`" if "<annotation>" in f"{error.found}" else "export the task again"
        raise DataError(path, expected=f"{error.expected}", found=f"{error.found}", advice=advice) from error
    tracks = len(root.findall("track"))
    if tracks:
        raise DataError(
            path,
            expected=_WHAT,
            found=f"`CVAT for video 1.1` with {tracks} tracks",
            advice="export the task again and choose `CVAT for images 1.1`, which has every frame",
        )
    return root


def _labels(root: Element, findings: Findings) -> list[str]:
    """Return the class names in the order of the project, task or job."""
    names = [(node.text or "").strip() for node in root.iterfind("meta//labels/label/name")]
    for name, times in Counter(names).items():
        if not name or not name.isprintable() or times > 1:
            found = f"{shown(name)} {times} times" if times > 1 else shown(name)
            findings.wrong("meta", "label", expected="a name that occurs once", found=found)
    return names


class _Reader:
    """Reader of image elements; it counts the shapes that it leaves out."""

    def __init__(self, labels: list[str], folders: Sequence[Path], findings: Findings):
        self.labels, self.folders, self.findings = labels, folders, findings
        self.changes: Counter[str] = Counter()

    def read(self, node: Element, where: str) -> tuple[str, AnnotatedImage] | None:
        subset = (node.get("subset") or "").strip()
        split = _SPLITS.get(subset.lower(), subset.lower())
        if not _SPLIT.fullmatch(split):
            self.findings.wrong(where, "subset", expected="a name of letters and digits", found=shown(subset))
            return None
        folders = [*(folder / subset for folder in self.folders if subset), *self.folders]
        file = named_image(node.get("name"), folders, where, self.findings)
        if file is None:
            return None
        where = file.name
        texts = [node.get(key) for key in ("width", "height")]
        sides = [decimal(text or "") for text in texts]
        if any(text and side is None for text, side in zip(texts, sides, strict=True)):
            self.findings.wrong(where, "size", expected="numbers in width and height", found=shown(texts))
            return None
        size = agreed_size(file, sides, where, self.findings)
        if size is None:
            return None
        regions = [self._region(each, f"{where}, shape {number}", size) for number, each in enumerate(node, 1)]
        return split, AnnotatedImage(file, *size, tuple(filter(None, regions)))

    def _region(self, node: Element, where: str, size: tuple[int, int]) -> Region | None:
        kind = node.tag
        if kind in _LEFT_OUT:
            self.changes[f"left out: of kind {kind}"] += 1
            return None
        if kind not in _OBJECTS:
            self.findings.wrong(where, "kind", expected=f"one of {', '.join(_OBJECTS)}", found=shown(kind))
            return None
        label = (node.get("label") or "").strip()
        if not label or not label.isprintable() or (self.labels and label not in self.labels):
            expected = "a label of the task" if self.labels else "the name of a class"
            self.findings.wrong(where, "label", expected=expected, found=shown(label))
            return None
        if kind == "polygon":
            return self._polygon(label, node, where)
        if kind == "mask":
            return self._mask(label, node, where, size)
        return self._turnable(label, node, where)

    def _numbers(self, node: Element, keys: Sequence[str], where: str) -> list[float] | None:
        texts = [node.get(key) for key in keys]
        values = [decimal(text or "") for text in texts]
        if are_pixels(values):
            return [value for value in values if value is not None]
        self.findings.wrong(where, node.tag, expected=f"pixels in {', '.join(keys)}", found=shown(texts))
        return None

    def _turnable(self, label: str, node: Element, where: str) -> Region | None:
        """Return a box or an ellipse, which may be turned."""
        is_box = node.tag == "box"
        values = self._numbers(node, ("xtl", "ytl", "xbr", "ybr") if is_box else ("cx", "cy", "rx", "ry"), where)
        angle = decimal(node.get("rotation") or "0")
        if angle is None:
            self.findings.wrong(where, "rotation", expected="degrees", found=shown(node.get("rotation")))
        if values is None or angle is None:
            return None
        a, b, c, d = values
        if not is_box:
            if min(c, d) < 0:
                self.findings.wrong(where, "ellipse", expected="radii >= 0", found=f"{c:g}, {d:g}")
                return None
            return Region(label, outlines=(ellipse((a, b), (c, d), angle % 360),))
        if angle % 360 == 0:
            return Region(label, (a, b, c, d))
        return Region(label, outlines=(turned(corners_of((a, b, c, d)), ((a + c) / 2, (b + d) / 2), angle % 360),))

    def _polygon(self, label: str, node: Element, where: str) -> Region | None:
        text = node.get("points") or ""
        pairs = [[decimal(word) for word in pair.split(",")] for pair in text.split(";") if pair.strip()]
        if len(pairs) < 3 or any(len(pair) != 2 or not are_pixels(pair) for pair in pairs):
            self.findings.wrong(where, "points", expected="at least 3 points x,y;x,y", found=shown(text))
            return None
        return Region(label, outlines=([(x, y) for x, y in pairs if x is not None and y is not None],))

    def _mask(self, label: str, node: Element, where: str, size: tuple[int, int]) -> Region | None:
        values = self._numbers(node, ("left", "top", "width", "height"), where)
        if values is None:
            return None
        left, top, width, height = map(int, values)
        inside = left >= 0 and top >= 0 and width > 0 and height > 0
        inside = inside and left + width <= size[0] and top + height <= size[1]
        if not inside or values != [left, top, width, height]:
            expected = f"whole numbers, a rectangle in {size[0]}x{size[1]} pixels"
            self.findings.wrong(where, "mask", expected=expected, found=shown(values))
            return None
        text = node.get("rle") or ""
        words = [word.strip() for word in text.split(",")]
        runs = [int(word) if word.isascii() and word.isdecimal() and len(word) < 10 else -1 for word in words]
        if min(runs) < 0 or sum(runs) != width * height:
            expected = f"run lengths of {width * height} pixels"
            self.findings.wrong(where, "rle", expected=expected, found=shown(text))
            return None
        part = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        mask = np.zeros(size[::-1], bool)
        mask[top : top + height, left : left + width] = part
        return Region(label, mask=encode_mask(mask))
