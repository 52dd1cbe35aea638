"""Shapes of panoptic annotation files; each is brought into that of COCO: images, annotations and categories.

COCO and COCONut
    An object with ``images``, ``annotations`` and ``categories``. COCONut has no ``bbox``.
Without images
    An object or a list with annotations only; the images follow from the names of the PNG files.
One image
    A list of segments, or one annotation, as the demo of COCONut: ``demo_segments_info.json`` with ``demo_mask.png``
    and ``demo_image.jpg``.
Hugging Face
    A list, or lines, of rows with ``segments_info``, which is a whole annotation, and ``image_info``.
COCONut-L
    As COCO; ``object365_file_name`` of an annotation or image, if it is there, names both files.
COCONut-XL
    A folder ``panseg_info`` with a list of segments for each image, ``panseg_info/NAME.json`` with
    ``panseg/NAME.png``. Class indices instead of ids: :mod:`visionzoo.datasets.panoptic.class_indices`.
Merged
    An object with ``records``, as the official merge script writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from visionzoo.datasets.findings import shown
from visionzoo.datasets.json_objects import parse_json, read_json_value
from visionzoo.errors import DataError, in_cwd, some_of
from visionzoo.system.text_files import read_text

_WHAT = "panoptic annotations"
_ADVICE = "see datasets/coconut/README.md for the shapes of files"
_OBJECTS365 = re.compile(r"objects365_v[12]_\d+")
_INFO = "panseg_info"
Raw = dict[str, Any]


def read_raw(path: Path) -> Raw:
    """Read a file, or a folder of COCONut-XL, and return it in the shape of COCO.

    Returns:
        A dict with the lists ``images`` and ``annotations``, and ``categories``, a list or None. The entries are not
        checked.

    Raises:
        DataError: the file cannot be read, or has none of the shapes.
    """
    if path.is_dir():
        return _of_folder(path / _INFO if (path / _INFO).is_dir() else path)
    if not path.is_file():
        raise DataError(path, expected=_WHAT, found=f"no such file{in_cwd(path)}", advice=_ADVICE)
    if path.suffix == ".jsonl":
        text = read_text(path, _WHAT, _ADVICE)
        lines = enumerate(text.splitlines(), start=1)
        return raw_of([parse_json(line, f"{path}: line {number}") for number, line in lines if line.strip()], path)
    return raw_of(read_json_value(path, _WHAT, _ADVICE), path)


def raw_of(value: Any, where: Path) -> Raw:
    """Return annotations in the shape of COCO.

    Args:
        value: content of a file in any shape.
        where: the file, for errors; its name is that of the image if the content names none.

    Raises:
        DataError: the value has none of the shapes.

    Example:
        >>> raw_of([{"id": 1, "category_id": 3, "area": 6}], Path("demo_segments_info.json"))["annotations"]
        [{'image_id': 'demo', 'file_name': 'demo_mask.png', 'segments_info': [{'id': 1, 'category_id': 3, 'area': 6}]}]
    """
    if isinstance(value, dict) and isinstance(value.get("records"), list):
        return _of_records(value)
    if isinstance(value, dict) and isinstance(value.get("annotations"), list):
        if not isinstance(value.get("images", []), list):
            raise DataError(where, expected="a list images", found=shown(value["images"]), advice=_ADVICE)
        return _with_images(value)
    if isinstance(value, dict) and "segments_info" in value:
        value = [value]
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        first = value[0]
        if isinstance(first.get("segments_info"), (dict, str)):
            return _of_rows(value, where)
        if "segments_info" in first:
            return _with_images({"annotations": value})
        if {"id", "category_id"} <= set(first):
            return _of_one_image(value, where)
    found = (
        f"an object with {', '.join(map(str, list(value)[:6])) or 'no key'}"
        if isinstance(value, dict)
        else _kind(value)
    )
    raise DataError(where, expected=f"{_WHAT} in one of the known shapes", found=found, advice=_ADVICE)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with {some_of(map(shown, value), most=6) or 'no key'}"
    return "an empty list" if value == [] else f"a JSON {type(value).__name__} of other entries"


def _of_one_image(segments: list[Any], where: Path) -> Raw:
    name = where.stem.removesuffix("segments_info").rstrip("_") or where.stem
    is_named = where.stem.endswith("segments_info")
    mask, image = (f"{name}_mask.png", f"{name}_image.jpg") if is_named else (f"{name}.png", f"{name}.jpg")
    annotation = {"image_id": name, "file_name": mask, "segments_info": segments}
    return {"images": [{"id": name, "file_name": image}], "annotations": [annotation], "categories": None}


def _with_images(record: Raw) -> Raw:
    """Complete a record: images from annotations, if they are missing; files of Objects365."""
    annotations = record["annotations"]
    images = record.get("images")
    if images is None:
        images = [_image_of(each) for each in annotations if isinstance(each, dict) and "image_id" in each]
    _name_objects365(images, annotations)
    return {**record, "images": images, "annotations": annotations, "categories": record.get("categories")}


def _image_of(annotation: Raw) -> Raw:
    name = f"{annotation.get('file_name', annotation['image_id'])}"
    return {"id": annotation["image_id"], "file_name": f"{_without_suffix(name)}.jpg"}


def _name_objects365(images: Iterable[Any], annotations: Sequence[Any]) -> None:
    """Set the names of image and PNG that ``object365_file_name`` states; entries are changed."""
    stated = {
        each.get("id"): stem for each in images if isinstance(each, dict) and (stem := _objects365(each)) is not None
    }
    for annotation in annotations:
        if not isinstance(annotation, dict):
            continue
        stem = _objects365(annotation) or stated.get(_hashable(annotation.get("image_id")))
        if stem is not None:
            annotation["file_name"] = f"{stem}.png"
            stated[_hashable(annotation.get("image_id"))] = stem
    for image in images:
        if isinstance(image, dict) and _hashable(image.get("id")) in stated:
            image["file_name"] = f"{stated[_hashable(image['id'])]}.jpg"


def _objects365(entry: Raw) -> str | None:
    name = entry.get("object365_file_name") or entry.get("object365_name")
    found = _OBJECTS365.search(name) if isinstance(name, str) else None
    return found[0] if found else None


def _hashable(value: Any) -> Any:
    return value if isinstance(value, (int, str)) else None


def _of_rows(rows: list[Raw], where: Path) -> Raw:
    images, annotations = [], []
    for number, row in enumerate(rows):
        annotation, image = (_as_object(row.get(key), f"{where}: row {number}: {key}") for key in _ROW_KEYS)
        annotations.append(annotation)
        images.append(image or _image_of(annotation))
    return _with_images({"images": images, "annotations": annotations})


_ROW_KEYS = ("segments_info", "image_info")


def _as_object(value: Any, place: str) -> Raw:
    """Return an object of a row, which may be stored as text; an empty one if it is missing."""
    if isinstance(value, str):
        return parse_json(value, place)
    if not isinstance(value, dict | None):
        raise DataError(place, expected="an annotation", found=f"{value!r:.40}", advice=_ADVICE)
    return value or {}


def _of_folder(folder: Path) -> Raw:
    """Read the lists of segments of COCONut-XL."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(folder, expected="one JSON file for each image", found="none", advice=_ADVICE)
    images: list[Raw] = []
    annotations: list[Raw] = []
    for file in files:
        raw = raw_of(read_json_value(file, "a list of segments", _ADVICE), file)
        annotations += [{**each, "image_id": file.stem, "file_name": f"{file.stem}.png"} for each in raw["annotations"]]
        images.append({"id": file.stem, "file_name": f"{file.stem}.jpg"})
    return {"images": images, "annotations": annotations, "categories": None}


def _of_records(record: Raw) -> Raw:
    """Read the schema of the official merge script.

    PNG files are below the root of their source, or, if it does not exist here, below a folder of the source's name.
    """
    roots = record.get("source_roots") or {}
    images, annotations = [], []
    for each in record["records"]:
        each = each if isinstance(each, dict) else {}
        number, stem = each.get("merged_id"), each.get("object365_name")
        file = {"height": each.get("height"), "width": each.get("width"), "source": each.get("source", "")}
        images.append({"id": number, "file_name": f"{stem}.jpg", **{k: v for k, v in file.items() if v is not None}})
        root = Path(f"{roots.get(each.get('source')) or ''}")
        place = root if root.is_dir() else Path(f"{each.get('source') or ''}")  # the roots of another machine
        mask = place / f"{each.get('panseg_subdir') or ''}" / f"{each.get('panseg_file')}"
        segments = each.get("segments_info")
        annotations.append({"image_id": number, "file_name": str(mask), "segments_info": segments})
    facts = {"info": record.get("info", {}), "categories": record.get("categories")}
    return {**facts, "images": images, "annotations": annotations}


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0] or name


def as_json(raw: Raw) -> str:
    """Return annotations as the text of a JSON file."""
    return json.dumps(raw, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
