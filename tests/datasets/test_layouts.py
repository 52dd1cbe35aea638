"""``--data DIR``: what is recognised, how it is divided, and what is refused."""

import csv
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from visionzoo.config import load_config
from visionzoo.datasets.layouts import data_settings
from visionzoo.datasets.layouts._finding import layouts
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError
from visionzoo.metrics.coco import CocoMetric
from visionzoo.registry import DATASETS

NAMES = [f"{number:02}" for number in range(1, 11)]


def image(path: Path, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((35, 47, 3), shade, np.uint8)).save(path)
    return path


def mask(path: Path, values: tuple[int, ...] = (255,)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((35, 47), np.uint8)
    for number, value in enumerate(values):
        pixels[5 + 12 * number : 12 + 12 * number, 5:30] = value
    Image.fromarray(pixels).save(path)
    return path


def text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def xml(path: Path, *names: str) -> Path:
    box = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
    objects = "".join(f"<object><name>{name}</name>{box}</object>" for name in names)
    return text(path, f"<annotation><size><width>47</width><height>35</height></size>{objects}</annotation>")


def coco(path: Path, names: list[str], first: int = 1) -> Path:
    images = [{"id": first + at, "file_name": name, "width": 47, "height": 35} for at, name in enumerate(names)]
    boxes = [
        {"id": each["id"], "image_id": each["id"], "category_id": 1, "bbox": [3, 4, 17, 20], "area": 340, "iscrowd": 0}
        | {"segmentation": [[3, 4, 20, 4, 20, 24]]}
        for each in images
    ]
    record = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    return text(path, json.dumps(record))


# --- twins of each layout: draw(folder) ---


def coco_single(root: Path) -> None:
    coco(root / "export.json", [image(root / "photos" / f"{name}.jpg").name for name in NAMES])


def coco_roboflow(root: Path) -> None:
    for first, (split, names) in enumerate({"train": NAMES[:6], "valid": NAMES[6:8], "test": NAMES[8:]}.items()):
        coco(root / split / "_annotations.coco.json", [image(root / split / f"{n}.jpg").name for n in names], first * 9)


def voc_flat(root: Path) -> None:
    for name in NAMES:
        image(root / f"{name}.jpg"), xml(root / f"{name}.xml", "cat")


def voc_lists(root: Path) -> None:
    for name in NAMES:
        image(root / "JPEGImages" / f"{name}.jpg"), xml(root / "Annotations" / f"{name}.xml", "cat", "dog")
    text(root / "ImageSets/Main/trainval.txt", *NAMES[:8]), text(root / "ImageSets/Main/test.txt", *NAMES[8:])


def voc_splits(root: Path) -> None:
    for split, names in {"train": NAMES[:7], "valid": NAMES[7:]}.items():
        for name in names:
            image(root / split / f"{name}.jpg"), xml(root / split / f"{name}.xml", "cat" if split == "train" else "dog")


def yolo_outside(root: Path) -> None:
    for split, names in {"train": NAMES[:7], "val": NAMES[7:]}.items():
        for name in names:
            image(root / "images" / split / f"{name}.jpg")
            text(root / "labels" / split / f"{name}.txt", "0 0.5 0.5 0.4 0.4", "1 0.1 0.1 0.4 0.1 0.4 0.5")
    text(root / "data.yaml", "train: images/train", "val: images/val", "names: [cat, dog]")


def yolo_flat(root: Path) -> None:
    for name in NAMES:
        image(root / "images" / f"{name}.jpg"), text(root / "labels" / f"{name}.txt", "0 0.5 0.5 0.4 0.4")
    text(root / "classes.txt", "cat")


def labelme(root: Path) -> None:
    shape = {"label": "cat", "points": [[3, 4], [20, 30]], "shape_type": "rectangle", "group_id": None, "flags": {}}
    size = {"imageHeight": 35, "imageWidth": 47, "imageData": None}
    for name in NAMES:
        record = {"version": "5.0", "flags": {}, "shapes": [shape], "imagePath": f"{name}.jpg", **size}
        image(root / f"{name}.jpg"), text(root / f"{name}.json", json.dumps(record))


def cvat(root: Path) -> None:
    box = '<box label="cat" occluded="0" xtl="3" ytl="4" xbr="20" ybr="30" z_order="0"></box>'
    images = [f'<image id="{n}" name="{n}.jpg" width="47" height="35">{box}</image>' for n in NAMES]
    [image(root / "images" / f"{name}.jpg") for name in NAMES]
    text(root / "annotations.xml", "<annotations><version>1.1</version>", *images, "</annotations>")


def via(root: Path) -> None:
    region = {"name": "rect", "x": 3, "y": 4, "width": 17, "height": 20}
    regions = [{"shape_attributes": region, "region_attributes": {"class": "cat"}}]
    files = [image(root / f"{name}.jpg") for name in NAMES]
    entry = {"regions": regions, "file_attributes": {}}
    entries = {file.name: {"filename": file.name, "size": file.stat().st_size, **entry} for file in files}
    text(root / "via.json", json.dumps(entries))


def class_folders(root: Path) -> None:
    for name in NAMES:
        image(root / "cat" / f"{name}.jpg"), image(root / "dog" / "deep" / f"{name}.png")


def class_splits(root: Path) -> None:
    for split, names in {"train": NAMES[:6], "val": NAMES[6:], "test": NAMES[:1]}.items():
        for name in names:
            image(root / split / "cat" / f"{name}.jpg"), image(root / split / "dog" / f"{name}.jpg")


def class_list(root: Path) -> None:
    rows = [f"{name}.jpg,{'cat' if int(name) % 2 else 'dog'}" for name in NAMES]
    [image(root / "photos" / f"{name}.jpg") for name in NAMES], text(root / "labels.csv", "path,label", *rows)


def masks(root: Path) -> None:
    for name in NAMES:
        image(root / "image" / f"{name}.png"), mask(root / "label" / f"{name}.png")


def mask_splits(root: Path) -> None:
    for split, names in {"train": NAMES[:7], "val": NAMES[7:]}.items():
        for name in names:
            image(root / split / "images" / f"{name}.jpg"), mask(root / split / "masks" / f"{name}.png")


def id_maps(root: Path) -> None:
    for name in NAMES:
        image(root / "imgs" / f"{name}.jpg"), mask(root / "instances" / f"{name}.png", (1, 2))


def mask_groups(root: Path) -> None:
    for group in ("axe", "bus", "cow", "dog", "elk"):
        for name in NAMES[:2]:
            image(root / "images" / group / f"{name}.jpg"), mask(root / "masks" / group / f"{name}.png")


def points_csv(root: Path) -> None:
    [image(root / "photos" / f"{name}.jpg") for name in NAMES]
    text(root / "points.csv", "image,x,y", *[f"{name}.jpg,{x},20" for name in NAMES for x in (5, 30)])


def points_lines(root: Path) -> None:
    for split, names in {"train": NAMES[:7], "val": NAMES[7:]}.items():
        lines = [json.dumps({"image": image(root / f"{name}.jpg").name, "points": [[5, 20]]}) for name in names]
        text(root / f"{split}.jsonl", *lines)


def tusimple(root: Path) -> None:
    rows = list(range(10, 31, 2))
    for name in NAMES:
        image(root / "clips" / name / "20.jpg")
    lane = {"lanes": [[20] * len(rows), [30] * len(rows)], "h_samples": rows}
    text(root / "label_data.json", *[json.dumps({"raw_file": f"clips/{name}/20.jpg", **lane}) for name in NAMES])


def culane(root: Path) -> None:
    for clip in (f"{name}.MP4/{frame}" for name in NAMES for frame in (0, 1)):
        image(root / f"drive/{clip}.jpg"), mask(root / f"seg/{clip}.png", (2, 3))
        text(root / f"drive/{clip}.lines.txt", "20 10 20 20 20 30")
    lines = [f"/drive/{n}.MP4/{f}.jpg /seg/{n}.MP4/{f}.png 0 1 1 0" for n in NAMES for f in (0, 1)]
    text(root / "list/train_gt.txt", *lines)


EVERY_5TH = "no split: every 5th image (2) is val"
TWINS: list[tuple[Callable[[Path], None], str, str, list[int]]] = [
    (
        coco_single,
        "fpn_retinanet",
        f"COCO json, 10 images, 1 class (cat); {EVERY_5TH}",
        [8, 2, 2],
    ),
    (
        coco_single,
        "rcnet_mask_rcnn",
        f"COCO json, 10 images, 1 class (cat); {EVERY_5TH}",
        [8, 2, 2],
    ),
    (coco_roboflow, "fpn_retinanet", "COCO json, 10 images, 1 class (cat); 6 train, 2 val, 2 test", [6, 2, 2]),
    (
        voc_flat,
        "fpn_retinanet",
        f"Pascal VOC, 10 images, 1 class (cat); {EVERY_5TH}",
        [8, 2, 2],
    ),
    (
        voc_lists,
        "fpn_retinanet",
        "Pascal VOC, 10 images, 2 classes (cat, dog); 8 train, 2 test, no val: every 5th image (1) is val",
        [7, 1, 2],
    ),
    (voc_splits, "fpn_retinanet", "Pascal VOC, 10 images, 2 classes (cat, dog); 7 train, 3 val", [7, 3, 3]),
    (yolo_outside, "rcnet_mask_rcnn", "YOLO txt, 10 images, 2 classes (cat, dog); 7 train, 3 val", [7, 3, 3]),
    (
        yolo_flat,
        "fpn_retinanet",
        "YOLO txt, 10 images, 1 class (cat); 10 train, no val: every 5th image (2) is val",
        [8, 2, 2],
    ),
    *[
        (
            draw,
            "fpn_retinanet",
            f"{label}, 10 images, 1 class (cat); 10 train, no val: every 5th image (2) is val",
            [8, 2, 2],
        )
        for draw, label in ((labelme, "labelme"), (cvat, "CVAT xml"), (via, "VIA"))
    ],
    (
        class_folders,
        "dinat_mini_imagenet",
        "class folders, 20 images, 2 classes (cat, dog); no split: every 5th image of each class (4) is val",
        [16, 4, 4],
    ),
    (
        class_splits,
        "dinat_mini_imagenet",
        "class folders, 22 images, 2 classes (cat, dog); 12 train, 8 val, 2 test",
        [12, 8, 2],
    ),
    (
        class_list,
        "dinat_mini_imagenet",
        "class CSV, 10 images, 2 classes (cat, dog); no split: every 5th image of each class (2) is val",
        [8, 2, 2],
    ),
    (
        masks,
        "connnet_r50",
        f"images and masks, 10 images, one mask each; {EVERY_5TH}",
        [8, 2, 2],
    ),
    (mask_splits, "connnet_r50", "images and masks, 10 images, one mask each; 7 train, 3 val", [7, 3, 3]),
    (
        id_maps,
        "connnet_mask_rcnn",
        f"images and id maps, 10 images, 1 class (salient); {EVERY_5TH}",
        [8, 2, 2],
    ),
    (
        mask_groups,
        "gconet_plus_vgg16bn",
        "groups of images and masks, 5 groups; no split: every 5th group (1) is val",
        [4, 1, 1],
    ),
    (points_csv, "hmode_shanghaitech_a", f"points, 10 images; {EVERY_5TH}", [8, 2, 2]),
    (points_lines, "hmode_shanghaitech_a", "points, 10 images; 7 train, 3 val", [7, 3, 3]),
    (tusimple, "scnn_tusimple", "TuSimple, 10 frames; no split: every 5th frame (2) is val", [8, 2, 2]),
    (culane, "scnn_culane", "CULane, 20 frames; 20 train, no val: every 5th folder of frames (4) is val", [16, 4, 4]),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))


