"""CocoDetection: content of a sample, and an early error with counts for every kind of wrong input."""

import json
import pickle

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from visionzoo.datasets.coco import CocoDetection
from visionzoo.errors import ConfigError, DataError
from visionzoo.registry import DATASETS

PIPELINE = (
    {"type": "LoadImage"},
    {"type": "mmdet.LoadAnnotations", "with_bbox": True, "with_mask": True},
    {"type": "mmdet.Resize", "scale": (160, 128), "keep_ratio": True},
    {"type": "mmdet.RandomFlip", "prob": 0.5},
    {"type": "mmdet.PackDetInputs"},
)
TRAIN = {"ann_file": "annotations/instances_train2017.json", "data_prefix": {"img": "train2017/"}}
VAL = {"ann_file": "annotations/instances_val2017.json", "data_prefix": {"img": "val2017/"}, "test_mode": True}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _scope():
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("visionzoo"):
        yield


def tiny(**changes):
    return CocoDetection(**{"data_root": "tiny://coco", **TRAIN, **changes})


@pytest.fixture
def record():
    """Return three images (one without objects) and categories whose ids have gaps."""
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 40, "width": 60} for i in (5, 2, 9)],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 7, "bbox": [1, 2, 10, 12], "area": 120, "iscrowd": 0},
            {"id": 2, "image_id": 5, "category_id": 4, "bbox": [3, 3, 8, 9], "area": 70, "iscrowd": 0},
            {"id": 3, "image_id": 2, "category_id": 4, "bbox": [0, 0, 20, 20], "area": 400, "iscrowd": 1},
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 4, "name": "cat"}],
    }


@pytest.fixture
def write(tmp_path):
    def write_record(record, images=(2, 5, 9)):
        for image in images:
            (tmp_path / f"{image}.jpg").write_bytes(b"never decoded here")
        (tmp_path / "all.json").write_text(record if isinstance(record, str) else json.dumps(record))
        return {"data_root": str(tmp_path), "ann_file": "all.json"}

    return write_record


# --- samples ---


def test_train_drops_the_empty_image_and_val_keeps_it():
    filtered = tiny(filter_cfg={"filter_empty_gt": True, "min_size": 32}, pipeline=PIPELINE)
    assert len(filtered) == 15
    assert len(tiny()) == 16
    assert len(CocoDetection(data_root="tiny://coco", **VAL)) == 8


def test_a_sample_has_boxes_masks_and_the_crowd_apart():
    data = DATASETS.build({"type": "CocoDetection", "data_root": "tiny://coco", **TRAIN, "pipeline": PIPELINE})
    sample = data[1]
    image, truth, ignored = (
        sample["inputs"],
        sample["data_samples"].gt_instances,
        sample["data_samples"].ignored_instances,
    )
    assert image.shape[0] == 3
    assert str(image.dtype) == "torch.uint8"
    assert len(truth.bboxes) == len(truth.masks) == len(truth.labels) > 0
    assert len(ignored.bboxes) == 1
    for box, mask in zip(truth.bboxes.tensor.tolist(), truth.masks.masks):
        rows, columns = np.nonzero(mask)
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box, edges, atol=2)
    assert len(data[2]["data_samples"].gt_instances.bboxes) == 0


def test_classes_come_from_the_file_and_metainfo_names_it(record, write):
    where = write(record)
    data = CocoDetection(**where)
    assert data.metainfo["classes"] == ("cat", "dog")  # by category id
    assert data.metainfo["ann_file"].endswith("all.json")
    assert len(data.metainfo["palette"]) == 2
    assert [i["bbox_label"] for i in data.get_data_info(1)["instances"]] == [1, 0]


def test_labels_follow_the_order_of_wanted_classes(record, write):
    where = write(record)
    for data in (
        CocoDetection(**where, classes=["dog", "cat"]),
        CocoDetection(**where, metainfo={"classes": ("dog", "cat")}),
    ):
        assert [i["bbox_label"] for i in data.get_data_info(1)["instances"]] == [0, 1]
    single = CocoDetection(**where, classes="dog", filter_cfg={"filter_empty_gt": True})
    assert len(single) == 1
    assert [i["bbox_label"] for i in single.get_data_info(0)["instances"]] == [0]


