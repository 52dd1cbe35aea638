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
    return to_coco(folder, splits, folder.read_all(folder.stems), **options)


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
    with pytest.raises(DataError, match=r"bad\.txt: expected images of .*found 2 errors \(2 name\)"):
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
        ("", "found a broken file"),
        ("<html/>", "root <annotation>, found <html>"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>", "without definitions of entities"),
        ("<annotation>&b;</annotation>", "found a broken file"),
        ("<annotation><object><bndbox/></object></annotation>", "name: expected the name of a class"),
        ("<annotation><object><name>cat</name></object></annotation>", "object 1: bndbox: expected one, found 0"),
        ("<annotation><size><width>40</width><height>60</height></size></annotation>", "60x40, found 40x60"),
        ("<annotation><size><width>-60</width><height>40</height></size></annotation>", "60x40, found -60x40"),
        ("<annotation><size><width>nan</width><height>40</height></size></annotation>", "size: expected numbers"),
    ],
)
def test_broken_xml_is_named(text, what, voc):
    (voc / "Annotations" / "p1.xml").write_text(text)
    with pytest.raises(DataError, match=rf"(?s)p1\.xml.*{what}"):
        VocFolder.find(voc).read("p1")


@pytest.mark.parametrize("value", ["x", "NaN", "inf", "1e999", "", "1_0", "0x10", "1,5", "<a>1</a>", "9" * 5000])
@pytest.mark.parametrize("corner", range(4))
def test_a_corner_is_a_finite_number(value, corner, tmp_path):
    corners = [5, 5, 20, 20]
    corners[corner] = value
    root = write_voc(tmp_path, {"a": [voc_object("cat", corners)]})
    with pytest.raises(DataError, match=rf"a\.xml, object 1: {'xy'[corner % 2]}m.*: expected a finite number"):
        boxes_of(root)


@pytest.mark.parametrize(
    ("objects", "what"),
    [
        ([voc_object("cat", (0.1, 0.2, 0.5, 0.75))], "corners in pixels, found fractions, 0.1 0.2 0.5 0.75"),
        ([voc_object(" ", (1, 1, 9, 9))], "name: expected the name of a class"),
        ([voc_object("cat</name><name>dog", (1, 1, 9, 9))], "name: expected one value"),
        ([voc_object("cat", (1, "1</ymin><ymin>7", 9, 9))], "ymin: expected one value"),
        ([], "at least one box to learn, found no object"),
        ([voc_object("cat", (90, 90, 99, 99))], "found 1 left out: nothing inside the image"),
        ([voc_object("cat", (1, 1, 9, 9), difficult=1)], "found 1 difficult; use --difficult keep"),
    ],
)
def test_objects_without_a_meaning(objects, what, tmp_path):
    with pytest.raises(DataError, match=what):
        convert(write_voc(tmp_path, {"a": objects}))


@pytest.mark.parametrize(
    ("word", "crowd"),
    [
        *[(word, 0) for word in ("0", "", " 0 ", "0.0", "false", "False", "no", "Unspecified", "None")],
        *[(word, 1) for word in ("1", "1.0", "true", "TRUE", " yes ")],
    ],
)
def test_words_for_difficult(word, crowd, tmp_path):
    objects = [voc_object("cat", (1, 1, 9, 9), difficult=word), voc_object("cat", (1, 1, 9, 9))]
    assert [a["iscrowd"] for a in convert(write_voc(tmp_path, {"a": objects})).records["train"]["annotations"]] == [
        crowd,
        0,
    ]


@pytest.mark.parametrize("word", ["2", "-1", "maybe", "nan", "01 1"])
def test_other_words_for_difficult_are_errors(word, tmp_path):
    root = write_voc(tmp_path, {"a": [voc_object("cat", (1, 1, 9, 9), difficult=word)]})
    with pytest.raises(DataError, match="difficult: expected 0 or 1, found"):
        convert(root)


def test_all_errors_of_all_files_are_one_list(voc):
    for number in range(4):
        write_voc(voc, {f"p{number}": [voc_object("", (1, "x", 9, 9)), voc_object("cat", (1, "y", 9, 9))]})
    with pytest.raises(DataError) as caught:
        convert(voc)
    assert "found 12 errors (8 ymin, 4 name)" in caught.value.sentence
    assert len(caught.value.problems) == 3


# --- encodings ---