def data_sets(name: str, options: dict[str, Any]) -> list[Any]:
    cfg = load_config(name, options=options).cfg
    parts = [cfg[f"{split}_dataloader"]["dataset"] for split in ("train", "val", "test")]
    with DefaultScope.overwrite_default_scope("visionzoo"):
        return [DATASETS.build(dict(part)) for part in parts]


def files_of(data_set: Any) -> set[str]:
    infos = [data_set.get_data_info(number) for number in range(len(data_set))]
    return {
        path
        for info in infos
        for path in (info["img_path"] if isinstance(info["img_path"], list) else [info["img_path"]])
    }


@pytest.mark.parametrize(("draw", "name", "sentence", "sizes"), TWINS)
def test_layout_is_recognised_divided_and_read(draw, name, sentence, sizes, tmp_path, monkeypatch):
    root = tmp_path / "data"
    draw(root)
    monkeypatch.chdir(tmp_path)
    settings = data_settings("data", load_config(name).cfg)
    assert settings.notes[0] == f"data: {sentence}"
    monkeypatch.chdir("/")  # a run works from another folder
    train, val, test = data_sets(name, settings.options)
    assert [len(train), len(val), len(test)] == sizes
    sources = getattr(train, "sources", [train])
    assert files_of(sources[0]).isdisjoint(files_of(val))
    assert all(Path(file).is_relative_to(root) for each in (*sources, val, test) for file in files_of(each))


