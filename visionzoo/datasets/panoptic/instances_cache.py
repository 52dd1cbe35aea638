"""Instances of a panoptic file as a COCO file in the cache folder, for metrics that read such files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from visionzoo.datasets.coco_writing import write_json
from visionzoo.datasets.panoptic.files import PanopticFile
from visionzoo.datasets.panoptic.instances import category_record, instances_record
from visionzoo.datasets.panoptic.maps import maps_in
from visionzoo.system.cache import cache_root, make_folder

_VERSION = 1


def instances_file(file: PanopticFile, path: Path, masks: Path) -> Path:
    """Return the COCO file with the things of a panoptic file; it is made if it is not in the cache.

    It has all categories, so that a metric finds the names of stuff too, which has no instance, and only images with
    annotation.

    Args:
        file: the content of the panoptic file.
        path: the panoptic file.
        masks: folder of its PNG files.

    Raises:
        DataError: a PNG is missing or broken, or has other ids than the file.
        OutputError: the cache cannot be written.
    """
    folder = cache_root() / "converted" / f"panoptic-instances-v{_VERSION}-{_state(file, path, masks)}"
    if not folder.is_dir():
        make_folder(folder, lambda new: _write(new, file, masks))
    return folder / "instances.json"


def _write(folder: Path, file: PanopticFile, masks: Path) -> None:
    annotated = PanopticFile(file.where, file.annotated, file.categories)
    record = instances_record(annotated, maps_in(masks, annotated))
    record["categories"] = [category_record(each) for each in file.categories]
    write_json(folder / "instances.json", record)


def _state(file: PanopticFile, path: Path, masks: Path) -> str:
    """Return a digest of the paths, sizes and times of the file and of its PNG files."""
    digest = hashlib.sha256()
    for line in _facts(file, path, masks):
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()[:24]


def _facts(file: PanopticFile, path: Path, masks: Path) -> Iterator[str]:
    places = [path.resolve(), *(masks.resolve() / f"{image.mask}" for image in file.annotated)]
    for place in places:
        facts = os.stat(place) if place.exists() else None
        yield f"{place}\0{facts.st_size if facts else ''}\0{facts.st_mtime_ns if facts else ''}\n"
