"""Class folders: what is an image, what is left out with a note, and what is an error."""

import os

import pytest

from visionzoo.datasets.class_folders import class_folders, read_class_folders
from visionzoo.datasets.classification import ImageFolder
from visionzoo.datasets.findings import Findings
from visionzoo.errors import DataError


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def train(tmp_path):
    """Write two classes of two images."""
    folder = tmp_path / "data/train"
    touch(*(folder / f"{name}/{number}.png" for name in ("cat", "dog") for number in (0, 1)))
    return folder


def read(folder):
    """Return the relative paths of the images by class, and the notes with their counts."""
    findings = Findings(folder, expected="images", say_notes=False)
    with findings:
        images = read_class_folders(folder, (".png", ".jpg"), findings)
    return {name: [os.path.relpath(path, folder / name) for path in paths] for name, paths in images.items()}, dict(
        findings._notes
    )


USUAL = {"cat": ["0.png", "1.png"], "dog": ["0.png", "1.png"]}


def test_images_at_any_depth_come_in_order(train):
    touch(train / "cat/b/2.PNG", train / "cat/a/3.jpg", train / "cat/a/a/4.png")
    images, notes = read(train)
    assert images["cat"] == ["0.png", "1.png", "a/3.jpg", "a/a/4.png", "b/2.PNG"]
    assert notes == {}


@pytest.mark.parametrize(
    "name",
    [
        "cat/.ipynb_checkpoints/0-checkpoint.png",
        "cat/deep/.ipynb_checkpoints/0-checkpoint.png",
        ".ipynb_checkpoints/cat/0.png",
        "__MACOSX/cat/._0.png",
        "cat/__MACOSX/0.png",
        "cat/._0.png",
        "cat/.0.png",
        "cat/.DS_Store",
        ".DS_Store",
        "dog/Thumbs.db",
        "dog/desktop.ini",
        "cat/.git/a/b/0.png",
    ],
)
def test_left_over_names_are_left_out_at_every_depth(train, name):
    touch(train / name)
    images, notes = read(train)
    assert images == USUAL
    assert notes == {"hidden files and folders, left out": 1}


def test_other_files_are_counted(train):
    touch(train / "cat/a.txt", train / "dog/b.csv", train / "dog/deep/c.heic", train / "labels.csv", train / "9.png")
    images, notes = read(train)
    assert images == USUAL
    assert notes == {
        "files that are not images (a.txt, b.csv, c.heic), left out": 3,
        "files beside the class folders (9.png, labels.csv), left out": 2,
    }


# --- links ---


@pytest.mark.parametrize("target", ["..", "../..", "../../..", ".", "../cat", "../dog", "/"])
@pytest.mark.parametrize("place", ["cat/up", "dog/deep/up"])
def test_links_to_folders_above_or_read_already(train, place, target):
    (train / "dog/deep").mkdir()
    (train / place).symlink_to(target if target != "/" else os.path.abspath(os.sep))
    images, notes = read(train)
    assert images == USUAL
    assert list(notes.values()) == [1]


def test_two_links_between_folders_end(train, tmp_path):
    touch(tmp_path / "a/5.png", tmp_path / "b/6.png")
    (tmp_path / "a/other").symlink_to(tmp_path / "b")
    (tmp_path / "b/other").symlink_to(tmp_path / "a")
    (train / "cat/more").symlink_to(tmp_path / "a")
    images, notes = read(train)
    assert images["cat"] == ["0.png", "1.png", "more/5.png", "more/other/6.png"]
    assert list(notes.values()) == [1]


def test_links_to_files_and_other_folders_are_followed(train, tmp_path):
    touch(tmp_path / "store/5.png", tmp_path / "emus/7.png", train / ".hidden/8.png")
    (train / "cat/2.png").symlink_to(tmp_path / "store/5.png")
    (train / "cat/more").symlink_to("../../../store")
    (train / "emu").symlink_to(tmp_path / "emus")
    (train / "fox").symlink_to(".hidden")
    images, _ = read(train)
    assert images == {**USUAL, "cat": ["0.png", "1.png", "2.png", "more/5.png"], "emu": ["7.png"], "fox": ["8.png"]}
    assert class_folders(train, "") == ["cat", "dog", "emu", "fox"]


def test_a_folder_that_contains_a_read_folder(train, tmp_path):
    touch(tmp_path / "store/part/5.png", tmp_path / "store/6.png")
    (train / "cat/a").symlink_to(tmp_path / "store/part")
    (train / "cat/b").symlink_to(tmp_path / "store")
    assert read(train)[0]["cat"] == ["0.png", "1.png", "a/5.png", "b/6.png"]


