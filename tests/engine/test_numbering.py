"""Classes are matched by name: one label means one class in train, val, test and the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from visionzoo.engine.class_names import Classes
from visionzoo.engine.numbering import Numbered, build_numbered
from visionzoo.errors import ConfigError, DataError
from visionzoo.registry import METRICS

SHAPES = ("disc", "triangle", "star")
IDS = {"disc": 1, "triangle": 3, "star": 8}


def weights(*names: str, keys: tuple[str, ...] | None = None) -> Classes:
    return Classes("the weights w.pth", names, keys or names)


def build(parts: dict[str, dict], learned: Classes | None = None, **options: Any) -> Numbered:
    model = options.pop("model", {})
    cfg = Config({"model": model, **{f"{split}_dataloader": {"dataset": part} for split, part in parts.items()}})
    return build_numbered(cfg, list(parts), learned, **options)


# --- COCO files ---


def coco(folder: Path, name: str, ids: dict[str, int], objects: tuple[str, ...] = SHAPES, **options: Any) -> dict:
    """Write a COCO file with one box of each object per image, and return the config of its data set."""
    images = [{"id": n, "file_name": f"{n}.png", "height": 32, "width": 32} for n in (1, 2)]
    for image in images:
        Image.new("RGB", (32, 32)).save(folder / image["file_name"])
    boxes = {"disc": [2, 2, 8, 8], "triangle": [12, 3, 9, 7], "star": [4, 16, 10, 12], "cat": [1, 1, 5, 5]}
    pairs = [(image["id"], each) for image in images for each in objects]
    annotations = [
        {"id": n, "image_id": image, "category_id": ids[each], "bbox": boxes[each], "area": 60, "iscrowd": 0}
        for n, (image, each) in enumerate(pairs, 1)
    ]
    categories = [{"id": number, "name": each} for each, number in ids.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{name}.json").write_text(json.dumps(content))
    options = {"test_mode": name != "train", "serialize_data": False, **options}
    return dict(type="CocoDetection", data_root=str(folder), ann_file=f"{name}.json", **options)


def scores(dataset: Any) -> dict[str, float]:
    """Return the numbers of fixed predictions, which name their class by the label of training."""
    metric = METRICS.build(dict(type="CocoMetric", classwise=True))
    metric.dataset_meta = dataset.metainfo
    rng = np.random.default_rng(0)
    for image in (1, 2):
        boxes = np.array([[2, 2, 10, 10], [12, 3, 20, 10], [4, 17, 14, 28], [4, 15, 14, 29]] * 3, float)
        found = {"bboxes": boxes + rng.normal(0, 0.6, boxes.shape), "labels": np.array([0, 1, 2, 2] * 3)}
        metric.process(None, [{"img_id": image, "pred_instances": {**found, "scores": rng.random(len(boxes))}}])
    return metric.evaluate(2)


def named_objects(dataset: Any) -> list[list[str]]:
    names = dataset.metainfo["classes"]
    return [[names[one["bbox_label"]] for one in dataset.get_data_info(n)["instances"]] for n in range(len(dataset))]


@pytest.mark.parametrize(
    "ids",
    [
        {"disc": 8, "triangle": 3, "star": 1},
        {"star": 8, "disc": 1, "triangle": 3},
        {"triangle": 0, "star": 7, "disc": 100},
    ],
)
@pytest.mark.parametrize("learned", [None, weights(*SHAPES)])
def test_numbers_do_not_depend_on_the_ids_of_the_val_file(
    tmp_path: Path, ids: dict[str, int], learned: Classes | None
) -> None:
    train, val = coco(tmp_path, "train", IDS), coco(tmp_path, "val", ids)
    expected = scores(build({"train": train, "val": coco(tmp_path, "same", IDS)}).datasets["val"])
    data = build({"train": train, "val": val}, learned)
    assert scores(data.datasets["val"]) == expected
    assert data.datasets["val"].metainfo["classes"] == SHAPES
    assert named_objects(data.datasets["val"]) == [list(SHAPES)] * 2
    assert 0 < expected["coco/bbox_mAP"] < 1


@pytest.mark.parametrize("absent", SHAPES)
def test_a_class_that_the_val_file_lacks_has_no_object(tmp_path: Path, absent: str) -> None:
    others = tuple(name for name in SHAPES if name != absent)
    train = coco(tmp_path, "train", IDS)
    stated = build({"train": train, "val": coco(tmp_path, "stated", IDS, others)})
    lacking = build({"train": train, "val": coco(tmp_path, "val", {n: IDS[n] for n in others}, others)})
    numbers = scores(lacking.datasets["val"])
    assert numbers == scores(stated.datasets["val"])
    assert numbers[f"coco/bbox_AP/{absent}"] == -1
    assert stated.notes == ()
    assert len(lacking.notes) == 1
    assert f"none of its samples has {absent}" in lacking.notes[0]


def test_a_class_that_only_val_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"val.json.*classes of train.*disc, triangle, star.*found 'cat'") as error:
        build({"train": coco(tmp_path, "train", IDS), "val": coco(tmp_path, "val", {**IDS, "cat": 2}, ("cat",))})
    assert "val_dataloader.dataset.classes=['disc','triangle','star']" in str(error.value)


def test_classes_that_the_config_of_training_leaves_out_are_left_out_of_val(tmp_path: Path) -> None:
    train = coco(tmp_path, "train", IDS, classes=["star", "disc"])
    data = build({"train": train, "val": coco(tmp_path, "val", IDS)})
    assert named_objects(data.datasets["val"]) == [["disc", "star"]] * 2
    assert data.datasets["val"].metainfo["classes"] == ("star", "disc")
    assert "triangle left out" in data.notes[0]
    respelled = coco(tmp_path, "val", {"disc": 1, "triangle": 3, "STAR": 8}, ("disc",))
    with pytest.raises(DataError, match="'STAR' instead of 'star'"):
        build({"train": train, "val": respelled})


def test_val_may_name_fewer_classes_than_the_weights(tmp_path: Path) -> None:
    """An object of a class that the config does not name does not count, although the file has it."""
    test = coco(tmp_path, "test", IDS, classes=["star"])
    data = build({"test": test}, weights(*SHAPES), fixed=True)
    assert data.classes == SHAPES
    assert named_objects(data.datasets["test"]) == [["star"]] * 2
    numbers = scores(data.datasets["test"])
    assert numbers["coco/bbox_AP/disc"] == numbers["coco/bbox_AP/triangle"] == -1
    assert numbers["coco/bbox_AP/star"] > 0


@pytest.mark.parametrize("wrong", ["Star", " star", "star ", "STAR", "stars"])
def test_a_name_of_another_spelling_is_an_error_with_the_nearest_name(tmp_path: Path, wrong: str) -> None:
    ids = {"disc": 1, "triangle": 3, wrong: 8}
    with pytest.raises(DataError, match="instead of 'star'; write one class alike in both"):
        build({"train": coco(tmp_path, "train", IDS), "val": coco(tmp_path, "val", ids, ("disc",))})


def test_boxes_as_images_are_matched_by_name(tmp_path: Path) -> None:
    def crops(name: str, ids: dict[str, int], objects: tuple[str, ...]) -> dict:
        return dict(type="CocoCrops", ann_file=coco(tmp_path, name, ids, objects)["ann_file"], data_root=str(tmp_path))

    val = crops("val", {"star": 1, "triangle": 3}, ("triangle", "star"))
    dataset = build({"train": crops("train", IDS, SHAPES), "val": val}).datasets["val"]
    assert [dataset.get_data_info(n)["gt_label"] for n in range(4)] == [1, 2, 1, 2]


# --- wrappers ---


@pytest.mark.parametrize(
    "wrap",
    [
        lambda part: dict(type="RepeatDataset", times=2, dataset=part),
        lambda part: dict(type="ConcatDataset", datasets=[part]),
        lambda part: dict(type="RepeatDataset", times=1, dataset=dict(type="ConcatDataset", datasets=[part])),
    ],
)
def test_data_sets_in_wrappers_are_matched_by_name(tmp_path: Path, wrap: Any) -> None:
    val = coco(tmp_path, "val", {"star": 1, "triangle": 3}, ("triangle", "star"))
    data = build({"train": wrap(coco(tmp_path, "train", IDS)), "val": wrap(val)})
    assert data.classes == data.datasets["val"].metainfo["classes"] == SHAPES
    assert scores(data.datasets["val"])["coco/bbox_AP/disc"] == -1


def test_concatenated_data_sets_number_their_classes_alike(tmp_path: Path) -> None:
    one, two = folders(tmp_path / "one", "ant", "bee", "cat"), folders(tmp_path / "two", "bee", "cat")
    dataset = build({"train": dict(type="ConcatDataset", datasets=[one, two])}).datasets["train"]
    assert by_file(dataset) == [("ant", 0), ("bee", 1), ("cat", 2), ("bee", 1), ("cat", 2)]
    with pytest.raises(DataError, match=r"datasets\.1 .*found 'dog'"):
        build({"train": dict(type="ConcatDataset", datasets=[one, folders(tmp_path / "three", "bee", "dog")])})


def test_concatenated_annotation_files_need_ignore_keys(tmp_path: Path) -> None:
    parts = [coco(tmp_path, "train", IDS), coco(tmp_path, "more", {"star": 1, "disc": 3, "triangle": 8})]
    with pytest.raises(ConfigError, match=r'add ignore_keys=\["ann_file"\]'):
        build({"train": dict(type="ConcatDataset", datasets=parts)})
    dataset = build({"train": dict(type="ConcatDataset", datasets=parts, ignore_keys="ann_file")}).datasets["train"]
    assert [one["bbox_label"] for one in dataset.get_data_info(2)["instances"]] == [0, 1, 2]


# --- class folders and lists ---


def folders(root: Path, *names: str, **options: Any) -> dict:
    for name in names:
        (root / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / name / "0.png")
    return dict(type="ImageFolder", data_root=str(root), split="", serialize_data=False, **options)


def listed(root: Path, name: str, *labels: str, **options: Any) -> dict:
    root.mkdir(exist_ok=True)
    for number in range(len(labels)):
        Image.new("RGB", (8, 8)).save(root / f"{number}.png")
    rows = "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels))
    (root / name).write_text("path,label\n" + rows)
    return dict(type="ImageList", data_root=str(root), ann_file=name, serialize_data=False, **options)


def by_file(dataset: Any) -> list[tuple[str, int]]:
    infos = [dataset.get_data_info(n) for n in range(len(dataset))]
    return [(Path(info["img_path"]).parent.name, info["gt_label"]) for info in infos]


def labels(dataset: Any) -> list[int]:
    return [label for _, label in by_file(dataset)]


def test_folders_of_another_split_follow_those_of_training(tmp_path: Path) -> None:
    train, val = folders(tmp_path / "a", "ant", "bee", "cat"), folders(tmp_path / "b", "cat", "bee")
    data = build({"train": train, "val": val})
    assert by_file(data.datasets["val"]) == [("bee", 1), ("cat", 2)]
    assert data.datasets["val"].metainfo["classes"] == data.classes == ("ant", "bee", "cat")


def test_another_folder_in_val_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found 'dog'"):
        build({"train": folders(tmp_path / "a", "ant", "bee"), "val": folders(tmp_path / "b", "bee", "dog")})


def test_lists_are_matched_by_name(tmp_path: Path) -> None:
    train = listed(tmp_path, "train.csv", "ant", "bee", "cat")
    data = build({"train": train, "val": listed(tmp_path, "val.csv", "cat", "bee")})
    assert labels(data.datasets["val"]) == [2, 1]
    with pytest.raises(DataError, match=r"val.csv.*found 'dog'.*classes_from"):
        build({"train": train, "val": listed(tmp_path, "val.csv", "cat", "dog")})


def test_lists_of_numbers_keep_their_numbers(tmp_path: Path) -> None:
    data = build({"train": listed(tmp_path, "train.csv", "0", "2"), "val": listed(tmp_path, "val.csv", "1", "0")})
    assert labels(data.datasets["val"]) == [1, 0]
    learned = weights("ant", "bee", "cat")
    data = build({"test": listed(tmp_path, "test.csv", "1", "0", test_mode=True)}, learned, fixed=True)
    assert labels(data.datasets["test"]) == [1, 0]
    assert data.classes == learned.names
    assert "by number" in data.notes[0]
    with pytest.raises(DataError, match="found '3'"):
        build({"test": listed(tmp_path, "test.csv", "3", test_mode=True)}, learned, fixed=True)


def test_the_background_keeps_label_0(tmp_path: Path) -> None:
    train = folders(tmp_path / "a", "ant", "bee", background=True)
    val = folders(tmp_path / "b", "bee", background=True, test_mode=True)
    assert by_file(build({"train": train, "val": val}).datasets["val"]) == [("bee", 2)]
    with_background = weights("background", "ant", "bee")
    data = build({"test": folders(tmp_path / "c", "ant", "bee")}, with_background, fixed=True)
    assert by_file(data.datasets["test"]) == [("ant", 1), ("bee", 2)]


def test_folders_match_by_key_or_by_name(tmp_path: Path) -> None:
    learned = weights("tench", "crane", "crane", keys=("n1", "n2", "n3"))
    data = build({"test": folders(tmp_path / "keys", "n3", "n1")}, learned, fixed=True)
    assert by_file(data.datasets["test"]) == [("n1", 0), ("n3", 2)]
    data = build({"test": folders(tmp_path / "names", "tench", test_mode=True)}, learned, fixed=True)
    assert by_file(data.datasets["test"]) == [("tench", 0)]
    with pytest.raises(DataError, match="found 'crane'"):  # two classes have this name
        build({"test": folders(tmp_path / "twice", "crane", test_mode=True)}, learned, fixed=True)


def test_a_class_map_in_another_order_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("bee\nant\n")
    train, path = folders(tmp_path / "a", "ant", "bee"), str(tmp_path / "map.txt")
    with pytest.raises(DataError, match=r"expected class 0 to be 'ant'.*found 'bee'"):
        build({"train": train, "val": folders(tmp_path / "b", "bee", class_map=path, test_mode=True)})


# --- weights ---


def test_a_test_follows_the_order_of_the_weights(tmp_path: Path) -> None:
    data = build({"test": coco(tmp_path, "test", IDS)}, weights("star", "disc", "triangle"), fixed=True)
    assert data.classes == data.datasets["test"].metainfo["classes"] == ("star", "disc", "triangle")
    assert named_objects(data.datasets["test"]) == [list(SHAPES)] * 2
    assert len(data.notes) == 1


@pytest.mark.parametrize("names", [("disc", "star"), ("cat", "dog", "cow"), ("cat",)])
def test_a_test_refuses_weights_of_other_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=f"classes of the weights w.pth .{', '.join(names)}.*found .*'triangle'"):
        build({"test": coco(tmp_path, "test", IDS)}, weights(*names), fixed=True)


def test_a_resumed_run_follows_the_order_of_its_checkpoint(tmp_path: Path) -> None:
    parts = {"train": coco(tmp_path, "train", IDS), "val": coco(tmp_path, "val", {"disc": 5, "star": 2}, ("disc",))}
    data = build(parts, weights("star", "disc", "triangle"), fixed=True)
    assert {data.datasets[split].metainfo["classes"] for split in parts} == {("star", "disc", "triangle")}
    with pytest.raises(DataError, match="found 'triangle'"):
        build(parts, weights("star", "disc"), fixed=True)


def test_initial_weights_of_the_same_classes_set_the_order(tmp_path: Path) -> None:
    data = build(
        {"train": coco(tmp_path, "train", IDS), "val": coco(tmp_path, "val", IDS)}, weights("star", *SHAPES[:2])
    )
    assert data.classes == data.datasets["val"].metainfo["classes"] == ("star", "disc", "triangle")


@pytest.mark.parametrize(
    ("names", "differ"),
    [
        (("cat", "dog", "cow"), True),
        (("disc", "Triangle", "star"), True),
        (("cat", "dog"), True),
        (SHAPES, False),
        (SHAPES[::-1], False),
    ],
)
def test_other_classes_of_initial_weights_are_reported(tmp_path: Path, names: tuple[str, ...], differ: bool) -> None:
    data = build({"train": coco(tmp_path, "train", IDS)}, weights(*names))
    assert set(data.classes) == set(SHAPES)
    assert {task: classes.names for task, classes in data.others.items()} == ({None: names} if differ else {})


def test_data_or_weights_without_names_are_not_compared(tmp_path: Path) -> None:
    crowd = dict(type="ShanghaiTechDataset", data_root="tiny://shanghaitech_b?train=2&test=1", part="B", split="test")
    assert build({"test": crowd}, weights("person"), fixed=True).classes is None
    assert build({"test": coco(tmp_path, "test", IDS)}, None, fixed=True).classes == SHAPES


# --- data sets without an argument classes, and several heads ---


def test_a_data_set_that_cannot_be_renumbered_is_an_error(tmp_path: Path) -> None:
    lanes = dict(type="CULaneDataset", data_root="tiny://culane?train=2&val=1", split="val")
    with pytest.raises(DataError, match=r"expected class 0 to be 'left'.*found 'far left'"):
        build({"test": lanes}, weights("left", "far left", "right", "far right"), fixed=True)


def test_each_of_several_heads_has_its_own_classes(tmp_path: Path) -> None:
    parts = {
        "train": dict(
            type="ConcatDataset",
            datasets=[folders(tmp_path / "a", "ant", "bee"), folders(tmp_path / "b", "car", "van")],
        ),
        "val": folders(tmp_path / "c", "van", test_mode=True),
    }
    data = build(parts, weights("cat"), model={"heads": {"one": {}, "two": {}}})
    assert by_file(data.datasets["train"]) == [("ant", 0), ("bee", 1), ("car", 0), ("van", 1)]
    assert by_file(data.datasets["val"]) == [("van", 1)]
