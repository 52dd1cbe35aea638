"""Division of samples by name."""

import re

import pytest

from visionzoo.datasets.classification import ImageFolder
from visionzoo.datasets.co_saliency import CoSaliencyFolder
from visionzoo.datasets.crops import CocoCrops
from visionzoo.datasets.every_nth import chosen, keys_by_folder, keys_of
from visionzoo.datasets.lanes.culane import CULaneDataset
from visionzoo.errors import ConfigError, DataError

NAMES = ["e", "c", "a", "d", "b", "f", "g"]


@pytest.mark.parametrize("number", [2, 3, 5, 7])
def test_both_parts_together_are_all_samples_in_their_order(number):
    keys = keys_of(NAMES)
    val, train = chosen(NAMES, keys, "x", every=number), chosen(NAMES, keys, "x", not_every=number)
    assert sorted(val) == sorted(NAMES)[number - 1 :: number]
    assert train == [name for name in NAMES if name not in val]


def test_strata_are_counted_separately_and_equal_names_stay_together():
    names = ["a1", "a2", "b1", "b1", "b2"]
    keys = keys_of(names, [name[0] for name in names])
    assert chosen(names, keys, "x", every=2) == ["a2", "b2"]
    assert chosen(names, keys, "x", not_every=2) == ["a1", "b1", "b1"]


def test_frames_of_one_folder_are_divided_one_by_one():
    assert keys_by_folder(["1/b.jpg", "1/a.jpg"]) == [("", "1/b.jpg"), ("", "1/a.jpg")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(every=1), "x: expected every to be a whole number >= 2, found 1"),
        (dict(not_every="5"), "x: expected not_every to be a whole number >= 2, found '5'"),
        (dict(every=True), "expected every to be a whole number"),
        (dict(every=5, not_every=5), "expected every or not_every, found every=5 and not_every=5"),
    ],
)
def test_wrong_numbers(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        chosen(NAMES, keys_of(NAMES), "x", **options)


def test_no_sample_remains():
    with pytest.raises(DataError, match="expected at least one sample, found none of 7 with every=8; use a smaller"):
        chosen(NAMES, keys_of(NAMES), "x", every=8)


def test_classes_are_divided_each():
    root = "tiny://imagenet?train=40&val=2&size=24"
    part = dict(data_root=root, split="train", serialize_data=False)
    val, train = ImageFolder(**part, every=4), ImageFolder(**part, not_every=4)
    assert len(val) + len(train) == 40
    assert {sample["gt_label"] for sample in val} == {sample["gt_label"] for sample in train} == set(range(10))


def test_crops_of_one_image_stay_together():
    part = dict(data_root="tiny://coco?train=6&val=1&size=64", ann_file="annotations/instances_train2017.json")
    part |= dict(img_folder="train2017", serialize_data=False)
    parts = CocoCrops(**part, every=3), CocoCrops(**part, not_every=3)
    val, train = ({data.get_data_info(number)["img_path"] for number in range(len(data))} for data in parts)
    assert val
    assert val.isdisjoint(train)


def test_groups_keep_their_classes():
    root = "tiny://co_saliency?groups=4&images=1&size=24"
    part = dict(data_root=root, name="DUTS_class", serialize_data=False)
    val, train = CoSaliencyFolder(**part, every=2), CoSaliencyFolder(**part, not_every=2)
    assert set(val.metainfo["groups"]).isdisjoint(train.metainfo["groups"])
    assert [sample["gt_label"] for sample in train] == [0, 1]


def test_first_samples_are_taken_after_the_division():
    part = dict(data_root="tiny://culane?train=12&val=1&test=9&width=164", split="train_gt", serialize_data=False)
    whole = CULaneDataset(**part, every=2)
    few = CULaneDataset(**part, every=2, max_samples=2)
    assert [sample["name"] for sample in few] == [sample["name"] for sample in whole][:2]
