"""Files of points: all findings in one error, notes for what has one meaning, and sets without anything to learn."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from visionzoo.datasets.counting import (
    JHUCrowdDataset,
    NWPUCrowdDataset,
    PointsDataset,
    ShanghaiTechDataset,
    UCFQNRFDataset,
)
from visionzoo.errors import DataError

WIDTH, HEIGHT = 40, 30


@pytest.fixture
def notes(monkeypatch):
    said = []
    monkeypatch.setattr("visionzoo.datasets.findings.print_log", lambda text, *_: said.append(text))
    return said


def image(path, shape=(HEIGHT, WIDTH, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(shape, 90, np.uint8))


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def points_set(root, *lines, name="points.jsonl", **arguments):
    """Build a set of the images a.png and b.png; values other than text become lines of JSON."""
    for stem in "ab":
        image(root / f"{stem}.png")
    text(root / name, "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return PointsDataset(str(root), ann_file=name, serialize_data=False, **arguments)


def points_of(dataset):
    return [dataset.get_data_info(index)["gt_points"].tolist() for index in range(len(dataset))]


def a(points, name="a.png", **facts):
    return {"image": name, "points": points, **facts}


# --- JSON lines ---


@pytest.mark.parametrize("name", [7, None, True, "", " ", [], ["a.png"], {"path": "a.png"}, 1.5, "a\0.png"])
def test_an_image_is_a_path(tmp_path, name):
    with pytest.raises(DataError, match="line 1: image: expected a path of an image file, found"):
        points_set(tmp_path, a([[1, 2]], name))


@pytest.mark.parametrize(
    "points",
    [
        7, None, True, "1,2", {}, [1, 2], [[1]], [[1, 2, 3]], [[[1, 2]]], [[]], [None], [[1, None]], [[True, 2]],
        [["x", 2]], [["nan", 2]], [["1_0", 2]], [["1,5", 2]], [["", 2]], [{"x": 1, "y": 2}], [[1, [2]]], [[10**400, 2]],
        [[float("nan"), 2]], [[float("inf"), 2]], [[1e300, 2]], [[1, 2], [3]],
    ],
)  # fmt: skip
def test_points_are_pairs_of_finite_numbers(tmp_path, points):
    with pytest.raises(
        DataError, match=r"points\.jsonl: line 2: points: expected (a list of pairs|finite|points within)"
    ):
        points_set(tmp_path, a([]), a(points, "b.png"))


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        ({"level": 5}, "level: expected a whole number from 0 to 4, found 5"),
        ({"level": -1}, "level: expected"),
        ({"level": 1.5}, "level: expected"),
        ({"level": True}, "level: expected"),
        ({"level": "high"}, "level: expected"),
        ({"luminance": 4}, "luminance: expected a whole number from 0 to 3, found 4"),
        ({"scene": 3}, "scene: expected a name, found 3"),
        ({"weather": ["rain"]}, "weather: expected a name"),
    ],
)
def test_facts_in_their_range(tmp_path, fact, words):
    with pytest.raises(DataError, match=f"line 1: {words}"):
        points_set(tmp_path, a([[1, 2]], **fact))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"image": "a.png", "points": [[1, 2]], "points": []}', "other text .a key occurs twice"),
        ("[" * 100_000, "line 1: text: expected a JSON object"),
        ('{"image": "a.png", "points": [[1, 2]]', "line 1: text: expected a JSON object"),
        ('[{"image": "a.png", "points": []}]', "line 1: text: expected a JSON object"),
        (f'{{"image": "a.png", "points": [[{"9" * 5000}, 2]]}}', "line 1: text: expected a JSON object"),
        ("\ufffd", "line 1: text"),
    ],
)
def test_lines_other_than_objects(tmp_path, line, words):
    with pytest.raises(DataError, match=words):
        points_set(tmp_path, line)


@pytest.mark.parametrize("name", ["points.csv", "points.jsonl"])
def test_faults_and_missing_images_are_one_error(tmp_path, name):
    rows = ["image,x,y", "a.png,one,2", "c.png,1,2", "d.png,,"] if "csv" in name else [a([[1]]), a([], "c.png"), "{"]
    with pytest.raises(DataError, match=r"found [34] errors \(.*1 image file|2 image file, 1 x\)"):
        points_set(tmp_path, *rows, name=name)


def test_all_findings_are_one_error(tmp_path):
    with pytest.raises(DataError) as caught:
        points_set(tmp_path, a([[1]]), a([], 7), a([], None), a([[1, 2]], "b.png"), a([[1, 2]], "./b.png"), "{")
    assert caught.value.sentence.endswith(
        "points.jsonl: expected images with points, found 5 errors (3 image, 1 points, 1 text); "
        "correct the file; the first 3:"
    )
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        ([a([["3", " 4.5 "]])], "numbers as text, read as numbers (2)"),
        ([a([[3, 4.5]], level="2")], "numbers as text, read as numbers (1)"),
        ([a([[3, 4.5]], level=None)], "null facts, read as missing (1)"),
        ([a([[3, 4.5], [3, 4.5]])], "points at the place of another point of the image, all counted (1)"),
        ([a([[3, 4.5]], "a.PNG")], "images with an ending in other case (1)"),
        ([a([[3, 4.5]], ".\\a.png")], "backslashes in paths, read as slashes (1)"),
        ([a([[3, 4.5]], level=1), a([], "b.png")], "images without level, which other images have (1)"),
        ([a([[0.3, 0.4]]), a([[1, 1]], "b.png")], "all coordinates are between 0 and 1; x and y are pixels (2)"),
        ([a([[3, 4], [300, 4], [9, 90]])], "points outside their images, of 3 checked (2)"),
        ([a([[3, 4], [4, 35], [9, 38]])], "points outside their images, of 3 checked; x and y are swapped (2)"),
    ],
)
def test_what_has_one_meaning_is_read_with_a_note(tmp_path, notes, lines, note):
    dataset = points_set(tmp_path, *lines)
    assert len(notes) == 1
    assert note in notes[0]
    assert len(points_of(dataset)[0]) == len(lines[0]["points"])


@pytest.mark.parametrize("points", [[[0, 0]], [[0, 0], [1, 1]], [[0.5, 7.0]], [[39.9, 29.9]], [[40, 30]], [[-0.5, 3]]])
def test_usual_points_cause_no_note(tmp_path, notes, points):
    assert points_of(points_set(tmp_path, a(points))) == [[[float(x), float(y)] for x, y in points]]
    assert notes == []


# --- CSV ---


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a.png,1,"], "line 2: y: expected a number of pixels, at most 1,000,000, found ''"),
        (["a.png,,2"], "line 2: x: expected"),
        (["a.png,1_0,2"], "line 2: x: expected"),
        (["a.png,inf,2"], "line 2: x: expected"),
        (["a.png,1e9,2"], "line 2: x: expected"),
        (['"a.png,1,2', "b.png,3,4"], "line 2: row: expected every quote closed on its line, found an open quote"),
        (["a.png,1,2,3"], r"line 2: row: expected 3 cells \(image, x, y\), found 4"),
        (["a.png,1," + "2" * 200_000], "line 2: row: expected a line of at most 131,072 characters"),
        ([",1,2"], "line 2: image: expected a path of an image file, found ''"),
        (["a.png,1,2", "", "b.png,x,2", "b.png,y,2"], r"found 2 errors \(2 x\)"),
        (["a" * 5000 + ".png,1,2"], "expected 1 images, found 1 missing"),
    ],
)
def test_wrong_rows(tmp_path, rows, words):
    with pytest.raises(DataError, match=words):
        points_set(tmp_path, "image,x,y", *rows, name="all.csv")


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        (["image,x,y", "a.png,3,4.5"], None),
        (["\ufeffimage,x,y", "a.png,3,4.5"], None),
        (["Y,Image,X", "4.5,a.png,3"], None),
        (["image,x,y\r", "a.png,3,4.5\r"], None),
        (["image;x;y", "a.png;3;4.5"], "rows with semicolons between cells (1)"),
        (["image\tx\ty", "a.png\t3\t4.5"], "rows with tabs between cells (1)"),
        (["image,x,y,label", "a.png,3,4.5,bee"], "columns that are not read: 'label' (1)"),
        (["image,x,y", "a.png,,", "./a.png,3,4.5"], "rows without a point, of images that have points (1)"),
    ],
)
def test_forms_of_a_table(tmp_path, notes, lines, note):
    assert points_of(points_set(tmp_path, *lines, name="all.csv")) == [[[3.0, 4.5]]]
    assert [note in said for said in notes] == [True] * (note is not None)


# --- nothing to learn ---


def test_a_training_set_without_a_point_is_an_error(tmp_path, notes):
    lines = [a([]), a([], "b.png")]
    with pytest.raises(DataError, match=r"points: expected at least one to learn, found none in 2 images"):
        points_set(tmp_path, *lines)
    with pytest.raises(DataError, match="found none in 1 images"):
        points_set(tmp_path, *lines[:1], a([[1, 2]], "b.png"), max_samples=1)
    assert len(points_set(tmp_path, *lines, test_mode=True)) == 2
    assert "images, none with a point (2)" in notes[0]


@pytest.mark.parametrize("points", [[[400, 3]], [[-3, 3], [3, -9]], [[1000, 1000]] * 3])
def test_training_points_outside_all_images_are_an_error(tmp_path, notes, points):
    with pytest.raises(DataError, match=r"all images: points: expected points in their images, found \d outside"):
        points_set(tmp_path, a(points))
    assert len(points_set(tmp_path, a(points), test_mode=True)) == 1
    assert "points outside their images" in notes[-1]


def test_the_sizes_of_a_few_images_are_read(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr("visionzoo.datasets.counting.usable.size_of_file", lambda path: read.append(path) or (40, 30))
    for number in range(120):
        image(tmp_path / f"{number}.png", (1, 1, 3))
    points_set(tmp_path, *[a([[1, 2]], f"{number}.png") for number in range(120)])
    assert len(read) == 100


# --- folders ---


def jhu(root, labels="1,1,street,0,0\n2,0,street,1,0\n"):
    for number, lines in (("1", "3 4 5 5 1 0\n"), ("2", "")):
        image(root / f"train/images/{number}.jpg")
        text(root / f"train/gt/{number}.txt", lines)
    text(root / "train/image_labels.txt", labels)
    return root


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("1,1,street,0,0\n", r"image_labels.txt: id: expected a line for every image, found 1 missing \('2'\)"),
        ("1,1,street,0,0\n1,1,street,0,0\n2,0,a,1,0", "line 2: id: expected every id once"),
        ("1,one,street,0,0\n2,0,street,1,0", "line 1: label: expected"),
        ("1,1,,0,0\n2,0,street,1,0", "line 1: label: expected"),
        ("", "found 2 missing"),
        (b"\xff\xfe1", "its bytes are not valid UTF-8"),
    ],
)
def test_wrong_labels_of_jhu(tmp_path, labels, words):
    with pytest.raises(DataError, match=words):
        JHUCrowdDataset(str(jhu(tmp_path, labels)))


def test_notes_of_folders(tmp_path, notes):
    jhu(tmp_path, "1,7,street,0,0\n2,0,street,1,0\n3,0,street,1,0")
    text(tmp_path / "train/images/._1.jpg", b"\0\5\x16\7")
    (tmp_path / "train/gt/1.txt").rename(tmp_path / "train/gt/1.TXT")
    assert points_of(JHUCrowdDataset(str(tmp_path))) == [[[3.0, 4.0]], []]
    (said,) = notes
    for note in (
        "hidden image files, not read (1)",
        "annotations with an ending in other case (1)",
        "lines of labels without an image (1)",
        "stated counts that differ from the number of points, which is used (1)",
    ):
        assert note in said


def test_annotations_of_missing_images_are_an_error(tmp_path):
    (jhu(tmp_path) / "train/images/2.jpg").unlink()
    with pytest.raises(DataError, match=r"gt: images: expected one for each annotation, found 1 .* \('2.txt'\)"):
        JHUCrowdDataset(str(tmp_path))


def test_images_of_one_name_and_folders_are_errors(tmp_path):
    image(jhu(tmp_path) / "train/images/1.png")
    (tmp_path / "train/images/3.jpg").mkdir()
    text(tmp_path / "train/gt/3.txt", "")
    with pytest.raises(DataError) as caught:
        JHUCrowdDataset(str(tmp_path))
    assert "'1': image: expected one image of this name, found 2" in str(caught.value)
    assert "'3.jpg': image: expected a file, found a folder or a broken link" in str(caught.value)


@pytest.mark.parametrize("value", [np.ones((3, 2)) * 1j, "ab", np.ones((2, 3)), 7.0])
def test_wrong_variables_are_one_error(tmp_path, value):
    for number in (1, 2, 3):
        image(tmp_path / f"Train/{number}.jpg")
        savemat(tmp_path / f"Train/{number}_ann.mat", {"annPoints": value if number < 3 else np.ones((1, 2))})
    with pytest.raises(DataError, match=r"Train: expected images with points, found 2 errors \(2 annPoints\)"):
        UCFQNRFDataset(str(tmp_path))


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ("a 0 0\na 0 0", "line 2: id: expected every id once, found 'a' again"),
        ("a " + "9" * 5000 + " 0", "line 1: labels: expected id, luminance"),
        ("a ١ 0", "line 1: labels"),
        ("a 0.0 1", "line 1: labels"),
    ],
)
def test_wrong_lists_of_nwpu(tmp_path, listed, words):
    image(tmp_path / "images/a.jpg")
    text(tmp_path / "train.txt", listed)
    with pytest.raises(DataError, match=words):
        NWPUCrowdDataset(str(tmp_path))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"points": [["x", 2]]}, "points: expected a list of pairs"),
        ({"points": 7}, "points: expected a list of pairs"),
        ({"annPoints": []}, "contents: expected an object with points, found 'annPoints'"),
        ([], r"contents: expected a JSON object, found \[\]"),
    ],
)
def test_wrong_json_of_nwpu(tmp_path, record, words):
    image(tmp_path / "images/a.jpg")
    text(tmp_path / "train.txt", "a 0 0")
    text(tmp_path / "jsons/a.json", json.dumps(record))
    with pytest.raises(DataError, match=f"jsons/a.json: {words}"):
        NWPUCrowdDataset(str(tmp_path), annotation="json")


def test_a_stated_number_of_shanghaitech_that_differs(tmp_path, notes):
    image(tmp_path / "train_data/images/IMG_1.jpg")
    info = np.empty((1, 1), dtype=object)
    info[0, 0] = {"location": np.ones((2, 2)), "number": 3}
    (tmp_path / "train_data/ground_truth").mkdir()
    savemat(tmp_path / "train_data/ground_truth/GT_IMG_1.mat", {"image_info": info})
    assert len(points_of(ShanghaiTechDataset(str(tmp_path), part=None))[0]) == 2
    assert "stated counts that differ" in notes[0]
