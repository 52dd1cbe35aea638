"""Lists of images and labels: one reading for each line, or one error for the file."""

import os

import pytest

from visionzoo.datasets.classification import ImageList
from visionzoo.datasets.findings import Findings
from visionzoo.datasets.image_list import read_image_list
from visionzoo.errors import DataError


@pytest.fixture(autouse=True)
def notes(monkeypatch):
    """Collect the notes of all readers."""
    said = {}
    note = Findings.note

    def recorded(self, text, count=1):
        said.update({text: count} if count else {})
        note(self, text, count)

    monkeypatch.setattr(Findings, "note", recorded)
    return said


@pytest.fixture
def root(tmp_path):
    for name in ("0.png", "1.png", "2.png", "a b.png", "a, b.png"):
        (tmp_path / name).touch()
    return tmp_path


def read(root, text, name="a.csv"):
    (root / name).write_text(text, encoding="utf-8")
    images = read_image_list(root / name)
    return list(zip(images.names, images.labels))


def labels(root, text, name="a.csv", **options):
    (root / name).write_text(text, encoding="utf-8")
    dataset = ImageList(name, str(root), **options)
    return dataset.metainfo["classes"], [dataset.get_data_info(i)["gt_label"] for i in range(len(dataset))]


def test_forms_of_a_csv(root):
    expected = [("a, b.png", "cat"), ("1.png", "great white, shark")]
    rows = '"a, b.png",cat\n1.png,"great white, shark"\n'
    assert read(root, f"path,label\n{rows}") == expected
    assert read(root, f"\ufeffPath, Label\r\n{rows}\n\n") == expected
    assert read(root, f"path,label\n{rows}", "A.CSV") == expected
    assert read(root, f"path;label\n{rows.replace(',cat', ';cat').replace('g,', 'g;')}") == expected


def test_forms_of_a_text(root):
    assert read(root, "a b.png 0\n\n 1.png\t1 \r\n", "a.txt") == [("a b.png", "0"), ("1.png", "1")]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ('"cat', "line 4: row: expected every quote closed on its line"),
        ('"cat\n3.png,dog"', "line 4: row: expected every quote closed"),
        ('"cat\n1.png,"dog', "line 4: row: expected every quote closed"),
        ('"cat"x', "line 4: row"),
        ("shark, great", "line 4: row: expected 2 cells .path, label., found 3 cells"),
        ("x" * 200_000, "line 4: row: expected a line of at most 131,072 characters"),
        ("", "line 4: row: expected a path and a label"),
        ("a\x00b", "line 4: label"),
        ("x" * 1001, "line 4: label"),
    ],
)
def test_a_row_without_one_reading(root, row, what):
    with pytest.raises(DataError, match=what) as caught:
        read(root, f"path,label\n0.png,cat\n1.png,dog\n2.png,{row}\n")
    assert len(caught.value.sentence) < 600


@pytest.mark.parametrize("path", ["a\x00.png", "\ufeff0.png", "x" * 5000, "\x1b[0m.png"])
def test_paths_that_are_not_text(root, path):
    with pytest.raises(DataError, match="line 2: path: expected visible text") as caught:
        read(root, f"path,label\n{path},cat\n")
    assert caught.value.sentence.isprintable()


@pytest.mark.parametrize(
    "path", ["no.png", "x" * 300, f"{'x' * 300}/0.png", "folder", "loop.png", "nowhere.png", "0.png/1.png", "pipe.png"]
)
def test_paths_that_are_no_files(root, path):
    (root / "folder").mkdir()
    (root / "loop.png").symlink_to("loop.png")
    (root / "nowhere.png").symlink_to("absent.png")
    os.mkfifo(root / "pipe.png")
    with pytest.raises(DataError, match="line 3: path: expected an image file, found none at"):
        labels(root, f"path,label\n0.png,cat\n{path},dog\n")
    assert labels(root, f"path,label\n0.png,cat\n{path},dog\n", max_samples=1) == (("cat", "dog"), [0])


def test_absolute_paths_and_links(root, tmp_path):
    (root / "link.png").symlink_to("0.png")
    text = f"path,label\nlink.png,cat\n{tmp_path}/1.png,dog\n"
    assert labels(root, text, allow_outside=True)[1] == [0, 1]


# --- one image, two labels ---


@pytest.mark.parametrize("again", ["0.png", "./0.png", "a/../0.png", ".//0.png", '"0.png"'])
def test_an_image_with_two_labels(root, again):
    with pytest.raises(
        DataError, match=r"line 4: label: expected one label per image, found 'cat' and 'dog' for 0\.png"
    ):
        read(root, f"path,label\n0.png,cat\n1.png,dog\n{again},dog\n")


def test_a_row_again_is_kept_with_a_note(root, notes):
    assert len(read(root, "path,label\n0.png,cat\n1.png,dog\n0.png,cat\n0.png,cat\n")) == 4
    assert notes == {"images that are listed again with the same label, kept": 2}