def test_max_samples_takes_the_first_after_filtering(record, write):
    where = write(record, images=(2, 5))
    data = CocoDetection(**where, max_samples=2)  # 9.jpg does not exist and is not needed
    assert [data.get_data_info(i)["img_id"] for i in range(len(data))] == [2, 5]
    assert len(CocoDetection(**where, filter_cfg={"filter_empty_gt": True}, max_samples=50)) == 2


def test_area_and_iscrowd_may_be_missing(record, write):
    for annotation in record["annotations"]:
        del annotation["area"], annotation["iscrowd"]
    assert len(CocoDetection(**write(record)).get_data_info(0)["instances"]) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_loads_in_this_process_and_in_a_spawned_one(workers):
    loader = DataLoader(
        tiny(pipeline=PIPELINE, max_samples=3),
        batch_size=3,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        collate_fn=pseudo_collate,
    )
    (batch,) = loader
    assert [sample.img_id for sample in batch["data_samples"]] == [1, 2, 3]


def test_pickles_and_can_start_lazily():
    data = tiny(lazy_init=True)
    assert data.metainfo["classes"] == ("disc", "triangle", "star")
    assert data.data_list == []
    assert len(pickle.loads(pickle.dumps(data))) == 16


def test_nothing_is_printed(capfd):
    tiny()
    assert capfd.readouterr().out == ""


# --- errors ---


def test_missing_coco_names_place_command_and_twin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        CocoDetection(data_root="data/coco", **TRAIN)
    for part in ("data/coco: expected", "annotations/instances_train2017.json", "prepare.py", "data_root", "--tiny"):
        assert part in str(error.value)


def test_missing_annotation_file_names_those_beside_it(record, write):
    where = write(record)
    with pytest.raises(
        DataError, match=r"none\.json: expected COCO annotations, found no such file \(beside it: all\.json"
    ):
        CocoDetection(data_root=where["data_root"], ann_file="none.json")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "found an empty file"),
        ("  \n", "found an empty file"),
        ('{"images": [{"id": 1, "file_n', "a file that is cut off"),
        ('{"images": oops' + " " * 100 + "}", "an error in line 1"),
        ("[]", "found a json list"),
        ('{"shapes": []}', r"no list 'images' \(keys: 'shapes'\)"),
        ('{"images": [], "annotations": [], "categories": []}', "found an empty list"),
    ],
)
def test_files_that_are_not_coco(text, what, write):
    with pytest.raises(DataError, match=rf"all\.json: expected.*{what}"):
        CocoDetection(**write(text))


def test_binary_annotation_file(write, tmp_path):
    where = write("{}")
    (tmp_path / "all.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match="found other bytes"):
        CocoDetection(**where)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda r: r["images"][1].pop("height"), "image 2: height: expected a whole number .*, found none; correct"),
        (lambda r: r["annotations"][2].pop("bbox"), r"annotation 3: bbox: expected \[x, y, width, .*, found none"),
        (lambda r: r.update(categories=[]), "at least one category, found none"),
        (lambda r: r["images"][1].update(id=5), "images: id: expected 5 in one image, found it in 2"),
        (lambda r: r["annotations"][1].update(id=1), "annotations: id: expected 1 in one annotation, found it in 2"),
        (lambda r: r["categories"][1].update(name="dog"), "name: expected 'dog' in one category, found it in 2"),
        (lambda r: r["annotations"][1].update(category_id=99), "annotation 2: category_id: .*categories, found 99"),
        (lambda r: r["annotations"][0].update(image_id=77), "annotation 1: image_id: expected the id .*, found 77"),
        (lambda r: r["annotations"][0].update(bbox=[1, 2, 3]), r"\[x, y, width, height\], .*, found \[1, 2, 3\]"),
    ],
)
def test_contradictions_in_the_file(change, what, record, write):
    change(record)
    with pytest.raises(DataError, match=what):
        CocoDetection(**write(record))


