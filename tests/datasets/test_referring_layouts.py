"""``--data DIR`` for referring expressions."""

import pytest
from refer_files import FOLDER, ref, write_refer
from test_referring_data import line, write_lines

from visionzoo.datasets.layouts import data_settings
from visionzoo.errors import DataError

PARTS = {"name": "refcoco", "split_by": "unc", "img_folder": FOLDER}


def config(**data):
    loaders = {
        f"{split}_dataloader": {"dataset": {"type": "ReferDataset", **data}} for split in ("train", "val", "test")
    }
    return {"task": "referring", **loaders}


def refs():
    return [ref(1), ref(2), ref(3, "val", image=1), ref(4, "testA")]


def of(options, split):
    prefix = f"{split}_dataloader.dataset."
    return {path.removeprefix(prefix): value for path, value in options.items() if path.startswith(prefix)}


@pytest.mark.parametrize("below", ["", "refcoco"])
def test_the_root_and_the_folder_of_a_set_are_recognised(tmp_path, below):
    write_refer(tmp_path, refs())
    settings = data_settings(tmp_path / below, config(**PARTS))
    for split, expected in (("train", "train"), ("val", "val"), ("test", "test")):
        options = of(settings.options, split)
        assert options == {"type": "ReferDataset", "data_root": str(tmp_path), **PARTS, "split": expected}
    assert "REFER, 4 refs, refcoco (unc); 2 train, 1 val, 1 test" in settings.notes[0]
    assert "1 of 1 val refs also in train" in settings.notes[1]  # as in RefCOCOg by Google


def test_of_several_sets_the_config_names_one(tmp_path):
    write_refer(tmp_path, refs())
    write_refer(tmp_path, refs(), name="refcocog", file="refs(umd).p")
    settings = data_settings(tmp_path, config(name="refcocog", split_by="umd"))
    assert of(settings.options, "train")["name"] == "refcocog"
    with pytest.raises(DataError, match=r"found refcoco/refs\(unc\), refcocog/refs\(umd\)"):
        data_settings(tmp_path, config())


def test_images_may_be_in_another_folder(tmp_path):
    write_refer(tmp_path, refs())
    (tmp_path / FOLDER).rename(tmp_path / "train2014")
    settings = data_settings(tmp_path, config(**PARTS))
    assert of(settings.options, "val")["img_folder"] == "train2014"
    (tmp_path / "train2014").rename(tmp_path / "refcoco" / "none")
    for path in (tmp_path / "refcoco" / "none").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"expected the images of the refs.*found none of COCO_train2014"):
        data_settings(tmp_path, config(**PARTS))


def test_lines_are_divided_by_their_split(tmp_path):
    write_lines(tmp_path, line(split="train"), line(split="train"), line(split="validation"))
    settings = data_settings(tmp_path, config(**PARTS))
    assert of(settings.options, "val") == {
        "type": "PhraseMaskDataset",
        "data_root": str(tmp_path),
        "ann_file": "phrases.jsonl",
        "split": "validation",
    }
    assert of(settings.options, "test")["split"] == "validation"


def test_lines_without_a_split_are_divided(tmp_path):
    root = write_lines(tmp_path, line(), line())
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    (tmp_path / "phrases.jsonl").write_text(
        '{"image": "a.jpg", "text": "a", "mask": null}\n{"image": "b.jpg", "text": "b", "mask": null}'
    )
    settings = data_settings(root, config(**PARTS))
    assert (of(settings.options, "train")["not_every"], of(settings.options, "val")["every"]) == (2, 2)