@pytest.mark.parametrize(
    ("twin", "name", "split"),
    [
        ("tiny://shanghaitech_a?train=6&test=2&size=48", "hmode_ucf_qnrf", [5, 1, 2]),
        ("tiny://shanghaitech_b?train=6&test=2&size=48", "hmode_shanghaitech_a", [5, 1, 2]),
        ("tiny://jhu_crowd?train=2&val=1&test=1&size=48", "hmode_shanghaitech_a", [2, 1, 1]),
        ("tiny://nwpu_crowd?train=2&val=1&test=1&size=48", "hmode_shanghaitech_a", [2, 1, 1]),
        ("tiny://trancos?train=2&val=1&test=1&size=48", "hmode_trancos", [2, 1, 1]),
        ("tiny://ucf_qnrf?train=6&test=1&size=48", "hmode_shanghaitech_a", [5, 1, 1]),
        ("tiny://ucf_cc_50?size=48", "hmode_shanghaitech_a", [40, 10, 10]),
        ("tiny://co_saliency?groups=2&images=1&size=24", "gconet_plus_vgg16bn", None),
        ("tiny://culane?train=2&val=1&test=9&width=164", "scnn_culane", [2, 1, 9]),
        ("tiny://tusimple?train=2&val=1&test=1", "scnn_tusimple", [2, 1, 1]),
        ("tiny://imagenet?train=10&val=2&size=24", "nat_mini_imagenet", [10, 2, 2]),
        ("tiny://msra_b?train=4&val=2&size=32", "connnet_r50", [4, 2, 8]),
        ("tiny://salient_instances?train=2&val=1&size=64", "connnet_mask_rcnn", [2, 1, 8]),
    ],
)
def test_published_layouts(twin, name, split):
    settings = data_settings(resolve_data_root(twin), load_config(name).cfg)
    sizes = [len(each) for each in data_sets(name, settings.options)]
    assert split is None or sizes == split


