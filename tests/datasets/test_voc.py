"""Conversion of Pascal VOC folders to COCO records: pixels counted from 1, splits, and invalid files."""

import json

import numpy as np
import pytest
from PIL import Image

from visionzoo.datasets.coco import CocoDetection
from visionzoo.datasets.coco_writing import write_coco_file, write_coco_folder
from visionzoo.datasets.voc import VocFolder, choose_splits, to_coco
from visionzoo.errors import DataError, OutputError, UnknownName


def voc_object(name, corners, difficult=0):
    box = "".join(f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"


def write_voc(root, objects_by_stem, folders=("Annotations", "JPEGImages"), size=(60, 40), stated=None):
    annotations, images = (root / folder for folder in folders)
    annotations.mkdir(parents=True, exist_ok=True)
    images.mkdir(parents=True, exist_ok=True)
    width, height = stated or size
    for stem, objects in objects_by_stem.items():
        (annotations / f"{stem}.xml").write_text(
            f"<annotation><filename>elsewhere.png</filename><size><width>{width}</width><height>{height}</height>"
            f"<depth>3</depth></size>{''.join(objects)}</annotation>"
        )
        Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(images / f"{stem}.jpg")
    return root


@pytest.fixture
def voc(tmp_path):
    """Write six images, the third without objects."""
    objects = {f"p{i}": [voc_object("cat" if i % 2 else "dog", (1, 1, 60, 40))] for i in range(6)}
    objects["p2"] = []
    return write_voc(tmp_path / "voc", objects)


def convert(root, **options):
    folder = VocFolder.find(root)
    splits = choose_splits(folder, files=options.pop("files", ()), val_every=options.pop("val_every", None))
    return to_coco(folder, splits, map(folder.read, folder.stems), **options)


def boxes_of(root, **options):
    coco = convert(root, **options)
    return [a["bbox"] for a in coco.records["train"]["annotations"]], dict(coco.changes)


# --- boxes ---


@pytest.mark.parametrize(
    ("corners", "from_one", "from_zero"),
    [
        ((1, 1, 60, 40), [0, 0, 60, 40], [1, 1, 59, 39]),  # the whole image, counted from 1
        ((11, 6, 20, 15), [10, 5, 10, 10], [11, 6, 9, 9]),
        ((0, 0, 60, 40), [0, 0, 60, 40], [0, 0, 60, 40]),
        ((10.5, 6, 20.5, 15), [9.5, 5, 11, 10], [10.5, 6, 10, 9]),
    ],
)
def test_corners_count_pixels_from_one_or_edges_from_zero(corners, from_one, from_zero, tmp_path):
    root = write_voc(tmp_path, {"a": [voc_object("cat", corners)]})
    assert boxes_of(root) == ([from_one], {})
    assert boxes_of(root, zero_based=True) == ([from_zero], {})


def test_boxes_over_the_border_swapped_or_outside_are_counted(tmp_path):
    objects = [
        voc_object("cat", (-9, 1, 20, 20)),
        voc_object("cat", (20, 30, 11, 6)),
        voc_object("cat", (70, 5, 90, 20)),
        voc_object("cat", (5, 5, 4, 4)),
    ]
    boxes, changes = boxes_of(write_voc(tmp_path, {"a": objects}))
    assert boxes == [[0, 0, 20, 20], [10, 5, 10, 25], [3, 3, 2, 2]]
    assert changes == {
        "cut off at the border": 1,
        "put in order: swapped corners": 2,
        "left out: nothing inside the image": 1,
    }


@pytest.mark.parametrize(("how", "crowds"), [("ignore", [0, 1]), ("keep", [0, 0]), ("drop", [0])])
def test_difficult_objects(how, crowds, tmp_path):
    objects = [voc_object("cat", (1, 1, 9, 9)), voc_object("cat", (11, 11, 19, 19), difficult=1)]
    coco = convert(write_voc(tmp_path, {"a": objects}), difficult=how)
    assert [a["iscrowd"] for a in coco.records["train"]["annotations"]] == crowds
    assert coco.changes["left out: difficult"] == (how == "drop")


def test_classes_are_sorted_or_as_wanted(voc):
    records = convert(voc).records["train"]
    assert [(c["id"], c["name"]) for c in records["categories"]] == [(1, "cat"), (2, "dog")]
    expected = convert(voc, classes=["dog"])
    assert [c["name"] for c in expected.records["train"]["categories"]] == ["dog"]
    assert expected.changes["left out: of other classes"] == 3
    with pytest.raises(UnknownName, match=r"no class in these images is called 'Dog'; did you mean 'dog'"):
        convert(voc, classes=["Dog"])


# --- folders and splits ---


@pytest.mark.parametrize(
    "folders", [("Annotations", "JPEGImages"), ("annotations", "images"), ("annots", "images"), (".", ".")]
)
def test_usual_folders_are_found(folders, tmp_path):
    root = write_voc(tmp_path, {"b": [voc_object("cat", (1, 1, 9, 9))], "a": []}, folders)
    assert VocFolder.find(root).stems == ["a", "b"]


def test_every_third_is_val(voc):
    splits = choose_splits(VocFolder.find(voc), val_every=3)
    assert splits == {"train": ["p0", "p1", "p3", "p4"], "val": ["p2", "p5"]}


def test_lists_of_image_sets_and_files(voc, tmp_path):
    folder = VocFolder.find(voc)
    assert choose_splits(folder) == {"train": folder.stems}
    lists = voc / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("p0\np3\n\n")
    (lists / "test.txt").write_text("p1.jpg\n")
    (lists / "cat_train.txt").write_text("p0 -1\np1  1\np3  0\n")
    (tmp_path / "mine.txt").write_text("JPEGImages/p5.jpg\n")
    assert choose_splits(folder) == {"train": ["p0", "p3"], "test": ["p1"]}
    assert choose_splits(folder, files=["test", str(tmp_path / "mine.txt")]) == {"test": ["p1"], "mine": ["p5"]}
    assert choose_splits(folder, files=["cat_train"]) == {"cat_train": ["p1", "p3"]}


def test_wrong_lists(voc, tmp_path):
    folder = VocFolder.find(voc)
    (tmp_path / "bad.txt").write_text("p0\nq1\nq2\n")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"bad\.txt: expected images of .*found 2 unknown \(q1, q2\)"):
        choose_splits(folder, files=[str(tmp_path / "bad.txt")])
    with pytest.raises(DataError, match="found an empty list"):
        choose_splits(folder, files=[str(tmp_path / "empty.txt")])
    with pytest.raises(DataError, match=r"--split tests: expected a list of images, found no such file"):
        choose_splits(folder, files=["tests"])


