"""Conversions of panoptic maps against COCONut's scripts and panopticapi: semantic maps, instances, heuristic merge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from visionzoo.datasets.panoptic.categories import COCO_PANOPTIC
from visionzoo.datasets.panoptic.combining import combined, regions_of
from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
from visionzoo.datasets.panoptic.instances import instances_record
from visionzoo.datasets.panoptic.maps import map_of
from visionzoo.datasets.panoptic.reading import parsed
from visionzoo.datasets.panoptic.semantic import index_map
from visionzoo.structures.panoptic import PanopticMap

Arrays = dict[str, np.ndarray]


class _Refused:
    """Raises an error for anything that is wrong with a case."""

    def wrong(self, entry: object, field: str, *, expected: str, found: str) -> None:
        raise AssertionError(f"{entry}: {field}: expected {expected}, found {found}")

    def note(self, text: str, count: int = 1) -> None:
        raise AssertionError(f"{text}: {count}")


def file_of(case: Mapping[str, Any]) -> PanopticFile:
    """Return the annotations of a case; images are named after them if the case lists none."""
    annotations = case["gt_json"]
    named = [{"id": each["image_id"], "file_name": each["file_name"]} for each in annotations]
    return parsed({"images": case.get("images", named), "annotations": annotations}, case["name"], _Refused())


def maps_of(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[PanopticImage, PanopticMap]]:
    """Yield the images of a case with their maps."""
    for number, image in enumerate(file_of(case).annotated):
        yield image, map_of(arrays[f"input:gt{number}"], image.segments, image.place)


def instances_of(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray], form: str) -> list[dict[str, Any]]:
    """Return the annotations of the things of a case."""
    return instances_record(file_of(case), maps_of(case, arrays), form)["annotations"]


def _run_semantic(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    assert [each.id for each in COCO_PANOPTIC] == case["category_order"]
    maps = enumerate(maps_of(case, arrays))
    return {f"semantic{number}": index_map(panoptic, COCO_PANOPTIC) for number, (_, panoptic) in maps}


def _run_instances(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compare the annotations, which are not arrays; the scores are computed elsewhere."""
    assert _differences(instances_of(case, arrays, "rle"), case["rle_annotations"]) == []
    assert _differences(instances_of(case, arrays, "coconut"), case["coconut_script_annotations"]) == []
    return {}


def _differences(ours: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> list[str]:
    """Return the entries that differ; numbers of polygons and boxes may differ by 1e-6."""
    problems = [] if len(ours) == len(wanted) else [f"{len(ours)} annotations instead of {len(wanted)}"]
    for mine, theirs in zip(ours, wanted):
        keys = [key for key in mine if not _are_equal(mine[key], theirs[key])]
        problems += [f"{theirs['id']}: {key}: {mine[key]!r:.60} instead of {theirs[key]!r:.60}" for key in keys]
    return problems


def _are_equal(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(_are_equal, mine, theirs))
    if isinstance(mine, float) or isinstance(theirs, float):
        return abs(mine - theirs) <= 1e-6
    return mine == theirs


def _run_merge(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    constructor = case["constructor"]
    size = tuple(case["instances"][0]["segmentation"]["size"])
    panoptic = combined(
        regions_of(case["instances"]),
        regions_of(case["semantic"]),
        size,
        confidence=0,
        overlap=constructor["overlap_thr"],
        stuff_area=constructor["stuff_area_limit"],
    )
    assert [each.category_id for each in panoptic.segments] == case["segment_categories"]
    return {"segments": panoptic.ids.astype(np.int16)}


FAMILIES = {
    "semantic_": _run_semantic,
    "instances_": _run_instances,
    "merge_instance_semantic": _run_merge,
}
