"""Reading of files of the VGG Image Annotator 2: a project, or its export of annotations as JSON or CSV.

Coordinates are positions in pixels on the canvas, counted from 0 at the upper left corner of the image, so they are
edges: a ``rect`` is ``x, y, width, height``. ``theta`` of an ellipse is in radians, clockwise
(https://www.robots.ox.ac.uk/~vgg/software/via/).

Rectangles, polygons, circles and ellipses are objects. Polylines and points are left out. The class is the value of one
region attribute: text, the id of a dropdown or radio option, or the only option of a checkbox that is set. A file
without region attributes has one class, ``object``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.datasets.coco_records import AnnotatedImage, AnnotatedImages, Region, measured
from visionzoo.datasets.file_names import files_with
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.image_lookup import are_pixels, named_image
from visionzoo.datasets.json_objects import parse_json, read_json
from visionzoo.datasets.numerals import json_number
from visionzoo.datasets.outlines import ellipse
from visionzoo.errors import DataError, first_of, require_known, some_of
from visionzoo.system.csv_files import CsvRow, parse_csv
from visionzoo.system.text_files import read_text

_WHAT = "annotations of the VGG Image Annotator"
_ONLY_CLASS = "object"
_COLUMNS = ("filename", "region_count", "region_shape_attributes", "region_attributes")
_NUMBERS = {
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}
_OBJECTS = (*_NUMBERS, "polygon")
_NO_AREA = ("polyline", "point")


@dataclass
class _Entry:
    """One image: its name, and the shape and attributes of each region."""

    name: Any
    regions: list[tuple[dict, dict]] = field(default_factory=list)


def read_via(
    place: Path,
    *,
    images: Path | None = None,
    attribute: str | None = None,
    watch: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> AnnotatedImages:
    """Read a project or an export.

    Args:
        place: the JSON or CSV file, or a folder with one of them.
        images: folder of the images. Default: the folder of the file, and ``images`` in it.
        attribute: the region attribute that is the class. Default: the only one.
        watch: returns its argument and may show the progress.

    Returns:
        The images, all in ``train``; those without a region are background.

    Raises:
        UnknownName: no region has ``attribute``.
        DataError: the file is missing, broken or of another format, there are several attributes and none is chosen, an
            image is missing, or a region has no meaning. One error covers the file.
    """
    path = _find(place)
    with Findings(path, expected=_WHAT, advice="correct the file, or export it again") as findings:
        entries = _read_csv(path, findings) if path.suffix.lower() == ".csv" else _read_project(path, findings)
        if not entries and not findings:
            raise DataError(path, expected=f"{_WHAT} with images", found="none", advice="export the project again")
        reader = _Reader(_class_attribute(path, entries, attribute), findings)
        folders = [images] if images is not None else [path.parent, path.parent / "images"]
        read = [reader.read(entry, folders, f"image {number}") for number, entry in enumerate(watch(entries), 1)]
        for file, times in Counter(image.file.resolve() for image in filter(None, read)).items():
            if times > 1:
                findings.wrong(file.name, "image", expected="one entry", found=f"{times}")
    kept = {"train": list(filter(None, read))}
    return AnnotatedImages(path, "VIA", kept, changes=reader.changes, advice="check the regions in VIA")


def _find(place: Path) -> Path:
    if place.is_file():
        return place
    if not place.is_dir():
        raise DataError(place, expected=_WHAT, found="no such file", advice="check the path")
    files = files_with(place, (".json", ".csv"), Findings(place, expected=_WHAT, say_notes=False))
    if len(files) != 1:
        found = first_of(path.name for path in files) or "no JSON or CSV file"
        raise DataError(place, expected=f"one file with {_WHAT}", found=found, advice="name the file itself")
    return files[0]


# --- JSON ---


def _read_project(path: Path, findings: Findings) -> list[_Entry]:
    try:
        record = read_json(path)
    except DataError as error:
        raise DataError(path, expected=_WHAT, found=f"{error.found}", advice="export it again") from error
    listed = record.get("_via_img_metadata", record)
    if not isinstance(listed, dict) or not all(isinstance(value, dict) for value in listed.values()):
        keys = some_of(map(shown, record), most=4)
        raise DataError(path, expected=_WHAT, found=f"other JSON (keys: {keys})", advice="name the file of VIA")
    return [_entry(key, value, findings) for key, value in listed.items()]


def _entry(key: str, value: dict, findings: Findings) -> _Entry:
    given = value.get("regions")
    # Version 1 has regions by number, version 2 a list of them.
    regions = list(given.values()) if isinstance(given, dict) else given
    entry = _Entry(value.get("filename"))
    if not isinstance(regions, list):
        findings.wrong(f"image {shown(key)}", "regions", expected="a list", found=shown(given))
        return entry
    for number, region in enumerate(regions, 1):
        parts = [region.get(f"{part}_attributes") if isinstance(region, dict) else None for part in ("shape", "region")]
        shape, attributes = parts
        if isinstance(shape, dict) and isinstance(attributes, dict):
            entry.regions.append((shape, attributes))
        else:
            expected = "an object with shape_attributes and region_attributes"
            findings.wrong(f"image {shown(key)}, region {number}", "region", expected=expected, found=shown(region))
    return entry


# --- CSV ---


def _read_csv(path: Path, findings: Findings) -> list[_Entry]:
    text = read_text(path, _WHAT, "save it as UTF-8").removeprefix("#")  # version 1 writes #filename
    try:
        table = parse_csv(text, _COLUMNS)
    except DataError as error:
        raise error.at(path) from error
    entries: dict[str, _Entry] = {}
    for row in table.rows:
        _add_row(row, entries, findings)
    return list(entries.values())


def _add_row(row: CsvRow, entries: dict[str, _Entry], findings: Findings) -> None:
    where = f"line {row.line}"
    if row.fault is not None:
        findings.wrong(where, "row", expected=row.fault[0], found=row.fault[1])
        return
    entry = entries.setdefault(row.cells["filename"], _Entry(row.cells["filename"]))
    if row.cells["region_count"] == "0":
        return
    try:
        parts = [parse_json(row.cells[column], where) for column in _COLUMNS[2:]]
    except DataError as error:
        findings.wrong(where, "region", expected="attributes as JSON objects", found=f"{error.found}")
        return
    entry.regions.append((parts[0], parts[1]))


# --- regions ---


def _class_attribute(path: Path, entries: Sequence[_Entry], wanted: str | None) -> str | None:
    """Return the attribute that is the class; None if no region has any."""
    names = Counter(name for entry in entries for _, attributes in entry.regions for name in attributes)
    if wanted is not None:
        require_known(wanted, names, f"region attribute in {path.name}")
        return wanted
    if len(names) > 1:
        found = some_of((f"{shown(name)} in {count} regions" for name, count in names.most_common()), most=6)
        raise DataError(
            path,
            expected="one region attribute, the class",
            found=f"{len(names)}: {found}",
            advice="choose one with --attribute NAME",
        )
    return next(iter(names), None)


class _Reader:
    """Reader of entries; it counts the shapes that it leaves out."""

    def __init__(self, attribute: str | None, findings: Findings):
        self.attribute, self.findings = attribute, findings
        self.changes: Counter[str] = Counter()

    def read(self, entry: _Entry, folders: Sequence[Path], where: str) -> AnnotatedImage | None:
        file = named_image(entry.name, folders, where, self.findings)
        size = None if file is None else measured(file, self.findings)
        if file is None or size is None:
            return None
        regions = [
            self._region(shape, attributes, f"{file.name}, region {number}")
            for number, (shape, attributes) in enumerate(entry.regions, 1)
        ]
        return AnnotatedImage(file, *size, tuple(filter(None, regions)))

    def _region(self, shape: dict, attributes: dict, where: str) -> Region | None:
        kind = shape.get("name")
        if kind in _NO_AREA:
            self.changes[f"left out: of kind {kind}"] += 1
            return None
        if kind not in _OBJECTS:
            self.findings.wrong(where, "shape", expected=f"one of {', '.join(_OBJECTS)}", found=shown(kind))
            return None
        name = self._name(attributes, where)
        if name is None:
            return None
        if kind == "polygon":
            return self._polygon(name, shape, where)
        return self._round_or_rect(name, kind, shape, where)

    def _name(self, attributes: dict, where: str) -> str | None:
        if self.attribute is None:
            self.findings.note(f"regions without attributes, read as the class {_ONLY_CLASS}")
            return _ONLY_CLASS
        value = attributes.get(self.attribute)
        if isinstance(value, dict):  # a checkbox
            chosen = [option for option, is_set in value.items() if is_set is True]
            value = chosen[0] if len(chosen) == 1 else value
        if isinstance(value, str) and value.strip() and value.strip().isprintable():
            return value.strip()
        found = "none" if value is None else shown(value)
        self.findings.wrong(where, shown(self.attribute), expected="the name of one class", found=found)
        return None

    def _round_or_rect(self, name: str, kind: str, shape: dict, where: str) -> Region | None:
        keys = _NUMBERS[kind]
        numbers = [json_number(shape.get(key), self.findings) for key in keys]
        theta = json_number(shape.get("theta", 0), self.findings)
        values = [number for number in numbers if number is not None]
        if not are_pixels([*numbers, theta]) or theta is None or min(values[2:]) < 0:
            stated = json.dumps([shape.get(key) for key in keys])
            self.findings.wrong(where, kind, expected=f"pixels in {', '.join(keys)}", found=shown(stated))
            return None
        if kind == "rect":
            x, y, width, height = values
            return Region(name, (x, y, x + width, y + height))
        radii = (values[2], values[-1])
        return Region(name, outlines=(ellipse((values[0], values[1]), radii, math.degrees(theta)),))

    def _polygon(self, name: str, shape: dict, where: str) -> Region | None:
        lists = [shape.get(f"all_points_{axis}") for axis in "xy"]
        if all(isinstance(each, list) for each in lists):
            xs, ys = ([json_number(value, self.findings) for value in each or ()] for each in lists)
            if len(xs) == len(ys) >= 3 and are_pixels([*xs, *ys]):
                return Region(name, outlines=(tuple(zip(xs, ys, strict=True)),))  # type: ignore[arg-type]
        expected = "at least 3 numbers in all_points_x, and as many in all_points_y"
        self.findings.wrong(where, "polygon", expected=expected, found=shown(lists))
        return None
