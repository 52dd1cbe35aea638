"""Panoptic and semantic data sets: samples, training keys, ground truth, class counts."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from visionzoo.datasets.panoptic.id_png import read_id_png
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.engine.loaders import build_dataset

CONFIGS = Path(__file__).parents[2] / "configs" / "_base_"
COUNTS = "train=5&val=4&size=48"


def build(config, split="train", **options):
    """Build the data set of a split as the tiny variant of a configuration does."""
    cfg = Config.fromfile(CONFIGS / f"{config}.py")
    tiny = cfg.tiny[f"{split}_dataloader"].dataset
    root = f"{tiny.data_root.partition('?')[0]}?{COUNTS}"
    dataset = {**cfg[f"{split}_dataloader"].dataset, **tiny, "data_root": root, "serialize_data": False, **options}
    return build_dataset(dataset, where=config)


@pytest.mark.parametrize("config", ["coco_panoptic", "coconut"])
def test_a_training_batch_has_the_keys_of_mmdet(config):
    dataset = build(config)
    assert dataset.metainfo["classes"] == ("disc", "square", "triangle", "sky", "grass")
    assert dataset.metainfo["category_ids"] == [1, 3, 8, 187, 193]
    assert (len(dataset.metainfo["thing_classes"]), len(dataset.metainfo["stuff_classes"])) == (3, 2)
    assert len(dataset) == 5
    seen = set()
    for packed in dataset:
        sample = packed["data_samples"]
        size = packed["inputs"].shape[1:]
        assert max(size) <= 64
        assert sample.gt_sem_seg.sem_seg.shape == (1, *size)
        things = sample.gt_instances
        assert things.masks.masks.shape == (len(things.labels), *size)
        assert len(things.bboxes) == len(things.labels)
        assert all(0 <= label < 3 for label in things.labels.tolist())
        for mask, label in zip(things.masks.masks, things.labels.tolist()):
            assert (sample.gt_sem_seg.sem_seg[0].numpy()[mask > 0] == label).all()
        seen |= set(np.unique(sample.gt_sem_seg.sem_seg.numpy()).tolist())
    assert seen == {0, 1, 2, 3, 4, 255}


@pytest.mark.parametrize("config", ["coco_panoptic", "coconut"])
def test_ground_truth_has_the_pixels_of_the_original_image(config):
    dataset = build(config, "val")
    for index, packed in enumerate(dataset):
        sample, stated = packed["data_samples"], dataset.get_data_info(index)
        assert sample.gt_panoptic.size == sample.ori_shape == tuple(sample.gt_semantic.shape)
        assert np.array_equal(sample.gt_panoptic.ids, read_id_png(stated["panoptic_path"]))
        assert [each.id for each in sample.gt_panoptic.segments] == [each["id"] for each in stated["segments"]]
        assert ((sample.gt_panoptic.ids == 0) == (sample.gt_semantic.numpy() == 255)).all()
    assert packed["data_samples"].to_dict()["gt_panoptic"] is packed["data_samples"].gt_panoptic


def test_a_crowd_and_a_scene_of_stuff_only():
    pipeline = [{"type": "LoadImage"}, {"type": "LoadPanopticTargets"}, {"type": "LoadPanoptic"}]
    dataset = build("coconut", pipeline=pipeline)
    crowd, empty = dataset[1], dataset[2]
    (segment,) = [each for each in crowd["gt_panoptic"].segments if each.iscrowd]
    things = [each for each in crowd["gt_panoptic"].segments if each.category_id < 3]
    assert len(crowd["gt_bboxes_labels"]) == len(things) - 1  # a crowd is not an instance to learn
    assert (crowd["gt_seg_map"][crowd["gt_panoptic"].mask(segment)] == segment.category_id).all()
    assert len(empty["gt_bboxes"]) == len(empty["gt_masks"]) == 0
    assert empty["gt_masks"].masks.shape[1:] == empty["gt_seg_map"].shape
    assert len(build("coconut", without_things=False)) == 4
    assert len(build("coconut", "val", without_things=False)) == 4  # evaluation keeps all images


def test_classes_choose_categories_and_others_have_no_label():
    pipeline = [{"type": "LoadImage"}, {"type": "LoadPanoptic"}]
    dataset = build("coconut", pipeline=pipeline, classes=["sky", "square"])
    assert dataset.metainfo["classes"] == ("square", "sky")
    assert dataset.metainfo["category_ids"] == [3, 187]
    whole = build("coconut", pipeline=pipeline)
    for chosen, every in zip(dataset, whole):
        assert ((chosen["gt_semantic"] == 1) == (every["gt_semantic"] == 3)).all()
        assert ((chosen["gt_semantic"] == 0) == (every["gt_semantic"] == 1)).all()
        assert set(np.unique(chosen["gt_semantic"])) <= {0, 1, 255}
        assert set(np.unique(chosen["gt_panoptic"].ids)) - {0} == {each.id for each in chosen["gt_panoptic"].segments}


def test_masks_for_semantic_models_only():
    pipeline = [
        {"type": "LoadImage"},
        {"type": "LoadPanopticTargets", "with_mask": False},
        {"type": "PackSemanticInputs"},
    ]
    (packed, *_) = build("coconut", pipeline=pipeline)
    assert packed["data_samples"].gt_sem_seg.data.shape == (1, *packed["inputs"].shape[1:])


@pytest.mark.parametrize("split", ["train", "val"])
def test_folders_of_images_and_maps(split):
    dataset = build("ade20k", split)
    assert dataset.metainfo["classes"] == ("disc", "square", "triangle", "sky", "grass")
    assert dataset.metainfo["category_ids"] == [1, 2, 3, 4, 5]
    for packed in dataset:
        sample = packed["data_samples"]
        assert tuple(sample.gt_semantic.shape) == sample.ori_shape
        assert set(np.unique(sample.gt_semantic.numpy())) <= {0, 1, 2, 3, 4, 255}
        if split == "train":
            assert sample.gt_sem_seg.data.shape[1:] == packed["inputs"].shape[1:]


def test_twins_of_one_seed_show_the_same_scenes():
    roots = [resolve_data_root(f"tiny://{name}?{COUNTS}") for name in ("coco_panoptic", "coconut")]
    for name in ("train2017/000000000002.jpg", "val2017/000000500001.jpg"):
        assert (roots[0] / name).read_bytes() == (roots[1] / name).read_bytes()
