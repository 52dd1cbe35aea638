"""YOLO folders: layouts, labels, findings, and the numbers after conversion."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from visionzoo.datasets.coco import CocoDetection
from visionzoo.datasets.coco_records import each_nth, to_coco
from visionzoo.datasets.coco_writing import write_coco_folder
from visionzoo.datasets.yolo import read_yolo
from visionzoo.errors import DataError

WIDTH, HEIGHT = 61, 40
BOX = (10, 5, 31, 25)  # edges
LINE = "1 0.336066 0.375 0.344262 0.5"


def write(root, files):
    """Write texts, and an image for each name that ends with .png."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def flat(tmp_path, label, names="cat\ndog\n"):
    return write(tmp_path / "yolo", {"a.png": "", "a.txt": label, "classes.txt": names})


def annotations(root, **options):
    return to_coco(read_yolo(root, **options)).records["train"]["annotations"]


IMAGES = "images/{split}/{stem}.png", "labels/{split}/{stem}.txt"
LAYOUTS = {
    "by kind": (*IMAGES, {"classes.txt": "cat\ndog"}),
    "by split": ("{split}/images/{stem}.png", "{split}/labels/{stem}.txt", {"classes.txt": "cat\ndog"}),
    "yaml": (*IMAGES, {"data.yaml": "path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}"}),
    "yaml of the only name": (*IMAGES, {"my.yml": "train: images/train\nval: [images/val]\nnames: [cat, dog]\nnc: 2"}),
    "yaml of an export": (
        "{split}/images/{stem}.png",
        "{split}/labels/{stem}.txt",
        {"data.yaml": "train: ../train/images\nval: ../val/images\ntest: ../test/images\nnc: 2\nnames: ['cat', 'dog']"},
    ),
    "yaml from another machine": (
        *IMAGES,
        {"data.yaml": "path: /home/me/set\ntrain: images/train\nvalid: images/val\nnames:\n- cat\n- dog\n"},
    ),
    "yaml of lists": (
        *IMAGES,
        {
            "data.yaml": "train: a.txt\nval: b.txt\nnames: [cat, dog]",
            "a.txt": "./images/train/1.png\nimages\\train\\2.png\r\n",
            "b.txt": "images/val/3.png\n",
        },
    ),
    "darknet": (
        "obj_train_data/{split}/{stem}.png",
        "obj_train_data/{split}/{stem}.txt",
        {
            "obj.names": "cat\ndog\n",
            "train.txt": "data/obj_train_data/train/1.png\ndata/obj_train_data/train/2.png",
            "valid.txt": "data/obj_train_data/val/3.png",
        },
    ),
    "subfolders": (
        "images/{split}/deep/{stem}.png",
        "labels/{split}/deep/{stem}.txt",
        {"labels/classes.txt": "cat\ndog"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, tmp_path):
    image, label, others = LAYOUTS[layout]
    files = dict(others)
    for split, stem in (("train", "1"), ("train", "2"), ("val", "3")):
        files[image.format(split=split, stem=stem)] = ""
        files[label.format(split=split, stem=stem)] = LINE
    coco = to_coco(read_yolo(write(tmp_path / "yolo", files)))
    assert {split: len(record["images"]) for split, record in coco.records.items()} == {"train": 2, "val": 1}
    assert all([c["id"] for c in record["categories"]] == [1, 2] for record in coco.records.values())
    box = coco.records["val"]["annotations"][0]
    assert (box["bbox"], box["category_id"], box["area"]) == ([10, 5, 21, 20], 2, 420)
    out = tmp_path / "out"
    write_coco_folder(out, coco.records, coco.images)
    data = CocoDetection("annotations/instances_train2017.json", str(out), {"img": "train2017/"})
    assert [len(data.get_data_info(number)["instances"]) for number in range(2)] == [1, 1]
    assert data.metainfo["classes"] == ("cat", "dog")


def test_equal_names_in_several_folders(tmp_path):
    files = {f"images/train/{day}/1.png": "" for day in "ab"} | {f"labels/train/{day}/1.txt": LINE for day in "ab"}
    coco = to_coco(read_yolo(write(tmp_path / "yolo", {**files, "classes.txt": "cat\ndog"})))
    assert [image["file_name"] for image in coco.records["train"]["images"]] == ["a/1.png", "b/1.png"]
    write_coco_folder(tmp_path / "out", coco.records, coco.images)
    assert (tmp_path / "out/train2017/b/1.png").is_file()


@pytest.mark.parametrize(
    "text", ["\ufeff" + LINE, LINE + "\r\n", LINE.replace(" ", "\t"), f"\n {LINE} \n\n", "1.0" + LINE[1:]]
)
def test_forms_of_a_line(text, tmp_path):
    assert [one["bbox"] for one in annotations(flat(tmp_path, text))] == [[10, 5, 21, 20]]


def test_polygons_beside_boxes(tmp_path):
    polygon = f"0 0 0 {20 / WIDTH} 0 {20 / WIDTH} 0.5"
    first, second = annotations(flat(tmp_path, f"{polygon}\n{LINE}"))
    assert first["segmentation"] == [[0, 0, 20, 0, 20, 20]]
    assert (first["bbox"], first["area"], first["category_id"]) == ([0, 0, 20, 20], 200, 1)
    assert second["segmentation"] == [[10, 5, 31, 5, 31, 25, 10, 25]]


def test_boxes_alone_have_no_outline(tmp_path):
    assert "segmentation" not in annotations(flat(tmp_path, LINE))[0]


def test_a_polygon_beyond_the_border_is_cut(tmp_path):
    coco = to_coco(read_yolo(flat(tmp_path, "0 -0.05 0.1 0.5 0.1 0.5 0.9 -0.05 0.9")))
    box = coco.records["train"]["annotations"][0]
    assert box["bbox"] == [0, 4, 30.5, 32]
    assert box["area"] == 30.5 * 32
    assert coco.changes == {"cut off at the border": 1}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("0 0.5 0.5 0.1 0.1 0.93", "found 5 .is the last one the confidence"),
        ("0 0.5 0.5 0.1", "4 after the class for a box.*found 3"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "found 7"),
        ("2 0.5 0.5 0.1 0.1", "class: expected one of the 2 classes, counted from 0, found 2"),
        ("-1 0.5 0.5 0.1 0.1", "class: expected one of the 2 classes, counted from 0, found -1"),
        ("0.5 0.5 0.5 0.1 0.1", "class: expected one of the 2 classes"),
        ("cat 0.5 0.5 0.1 0.1", "a class number and fractions, found 'cat"),
        ("0 0.5 nan 0.1 0.1", "a class number and fractions"),
        ("0 30 20 10 10", r"numbers from 0 to 1, found 30 .pixels\? divide"),
        ("0 0.5 0.5 -0.1 0.1", "numbers from 0 to 1, found -0.1"),
        (b"\xff\xfe0\x00", "not valid UTF-8"),
        ("0 0.5 0.5 0.001 0.5", "found 1 left out: narrower than a pixel"),
        ("", "at least one box to learn, found no object"),
    ],
)
def test_labels_without_a_meaning(text, what, tmp_path):
    with pytest.raises(DataError, match=what):
        annotations(flat(tmp_path, text))


