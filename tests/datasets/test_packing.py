"""Input that a pipeline passes to the general task model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visionzoo.datasets.transforms.packing import PackTaskInputs
from visionzoo.errors import DataError


def packed(**results):
    done = PackTaskInputs()({"img_path": "a.png", **results})
    return done["inputs"], done["data_samples"]


def test_a_image_and_its_truth():
    image = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    inputs, sample = packed(img=image[:, ::-1], gt_label=3, gt_map=np.ones((2, 5)), ori_shape=(4, 10), gt_names=["x"])
    assert inputs.dtype == torch.uint8
    assert inputs.is_contiguous()
    assert np.array_equal(inputs.permute(1, 2, 0).numpy(), image[:, ::-1])
    assert int(sample.gt_label) == 3
    assert sample.gt_map.shape == (2, 5)
    assert sample.gt_names == ["x"]
    assert sample.metainfo == {"img_path": "a.png", "ori_shape": (4, 10)}


def test_grey_images_and_volumes():
    assert packed(img=np.zeros((4, 6), np.float32))[0].shape == (1, 4, 6)
    assert packed(img=np.zeros((3, 4, 6, 1), np.float32))[0].shape == (1, 3, 4, 6)


def test_a_group():
    inputs, sample = packed(img=[np.full((4, 6, 3), i, np.uint8) for i in range(5)], phrase="the left one")
    assert inputs.shape == (5, 3, 4, 6)
    assert inputs[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert sample.group_size == 5
    assert sample.phrase == "the left one"


def test_a_group_of_different_sizes_is_refused():
    with pytest.raises(DataError, match=r"one size, found \[\(4, 6, 3\), \(5, 6, 3\)\] in a.png"):
        packed(img=[np.zeros((4, 6, 3)), np.zeros((5, 6, 3))])


def test_no_image_is_an_error():
    with pytest.raises(DataError, match=r"sample a\.png, found none"):
        packed(gt_label=1)


def test_facts_of_lanes_are_kept():
    facts = {"name": "clip/0.jpg", "scenario": None, "raw_file": "clips/1/20.jpg", "h_samples": [240, 250]}
    lanes = [np.zeros((3, 2)), np.zeros((0, 2))]
    _, sample = packed(img=np.zeros((4, 6, 3), np.uint8), gt_lanes=lanes, gt_exist=np.ones(4, np.float32), **facts)
    assert {key: sample.get(key) for key in facts} == facts
    assert sample.gt_lanes is lanes
    assert sample.gt_exist.dtype == torch.float32


def test_every_plain_value_is_kept_and_nothing_else():
    facts = {"phrase": "the left one", "spacing": (1.0, 0.5, np.float32(2)), "sides": [(3, 4), (5, 6)], "is_old": True}
    arrays = {"heat": np.zeros((4, 6)), "frames": [np.zeros(3)], "about": {"a": 1}}
    sample = packed(img=np.zeros((4, 6, 3), np.uint8), gt_label=1, **facts, **arrays)[1]
    assert sample.metainfo == {"img_path": "a.png", **facts}
    assert sample.keys() == ["gt_label"]


def test_only_stated_keys_are_kept():
    results = {"img": np.zeros((4, 6, 3), np.uint8), "img_path": "a.png", "phrase": "the left one", "level": 2}
    assert PackTaskInputs(meta_keys=("level",))(results)["data_samples"].metainfo == {"level": 2}


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 5)])
def test_flipped_arrays_of_one_pixel_become_tensors(shape):
    image, density = np.zeros((*shape, 3), np.uint8), np.zeros(shape)
    for axes in (0, 1, (0, 1)):
        inputs, sample = packed(img=np.flip(image, axes), gt_density=np.flip(density, axes))
        assert tuple(inputs.shape[1:]) == tuple(sample.gt_density.shape) == shape