def test_every_layout_has_a_twin_or_is_published(tmp_path):
    drawn = {draw.__name__ for draw, *_ in TWINS}
    elsewhere = {"crowds", "volume_pairs", "refer", "phrase_masks", "panoptic", "class_maps"}  # test_*_layouts.py
    assert all(any(twin.startswith(name.split("_")[0]) for twin in drawn) for name in layouts().keys() - elsewhere)


# --- what is used again ---


def test_earlier_division_is_undone_by_a_folder_with_splits(tmp_path):
    voc_flat(tmp_path / "a"), voc_splits(tmp_path / "b")
    options = data_settings(tmp_path / "a", load_config("fpn_retinanet").cfg).options
    cfg = load_config("fpn_retinanet", options=options).cfg
    again = data_settings(tmp_path / "b", cfg).options
    train, val, _ = data_sets("fpn_retinanet", {**options, **again})
    assert (len(train), len(val)) == (7, 3)


def test_loader_wrapped_in_another_data_set(tmp_path):
    voc_flat(tmp_path)
    wrapped = {"train_dataloader.dataset": dict(type="RepeatDataset", times=2, dataset=dict(type="CocoDetection"))}
    cfg = load_config("fpn_retinanet", options=wrapped, allow_new=True).cfg
    assert data_settings(tmp_path, cfg).options["train_dataloader.dataset.dataset.ann_file"] == "voc:all"


@pytest.mark.parametrize(("name", "is_set"), [("hmode_nwpu", True), ("hmode_shanghaitech_a", False)])
def test_categories_that_points_do_not_have_are_not_measured(name, is_set, tmp_path):
    points_csv(tmp_path)
    options = data_settings(tmp_path, load_config(name).cfg).options
    assert ("val_evaluator.categories" in options) == is_set
    assert not load_config(name, options=options).cfg.val_evaluator.get("categories")


