"""Files of the VGG Image Annotator: shapes, classes, findings, and the numbers after conversion."""

import csv
import json

import pytest
from PIL import Image

from visionzoo.datasets.coco import CocoDetection
from visionzoo.datasets.coco_records import to_coco
from visionzoo.datasets.coco_writing import write_coco_folder
from visionzoo.datasets.via import read_via
from visionzoo.errors import DataError, UnknownName

WIDTH, HEIGHT = 61, 40
RECT = {"name": "rect", "x": 10, "y": 5, "width": 21, "height": 20}
POLYGON = {"name": "polygon", "all_points_x": [0, 20, 20], "all_points_y": [0, 0, 20]}


def region(shape, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes or {"kind": "cat"}}


def entries(**regions):
    return {
        f"{name}.png123": {"filename": f"{name}.png", "size": 123, "regions": listed, "file_attributes": {}}
        for name, listed in regions.items()
    }


def write(root, images, form="project"):
    root.mkdir(exist_ok=True)
    for entry in images.values():
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / entry["filename"])
    if form == "csv":
        header = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
        with open(root / "via.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(header.split(","))
            for entry in images.values():
                regions = entry["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]
                for number, one in enumerate(regions):
                    parts = [json.dumps(one[key]) for key in ("shape_attributes", "region_attributes")]
                    table.writerow([entry["filename"], 123, "{}", len(entry["regions"]), number, *parts])
    else:
        project = {"_via_settings": {}, "_via_img_metadata": images, "_via_attributes": {"region": {}, "file": {}}}
        (root / "via.json").write_text(json.dumps(project if form == "project" else images))
    return root


def annotations(root, **options):
    return to_coco(read_via(root, **options)).records["train"]["annotations"]


@pytest.mark.parametrize(
    ("shape", "box", "area"),
    [
        (RECT, [10, 5, 21, 20], 420),
        (POLYGON, [0, 0, 20, 20], 200),
        ({"name": "circle", "cx": 20, "cy": 20, "r": 10}, [10, 10, 20, 20], pytest.approx(314, abs=6)),
        ({"name": "ellipse", "cx": 20, "cy": 20, "rx": 10, "ry": 5}, [10, 15, 20, 10], pytest.approx(157, abs=4)),
        (
            {"name": "ellipse", "cx": 20, "cy": 20, "rx": 10, "ry": 5, "theta": 1.5707963267948966},
            [15, 10, 10, 20],
            pytest.approx(157, abs=4),
        ),
    ],
)
def test_shapes(shape, box, area, tmp_path):
    (annotation,) = annotations(write(tmp_path, entries(a=[region(shape)])))
    assert (annotation["bbox"], annotation["area"]) == (box, area)


@pytest.mark.parametrize("form", ["project", "json", "csv"])
def test_forms_and_loading(form, tmp_path):
    images = entries(a=[region(RECT, kind="dog"), region(POLYGON, kind="cat")], b=[])
    coco = to_coco(read_via(write(tmp_path / "in", images, form)))
    assert [len(coco.records["train"][key]) for key in ("images", "annotations", "categories")] == [2, 2, 2]
    write_coco_folder(tmp_path / "out", coco.records, coco.images)
    data = CocoDetection("annotations/instances_train2017.json", str(tmp_path / "out"), {"img": "train2017/"})
    instances = data.get_data_info(0)["instances"]
    assert [(one["bbox"], one["bbox_label"]) for one in instances] == [([10, 5, 31, 25], 1), ([0, 0, 20, 20], 0)]
    assert instances[1]["mask"] == [[0, 0, 20, 0, 20, 20]]


def test_version_1_has_regions_by_number(tmp_path):
    images = entries(a=[])
    images["a.png123"]["regions"] = {"0": region(RECT), "1": region(POLYGON)}
    assert len(annotations(write(tmp_path, images, "json"))) == 2


def test_the_attribute_that_is_the_class(tmp_path):
    one = region(RECT, kind="cat", color={"red": True, "blue": False}, note="")
    root = write(tmp_path, entries(a=[one]))
    with pytest.raises(DataError, match=r"3: 'kind' in 1 regions, 'color' in 1 regions.*--attribute NAME"):
        read_via(root)
    for attribute, name in (("kind", "cat"), ("color", "red")):
        coco = to_coco(read_via(root, attribute=attribute))
        assert [category["name"] for category in coco.records["train"]["categories"]] == [name]
    with pytest.raises(DataError, match=r"region 1: 'note': expected the name of one class, found ''"):
        read_via(root, attribute="note")
    with pytest.raises(UnknownName, match="did you mean 'kind'"):
        read_via(root, attribute="kinds")


def test_regions_without_attributes_are_one_class(tmp_path):
    images = entries(a=[{"shape_attributes": RECT, "region_attributes": {}}])
    coco = to_coco(read_via(write(tmp_path, images)))
    assert [category["name"] for category in coco.records["train"]["categories"]] == ["object"]


def test_other_kinds_are_counted(tmp_path):
    others = [region({"name": "point", "cx": 1, "cy": 2}), region({**POLYGON, "name": "polyline"})]
    changes = to_coco(read_via(write(tmp_path, entries(a=[region(RECT), *others])))).changes
    assert changes == {"left out: of kind point": 1, "left out: of kind polyline": 1}


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (region({**RECT, "x": None}), "rect: expected pixels in x, y, width, height, found"),
        (region({**RECT, "width": -3}), "rect: expected pixels in x"),
        (region({**RECT, "x": 1e300}), "rect: expected pixels in x"),
        (region({**POLYGON, "all_points_y": [1, 2]}), "polygon: expected at least 3 numbers in all_points_x"),
        (region({**POLYGON, "all_points_y": [1, 2, "x"]}), "polygon: expected at least 3 numbers"),
        (region({"name": "star"}), "shape: expected one of rect, circle, ellipse, polygon, found 'star'"),
        (region(RECT, kind=""), "'kind': expected the name of one class, found ''"),
        (region(RECT, kind={"a": True, "b": True}), "'kind': expected the name of one class"),
        ("x", "region 1: region: expected an object with shape_attributes"),
        (region({"name": "point"}), "found 1 left out: of kind point; check the regions in VIA"),
    ],
)
def test_regions_without_a_meaning(one, what, tmp_path):
    with pytest.raises(DataError, match=what):
        annotations(write(tmp_path, entries(a=[one])))


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("via.json", "[]", "expected annotations of the VGG Image Annotator, found"),
        ("via.json", '{"images": []}', r"other JSON \(keys: 'images'\)"),
        ("via.json", "{}", "with images, found none"),
        ("via.json", '{"a": {"filename": "a.png"}}', "regions: expected a list, found None"),
        ("via.json", '{"a": {"filename": "no.png", "regions": []}}', "found no file 'no.png'"),
        ("via.csv", "a,b\n1,2", "a header with the columns filename, region_count"),
        (
            "via.csv",
            "filename,region_count,region_shape_attributes,region_attributes\na.png,1,x,{}",
            "line 2: region: expected attributes as JSON objects",
        ),
        ("via.txt", "", "found no JSON or CSV file; name the file itself"),
    ],
)
def test_damaged_files(name, text, what, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=what):
        read_via(tmp_path)


def test_images_in_another_folder(tmp_path):
    root = write(tmp_path / "in", entries(a=[region(RECT)]))
    (tmp_path / "photos").mkdir()
    (root / "a.png").rename(tmp_path / "photos/a.png")
    assert len(read_via(root / "via.json", images=tmp_path / "photos").splits["train"]) == 1
