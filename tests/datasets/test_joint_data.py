"""A joint data set: samples name their task; classes, limits and errors of each data set."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.config import Config

from visionzoo.config.data_parts import config_of_task, data_sets
from visionzoo.datasets.joint import JointDataset
from visionzoo.engine.class_names import Classes
from visionzoo.engine.fine_tuning import tuning_of
from visionzoo.engine.loaders import build_dataset, classes_by_task
from visionzoo.engine.numbering import build_numbered
from visionzoo.engine.run_options import RunOptions
from visionzoo.errors import DataError, ZooError
from visionzoo.models.class_counts import ClassCounts, counts_by_task
from visionzoo.models.wiring import build_model

LOAD, PACK = dict(type="LoadImage"), dict(type="PackTaskInputs")
IMAGES = "tiny://imagenet?train=10&val=3&size=24"


def counting(**changes: Any) -> dict[str, Any]:
    kind = dict(type="TRANCOSDataset", data_root="tiny://trancos?train=3&val=2", split="train")
    return {**kind, "pipeline": [LOAD, PACK], **changes}


def classes(split: str = "train", **changes: Any) -> dict[str, Any]:
    return dict(type="ImageNet", data_root=IMAGES, split=split, pipeline=[LOAD, PACK], **changes)


def joint(**datasets: Any) -> dict[str, Any]:
    return dict(type="JointDataset", datasets=datasets)


def test_every_sample_names_its_task_and_keeps_its_own_size() -> None:
    dataset = build_dataset(joint(counting=counting(), classification=classes()), where="data")
    assert len(dataset) == 13
    tasks = [dataset[index]["data_samples"].task for index in range(len(dataset))]
    assert tasks == ["counting"] * 3 + ["classification"] * 10
    assert len({tuple(item["inputs"].shape) for item in dataset}) > 1
    assert dataset.get_data_info(3)["img_path"].endswith(".JPEG")


def test_its_metainfo_is_that_of_each_task() -> None:
    dataset = build_dataset(joint(counting=counting(), classification=classes()), where="data")
    assert set(dataset.metainfo["tasks"]) == {"counting", "classification"}
    assert dataset.metainfo["sizes"] == {"counting": 3, "classification": 10}
    names = classes_by_task(dataset)
    assert names["counting"] is None
    assert names["classification"][:2] == ("tench", "goldfish")
    assert counts_by_task(dataset.metainfo) == {"classification": ClassCounts(10)}


def test_each_head_gets_the_number_of_classes_of_its_data() -> None:
    heads = dict(classification=dict(type="ClassificationHead"), other=dict(type="ClassificationHead"))
    backbone = dict(type="BossNet", variant="tiny")
    counts = dict(classification=ClassCounts(10), other=ClassCounts(4))
    model: Any = build_model(dict(type="TaskModel", backbone=backbone, heads=heads), num_classes=counts)
    assert {name: head.num_classes for name, head in model.heads.items()} == {"classification": 10, "other": 4}
    heads["other"]["num_classes"] = 5
    with pytest.raises(ZooError, match=r"model.heads.other.num_classes: expected the data set's 4 classes, found 5"):
        build_model(dict(type="TaskModel", backbone=backbone, heads=heads), num_classes=counts)


def test_the_validation_of_a_task_is_numbered_like_its_training() -> None:
    cfg = Config(
        dict(
            model=dict(heads=dict(counting={}, classification={})),
            train_dataloader=dict(dataset=joint(counting=counting(), classification=classes())),
            val_dataloader=dict(dataset=joint(counting=counting(split="val"), classification=classes("val"))),
        )
    )
    data = build_numbered(cfg, ["train", "val"])
    assert data.classes is None
    assert data.classes_of("classification") == classes_by_task(data.datasets["val"])["classification"]
    names = data.classes_of("classification")
    assert names is not None
    turned = Classes("the weights", names[::-1], names[::-1])
    again = build_numbered(cfg, ["train", "val"], {"classification": turned}, fixed=True)
    assert again.classes_of("classification") == names[::-1]
    assert again.datasets["train"][3]["data_samples"].gt_label == 9 - data.datasets["train"][3]["data_samples"].gt_label


def test_the_head_of_a_task_with_other_classes_than_the_weights_starts_with_new_values() -> None:
    heads = dict(first=dict(type="ClassificationHead"), second=dict(type="ClassificationHead"))
    model = dict(type="TaskModel", backbone=dict(type="BossNet", variant="tiny"), heads=heads)
    loader = dict(dataset=joint(first=classes(), second=classes()))
    cfg = Config(dict(model=model, train_dataloader=loader))
    names = build_numbered(cfg, ["train"]).classes_of("first")
    assert names is not None
    letters = tuple("abcdefghij")
    learned = {"first": Classes("the weights", names, names), "second": Classes("the weights", letters, letters)}
    data = build_numbered(cfg, ["train"], learned)
    assert list(data.others) == ["second"]
    counts = dict(first=ClassCounts(10), second=ClassCounts(10))
    tuning = tuning_of(cfg, RunOptions(weights="run"), data, counts)
    assert set(tuning.renewed) == {"heads.second.fc.bias", "heads.second.fc.weight"}
    (note,) = tuning.notes
    assert "found a, b, c" in note
    assert names[0] in note


def test_a_limit_of_samples_applies_to_the_data_set_of_each_task() -> None:
    cfg = dict(train_dataloader=dict(dataset=joint(counting=counting(), classification=classes())))
    found = dict(data_sets(cfg))
    assert list(found) == [
        "train_dataloader.dataset.datasets.counting",
        "train_dataloader.dataset.datasets.classification",
    ]
    limited = build_dataset(joint(counting=counting(indices=2), classification=classes(indices=9)), where="data")
    assert limited.sizes == {"counting": 2, "classification": 9}


def test_a_config_of_one_task_has_only_its_data() -> None:
    cfg = dict(
        task=("counting", "classification"), train_dataloader=dict(batch_size=2, dataset=joint(counting=counting()))
    )
    assert config_of_task(cfg, "counting")["train_dataloader"] == dict(batch_size=2, dataset=counting())
    assert config_of_task(cfg, "classification")["train_dataloader"] is None


class Unpacked:
    metainfo: dict[str, Any] = {}

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"inputs": None}


MISTAKES = {
    "no data set": (joint(), "a dict of data sets by task"),
    "a single data set": (dict(type="JointDataset", datasets=counting()), "a dict of data sets by task"),
    "an empty data set": (joint(counting=[]), "JointDataset.datasets.counting: expected at least one sample"),
    "a folder that is missing": (joint(counting=counting(data_root="/none/here")), "/none/here"),
    "an unknown step": (joint(counting=counting(pipeline=[dict(type="LoadImag")])), "LoadImage"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_one_sentence(mistake: str) -> None:
    cfg, text = MISTAKES[mistake]
    with pytest.raises(ZooError) as error:
        build_dataset(cfg, where="data")
    assert text in str(error.value)


def test_a_sample_that_is_not_packed_is_an_error() -> None:
    with pytest.raises(DataError, match="PackTaskInputs"):
        JointDataset(dict(counting=Unpacked()))[0]
