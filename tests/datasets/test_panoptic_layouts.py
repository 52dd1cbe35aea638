"""``--data DIR`` for panoptic annotations and for maps of classes."""

import shutil

import pytest
from panoptic_files import record, write_panoptic_data

from visionzoo.datasets.layouts import data_settings
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import DataError


def config(task, kind, **data):
    loaders = {f"{split}_dataloader": {"dataset": {"type": kind, **data}} for split in ("train", "val", "test")}
    return {"task": task, **loaders}


PANOPTIC = config("panoptic", "PanopticDataset")
SEMANTIC = config("semantic", "SemanticFolders")


def built(settings, split):
    prefix = f"{split}_dataloader.dataset."
    options = {path.removeprefix(prefix): value for path, value in settings.options.items() if path.startswith(prefix)}
    return build_dataset({**options, "serialize_data": False}, where="--data")


@pytest.mark.parametrize(("twin", "sizes"), [("coco_panoptic", (4, 2)), ("coconut", (4, 2))])
def test_panoptic_twins(twin, sizes, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(resolve_data_root(f"tiny://{twin}?train=4&val=2&size=40"), root)
    if twin == "coconut":
        (root / "coconut_s.json").rename(root / "coconut_train.json")
        (root / "coconut_s").rename(root / "coconut_train")
        with pytest.raises(DataError, match="expected one annotation file for val, found panoptic_val2017"):
            data_settings(root, PANOPTIC)
        (root / "panoptic_val2017.json").unlink()
    settings = data_settings(root, PANOPTIC)
    name = "panoptic json, 6 images, 5 classes (disc, square, triangle, ...); 4 train, 2 val"
    assert settings.notes[0] == f"{root}: {name}"
    assert tuple(len(built(settings, split)) for split in ("train", "val")) == sizes


def test_one_file_is_divided(tmp_path):
    write_panoptic_data(tmp_path, record(), "mine")
    settings = data_settings(tmp_path, PANOPTIC)
    assert "panoptic json, 2 images, 3 classes (cat, dog, sky); no split" in settings.notes[0]
    train, val = (built(settings, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (1, 1)
    assert train[0]["img_path"] != val[0]["img_path"]
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="expected its image files in a folder below, found none of 000000000009"):
        data_settings(tmp_path, PANOPTIC)


def test_maps_of_classes(tmp_path):
    root = resolve_data_root("tiny://ade20k?train=4&val=2&size=40")
    settings = data_settings(root, SEMANTIC)
    text = "images and maps of classes, 6 images, 5 classes (disc, square, triangle, ...); 4 train, 2 val"
    assert settings.notes[0] == f"{root}: {text}"
    train, val = (built(settings, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (4, 2)
    assert train[0]["reduce_zero_label"]


def test_maps_without_names_of_classes_ask_for_them(tmp_path):
    root = tmp_path / "data"
    shutil.copytree(resolve_data_root("tiny://ade20k?train=4&val=2&size=40"), root)
    (root / "objectInfo150.txt").rename(root / "names.txt")
    with pytest.raises(DataError, match=r"expected the names of the classes in classes\.txt or labels"):
        data_settings(root, SEMANTIC)
    (root / "names.txt").rename(root / "classes.txt")
    assert not built(data_settings(root, SEMANTIC), "train")[0]["reduce_zero_label"]