def test_wrong_class_names_show_both_sides(record, write):
    where = write(record)
    with pytest.raises(ConfigError, match='config has "Cat"; file has "cat"'):
        CocoDetection(**where, classes=("Cat", "dog"))
    with pytest.raises(ConfigError, match='config has "person"; file has "cat", "dog"') as error:
        CocoDetection(**where, metainfo={"classes": ("person", "Dog")})
    assert error.value.problems == ('config has "Dog"; file has "dog"',)


def test_a_data_set_that_ends_up_empty_counts_the_reasons(record, write):
    record["annotations"] = record["annotations"][:1]
    where = write(record)
    with pytest.raises(DataError, match=r"0 of 3 images kept: 2 dropped by filter_empty_gt, 1 dropped by min_size=50"):
        CocoDetection(**where, filter_cfg={"filter_empty_gt": True, "min_size": 50})
    with pytest.raises(DataError, match=r"expected a box to learn in the 1 images that are used, found none \(of 3"):
        CocoDetection(**where, max_samples=1)  # the first image has no box


def test_a_training_file_without_annotations_is_refused(record, write):
    record["annotations"] = []
    where = write(record)
    for options in ({}, {"filter_cfg": {"filter_empty_gt": True}}, {"classes": ["dog"]}):
        with pytest.raises(DataError, match="expected at least one box to learn, found 0 annotations of the classes"):
            CocoDetection(**where, **options)
    assert len(CocoDetection(**where, test_mode=True)) == 3


def test_missing_images_are_counted_and_three_named(record, write, tmp_path):
    record["images"] += [{"id": i, "file_name": f"sub/{i}.jpg", "height": 40, "width": 60} for i in (20, 21, 22)]
    where = write(record, images=(2, 9))
    with pytest.raises(
        DataError, match=r"expected 6 image files, found 4 missing \(5\.jpg, sub/20\.jpg, sub/21\.jpg, \.\.\.\)"
    ):
        CocoDetection(**where)


def test_missing_masks_are_reported_early(record, write):
    with pytest.raises(DataError, match=r"with_mask=True, found 3 annotations without: no segmentation in annotation"):
        CocoDetection(**write(record), pipeline=PIPELINE)


@pytest.mark.parametrize("change", [{"iscrowd": 1}, {"bbox": [0.1, 0.2, 0.3, 0.4]}, {"area": 0}])
def test_a_training_file_without_a_box_to_learn_is_refused(record, write, change):
    for annotation in record["annotations"]:
        annotation.update(change)
    with pytest.raises(
        DataError, match=r"expected at least one box to learn, found \d annotations of the classes: \d "
    ) as refused:
        CocoDetection(**write(record))
    assert ("look like fractions" in str(refused.value)) == ("bbox" in change)
    assert len(CocoDetection(**write(record), test_mode=True)) == len(record["images"])
    record["annotations"][0].update(bbox=[0, 0, 9, 9], area=81, iscrowd=0)
    assert len(CocoDetection(**write(record))) == len(record["images"])


def test_unusable_boxes_are_left_out_and_counted(record, write, caplog):
    record["annotations"][0]["bbox"] = [70, 2, 5, 5]
    record["annotations"][1]["bbox"] = [3, 3, 0.5, 9]
    record["annotations"].append(
        {"id": 99, "image_id": 9, "category_id": record["categories"][0]["id"], "bbox": [0, 0, 9, 9]}
    )
    messages = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visionzoo.datasets.findings.print_log", lambda text, *_: messages.append(text))
        data = CocoDetection(**write(record))
    assert data.get_data_info(1)["instances"] == []
    assert len(messages) == 1
    assert "1 outside their image" in messages[0]
    assert "1 narrower than a pixel" in messages[0]


def test_null_fields_are_read_as_missing_with_a_note(record, write, monkeypatch):
    notes = []
    monkeypatch.setattr("visionzoo.datasets.findings.print_log", lambda text, *_: notes.append(text))
    record["annotations"][0].update(area=None, iscrowd=None)
    record["annotations"][1].update(area=None)
    data = CocoDetection(**write(record))
    assert [note.partition(": ")[2] for note in notes] == [
        "area null in annotations, read as missing (2); iscrowd null in annotations, read as missing (1)",
    ]
    assert sum(len(data.get_data_info(index)["instances"]) for index in range(3)) == len(record["annotations"])
