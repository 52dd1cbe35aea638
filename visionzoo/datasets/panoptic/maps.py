"""Panoptic maps of single images: the PNG of an annotation together with its segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.decoding import read_bytes
from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
from visionzoo.datasets.panoptic.id_png import decode_id_png, is_single_channel
from visionzoo.errors import DataError
from visionzoo.structures.image_size import require_size
from visionzoo.structures.panoptic import PanopticMap


def read_map(
    path: str | Path,
    segments: Iterable[Mapping[str, Any]],
    size: Sequence[int] | None = None,
    like: object = "its image",
) -> PanopticMap:
    """Read the map of one image; areas and boxes are counted from the pixels.

    Args:
        path: the PNG.
        segments: dicts with ``id``, ``category_id`` and ``iscrowd``.
        size: (H, W) of the image; None if it is not known.
        like: name of the image, for the error.

    Raises:
        DataError: the PNG is missing, broken or of another size, or its ids are not those of the segments. The message
            has the file and the ids.
    """
    data = read_bytes(path, "an id map")
    ids = decode_id_png(data, path)
    if size is not None:
        require_size(ids.shape, size, path, what="an id map", like=like, advice="export it in the image's size")
    return map_of(ids, segments, path, has_one_channel=is_single_channel(data))


def map_of(
    ids: np.ndarray, segments: Iterable[Mapping[str, Any]], where: object, *, has_one_channel: bool = False
) -> PanopticMap:
    """Return the map of ids and their segments.

    Args:
        ids: (H, W) integers.
        segments: see :func:`read_map`.
        where: the PNG, for the error.
        has_one_channel: True if the PNG has one channel, for the error: it may have lost the others.

    Raises:
        DataError: the ids are not those of the segments.

    Example:
        >>> panoptic = map_of(np.array([[5, 5, 0]]), [{"id": 5, "category_id": 1, "iscrowd": 0}], "a.png")
        >>> panoptic.segments[0].bbox
        (0, 0, 2, 1)
    """
    categories = {each["id"]: (each["category_id"], bool(each["iscrowd"])) for each in segments}
    try:
        return PanopticMap.of_ids(ids, categories, where=f"{where}")
    except DataError as error:
        if not has_one_channel or max(categories, default=0) <= 255:
            raise
        found = f"one channel, and {error.found}"
        advice = "export the PNG in RGB, with id = R + 256 G + 65536 B"
        raise DataError(where, expected="ids in three channels", found=found, advice=advice) from error


def with_stated_areas(panoptic: PanopticMap, segments: Iterable[Mapping[str, Any]]) -> PanopticMap:
    """Return the map with the areas that a file states, where it does.

    Example:
        >>> segment = {"id": 5, "category_id": 1, "iscrowd": 0, "area": 9}
        >>> with_stated_areas(map_of(np.array([[5, 5]]), [segment], "a.png"), [segment]).segments[0].area
        9
    """
    areas = {each["id"]: each["area"] for each in segments if each.get("area") is not None}
    stated = (replace(each, area=areas.get(each.id, each.area)) for each in panoptic.segments)
    return panoptic.with_segments(stated)


def map_in(folder: Path, image: PanopticImage, where: Path | str) -> PanopticMap:
    """Read the map of an annotated image of a file.

    Args:
        folder: folder of the PNG files.
        image: an image with annotation.
        where: the file with the annotations, for the error.

    Raises:
        DataError: the image has no annotation, or see :func:`read_map`.
    """
    if image.mask is None:
        raise DataError(where, expected=f"an annotation of {image.place}", found="none", advice="leave the image out")
    size = None if image.height is None or image.width is None else (image.height, image.width)
    return read_map(folder / image.mask, image.segments, size, like=image.file_name)


def folder_of_masks(file: Path) -> Path:
    """Return the folder of the PNG files of an annotation file, by the names of published data sets.

    ``coconut_s.json`` has them in ``coconut_s/``. COCO's ``annotations/panoptic_val2017.json`` has them in
    ``annotations/panoptic_val2017/``, and COCONut in ``panoptic_val2017/`` beside ``annotations/``. COCONut-XL has
    ``panseg/`` beside ``panseg_info/``. Otherwise they are beside the file.

    Example:
        >>> folder_of_masks(Path("no/such/file.json"))
        PosixPath('no/such')
    """
    if file.is_dir():
        places = [file / "panseg", file.parent / "panseg"]
    else:
        places = [file.with_suffix(""), file.parent.parent / file.stem]
    return next((place for place in places if place.is_dir()), file if file.is_dir() else file.parent)


def maps_in(folder: Path, file: PanopticFile) -> Iterable[tuple[PanopticImage, PanopticMap]]:
    """Yield every annotated image of a file with its map."""
    for image in file.annotated:
        yield image, map_in(folder, image, file.where)
