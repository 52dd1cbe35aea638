"""CVAT's XML for images: shapes, splits, findings, and the numbers after conversion."""

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from visionzoo.datasets.coco import CocoDetection
from visionzoo.datasets.coco_records import to_coco
from visionzoo.datasets.coco_writing import write_coco_folder
from visionzoo.datasets.cvat import read_cvat
from visionzoo.errors import DataError

WIDTH, HEIGHT = 61, 40
BOX = '<box label="cat" occluded="0" xtl="10.00" ytl="5.00" xbr="31.00" ybr="25.00" z_order="0"/>'
POLYGON = '<polygon label="dog" points="0.0,0.0;20.0,0.0;20.0,20.0"/>'
MASK = '<mask label="cat" rle="1, 2, 3" left="3" top="4" width="3" height="2"/>'
OUTSIDE = 'subset="../x"'
AROUND = pytest.approx(157, abs=4)
LABELS = "<meta><task><labels><label><name>dog</name></label><label><name>cat</name></label></labels></task></meta>"


def image(shapes, name="a.png", others=""):
    return f'<image id="0" name="{name}" width="{WIDTH}" height="{HEIGHT}" {others}>{shapes}</image>'


def write(root, *images, labels=LABELS, folder="images", names=("a.png",)):
    for name in names:
        file = root / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(file)
    text = f"<?xml version='1.0' encoding='utf-8'?><annotations>{labels}{''.join(images)}</annotations>"
    (root / "annotations.xml").write_text(text)
    return root


def annotations(root):
    return to_coco(read_cvat(root)).records["train"]["annotations"]


@pytest.mark.parametrize(
    ("one", "box", "area"),
    [
        (BOX, [10, 5, 21, 20], 420),
        (POLYGON, [0, 0, 20, 20], 200),
        (MASK, [3, 4, 3, 1], 2),
        (BOX.replace("z_order", 'rotation="180.0" z_order'), [10, 5, 21, 20], 420),
        ('<box label="cat" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90"/>', [15, 5, 10, 20], 200),
        ('<ellipse label="cat" cx="20" cy="20" rx="10" ry="5"/>', [10, 15, 20, 10], AROUND),
        ('<ellipse label="cat" cx="20" cy="20" rx="10" ry="5" rotation="90"/>', [15, 10, 10, 20], AROUND),
    ],
)  # fmt: skip
def test_shapes(one, box, area, tmp_path):
    (annotation,) = annotations(write(tmp_path, image(one)))
    if "mask" in one:
        rows, columns = np.nonzero(coco_mask.decode(annotation["segmentation"]))
        assert list(zip(columns.tolist(), rows.tolist(), strict=True)) == [(4, 4), (5, 4)]
        box = [4, 4, 2, 1]
    assert (annotation["bbox"], annotation["area"]) == (box, area)


def test_a_box_turned_clockwise_starts_at_its_upper_left_corner(tmp_path):
    turned = '<box label="cat" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90"/>'
    (annotation,) = annotations(write(tmp_path, image(turned)))
    assert annotation["segmentation"] == [[25, 5, 25, 25, 15, 25, 15, 5]]


def test_subsets_are_splits_and_labels_give_the_order(tmp_path):
    images = [
        image(BOX, "deep/a.png", 'subset="Train"'),
        image(POLYGON + BOX, "b.png", 'subset="Validation"'),
        image("", "c.png", 'subset="Train"'),
    ]
    root = write(tmp_path / "in", *images, names=("Train/deep/a.png", "Validation/b.png", "Train/c.png"))
    coco = to_coco(read_cvat(root))
    assert {split: len(record["images"]) for split, record in coco.records.items()} == {"train": 2, "val": 1}
    assert [category["name"] for category in coco.records["val"]["categories"]] == ["dog", "cat"]
    write_coco_folder(tmp_path / "out", coco.records, coco.images)
    data = CocoDetection("annotations/instances_val2017.json", str(tmp_path / "out"), {"img": "val2017/"})
    assert [one["bbox"] for one in data.get_data_info(0)["instances"]] == [[0, 0, 20, 20], [10, 5, 31, 25]]


def test_images_in_another_folder(tmp_path):
    root = write(tmp_path / "xml", image(BOX, "frames/a.png"), folder="../frames")
    with pytest.raises(DataError, match=r"expected an image in .*images, found no file 'frames/a\.png'"):
        read_cvat(root)
    assert len(read_cvat(root / "annotations.xml", images=tmp_path / "frames").splits["train"]) == 1


def test_other_kinds_are_counted(tmp_path):
    others = '<points label="cat" points="1,2"/><polyline label="cat" points="1,2;3,4"/><tag label="cat"/>'
    changes = to_coco(read_cvat(write(tmp_path, image(BOX + others)))).changes
    assert changes == {f"left out: of kind {kind}": 1 for kind in ("points", "polyline", "tag")}


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (BOX.replace("31.00", "x"), "box: expected pixels in xtl, ytl, xbr, ybr, found"),
        (BOX.replace("31.00", "nan"), "box: expected pixels in xtl"),
        (BOX.replace("31.00", "1e9"), "box: expected pixels in xtl"),
        (BOX.replace("z_order", 'rotation="x" z_order'), "rotation: expected degrees, found 'x'"),
        (BOX.replace("cat", "cow"), "label: expected a label of the task, found 'cow'"),
        (POLYGON.replace(";20.0,20.0", ""), "points: expected at least 3 points x,y;x,y"),
        (POLYGON.replace("20.0,20.0", "20.0"), "points: expected at least 3 points"),
        (MASK.replace("1, 2, 3", "1, 2"), "rle: expected run lengths of 6 pixels"),
        (MASK.replace("1, 2, 3", "1, -2, 7"), "rle: expected run lengths of 6 pixels"),
        (MASK.replace('left="3"', 'left="60"'), "mask: expected whole numbers, a rectangle in 61x40 pixels"),
        ("<star/>", "kind: expected one of box, polygon"),
        ("", "found no object in any file; check the labels in CVAT"),
    ],
)
def test_shapes_without_a_meaning(one, what, tmp_path):
    with pytest.raises(DataError, match=what):
        annotations(write(tmp_path, image(one)))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "<annotations><track id='0'/></annotations>",
            "found `CVAT for video 1.1` with 1 tracks; export",
        ),
        ("<annotation/>", "found <annotation>; use `visionzoo convert voc2coco`"),
        ("<annotations>", "a broken file"),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><annotations/>", "XML without definitions of entities"),
        ("<annotations/>", "with images, found none; export the task again"),
        (f"<annotations>{image(BOX)}{image(BOX)}</annotations>", "expected one entry, found 2"),
        (f"<annotations>{image(BOX, others=OUTSIDE)}</annotations>", "subset: expected a name of letters"),
        (f"<annotations>{image(BOX).replace('40', '41')}</annotations>", "that of its image, 61x40, found 61x41"),
        (f"<annotations>{LABELS}{LABELS}{image(BOX)}</annotations>", "a name that occurs once, found 'dog' 2 times"),
    ],
)
def test_damaged_files(text, what, tmp_path):
    (write(tmp_path) / "annotations.xml").write_text(text)
    with pytest.raises(DataError, match=what):
        read_cvat(tmp_path)


def test_places_without_a_file(tmp_path):
    with pytest.raises(DataError, match="found no such file"):
        read_cvat(tmp_path / "none")
    with pytest.raises(DataError, match="found no XML file; name the file itself"):
        read_cvat(tmp_path)