def test_several_errors_are_one(root):
    with pytest.raises(DataError, match=r"found 4 errors \(3 row, 1 label\)") as caught:
        read(root, 'path,label\n0.png\n0.png,"cat\n0.png,cat\n0.png,dog\n1.png,a,b\n')
    assert len(caught.value.problems) == 3


# --- names ---


@pytest.mark.parametrize("name", ["._0.png", "a/.ipynb_checkpoints/0.png", "__MACOSX/0.png", ".0.png"])
def test_left_over_files_in_lists(root, notes, name):
    assert read(root, f"path,label\n{name},cat\n./1.png,dog\n") == [("./1.png", "dog")]
    assert list(notes.values()) == [1]


def test_backslashes(root, notes):
    (root / "cats").mkdir()
    (root / "cats/1.png").touch()
    assert labels(root, "path,label\ncats\\1.png,cat\n0.png,dog\n") == (("cat", "dog"), [0, 1])
    assert list(notes.values()) == [1]


# --- labels ---


@pytest.mark.parametrize(
    ("given", "classes", "expected"),
    [
        (["0", "1", "2"], ("0", "1", "2"), [0, 1, 2]),
        (["2", "1", "0"], ("0", "1", "2"), [2, 1, 0]),
        (["4", "5003", "7"], ("4", "7", "5003"), [0, 2, 1]),
        (["3", "1", "2"], ("1", "2", "3"), [2, 0, 1]),
        (["1000000000000", "2", "2"], ("2", "1000000000000"), [1, 0, 0]),
        (["00", "01", "1"], ("0", "1"), [0, 1, 1]),
        (["0.0", "1.0", "1"], ("0", "1"), [0, 1, 1]),
        (["9" * 5000, "2", "2"], None, None),
        (["9" * 50, "2", "2"], ("2", "9" * 50), [1, 0, 0]),
        (["-1", "0", "1"], ("-1", "0", "1"), [0, 1, 2]),
        (["7", "cat", "cat"], ("7", "cat"), [0, 1, 1]),
    ],
)
def test_whole_numbers_as_labels(root, given, classes, expected):
    text = "".join(f"{number}.png {label}\n" for number, label in enumerate(given))
    if classes is None:
        with pytest.raises(DataError, match="line 1: label"):
            labels(root, text, "a.txt")
    else:
        assert labels(root, text, "a.txt") == (classes, expected)


def test_a_list_that_lacks_a_number_keeps_the_labels_of_training(root):
    (root / "train.txt").write_text("0.png 0\n1.png 1\n2.png 2\n")
    for options in ({"classes_from": "train.txt"}, {"classes": ["0", "1", "2"]}):
        assert labels(root, "0.png 0\n2.png 2\n", "val.txt", **options) == (("0", "1", "2"), [0, 2])


@pytest.mark.parametrize(
    ("text", "options", "what"),
    [
        ("0.png 1\n1.png 4\n", {"classes": ["4", "5003"]}, "line 1: label: expected one of 2 classes, found '1'"),
        ("0.png 0\n1.png 1\n", {"classes": ["1", "2"]}, "line 1: label: expected one of 2 classes, found '0'"),
        (
            "0.png cat\n1.png emu\n",
            {"classes": ["cat", "dog"]},
            "line 2: label: expected one of 2 classes, found 'emu'",
        ),
        ("0.png cat\n1.png nan\n", {}, "label: nan: expected the name of a class"),
        ("0.png cat\n1.png cat\n", {}, "two classes or more, found one class"),
        ("0.png 5\n1.png 5\n", {}, "two classes or more, found one class"),
    ],
)
def test_labels_without_a_class(root, text, options, what):
    with pytest.raises(DataError, match=what):
        labels(root, text, "a.txt", **options)


def test_many_unknown_labels_are_counted_quickly(root):
    text = "".join(f"{number}.png label{number}\n" for number in range(20_000))
    with pytest.raises(DataError, match=r"found 20000 errors \(20000 label\)"):
        labels(root, text, "a.txt", classes=[f"class{number}" for number in range(500)])


def test_one_class_is_only_for_tests(root):
    assert labels(root, "0.png cat\n", "a.txt", test_mode=True) == (("cat",), [0])


@pytest.mark.parametrize("text", ["", "\n", "path,label\n", "path,label\n,\n", "path;label\n;;\n"])
def test_lists_without_an_image(root, text):
    with pytest.raises(DataError):
        read(root, text)


@pytest.mark.parametrize(
    "make", [os.mkdir, lambda path: path.symlink_to(path.name), lambda path: path.write_bytes(b"\xff")]
)
def test_other_objects_as_lists(root, make):
    make(root / "b.csv")
    with pytest.raises(DataError):
        read_image_list(root / "b.csv")
