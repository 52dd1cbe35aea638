"""Annotations of COCO files: what is filled in, and which segmentations are valid."""

import numpy as np
import pytest

from visionzoo.datasets.coco_annotations import (
    completed,
    require_segmentations,
    segmentation_problem,
    whole_segmentation,
)
from visionzoo.errors import DataError
from visionzoo.structures.detections import encode_mask

SIZE = (4, 6)
TRIANGLE = [0, 0, 3, 0, 3, 3]


@pytest.mark.parametrize(
    ("given", "area", "iscrowd"),
    [({}, 6, 0), ({"area": None, "iscrowd": None}, 6, 0), ({"area": 2.5, "iscrowd": 1}, 2.5, 1), ({"area": 0}, 0, 0)],
)
def test_area_and_iscrowd_are_filled_in(given, area, iscrowd):
    entry = {"id": 1, "bbox": [1, 1, 2, 3], **given}
    assert completed(entry) == {"id": 1, "bbox": [1, 1, 2, 3], "area": area, "iscrowd": iscrowd}
    assert entry == {"id": 1, "bbox": [1, 1, 2, 3], **given}


@pytest.mark.parametrize(
    "segmentation",
    [[TRIANGLE], [TRIANGLE, [0, 0, 1, 0, 1, 1.5]], {"size": [4, 6], "counts": [24]}, {"size": (4, 6), "counts": "h0"}],
)
def test_valid_segmentations(segmentation):
    assert segmentation_problem(segmentation, SIZE) is None
    assert segmentation_problem(segmentation, (None, None)) is None
    assert whole_segmentation(segmentation) == segmentation


@pytest.mark.parametrize(
    ("segmentation", "problem"),
    [
        (None, "no segmentation"),
        ([], "no segmentation"),
        ({}, "no segmentation"),
        ([[]], "a polygon of 0 numbers"),
        ([TRIANGLE, []], "a polygon of 0 numbers"),
        ([[0, 0, 3, 3]], "a polygon of 4 numbers"),
        ([[0, 0, 3, 0, 3, 3, 1]], "a polygon of 7 numbers"),
        ([[0, 0, 3, 0, 3, float("nan")]], "a polygon "),
        ([["0", "0", "3", "0", "3", "3"]], "a polygon "),
        ([[[0, 0], [3, 0], [3, 3]]], "a polygon "),
        ([{"size": [4, 6], "counts": [24]}, TRIANGLE], "a polygon "),
        ("a2", "'a2'"),
        (7, "7"),
        ({"size": [6, 4], "counts": [24]}, "an RLE of size [6, 4] in an image of [4, 6] (height, width)"),
        ({"size": [4, 6], "counts": [20]}, "an RLE whose counts do not cover the image"),
        ({"size": [4, 6], "counts": [30, -6]}, "an RLE whose counts do not cover the image"),
        ({"size": [4, 6]}, "an RLE without counts"),
        ({"size": [4, 6], "counts": ""}, "an RLE without counts"),
        ({"size": [4, 6], "counts": []}, "an RLE without counts"),
        ({"size": [4, 6], "counts": [True, 23]}, "an RLE whose counts do not cover the image"),
        *[
            ({"size": [4, 6], "counts": text}, "an RLE whose counts do not cover the image")
            for text in ("a2", "h", "h0h0", "\u00e9", "~", "o" * 30 + "0", "h0O0", "\ud800")
        ],
        ([[0, 0, 3, 0, 3, 1e7]], "a polygon "),
        ([[0, 0, 3, 0, 3, True]], "a polygon "),
        ({"size": None, "counts": "a2"}, "an RLE of size None"),
        ({"size": ["4", "6"], "counts": "a2"}, "an RLE of size ['4', '6']"),
    ],
)
def test_invalid_segmentations(segmentation, problem):
    assert segmentation_problem(segmentation, SIZE).startswith(problem)


@pytest.mark.parametrize("seed", range(20))
def test_compressed_run_lengths(seed):
    mask = np.random.default_rng(seed).random((37, 53 + seed * 40)) < 0.02 * seed
    rle = encode_mask(mask)
    assert segmentation_problem(rle, mask.shape) is None
    assert segmentation_problem({**rle, "counts": rle["counts"][:-1]}, mask.shape) is not None


def test_forms_with_one_meaning_are_accepted(monkeypatch):
    images = [{"id": "a", "height": 4, "width": 6}]
    entries = [{"id": 1, "image_id": "a", "segmentation": TRIANGLE}]
    entries.append({"id": 2, "image_id": "a", "segmentation": [{"size": [4, 6], "counts": [24]}]})
    notes = []
    monkeypatch.setattr("visionzoo.datasets.coco_annotations.print_log", lambda text, *_: notes.append(text))
    for _ in range(2):
        require_segmentations("a.json", {"images": images, "annotations": entries}, "masks are needed")
    assert notes == ["a.json: 2 segmentations are a flat list or a list of one RLE, read as one polygon or this RLE"]
    assert [entry["segmentation"] for entry in entries] == [[TRIANGLE], {"size": [4, 6], "counts": [24]}]


def test_all_problems_are_counted_and_three_named():
    images = [{"id": 1, "height": 4, "width": 6, "file_name": "b.jpg"}]
    entries = [{"id": n, "image_id": 1, "segmentation": [[0] * n]} for n in range(6)] + [{"id": 9, "image_id": 1}]
    expected = (
        r"^a\.json: expected polygons or an RLE in every annotation because masks are needed, found 7 annotations "
        r"without: a polygon of 0 numbers in annotation 0 of b.jpg, a polygon of 1 numbers in annotation 1 of b.jpg, "
        r".* and 4 more; "
    )
    with pytest.raises(DataError, match=expected):
        require_segmentations("a.json", {"images": images, "annotations": entries}, "masks are needed")