def test_metric_has_the_size_of_the_frames(tmp_path):
    culane(tmp_path)
    options = data_settings(tmp_path, load_config("scnn_culane").cfg).options
    assert (options["val_evaluator.image_size"], options["test_evaluator.lane_width"]) == ((47, 35), 1)


def test_data_for_tests_need_no_training_data(tmp_path):
    coco(tmp_path / "test.json", [image(tmp_path / f"{name}.jpg").name for name in NAMES])
    cfg = load_config("fpn_retinanet").cfg
    options = data_settings(tmp_path, cfg, training=False).options
    assert options["test_dataloader.dataset.ann_file"] == options["val_dataloader.dataset.ann_file"] == "test.json"
    with pytest.raises(DataError, match="expected data for training, found only test; add a split called train"):
        data_settings(tmp_path, cfg)


# --- refusals: one sentence each ---


def nothing(root: Path) -> None:
    root.mkdir()


def only_images(root: Path) -> None:
    [image(root / f"{name}.jpg") for name in NAMES]


def both(root: Path) -> None:
    voc_flat(root), coco(root / "export.json", [f"{name}.jpg" for name in NAMES])


def counts(root: Path) -> None:
    text(root / "CSV" / "a.csv", ",name,y_true", "0,01.jpg,17"), image(root / "test_images" / "01.jpg")


def archive(root: Path) -> None:
    root.mkdir()
    with zipfile.ZipFile(root / "photos.zip", "w"):
        pass


def two_below(root: Path) -> None:
    voc_flat(root / "a"), voc_flat(root / "b")


def without_images(root: Path) -> None:
    coco(root / "train.json", [f"{name}.jpg" for name in NAMES])


def yolo_in_pixels(root: Path) -> None:
    yolo_flat(root)
    [text(path, "0 20 15 10 10") for path in (root / "labels").iterdir()]


def cvat_video(root: Path) -> None:
    image(root / "1.jpg"), text(root / "a.xml", '<annotations><version>1.1</version><track id="0"/></annotations>')


def other_columns(root: Path) -> None:
    class_list(root), text(root / "labels.csv", "filename,class", "01.jpg,cat")


def deep_tusimple(root: Path) -> None:
    tusimple(root / "train_set")


def broken_xml(root: Path) -> None:
    voc_flat(root), text(root / "03.xml", "<annotation><size>")


@pytest.mark.parametrize(
    ("draw", "name", "message"),
    [
        (nothing, "fpn_retinanet", r"expected data for detection: COCO json \(.*YOLO.*, found an empty folder; bring"),
        (only_images, "fpn_retinanet", "found 10 images and no annotations; add annotations"),
        (
            only_images,
            "gconet_plus_vgg16bn",
            "expected data for co_saliency: .*found 10 images and no annotations",
        ),
        (both, "fpn_retinanet", "found COCO json and Pascal VOC; choose one: --data coco:DATA or --data voc:DATA"),
        (
            counts,
            "hmode_shanghaitech_a",
            "CSV/a.csv has the number of objects and no positions; a model",
        ),
        (archive, "fpn_retinanet", "found the files photos.zip; unpack photos.zip"),
        (two_below, "fpn_retinanet", "pass one of the folders inside: --data DATA/a or --data DATA/b"),
        (
            without_images,
            "fpn_retinanet",
            r"train.json: expected its image files.*found none of 01.jpg, 02",
        ),
        (broken_xml, "fpn_retinanet", "DATA: 03.xml: file: expected"),
        (class_folders, "fpn_retinanet", "found class folders for classification; try the config dinat_mini_imagenet"),
        (masks, "dinat_mini_imagenet", "found .*images and masks for saliency; try the config .*connnet_r50"),
        (voc_flat, "rcnet_mask_rcnn", "found Pascal VOC for detection; try the config rcnet_retinanet"),
        (
            tusimple,
            "scnn_culane",
            r"expected .* \(CULane\), found TuSimple for lanes; try the config scnn_tusimple, or",
        ),
        (yolo_in_pixels, "fpn_retinanet", r"DATA: .*10 errors"),
        (cvat_video, "fpn_retinanet", "found `CVAT for video 1.1` with 1 tracks"),
        (
            other_columns,
            "dinat_mini_imagenet",
            "first line of labels.csv is 'filename', 'class'; name the columns path, label",
        ),
        (deep_tusimple, "scnn_culane", "--data DATA/train_set: .*found TuSimple for lanes; try the config scnn_tus"),
        (nothing, "scnn_culane", r"layouts, or TuSimple \(label_data_.*\) for the config scnn_tusimple; `vision"),
        (voc_flat, "scnn_culane", r"config rcnet_retinanet \(`visionzoo list --task detection` for others\), or"),
    ],
)
def test_refusal(draw, name, message, tmp_path):
    root = tmp_path / "data"
    draw(root)
    with pytest.raises(DataError, match=message.replace("DATA", str(root))):
        data_settings(root, load_config(name).cfg)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("raccon", "found none.*did you mean .*/raccoon[?]"),
        ("photos.zip", "expected a folder, found an archive; unpack it, and pass the folder: --data .*/photos$"),
        ("raccoon/01.xml", "expected a folder, found a file; pass the folder .*--data .*/raccoon$"),
        ("away/data", "away does not exist either"),
    ],
)
def test_folder_that_is_none(given, message, tmp_path):
    voc_flat(tmp_path / "raccoon"), text(tmp_path / "photos.zip")
    with pytest.raises(DataError, match=message):
        data_settings(tmp_path / given, load_config("fpn_retinanet").cfg)