def xml_in(encoding, declared=None, name="naïve"):
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    return f"{declaration}<annotation>{voc_object(name, (1, 1, 9, 9))}</annotation>".encode(encoding)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (xml_in("utf-8"), "naïve"),
        (xml_in("utf-8-sig", "utf-8"), "naïve"),
        (xml_in("latin-1", "ISO-8859-1"), "naïve"),
        (xml_in("cp1252", "windows-1252"), "naïve"),
        (xml_in("gb2312", "gb2312", "猫"), "猫"),
        (xml_in("big5", "Big5", "貓"), "貓"),
        (xml_in("shift_jis", "Shift_JIS", "猫"), "猫"),
        (xml_in("euc_kr", "EUC-KR", "개"), "개"),
        (xml_in("utf-16", "utf-16"), "naïve"),
        (xml_in("utf-16"), "naïve"),
        (xml_in("utf-16-be", "utf-16"), "naïve"),
        (xml_in("utf-32"), "naïve"),
        (xml_in("utf-8", "utf-16"), "naïve"),  # .NET declares so
        (xml_in("utf-8", "ascii"), "naïve"),
        (xml_in("ascii", "rot13", "cat"), "cat"),
        (xml_in("utf-8").replace(b"<annotation>", b'<a:annotation xmlns:a="u" xmlns="u">').replace(
            b"</annotation>", b"</a:annotation>"), "naïve"),
        (b"\r\n " + xml_in("utf-8", "utf-8"), "naïve"),
        (b"<!DOCTYPE annotation SYSTEM 'voc.dtd'>" + xml_in("utf-8"), "naïve"),
    ],
)  # fmt: skip
def test_encodings(data, name, tmp_path):
    root = write_voc(tmp_path, {"a": []})
    (root / "Annotations" / "a.xml").write_bytes(data)
    assert [c["name"] for c in convert(root).records["train"]["categories"]] == [name]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (xml_in("utf-8", "klingon"), "'klingon', which is unknown"),
        (xml_in("ascii", "x" * 200, "cat"), "which is unknown"),
        (xml_in("latin-1", "utf-8"), "'utf-8', which its bytes are not"),
        (xml_in("latin-1"), "'utf-8', which its bytes are not"),
        (xml_in("utf-16")[:-1], "'utf-16', which its bytes are not"),
    ],
)
def test_encodings_that_cannot_be_read(data, what, tmp_path):
    root = write_voc(tmp_path, {"a": []})
    (root / "Annotations" / "a.xml").write_bytes(data)
    with pytest.raises(DataError, match=rf"({what}).*save them as UTF-8"):
        convert(root)


# --- names of files and lists ---


def test_endings_in_any_case_and_hidden_files(tmp_path):
    root = write_voc(tmp_path, {name: [voc_object("cat", (1, 1, 9, 9))] for name in "abc"})
    (root / "Annotations" / "b.xml").rename(root / "Annotations" / "b.XML")
    (root / "Annotations" / "c.xml").rename(root / "Annotations" / "c.Xml")
    (root / "JPEGImages" / "c.jpg").rename(root / "JPEGImages" / "c.JPG")
    (root / "Annotations" / "._a.xml").write_bytes(b"\0\5\x16\7")
    (root / "JPEGImages" / "._a.jpg").write_bytes(b"\0\5\x16\7")
    assert VocFolder.find(root).stems == ["a", "b", "c"]
    assert len(boxes_of(root)[0]) == 3


@pytest.mark.parametrize("extra", ["Annotations/a.XML", "JPEGImages/a.png", "JPEGImages/a.JPG"])
def test_two_files_of_one_stem(extra, tmp_path):
    root = write_voc(tmp_path, {"a": [voc_object("cat", (1, 1, 9, 9))]})
    (root / extra).write_bytes(b"")
    with pytest.raises(DataError, match=r"a: (XML file|image): expected one file, found a\.\w+, a\.\w+"):
        VocFolder.find(root)


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("\ufeffp0\r\np3\r\n", ["p0", "p3"]),
        ("my cat 1\nmy cat 1.jpg\n", ["my cat 1"]),
        ("my cat 1  1\np1 -1\nmy cat 0\n", ["my cat 1", "my cat"]),
        ("JPEGImages\\p0.JPG\n/data/voc/Annotations/p1.xml\n", ["p0", "p1"]),
        ("v1.2\nv1.2.jpg", ["v1.2"]),
    ],
)
def test_lines_of_lists(text, stems, voc, tmp_path):
    write_voc(voc, {"my cat 1": [], "my cat": [], "v1.2": []})
    (tmp_path / "list.txt").write_bytes(text.encode())
    assert choose_splits(VocFolder.find(voc), files=[str(tmp_path / "list.txt")]) == {"list": stems}


@pytest.mark.parametrize("line", ["p0.v2", "p0 2", "p0 p1", "P0", "p0,p1", "."])
def test_lines_of_lists_that_name_no_image(line, voc, tmp_path):
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(DataError, match="name: expected an image of the folder"):
        choose_splits(VocFolder.find(voc), files=[str(tmp_path / "list.txt")])


def test_a_size_of_zero_or_none_is_ignored(tmp_path):
    root = write_voc(tmp_path, {"a": []}, stated=(0, 0))
    assert VocFolder.find(root).read("a").width == 60


@pytest.mark.parametrize("data", [b"no image", b"", b"\x89PNG\r\n\x1a\n"])
def test_an_image_that_cannot_be_read(data, voc):
    (voc / "JPEGImages" / "p1.jpg").write_bytes(data)
    with pytest.raises(DataError, match=r"p1\.jpg: image: expected a readable one, found it cannot be read"):
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
    coco.images["train"][-1] = voc / "JPEGImages" / "gone.jpg"
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
