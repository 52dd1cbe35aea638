"""Rows of COCONut from Hugging Face, with the masks in them, as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from visionzoo.datasets.coco_writing import write_json
from visionzoo.datasets.panoptic.categories import COCO_PANOPTIC
from visionzoo.datasets.panoptic.instances import category_record
from visionzoo.datasets.panoptic.shapes import raw_of
from visionzoo.errors import DataError


def write_rows(folder: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Write rows as ``<folder>/<name>.json`` and ``<folder>/<name>/*.png``, which ``PanopticDataset`` reads.

    Args:
        folder: an existing folder.
        name: name of the split, such as ``relabeled_coco_val``.
        rows: dicts with ``mask`` (an image of Pillow, the bytes of a PNG, or a dict with ``bytes``), ``segments_info``
            (an annotation with ``image_id``, ``file_name`` and ``segments_info``) and ``image_info``.

    Returns:
        The content of the JSON file.

    Raises:
        DataError: a row has another form.

    Example:
        >>> import tempfile
        >>> annotation = {"image_id": 4, "file_name": "4.png", "segments_info": []}
        >>> row = {"mask": Image.new("RGB", (3, 2)), "segments_info": annotation, "image_info": None}
        >>> with tempfile.TemporaryDirectory() as place:
        ...     record = write_rows(Path(place), "val", [row])
        ...     sorted(path.name for path in Path(place).rglob("*.*")), record["images"]
        (['4.png', 'val.json'], [{'id': 4, 'file_name': '4.jpg'}])
    """
    (folder / name).mkdir()
    listed = []
    for number, row in enumerate(rows):
        record = {key: row.get(key) for key in ("segments_info", "image_info")}
        (annotation,) = raw_of([record], folder / f"row {number}")["annotations"]
        _write_mask(folder / name / f"{Path(annotation['file_name']).stem}.png", row.get("mask"), number)
        listed.append(record)
    raw = raw_of(listed, folder)
    record = {**raw, "categories": [category_record(each) for each in COCO_PANOPTIC]}
    write_json(folder / f"{name}.json", record)
    return record


def _write_mask(path: Path, mask: Any, number: int) -> None:
    data = mask.get("bytes") if isinstance(mask, Mapping) else mask
    if isinstance(data, bytes):
        path.write_bytes(data)
    elif isinstance(data, Image.Image):
        data.save(path)
    else:
        found = f"{type(mask).__name__}"
        expected = "mask to be an image of Pillow or the bytes of a PNG"
        raise DataError(f"row {number}", expected=expected, found=found, advice="load the column mask as an image")