def test_one_folder_of_two_classes(train, tmp_path):
    touch(tmp_path / "store/5.png")
    (train / "cat/more").symlink_to(tmp_path / "store")
    (train / "dog/more").symlink_to(tmp_path / "store")
    with pytest.raises(DataError, match=r"dog/more: link: expected a folder of one class, found .* class 'cat'"):
        read(train)


def test_a_class_that_is_a_link_to_another_class_is_empty(train):
    (train / "kitten").symlink_to("cat")
    with pytest.raises(DataError, match=r"1 empty \(kitten\)"):
        ImageFolder(str(train.parent))


# --- errors ---


def link_to_itself(path):
    path.symlink_to(path.name)


def link_to_nothing(path):
    path.symlink_to("nowhere.png")


@pytest.mark.parametrize(
    ("name", "make", "what"),
    [
        ("cat/2.png", link_to_itself, "cat/2.png: file: expected an image file, found a link to nothing"),
        ("cat/2.png", link_to_nothing, "cat/2.png: file: expected an image file, found a link to nothing"),
        ("cat/2.png", os.mkfifo, "cat/2.png: file: expected an image file, found another kind of file"),
        ("cat/2.png", os.mkdir, "cat/2.png: file: expected an image file, found an empty folder"),
        ("c\nt", os.mkdir, r"'c\\nt': class folder: expected a name of visible UTF-8 text"),
        (" ", os.mkdir, "class folder: expected a name"),
        (os.fsdecode(b"caf\xe9"), os.mkdir, r"'caf\\xe9': class folder"),
        (os.fsdecode(b"cat/caf\xe9.png"), lambda path: path.touch(), r"name: .*found 'cat/caf\\xe9.png'"),
        ("cat/a\nb.png", lambda path: path.touch(), r"found 'cat/a\\nb.png'"),
    ],
)
def test_errors(train, name, make, what):
    make(train / name)
    with pytest.raises(DataError, match=what) as caught:
        read(train)
    assert caught.value.sentence.isprintable()


def test_names_in_any_language(train):
    touch(train / "猫/図 1.png", train / "Ćma/ü\u202f1.png")
    assert read(train)[0] == {**USUAL, "Ćma": ["ü\u202f1.png"], "猫": ["図 1.png"]}


def test_a_folder_that_cannot_be_read(train, monkeypatch):
    (train / "cat/locked").mkdir()
    scandir = os.scandir

    def guarded(path):
        if "locked" in str(path):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(DataError, match="cat/locked: folder: expected a readable folder, found Permission denied"):
        read(train)


def test_very_deep_folders(train):
    at = train / "cat"
    for _ in range(60):
        at = at / ("x" * 20)
    touch(at / "2.png")
    assert len(read(train)[0]["cat"]) == 3


def test_an_empty_class_names_the_endings_that_it_has(train):
    touch(train / "emu/1.xyz", train / "emu/2.xyz", train / "emu/3.csv")
    with pytest.raises(DataError, match=r"found 1 empty \(emu\); emu has files with .xyz, .csv"):
        ImageFolder(str(train.parent))


# --- one class ---


@pytest.mark.parametrize("beside", [(), ("__MACOSX/1.png",), (".cache/1.png", "readme.txt")])
def test_folders_one_level_too_deep(tmp_path, beside):
    touch(*(tmp_path / f"train/images/{name}/0.png" for name in ("cat", "dog")))
    touch(*(tmp_path / "train" / name for name in beside))
    with pytest.raises(
        DataError, match=r"found one class \(images\), nothing to learn; its folders cat, dog may be the"
    ):
        ImageFolder(str(tmp_path))
    assert len(ImageFolder(str(tmp_path), split="train/images", classes_from="train/images")) == 2
    assert ImageFolder(str(tmp_path), test_mode=True).metainfo["classes"] == ("images",)


@pytest.mark.parametrize("options", [{}, {"classes": ["cat"]}, {"background": True}, {"max_samples": 1}])
def test_one_class_is_only_for_tests(tmp_path, options):
    touch(tmp_path / "train/cat/0.png", tmp_path / "train/cat/deep.png")
    with pytest.raises(DataError, match=r"two classes or more, found one class \(cat\), nothing to learn; add"):
        ImageFolder(str(tmp_path), **options)
    assert len(ImageFolder(str(tmp_path), test_mode=True, **options)) > 0


def test_classes_that_are_splits_are_noted(tmp_path):
    touch(*(tmp_path / f"{split}/{name}/0.png" for split in ("train", "val") for name in ("cat", "dog")))
    _, notes = read(tmp_path)
    assert notes == {"classes with the names of splits (train, val): set split if they are splits": 2}