def test_prefix_selects_a_layout(tmp_path):
    both(tmp_path)
    cfg = load_config("fpn_retinanet").cfg
    assert data_settings(f"voc:{tmp_path}", cfg).options["train_dataloader.dataset.ann_file"] == "voc:all"
    assert data_settings(f"coco:{tmp_path}", cfg).options["train_dataloader.dataset.ann_file"] == "export.json"
    with pytest.raises(DataError, match=r"expected the name of a layout .*, found vok; did you mean voc:"):
        data_settings(f"vok:{tmp_path}", cfg)
    with pytest.raises(DataError, match=r"expected YOLO txt \(.*\), found .*01.jpg"):
        data_settings(f"yolo:{tmp_path}", cfg)


def test_prefix_reads_classes_of_unusual_names(tmp_path):
    image(tmp_path / "masks" / "1.jpg"), image(tmp_path / "masks" / "2.jpg"), image(tmp_path / "hats" / "1.jpg")
    cfg = load_config("dinat_mini_imagenet").cfg
    with pytest.raises(DataError, match="expected data for classification"):
        data_settings(tmp_path, cfg)
    assert "2 classes (hats, masks)" in data_settings(f"class_folders:{tmp_path}", cfg).notes[0]


def test_folder_too_high_and_too_deep(tmp_path):
    voc_lists(tmp_path / "VOCdevkit" / "VOC2007")
    cfg = load_config("fpn_retinanet").cfg
    inner = tmp_path / "VOCdevkit" / "VOC2007"
    assert data_settings(tmp_path, cfg).notes[0].startswith(f"{inner}: Pascal VOC")
    with pytest.raises(DataError, match=f"did you mean the folder above it, --data {inner}"):
        data_settings(inner / "JPEGImages", cfg)


# --- conversion ---


def test_conversion_is_kept_until_a_file_changes(tmp_path):
    root, cfg = tmp_path / "data", load_config("fpn_retinanet").cfg
    voc_flat(root)
    first = data_settings(root, cfg)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.json")}
    assert len(made) == 1
    assert data_settings(root, cfg) == first
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.json")}
    xml(root / "01.xml", "zebra", "cat")
    assert "2 classes (cat, zebra)" in data_settings(root, cfg).notes[0]
    shutil.rmtree(tmp_path / "cache")
    assert len(data_sets("fpn_retinanet", first.options)[0]) == 8


