"""Drawn smears and sections: layout, boxes, points and masks agree; the scripts that prepare the real data."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.random import RandomState
from pycocotools.coco import COCO

from visionzoo.datasets.counting.plain_points import PointsDataset
from visionzoo.datasets.saliency import SaliencyDataset
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.tiny.bccd import CLASSES, Cell, paint_smear
from visionzoo.datasets.tiny.membrane import draw_section

SCRIPTS = Path(__file__).parents[2] / "datasets"
ROOT = "tiny://bccd?train=4&val=3&test=2&size=72&seed=1"


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def script(name):
    spec = importlib.util.spec_from_file_location(f"prepare_{name}", SCRIPTS / name / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("split", "count"), [("train", 4), ("val", 3), ("test", 2)])
def test_boxes_are_inside_and_points_are_their_centres(split, count):
    folder = resolve_data_root(ROOT)
    index = COCO(folder / "annotations" / f"instances_{split}2017.json")
    assert [category["name"] for category in index.dataset["categories"]] == list(CLASSES)
    points = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]
    assert len(index.imgs) == len(points) == count
    for image, row in zip(index.imgs.values(), points):
        pixels = cv2.imread(str(folder / row["image"]))
        assert row["image"] == f"{split}2017/{image['file_name']}"
        assert pixels.shape[:2] == (image["height"], image["width"]) == (72, 96)
        boxes = [each["bbox"] for each in index.imgToAnns[image["id"]]]
        assert row["points"] == [[x + width / 2, y + height / 2] for x, y, width, height in boxes]
        assert all(x >= 0 and y >= 0 and x + w <= 96 and y + h <= 72 for x, y, w, h in boxes)
    assert any(not row["points"] for row in points) == (count > 2)


def test_cells_are_where_their_boxes_are():
    cell = Cell("WBC", 40, 30, 12)
    empty, drawn = paint_smear(RandomState(3), 72, []), paint_smear(RandomState(3), 72, [cell])
    rows, columns = np.nonzero(np.abs(empty.astype(int) - drawn).max(2) > 12)
    left, top, width, height = cell.box(72, 96)
    assert abs(columns.min() - left) <= 1
    assert abs(columns.max() + 1 - left - width) <= 1
    assert abs(rows.min() - top) <= 1
    assert abs(rows.max() + 1 - top - height) <= 1
    assert Cell("RBC", 1, 71, 6).box(72, 96) == [0.0, 65.0, 8.0, 7.0]  # cut at the border


def test_loaders_read_the_twins():
    dataset = PointsDataset(ROOT, ann_file="train.jsonl", serialize_data=False)
    assert len(dataset) == 4
    assert dataset[0]["gt_count"] > 3
    sections = SaliencyDataset("tiny://membrane?train=2&val=1&test=1&size=48", split="train", serialize_data=False)
    mask = cv2.imread(sections[0]["gt_path"], cv2.IMREAD_GRAYSCALE)
    assert mask.shape == (48, 54)
    assert set(np.unique(mask)) == {0, 255}


def test_membranes_are_thin_and_closed():
    image, membrane = draw_section(RandomState(5), 80, 90)
    assert 0.05 < membrane.mean() < 0.4
    cells = cv2.connectedComponents((~membrane).astype(np.uint8), connectivity=4)[0] - 1
    assert cells >= 80 * 90 // 24**2 // 2
    assert image[membrane].mean() < image[~membrane].mean() - 40


def test_points_are_written_from_boxes(tmp_path, capsys):
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val", "test"):
        record = {
            "images": [{"id": 7, "file_name": "b.jpg"}, {"id": 9, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 9, "bbox": [10.0, 20.0, 5.0, 8.0]}],
        }
        (tmp_path / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(record))
    assert script("bccd").main([str(tmp_path)]) == 0
    rows = [json.loads(line) for line in (tmp_path / "val.jsonl").read_text().splitlines()]
    assert rows == [
        {"image": "val2017/b.jpg", "points": []},
        {"image": "val2017/a.jpg", "points": [[12.5, 24.0]]},
    ]
    assert "2 images, 1 points" in capsys.readouterr().out
    assert script("bccd").main([str(tmp_path / "none")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_sections_are_written_with_membranes_as_masks(tmp_path, capsys):
    source, target = tmp_path / "train", tmp_path / "membrane"
    for kind in ("image", "label"):
        (source / kind).mkdir(parents=True)
        for number in range(30):
            cells = np.full((8, 8), 255, np.uint8)
            cells[number % 8] = 0
            cv2.imwrite(str(source / kind / f"{number}.png"), cells)
    assert script("membrane").main([str(source), str(target)]) == 0
    lists = {name: (target / f"{name}.txt").read_text().split() for name in ("train", "val", "test")}
    assert [len(names) for names in lists.values()] == [20, 5, 5]
    assert len(set().union(*lists.values())) == 30
    mask = cv2.imread(str(target / "gt" / "03.png"), cv2.IMREAD_GRAYSCALE)
    assert mask[3].min() == 255
    assert mask.mean() == 255 / 8
    (source / "label" / "4.png").unlink()
    assert script("membrane").main([str(source), str(target)]) == 1
    assert "1 of 60 missing" in capsys.readouterr().err
