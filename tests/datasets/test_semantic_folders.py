"""Folders of images and maps of classes: names, numbers, and what is wrong with them."""

import numpy as np
import pytest
from PIL import Image

from visionzoo.datasets.semantic_maps import read_semantic_map
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError, DataError

HEIGHT, WIDTH = 5, 7


def write_folders(root, names=("a", "b"), first=0, suffix=""):
    """Write images, and maps with the classes 0, 1 and no label."""
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    labels = np.full((HEIGHT, WIDTH), 0 if first else 255, np.uint8)
    labels[:2], labels[2:4, 3:] = first, first + 1
    for name in names:
        Image.new("RGB", (WIDTH, HEIGHT), (9, 90, 9)).save(root / "images" / f"{name}.jpg")
        Image.fromarray(labels).save(root / "annotations" / f"{name}{suffix}.png")
    (root / "classes.txt").write_text("wall\nsky above\n")
    return labels


def build(root, **options):
    pipeline = [{"type": "LoadImage"}, {"type": "LoadSemanticMap"}]
    settings = dict(type="SemanticFolders", data_root=str(root), serialize_data=False)
    return build_dataset({**settings, "pipeline": pipeline, **options}, where="folders")


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_become_class_indices(first, tmp_path):
    labels = write_folders(tmp_path, first=first)
    dataset = build(tmp_path, reduce_zero_label=bool(first))
    assert dataset.metainfo["classes"] == dataset.metainfo["stuff_classes"] == ("wall", "sky above")
    assert dataset.metainfo["thing_classes"] == ()
    assert dataset.metainfo["category_ids"] == [first, first + 1]
    for sample in dataset:
        assert sample["gt_seg_map"].dtype == np.uint8
        assert np.array_equal(sample["gt_seg_map"], np.where(labels == (0 if first else 255), 255, labels - first))
        assert np.array_equal(sample["gt_seg_map"], sample["gt_semantic"])


def test_suffixes_and_subfolders(tmp_path):
    (tmp_path / "annotations").mkdir()
    for city in ("bern", "ulm"):
        write_folders(tmp_path / city, (f"{city}_1_leftImg8bit",), suffix="")
        (tmp_path / "images" / city).mkdir(parents=True)
        (tmp_path / "annotations" / city).mkdir()
        (tmp_path / city / "images" / f"{city}_1_leftImg8bit.jpg").rename(
            tmp_path / "images" / city / f"{city}_1_leftImg8bit.jpg"
        )
        for ending in ("labelTrainIds", "instanceIds"):
            source = tmp_path / city / "annotations" / f"{city}_1_leftImg8bit.png"
            (tmp_path / "annotations" / city / f"{city}_1_gtFine_{ending}.png").write_bytes(source.read_bytes())
    suffixes = dict(img_suffix="_leftImg8bit", seg_suffix="_gtFine_labelTrainIds")
    dataset = build(tmp_path, classes=["wall", "sky"], **suffixes)
    assert [sample["seg_map_path"].rpartition("/")[2] for sample in dataset] == [
        "bern_1_gtFine_labelTrainIds.png",
        "ulm_1_gtFine_labelTrainIds.png",
    ]


@pytest.mark.parametrize(
    ("name", "lines", "classes"),
    [
        ("classes.txt", "wall\n\nsky above \n", ("wall", "sky above")),
        ("labels.txt", "﻿wall\nsky\n", ("wall", "sky")),
        ("objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t5\t6\t1\twall, side\n", ("wall, side",)),
    ],
)
def test_files_with_names(name, lines, classes, tmp_path):
    write_folders(tmp_path)
    (tmp_path / "classes.txt").unlink()
    (tmp_path / name).write_text(lines, encoding="utf-8")
    assert build(tmp_path).metainfo["classes"] == classes
    assert build(tmp_path, classes=name).metainfo["classes"] == classes


def test_a_number_that_is_not_a_class_is_named_with_its_file(tmp_path):
    write_folders(tmp_path)
    labels = np.full((HEIGHT, WIDTH), 255, np.uint8)
    labels[3, 4] = 2
    Image.fromarray(labels).save(tmp_path / "annotations" / "b.png")
    dataset = build(tmp_path)
    assert (dataset[0]["gt_seg_map"] == 0).any()
    with pytest.raises(DataError, match=r"b\.png: expected numbers of 2 classes, .*found 2 in row 3, column 4"):
        dataset[1]


def test_a_map_of_another_size_of_colours_and_none(tmp_path):
    write_folders(tmp_path)
    path = tmp_path / "annotations" / "a.png"
    dataset = build(tmp_path)
    Image.new("L", (WIDTH, HEIGHT - 1)).save(path)
    with pytest.raises(DataError, match=r"a\.png: expected a map of classes of 7x5 pixels like .*a\.jpg, found 7x4"):
        dataset[0]
    Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    with pytest.raises(DataError, match=r"a\.png: expected one number for every pixel .*found an image of mode RGB"):
        dataset[0]
    path.unlink()
    with pytest.raises(DataError, match=r"expected the maps of 2 images, found 1 missing \(a\)"):
        build(tmp_path)


def test_folders_and_names_that_are_missing(tmp_path):
    write_folders(tmp_path)
    with pytest.raises(DataError, match="photos: expected a folder, found no such folder"):
        build(tmp_path, img_folder="photos")
    with pytest.raises(DataError, match=r"expected files <name>_x\.png, found none"):
        build(tmp_path, seg_suffix="_x")
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=r"expected one file for each name, found a\.jpg and a\.png"):
        build(tmp_path)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"expected the names of the classes in classes\.txt or labels\.txt or"):
        build(tmp_path)
    for classes, found in (([], "0"), (["a", "a"], "a twice"), ([f"{number}" for number in range(256)], "256")):
        with pytest.raises(ConfigError, match=f"expected 1 to 255 different names, found {found}"):
            build(tmp_path, classes=classes)


def test_maps_with_16_bits_and_palettes(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 1, 255]], np.uint16)).save(path)
    assert read_semantic_map(str(path), 2).tolist() == [[0, 1, 255]]
    indices = Image.fromarray(np.array([[0, 1, 255]], np.uint8), mode="L").convert("P")
    indices.save(path)
    assert (
        read_semantic_map(str(path), 2).tolist() == np.where(np.array(indices) == 255, 255, np.array(indices)).tolist()
    )


def test_maps_without_an_image_give_a_note(tmp_path, monkeypatch):
    found = {}
    monkeypatch.setattr("visionzoo.datasets.findings.say_notes", lambda where, notes: found.update(notes))
    write_folders(tmp_path)
    (tmp_path / "images" / "b.jpg").unlink()
    assert len(build(tmp_path)) == 1
    assert found == {"maps in annotations without an image are left out": 1}
