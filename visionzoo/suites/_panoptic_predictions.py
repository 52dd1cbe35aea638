"""Panoptic predictions of any origin: a folder with a folder for each data set, as ``visionzoo infer`` writes them.

``<data set>/panoptic.json`` with ``<data set>/panoptic/*.png`` is COCO's panoptic format.
``<data set>/instances.json``, a list of COCO results with masks, can be left out; then there is no AP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionzoo.datasets.panoptic.files import PanopticFile
from visionzoo.datasets.panoptic.maps import folder_of_masks, map_in
from visionzoo.datasets.panoptic.reading import read_panoptic
from visionzoo.errors import DataError, some_of
from visionzoo.metrics.files._coco_results import read_results
from visionzoo.structures.detections import encode_mask
from visionzoo.structures.panoptic import PanopticCategory
from visionzoo.suites._base import Record, SuiteData
from visionzoo.suites._panoptic_models import segments_of


def read_panoptic_predictions(folder: Path, data: SuiteData) -> list[Record] | None:
    """Return the record of each image; None if the folder has no file for the data set.

    Args:
        folder: the folder.
        data: the data set, with its ``categories``.

    Raises:
        DataError: a file cannot be read, images are missing, or a category is unknown.
    """
    path = folder / data.name / "panoptic.json"
    if not path.is_file():
        return None
    categories: Sequence[PanopticCategory] = data.about["categories"]
    file = read_panoptic(path, categories)
    ids = {each.id: each.id for each in categories}
    images = {_key(image.id): image for image in file.annotated}
    _require_all(data.ids, images, path)
    records: list[Record] = []
    for image_id in data.ids:
        image = images[_key(image_id)]
        panoptic = map_in(folder_of_masks(path), image, path).with_categories(ids, f"{path}: {image.place}")
        found = {"size": list(panoptic.size), "panoptic": segments_of(panoptic, ids)}
        records.append({**found, "instances": None, "semantic": None})
    _add_instances(records, data.ids, file, folder / data.name / "instances.json")
    return records


def _key(image_id: object) -> str:
    """Return an id without leading zeros: files name image 139 ``000000000139.png``."""
    return str(image_id).lstrip("0") or "0"


def _require_all(ids: Sequence[str], found: Mapping[str, Any], path: Path) -> None:
    missing = [image_id for image_id in ids if _key(image_id) not in found]
    if missing:
        raise DataError(
            path,
            expected=f"a prediction for each of {len(ids)} images",
            found=f"none for {len(missing)} of them: {some_of(missing, 4)}",
            advice="predict all images, or add --limit",
        )


def _add_instances(records: Sequence[Record], ids: Sequence[str], file: PanopticFile, path: Path) -> None:
    """Add the instances of a results file to the records, if it is there."""
    if not path.is_file():
        return
    stated = {_key(image.id): image.id for image in file.annotated}
    sizes = [{"id": stated[_key(i)], **_size(record)} for i, record in zip(ids, records, strict=True)]
    truth = {"images": sizes, "categories": [{"id": each.id} for each in file.categories]}
    by_image: dict[Any, list[list[Any]]] = defaultdict(list)
    for entry in read_results(path, truth, "segmentation"):
        counts = encode_mask(entry["segmentation"])["counts"]
        by_image[entry["image_id"]].append([entry["category_id"], float(entry["score"]), counts])
    for image, record in zip(sizes, records, strict=True):
        record["instances"] = by_image[image["id"]]


def _size(record: Record) -> dict[str, int]:
    height, width = record["size"]
    return {"height": height, "width": width}