@pytest.mark.parametrize(
    ("draw", "name", "copy", "sentence"),
    [
        (points_lines, "hmode_shanghaitech_a", ("train.jsonl", "val.jsonl"), "7 of 7 val images also in"),
        (coco_single, "fpn_retinanet", ("export.json", "val.json"), "10 of 10 val images also in"),
        (voc_lists, "fpn_retinanet", ("ImageSets/Main/trainval.txt", "ImageSets/Main/test.txt"), "8 of 8 test"),
        (voc_splits, "fpn_retinanet", None, None),
        (mask_splits, "connnet_r50", None, None),
        (coco_roboflow, "fpn_retinanet", None, None),
    ],
)
def test_images_of_val_that_are_also_in_train_are_stated(draw, name, copy, sentence, tmp_path):
    draw(tmp_path)
    if copy:
        shutil.copy(tmp_path / copy[0], tmp_path / copy[1])
    notes = data_settings(tmp_path, load_config(name).cfg).notes[1:]
    assert [sentence in note for note in notes] == ([True] if sentence else [])


def test_left_out_boxes_are_stated(tmp_path):
    voc_flat(tmp_path)
    path = tmp_path / "02.xml"
    path.write_text(path.read_text().replace("<xmin>3<", "<xmin>60<").replace("<xmax>20<", "<xmax>70<"))
    assert (
        data_settings(tmp_path, load_config("fpn_retinanet").cfg)
        .notes[1]
        .endswith(": 1 left out: nothing inside the image")
    )


def test_messages_have_the_folder_of_the_user_and_the_image(tmp_path):
    yolo_flat(tmp_path / "data")
    options = data_settings(tmp_path / "data", load_config("rcnet_mask_rcnn").cfg).options
    where = re.escape(f"{tmp_path / 'data'} (YOLO txt, train)")
    with pytest.raises(DataError, match=f"{where}: expected polygons .* in annotation 1 of images/01.jpg, "):
        data_sets("rcnet_mask_rcnn", options)
    val = data_sets("fpn_retinanet", data_settings(tmp_path / "data", load_config("fpn_retinanet").cfg).options)[1]
    with pytest.raises(DataError, match=f"^{where}: .*metric"):
        CocoMetric(metric="segm").dataset_meta = val.metainfo


@pytest.mark.parametrize("rest", [b"", b'{"images": ['])
def test_conversion_that_is_cut_off_is_made_again(rest, tmp_path):
    voc_flat(tmp_path / "data")
    cfg = load_config("fpn_retinanet").cfg
    first = data_settings(tmp_path / "data", cfg)
    (made,) = (tmp_path / "cache").rglob("*.json")
    made.write_bytes(rest)
    assert data_settings(tmp_path / "data", cfg) == first


def test_address_without_folder_or_split(tmp_path):
    voc_flat(tmp_path)
    part = dict(type="CocoDetection", ann_file="voc:val", test_mode=True)
    with pytest.raises(DataError, match=r"voc:val: expected a split of this Pascal VOC folder, found none; did you"):
        DATASETS.build({**part, "data_root": str(tmp_path)})
    with pytest.raises(DataError, match=r"expected a folder with Annotations/.*found no such folder"):
        DATASETS.build({**part, "data_root": str(tmp_path / "none")})


def test_csv_of_other_rows(tmp_path):
    with (tmp_path / "other.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "age"], ["a", 3]])
    os.makedirs(tmp_path / "images")
    with pytest.raises(DataError, match=r"found the folders images and the files other\.csv"):
        data_settings(tmp_path, load_config("hmode_shanghaitech_a").cfg)


@pytest.mark.parametrize(
    ("config", "options"), [("nasnet_cifar10", {"model.head.num_classes": 2}), ("nat_mini_imagenet", {})]
)
def test_stated_number_of_classes_is_that_of_the_folders(config, options, tmp_path):
    class_folders(tmp_path)
    found = data_settings(tmp_path, load_config(config).cfg).options
    assert {path: value for path, value in found.items() if path.startswith("model")} == options


def test_a_folder_for_several_tasks_is_refused_with_the_setting_of_a_task(tmp_path):
    with pytest.raises(DataError) as raised:
        data_settings(tmp_path, load_config("road_scene").cfg)
    assert str(raised.value) == (
        f"--data {tmp_path}: expected a config of one task, found one of lanes, counting, detection; set the folder "
        f"of each task by --cfg-options, as train_dataloader.dataset.datasets.lanes.data_root={tmp_path}"
    )