def test_all_findings_are_one_error(tmp_path):
    files = {f"images/{n}.png": "" for n in range(5)} | {f"labels/{n}.txt": "7 0.5 0.5 0.1 0.1\n0 1" for n in range(5)}
    root = write(tmp_path / "yolo", {**files, "classes.txt": "cat", "labels/9.txt": LINE})
    with pytest.raises(DataError) as caught:
        read_yolo(root)
    assert "found 11 errors (5 class, 5 numbers, 1 image)" in caught.value.sentence
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("yaml", "what"),
    [
        ("names: [cat", "broken YAML"),
        ("- a", "YAML with train, val and names"),
        ("train: images/none\nnames: [cat]", "an existing folder or list, found 'images/none'"),
        ("names: [cat]", "the folder of the images, found no such key .keys: 'names'"),
        ("train: images\nnames: cat", "a list of class names, or names by index"),
        ("train: images\nnames: {a: cat}", "a list of class names, or names by index"),
        ("train: images\nnames: [cat, cat]", "every name once, found it 2 times"),
        ("train: images\nnames: [cat]\nnc: 2", "the number of names, 1, found '2'"),
        ("train: {a: b}\nnames: [cat]", "a folder, a list of images, or a list of them"),
        ("a: &a [x]\nnames: [*a]", "a short YAML file without aliases"),
        ("train: images\nnames: [cat]\nkpt_shape: 17", "two whole numbers"),
    ],
)
def test_a_damaged_yaml(yaml, what, tmp_path):
    root = write(tmp_path / "yolo", {"images/a.png": "", "labels/a.txt": LINE, "data.yaml": yaml})
    with pytest.raises(DataError, match=what):
        read_yolo(root)


