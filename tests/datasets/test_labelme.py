"""labelme's JSON files: shapes, images, findings, and the numbers after conversion."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from visionzoo.datasets.coco import CocoDetection
from visionzoo.datasets.coco_records import to_coco
from visionzoo.datasets.coco_writing import write_coco_folder
from visionzoo.datasets.labelme import read_labelme
from visionzoo.errors import DataError

WIDTH, HEIGHT = 61, 40


def shape(kind, points, label="cat", **others):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **others}


def png(mask):
    data = io.BytesIO()
    Image.fromarray(np.asarray(mask, np.uint8) * 255).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def write(root, shapes, name="a", folder="", **others):
    (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / folder / f"{name}.png")
    record = {"version": "5.4", "shapes": shapes, "imagePath": f"{name}.png", "imageData": None}
    record |= {"imageHeight": HEIGHT, "imageWidth": WIDTH, **others}
    (root / folder / f"{name}.json").write_text(json.dumps(record))
    return root


def annotations(root):
    return to_coco(read_labelme(root)).records["train"]["annotations"]


RECTANGLE = shape("rectangle", [[10, 5], [31, 25]])
TRIANGLE = shape("polygon", [[0, 0], [20, 0], [20, 20]])


@pytest.mark.parametrize(
    ("one", "box", "area"),
    [
        (RECTANGLE, [10, 5, 21, 20], 420),
        (shape("rectangle", [[31, 25], [10, 5]]), [10, 5, 21, 20], 420),
        (shape("rectangle", [[10, 5], [31, 5], [31, 25], [10, 25]]), [10, 5, 21, 20], 420),
        (TRIANGLE, [0, 0, 20, 20], 200),
        (shape(None, [[0, 0], [20, 0], [20, 20]]), [0, 0, 20, 20], 200),
        (shape("circle", [[20, 20], [20, 30]]), [10, 10, 20, 20], pytest.approx(314.2, abs=6)),
        (shape("mask", [[3, 4], [5, 5]], mask=png([[1, 1, 0], [0, 1, 0]])), [3, 4, 2, 2], 3),
    ],
)
def test_shapes(one, box, area, tmp_path):
    (annotation,) = annotations(write(tmp_path, [one]))
    assert annotation["bbox"] == box
    assert annotation["area"] == area


def test_the_outline_is_that_of_the_shape(tmp_path):
    mask = shape("mask", [[3, 4], [5, 5]], mask=png([[1, 1, 0], [0, 1, 0]]))
    first, second, third = annotations(write(tmp_path, [TRIANGLE, RECTANGLE, mask]))
    assert first["segmentation"] == [[0, 0, 20, 0, 20, 20]]
    assert second["segmentation"] == [[10, 5, 31, 5, 31, 25, 10, 25]]
    rows, columns = np.nonzero(coco_mask.decode(third["segmentation"]))
    assert list(zip(columns.tolist(), rows.tolist(), strict=True)) == [(3, 4), (4, 4), (4, 5)]


def test_shapes_of_a_group_are_one_object(tmp_path):
    other = shape("polygon", [[30, 10], [40, 10], [40, 20]], group_id=1)
    first = {**TRIANGLE, "group_id": 1}
    dog = {**TRIANGLE, "group_id": 1, "label": "dog"}
    joined, alone = annotations(write(tmp_path, [first, dog, other]))
    assert (joined["bbox"], joined["area"], len(joined["segmentation"])) == ([0, 0, 40, 20], 250, 2)
    assert alone["category_id"] == 2
    mask = shape("mask", [[50, 30], [50, 30]], mask=png([[1]]), group_id=1)
    joined, _ = annotations(write(tmp_path, [first, dog, mask]))
    assert joined["bbox"] == [1, 0, 50, 31]  # the outline covers half of the first pixel
    boxes = [{**RECTANGLE, "group_id": 2}, shape("rectangle", [[0, 0], [5, 6]], group_id=2)]
    (joined,) = annotations(write(tmp_path, boxes))
    assert (joined["bbox"], "segmentation" in joined) == ([0, 0, 31, 25], False)


def test_other_kinds_are_counted(tmp_path):
    line, point = shape("line", [[0, 0], [1, 1]]), shape("point", [[0, 0]])
    coco = to_coco(read_labelme(write(tmp_path, [RECTANGLE, line, point, point])))
    assert coco.changes == {"left out: of kind line": 1, "left out: of kind point": 2}


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("..\\images\\a.png", "images/a.png"),
        ("../images/a.png", "images/a.png"),
        ("C:\\Users\\me\\a.png", "json/a.png"),
        ("a.png", "images/a.png"),
        ("renamed.jpg", "json/a.png"),
        (None, "json/a.png"),
    ],
)
def test_image_paths(name, image, tmp_path):
    write(tmp_path, [RECTANGLE], folder="json", imagePath=name)
    (tmp_path / "images").mkdir()
    (tmp_path / "json/a.png").rename(tmp_path / image)
    (read,) = read_labelme(tmp_path / "json").splits["train"]
    assert read.file.resolve() == tmp_path / image


def test_the_written_splits_load(tmp_path):
    for split, name in (("train", "a"), ("train", "b"), ("valid", "c")):
        write(tmp_path / "in", [RECTANGLE, {**TRIANGLE, "label": "dog"}], name, split)
    coco = to_coco(read_labelme(tmp_path / "in"))
    write_coco_folder(tmp_path / "out", coco.records, coco.images)
    data = CocoDetection("annotations/instances_train2017.json", str(tmp_path / "out"), {"img": "train2017/"})
    assert (len(data), data.metainfo["classes"]) == (2, ("cat", "dog"))
    assert [one["mask"] for one in data.get_data_info(1)["instances"]][1] == [[0, 0, 20, 0, 20, 20]]
    assert list(coco.records) == ["train", "val"]


@pytest.mark.parametrize(
    ("shapes", "what"),
    [
        ({}, r"a\.json: shapes: expected a list, found {}"),
        (["x"], "shape 1: shape: expected an object"),
        ([shape("rectangle", [[1, 2]])], "2 or 4 for a rectangle, found 1"),
        ([shape("polygon", [[1, 2], [3, 4]])], "at least 3 for a polygon, found 2"),
        ([shape("polygon", [[1, 2], [3, 4], [5]])], r"a list of \[x, y\] in pixels"),
        ([shape("polygon", [[1, 2], [3, 4], [5, float("nan")]])], r"a list of \[x, y\] in pixels"),
        ([shape("polygon", [[1, 2], [3, 4], [5, 1e300]])], r"a list of \[x, y\] in pixels"),
        ([shape("star", [[1, 2], [3, 4]])], "shape_type: expected one of rectangle, polygon, circle"),
        ([shape("rectangle", [[1, 2], [3, 4]], label=" ")], "label: expected the name of a class"),
        ([shape("rectangle", [[1, 2], [3, 4]], group_id="x")], "group_id: expected a whole number or null"),
        ([shape("mask", [[1, 2], [3, 4]], mask="x")], "mask: expected two points in the image, and a PNG"),
        ([shape("mask", [[1, 2], [3, 4]], mask=png([[1]]))], "mask: expected two points"),
        ([shape("mask", [[60, 2], [61, 2]], mask=png([[1, 1]]))], "mask: expected two points"),
        ([shape("point", [[1, 2]])], "at least one box to learn, found 1 left out: of kind point"),
        ([], "found no object in any file; check the shapes"),
    ],
)
def test_shapes_without_a_meaning(shapes, what, tmp_path):
    with pytest.raises(DataError, match=what):
        annotations(write(tmp_path, shapes))


@pytest.mark.parametrize(
    ("others", "what"),
    [
        ({"imageHeight": 41}, "size: expected that of its image, 61x40, found 61x41"),
        ({"imageHeight": WIDTH, "imageWidth": HEIGHT}, "found 40x61 .turned by EXIF data"),
        ({"imageHeight": "x"}, "numbers in imageWidth and imageHeight"),
    ],
)
def test_sizes_of_another_image(others, what, tmp_path):
    with pytest.raises(DataError, match=what):
        read_labelme(write(tmp_path, [RECTANGLE], **others))


def test_files_that_are_not_of_labelme(tmp_path):
    with pytest.raises(DataError, match="found no such folder"):
        read_labelme(tmp_path / "none")
    with pytest.raises(DataError, match="labelme's JSON files, found none"):
        read_labelme(tmp_path)
    write(tmp_path, [RECTANGLE])
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_text('{"shapes": [], "imagePath": "nowhere.png"}')
    (tmp_path / "d.json").write_text((tmp_path / "a.json").read_text())
    with pytest.raises(DataError) as caught:
        read_labelme(tmp_path)
    assert "found 3 errors (2 image, 1 file)" in caught.value.sentence
