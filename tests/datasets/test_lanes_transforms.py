"""Masks of lanes, geometric augmentation, and the pipelines of the configs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from visionzoo.config import load_config
from visionzoo.config.files import config_folder
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError, DataError
from visionzoo.registry import TRANSFORMS

H, W = 40, 61
ROOTS = {"culane": "tiny://culane?train=8&val=1&test=9", "tusimple": "tiny://tusimple?train=8&val=1&test=2"}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def transform(**arguments):
    return TRANSFORMS.build(arguments)


def straight(x_top, x_bottom):
    return np.stack([np.linspace(x_top, x_bottom, 5), np.linspace(5, 39, 5)], axis=1)


def sample(**more):
    """Return an image whose red channel is 50 times its mask, so that both can be compared after any change."""
    mask = np.zeros((H, W), np.uint8)
    for value, column in enumerate((3, 20, 40, 55), start=1):
        mask[5:, column : column + 4] = value
    image = np.stack([mask * 50, np.full((H, W), 7, np.uint8), np.full((H, W), 9, np.uint8)], axis=2)
    return {
        "img": image,
        "img_path": "a.jpg",
        "ori_shape": (H, W),
        "gt_seg_map": mask,
        "seg_fields": ["gt_seg_map"],
    } | more


# --- loading ---


def put(path, mask):
    cv2.imwrite(str(path), mask)
    return str(path)


def test_masks_are_read_and_existence_is_the_lists(tmp_path):
    mask = sample()["gt_seg_map"]
    path = put(tmp_path / "a.png", mask)
    loaded = transform(type="LoadLaneMask")(
        {"img": np.zeros((H, W, 3)), "img_path": "a.jpg", "gt_path": path, "gt_lanes": [], "gt_exist": np.ones(4)}
    )
    np.testing.assert_array_equal(loaded["gt_seg_map"], mask)
    assert loaded["gt_seg_map"].dtype == np.uint8
    assert loaded["seg_fields"] == ["gt_seg_map"]
    assert loaded["gt_exist"].tolist() == [1, 1, 1, 1]
    assert "gt_lanes" not in loaded


def test_existence_follows_from_the_mask_where_no_list_has_it(tmp_path):
    path = put(tmp_path / "a.png", np.where(sample()["gt_seg_map"] == 2, 0, sample()["gt_seg_map"]))
    loaded = transform(type="LoadLaneMask")({"img": np.zeros((H, W, 3)), "img_path": "a.jpg", "gt_path": path})
    assert loaded["gt_exist"].tolist() == [1, 0, 1, 1]


def test_masks_are_drawn_of_points():
    lanes = [straight(30, 70), straight(30, 10), straight(30, 45), straight(30, 20)[:3]]
    loaded = transform(type="LoadLaneMask", thickness=3, keep_points=True)(
        {"img": np.zeros((H, W, 3)), "img_path": "a.jpg", "gt_lanes": lanes, "gt_x": np.zeros((4, 2))}
    )
    assert loaded["gt_exist"].tolist() == [1, 0, 1, 1]  # the fourth has three points
    assert sorted(np.unique(loaded["gt_seg_map"])) == [0, 1, 3, 4]
    assert loaded["gt_lanes"] is lanes


def test_masks_that_cannot_be_used(tmp_path):
    load = transform(type="LoadLaneMask", lanes=4)
    base = {"img": np.zeros((H, W, 3)), "img_path": "a.jpg"}
    for mask, message in [
        (np.full((H, W), 5, np.uint8), "expected numbers from 0 to 4, one for each lane, found 5; set lanes"),
        (np.zeros((H, W + 1), np.uint8), "expected a mask of 61x40 pixels like a.jpg, found 62x40"),
        (np.zeros((H, W, 3), np.uint8), "found an image of mode RGB"),
    ]:
        with pytest.raises(DataError, match=message):
            load(base | {"gt_path": put(tmp_path / "a.png", mask)})
    with pytest.raises(DataError, match=r"b.png: expected an id map, found no such file"):
        load(base | {"gt_path": str(tmp_path / "b.png")})
    with pytest.raises(DataError, match=r"a.jpg: expected a mask or points of lanes, found neither; .*train_gt"):
        load(dict(base))


# --- cropping and padding ---


@pytest.mark.parametrize("size", [(50, 80), (30, 50), (50, 50), (30, 80), (H, W)])
def test_crops_and_borders_of_all_kinds(size):
    change = transform(type="CropOrPad", size=size, pad_val=(1, 2, 3))
    places = set()
    for seed in range(8):
        np.random.seed(seed)
        lane = np.array([[20.0, 39.0], [22, 20]])
        results = change(sample(gt_lanes=[lane], gt_exist=np.ones(4)))
        image, mask = results["img"], results["gt_seg_map"]
        assert image.shape == (*size, 3)
        assert mask.shape == results["img_shape"] == size
        border = image[..., 1] == 2
        assert (image[border] == (1, 2, 3)).all()
        assert (mask[border] == 0).all()
        np.testing.assert_array_equal(image[~border][:, 0], mask[~border] * 50)
        assert border.sum() == size[0] * size[1] - min(size[0], H) * min(size[1], W)
        assert not border[-1].all()  # never below
        x, y = results["gt_lanes"][0][0].astype(int)
        if 0 <= y < size[0] and 0 <= x < size[1]:
            assert mask[y, x] == 2
        places.add((x, y))
    assert (len(places) > 1) == (size != (H, W) and size[1] != W)


def test_sizes_that_are_none():
    with pytest.raises(ConfigError, match=r"CropOrPad\.size: expected a list of 2 items .*, found \(0, 5\)"):
        transform(type="CropOrPad", size=(0, 5))


# --- flipping ---


def test_a_flip_renames_lanes():
    lanes = [np.array([[3.0, 39], [5, 20]]), np.array([[40.0, 39], [41, 20]])]
    results = transform(type="FlipLanes", prob=1.0)(sample(gt_lanes=lanes, gt_exist=np.array([1, 0, 1, 0], np.float32)))
    mask = results["gt_seg_map"]
    assert mask[30].tolist()[2:6] == [1] * 4  # was 4, at 55 to 58
    assert mask[30].tolist()[54:58] == [4] * 4
    assert (mask > 0).sum() == (sample()["gt_seg_map"] > 0).sum()
    np.testing.assert_array_equal(results["img"], sample()["img"][:, ::-1])
    assert results["gt_exist"].tolist() == [0, 1, 0, 1]
    assert results["gt_lanes"][0].tolist() == [[20, 39], [19, 20]]
    assert results["gt_lanes"][1][0].tolist() == [57, 39]
    assert (results["flip"], results["flip_direction"]) == (True, "horizontal")


def test_two_flips_are_none_and_no_flip_is_none():
    flip = transform(type="FlipLanes", prob=1.0)
    start = sample(gt_lanes=[straight(3, 9)], gt_exist=np.array([1, 0, 0, 1], np.float32))
    twice = flip(flip(dict(start)))
    np.testing.assert_array_equal(twice["gt_seg_map"], start["gt_seg_map"])
    np.testing.assert_allclose(twice["gt_lanes"][0], start["gt_lanes"][0])
    assert "flip" not in transform(type="FlipLanes", prob=0.0)(dict(start))


def test_flips_that_cannot_be():
    with pytest.raises(ConfigError, match=r"prob: expected a number from 0 to 1, found 2"):
        transform(type="FlipLanes", prob=2)
    with pytest.raises(DataError, match=r"expected no gt_x in a.jpg"):
        transform(type="FlipLanes", prob=1.0)(sample(gt_x=np.zeros((1, 2))))


# --- whole pipelines ---


def dataset_of(name, kind, *, tiny):
    """Return the data set of a config, with drawn roads."""
    cfg = load_config(config_folder() / "_base_" / f"{name}.py", tiny=tiny).cfg
    return build_dataset({**cfg[f"{kind}_dataloader"]["dataset"], "data_root": ROOTS[name]}, where="dataset")


@pytest.mark.parametrize(
    ("name", "tiny", "size"),
    [
        ("culane", False, (288, 800)),
        ("culane", True, (96, 272)),
        ("tusimple", False, (288, 512)),
        ("tusimple", True, (112, 192)),
    ],
)
def test_pipelines_of_the_configs(name, tiny, size):
    dataset = dataset_of(name, "train", tiny=tiny)
    for index in range(5):
        item = dataset[index]
        truth = item["data_samples"]
        assert item["inputs"].shape == (3, *size)
        assert item["inputs"].dtype == torch.uint8
        assert truth.gt_map.shape == size
        assert truth.gt_map.dtype == torch.uint8
        assert truth.gt_exist.tolist() == [float((truth.gt_map == k).any()) for k in range(1, 5)]
        assert "gt_lanes" not in truth
    assert dataset_of(name, "val", tiny=tiny)[0]["inputs"].shape == (3, *size)


def test_what_is_measured_keeps_the_original_pixels():
    dataset = dataset_of("culane", "test", tiny=False)
    truth, info = dataset[2]["data_samples"], dataset.get_data_info(2)
    assert truth.ori_shape == (118, 328)
    assert (truth.scenario, truth.name) == ("hlight", info["name"])
    for lane, expected in zip(truth.gt_lanes, info["gt_lanes"], strict=True):
        np.testing.assert_array_equal(lane, expected)

    dataset = dataset_of("tusimple", "test", tiny=False)
    truth, info = dataset[1]["data_samples"], dataset.get_data_info(1)
    assert (truth.raw_file, truth.h_samples) == (info["raw_file"], info["h_samples"])
    np.testing.assert_array_equal(truth.gt_x.numpy(), info["gt_x"])