def test_ids_are_unique_over_splits(voc):
    coco = convert(voc, val_every=2)
    images = [image["id"] for record in coco.records.values() for image in record["images"]]
    boxes = [box["id"] for record in coco.records.values() for box in record["annotations"]]
    assert sorted(images) == [1, 2, 3, 4, 5, 6]
    assert sorted(boxes) == [1, 2, 3, 4, 5]


# --- broken folders ---


def test_missing_folder_files_and_images(tmp_path, voc):
    with pytest.raises(DataError, match="found no such folder"):
        VocFolder.find(tmp_path / "nowhere")
    (tmp_path / "plain").mkdir()
    with pytest.raises(DataError, match="expected XML files in Annotations/"):
        VocFolder.find(tmp_path / "plain")
    for name in ("p0", "p1", "p4", "p5"):
        (voc / "JPEGImages" / f"{name}.jpg").unlink()
    with pytest.raises(DataError, match=r"for each of 6 XML files, found 4 missing \(p0, p1, p4, \.\.\.\)"):
        VocFolder.find(voc)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<annotation><object>", "found a broken file"),
        ("<annotation><object><bndbox/></object></annotation>", "a name in every object"),
        ("<annotation><object><name>cat</name></object></annotation>", "found a 'cat' without"),
        (
            "<annotation><object><name>cat</name><bndbox><xmin>x</xmin></bndbox></object></annotation>",
            "<xmin>, found 'x'",
        ),
        ("<annotation><object><name>cat</name><bndbox/></object></annotation>", "<xmin>, found None"),
        ("<annotation><size><width>40</width><height>60</height></size></annotation>", "60x40, found 40x60"),
    ],
)
def test_broken_xml_is_named(text, what, voc):
    (voc / "Annotations" / "p1.xml").write_text(text)
    with pytest.raises(DataError, match=rf"p1\.xml: expected.*{what}"):
        VocFolder.find(voc).read("p1")


def test_a_size_of_zero_or_none_is_ignored(tmp_path):
    root = write_voc(tmp_path, {"a": []}, stated=(0, 0))
    assert VocFolder.find(root).read("a").width == 60


def test_a_image_that_cannot_be_read(voc):
    (voc / "JPEGImages" / "p1.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"p1\.jpg: expected an image"):
        VocFolder.find(voc).read("p1")


# --- writing ---


@pytest.mark.parametrize("link", [False, True])
def test_the_written_folder_loads(voc, tmp_path, link):
    coco = convert(voc, val_every=3)
    out = tmp_path / "out" / "coco"
    write_coco_folder(out, coco.records, coco.images, link=link)
    assert sorted(path.name for path in out.iterdir()) == ["annotations", "train2017", "val2017"]
    assert [path.name for path in out.parent.iterdir()] == ["coco"]
    data = CocoDetection("annotations/instances_train2017.json", str(out), {"img": "train2017/"})
    assert len(data) == 4
    assert data.metainfo["classes"] == ("cat", "dog")
    assert data.get_data_info(0)["instances"][0]["bbox"] == [0, 0, 60, 40]
    assert (out / "val2017" / "p2.jpg").is_symlink() == link


def test_a_folder_in_use_is_replaced_only_on_request(voc, tmp_path):
    coco = convert(voc)
    out = tmp_path / "out"
    out.mkdir()
    write_coco_folder(out, coco.records, coco.images)
    (out / "mine").touch()
    with pytest.raises(OutputError, match="found files in it; choose another or --overwrite"):
        write_coco_folder(out, coco.records, coco.images)
    assert (out / "mine").exists()
    write_coco_folder(out, coco.records, coco.images, overwrite=True)
    assert not (out / "mine").exists()


def test_a_failed_write_leaves_what_was_there(voc, tmp_path):
    coco = convert(voc)
    out = tmp_path / "out"
    write_coco_folder(out, coco.records, coco.images)
    coco.images["train"].append(voc / "JPEGImages" / "gone.jpg")
    with pytest.raises(FileNotFoundError):
        write_coco_folder(out, coco.records, coco.images, overwrite=True)
    assert (out / "train2017" / "p0.jpg").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"voc", "out"}


def test_one_file(voc, tmp_path):
    out = tmp_path / "new" / "all.json"
    write_coco_file(out, convert(voc).records)
    assert len(json.loads(out.read_text())["images"]) == 6
    with pytest.raises(OutputError, match="found one; choose another name or --overwrite"):
        write_coco_file(out, convert(voc).records)
    with pytest.raises(DataError, match="expected one split for one file, found train, val"):
        write_coco_file(tmp_path / "b.json", convert(voc, val_every=2).records)
