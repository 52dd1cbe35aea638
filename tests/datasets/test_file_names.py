"""Names of files in annotations: files outside the folder of the data need a permission."""

import json

import numpy as np
import pytest
from PIL import Image

from visionzoo.datasets.classification import ImageList
from visionzoo.datasets.coco import CocoDetection
from visionzoo.datasets.counting.nwpu_crowd import NWPUCrowdDataset
from visionzoo.datasets.counting.plain_points import PointsDataset
from visionzoo.datasets.counting.trancos import TRANCOSDataset
from visionzoo.datasets.crops import CocoCrops
from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.lanes.tusimple import TuSimpleDataset
from visionzoo.errors import DataError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return the folder of the data. ``a.jpg`` is in its images, ``other/b.jpg`` beside them, ``c.jpg`` outside."""
    monkeypatch.chdir(tmp_path)
    for place in ("data/images/a.jpg", "data/other/b.jpg", "c.jpg"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(path)
    (tmp_path / "data" / "images" / "link.jpg").symlink_to(tmp_path / "c.jpg")
    return tmp_path / "data"


def coco_record(name):
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 8, 9], "area": 72, "iscrowd": 0}
    image = {"id": 1, "file_name": name, "height": 20, "width": 31}
    return json.dumps({"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "cell"}]})


def coco(root, name, **options):
    (root / "a.json").write_text(coco_record(name))
    return CocoDetection("a.json", str(root), dict(img="images"), serialize_data=False, **options)


def crops(root, name, **options):
    (root / "a.json").write_text(coco_record(name))
    return CocoCrops("a.json", str(root), "images", serialize_data=False, test_mode=True, **options)


def image_list(root, name, **options):
    (root / "a.csv").write_text(f"path,label\n{name},cat\n")
    classes = ["cat", "dog"]
    return ImageList("a.csv", str(root), "images", classes=classes, serialize_data=False, **options)


def points_json(root, name, **options):
    (root / "a.jsonl").write_text(json.dumps({"image": name, "points": [[1, 2]]}))
    return PointsDataset(str(root), "a.jsonl", "images", serialize_data=False, **options)


def points_csv(root, name, **options):
    (root / "a.csv").write_text(f"image,x,y\n{name},1,2\n")
    return PointsDataset(str(root), "a.csv", "images", serialize_data=False, **options)


READERS = [coco, crops, image_list, points_json, points_csv]


@pytest.mark.parametrize("make", READERS)
@pytest.mark.parametrize(
    "name", ["a.jpg", "link.jpg", "../other/b.jpg", "../../data/images/a.jpg", "{root}/other/b.jpg"]
)
def test_files_in_the_folder_of_the_data(root, make, name):
    assert len(make(root, name.format(root=root))) == 1


@pytest.mark.parametrize("make", READERS)
@pytest.mark.parametrize("name", ["../../c.jpg", "../images/../../c.jpg", "{root}/../c.jpg"])
def test_files_outside_need_a_permission(root, make, name):
    name = name.format(root=root)
    with pytest.raises(DataError, match=r"expected names of files in .*, found 1 outside \('.*--allow-outside\)"):
        make(root, name)
    assert len(make(root, name, allow_outside=True)) == 1


def nwpu(root, name):
    (root / "train.txt").write_text(f"{name} 1 2\n")
    return NWPUCrowdDataset(str(root))


def trancos(root, name):
    (root / "image_sets").mkdir()
    (root / "image_sets" / "training.txt").write_text(f"{name}.jpg\n")
    return TRANCOSDataset(str(root))


def tusimple(root, name):
    record = {"raw_file": f"{name}.jpg", "lanes": [[1, 2, 3]], "h_samples": [1, 2, 3]}
    (root / "label_data_0313.json").write_text(json.dumps(record))
    return TuSimpleDataset(str(root), "label_data_0313.json")


@pytest.mark.parametrize("make", [nwpu, trancos, tusimple])
def test_published_formats_have_no_files_outside(root, make):
    with pytest.raises(DataError, match=r"outside \('../../c'\)|a path that leaves the folder"):
        make(root, "../../c")


def test_the_folder_of_images_may_be_elsewhere(tmp_path):
    require_inside(["a.jpg", "b/../a.jpg"], tmp_path / "store", tmp_path / "data", "a.json")
    with pytest.raises(DataError, match=r"files in .*store, found 4 outside \('\.\./x', '\.\./x', '\.\./x', \.\.\.\)"):
        require_inside(["../x"] * 4, tmp_path / "store", tmp_path / "data", "a.json")