def test_names_that_yaml_takes_for_other_values(tmp_path):
    files = {"images/a.png": "", "labels/a.txt": LINE, "data.yaml": "train: images\nnames: [no, 1]"}
    assert read_yolo(write(tmp_path, files)).classes == ["no", "1"]


def test_places_that_are_no_yolo_folder(tmp_path):
    with pytest.raises(DataError, match="found no such folder; check the path"):
        read_yolo(tmp_path / "none")
    with pytest.raises(DataError, match="images for train, found none in"):
        read_yolo(tmp_path)
    with pytest.raises(DataError, match=r"found no file such as .*a\.txt; put the \.txt files"):
        read_yolo(write(tmp_path, {"a.png": ""}))


def test_background_repetitions_and_keypoints_are_noted(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("visionzoo.datasets.findings.print_log", lambda text, *_: said.append(text))
    files = {f"images/{stem}.png": "" for stem in "abc"}
    labels = {"labels/a.txt": f"{LINE} 0.5 0.5 2\n{LINE} 0.5 0.5 2", "labels/b.txt": "\n"}
    yaml = {"data.yaml": "train: images\nnames: [cat, dog]\nkpt_shape: [1, 3]"}
    images = read_yolo(write(tmp_path, {**files, **labels, **yaml})).splits["train"]
    assert [len(image.regions) for image in images] == [1, 0, 0]
    for text in ("empty label file, background (1)", "without a label file, background (1)", "keypoints, left out (1)"):
        assert text in said[0]
    assert "objects that are listed twice, used once (1)" in said[0]


def test_numbers_are_names_where_no_file_has_names(tmp_path):
    root = write(tmp_path, {"a.png": "", "a.txt": "10 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.1 0.1"})
    assert read_yolo(root).classes == ["2", "10"]
    (tmp_path / "mine.txt").write_text("\n".join(f"class {number}" for number in range(11)))
    assert read_yolo(root, names_file=tmp_path / "mine.txt").classes[10] == "class 10"


def test_other_yaml_files_are_ignored(tmp_path):
    files = {"a.png": "", "a.txt": LINE, "classes.txt": "cat\ndog", "hyp.yaml": "lr0: 0.01\nmosaic: 1.0"}
    assert read_yolo(write(tmp_path, files)).classes == ["cat", "dog"]
    write(tmp_path, {"one.yaml": "names: [cat]", "two.yaml": "names: [dog]"})
    with pytest.raises(DataError, match=r"one data.yaml, found one.yaml, two.yaml; name the file itself"):
        read_yolo(tmp_path)


def test_a_name_that_is_not_utf_8(tmp_path):
    root = flat(tmp_path, LINE)
    try:
        (root / "a.png").rename(os.fsdecode(os.fsencode(root) + b"/\xff.png"))
    except OSError:
        pytest.skip("the file system takes only UTF-8")
    with pytest.raises(DataError, match=r"image: expected a name in UTF-8, found other bytes .rename the file"):
        read_yolo(root)


def test_each_nth_image(tmp_path):
    files = {f"{n}.png": "" for n in range(5)} | {f"{n}.txt": LINE for n in range(5)} | {"classes.txt": "cat\ndog"}
    root = write(tmp_path, files)
    coco = to_coco(each_nth(read_yolo(root), 2), classes=["dog"])
    assert [len(record["images"]) for record in coco.records.values()] == [3, 2]
    assert json.dumps(coco.records["val"]["categories"][0]["name"]) == '"dog"'
    with pytest.raises(DataError, match="--val-every 2: expected a data set with train and without val"):
        each_nth(each_nth(read_yolo(root), 2), 2)
