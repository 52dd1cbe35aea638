"""Groups of images with masks: reading, pairing, augmenting, and an error for every kind of wrong input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DefaultScope
from PIL import Image

from visionzoo.datasets.co_saliency import TEST_SETS, TRAINING_SETS, CoSaliencyPairs, join_samples
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.tiny.co_saliency import draw_scene, group_name
from visionzoo.datasets.transforms.groups import read_mask
from visionzoo.engine.loaders import build_dataset, build_loader
from visionzoo.engine.samplers import BlockSampler
from visionzoo.engine.seeding import seed_everything
from visionzoo.errors import ConfigError, DataError
from visionzoo.models.preprocessing import TaskPreprocessor
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.task_sample import group_sizes

TINY = "tiny://co_saliency?groups=3&images=4&seed=0"
META = ("img_path", "ori_shape", "img_shape", "group")
TRAIN = [dict(type="LoadGroup"), dict(type="ResizeGroup", size=(32, 48)), dict(type="PackTaskInputs", meta_keys=META)]
TEST = [dict(type="LoadGroup"), dict(type="ResizeGroup", size=32, masks=False), TRAIN[2]]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def folder_of(root, name="set", **arguments):
    return dict(type="CoSaliencyFolder", data_root=str(root), name=name, **arguments)


def build(cfg):
    return build_dataset(cfg, where="dataset")


def transform(kind, **arguments):
    with DefaultScope.overwrite_default_scope("visionzoo"):
        return TRANSFORMS.build(dict(type=kind, **arguments))


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def tree(tmp_path):
    """Write a group of two images and a group of one; the grey level identifies each image."""
    for number, name in enumerate(("cat/a.jpg", "cat/b.png", "dog/a.jpeg")):
        write(tmp_path / "images/set" / name, np.full((12, 15, 3), 50 * number, np.uint8))
        mask = np.zeros((12, 15), np.uint8)
        mask[: 3 + number] = 255
        write((tmp_path / "gts/set" / name).with_suffix(".png"), mask)
    (tmp_path / "images/set/cat/notes.txt").write_text("no image")
    (tmp_path / "images/set/.cache").mkdir()
    return tmp_path


# --- folders ---


def test_a_sample_is_a_group(tree):
    dataset = build(folder_of(tree))
    assert dataset.metainfo["groups"] == ("cat", "dog")
    cat, dog = (dataset.get_data_info(index) for index in range(2))
    assert (cat["group"], cat["gt_label"], dog["gt_label"]) == ("cat", 0, 1)
    assert [path.removeprefix(f"{tree}/") for path in cat["img_path"]] == [
        "images/set/cat/a.jpg",
        "images/set/cat/b.png",
    ]
    assert [path.removeprefix(f"{tree}/") for path in cat["gt_path"]] == ["gts/set/cat/a.png", "gts/set/cat/b.png"]
    assert dog["img_path"][0].endswith("dog/a.jpeg")
    assert build(folder_of(tree, label_offset=291)).get_data_info(1)["gt_label"] == 292
    assert "gt_path" not in build(folder_of(tree, masks=None)).get_data_info(0)
    assert len(build(folder_of(tree, indices=1))) == 1


def test_a_jpeg_replaces_a_missing_png(tree):
    (tree / "gts/set/dog/a.png").unlink()
    write(tree / "gts/set/dog/a.jpg", np.zeros((12, 15), np.uint8))
    assert build(folder_of(tree)).get_data_info(1)["gt_path"] == [str(tree / "gts/set/dog/a.jpg")]


def test_all_problems_of_a_tree_are_reported_at_once(tree):
    with pytest.raises(DataError, match=r"images/sett: expected one folder of images per group.*did you mean 'set'"):
        build(folder_of(tree, "sett"))
    with pytest.raises(DataError, match=r"nowhere/images/set: expected.*--tiny"):
        build(folder_of(tree / "nowhere"))
    (tree / "gts/set/cat/a.png").unlink()
    (tree / "gts/set/dog/a.png").unlink()
    with pytest.raises(DataError, match=r"2 of 3 are missing \(cat/a\.png, dog/a\.png\)"):
        build(folder_of(tree))
    (tree / "images/set/empty").mkdir()
    with pytest.raises(DataError, match=r"set/empty: expected images of a group.*found none"):
        build(folder_of(tree))
    write(tree / "images/set/cat/a.png", np.zeros((12, 15, 3), np.uint8))
    with pytest.raises(DataError, match=r"set/cat: expected one image called a.*found a\.jpg, a\.png"):
        build(folder_of(tree))
    (tree / "images/void").mkdir()
    with pytest.raises(DataError, match="expected one folder of images per group, found none"):
        build(folder_of(tree, "void"))


# --- masks ---


def test_masks_are_read_unchanged(tmp_path):
    path = tmp_path / "mask.png"
    soft = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    for pixels, expected in (
        (soft, soft),
        (np.repeat(soft[..., None], 3, 2), soft),  # grey in three channels
        (soft.astype(np.uint16) * 257, soft),
        (soft > 100, (soft > 100) * np.uint8(255)),
        (np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8)),
    ):
        write(path, pixels)
        np.testing.assert_array_equal(read_mask(str(path), (3, 4)), expected)
    palette = Image.fromarray((soft > 100).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save(path)
    np.testing.assert_array_equal(read_mask(str(path), (3, 4)), (soft > 100) * np.uint8(255))


def test_masks_that_cannot_be_meant(tree):
    dataset = build(folder_of(tree, pipeline=TRAIN))
    path = tree / "gts/set/cat/b.png"
    write(path, np.zeros((15, 12), np.uint8))
    with pytest.raises(DataError, match=r"cat/b\.png: expected a mask of 15x12 pixels like .*b\.png, found 12x15"):
        dataset[0]
    write(path, np.eye(12, 15, dtype=np.uint8))
    with pytest.raises(DataError, match=r"cat/b\.png: expected 255 for foreground, found 0 and 1"):
        dataset[0]
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"cat/b\.png: .*empty"):
        dataset[0]
    path.unlink()
    with pytest.raises(DataError, match=r"cat/b\.png"):
        dataset[0]


# --- pipelines ---


def test_a_packed_group_for_training_and_for_measuring(tree):
    write(tree / "images/set/cat/c.png", np.zeros((1, 1, 3), np.uint8))
    write(tree / "gts/set/cat/c.png", np.full((1, 1), 255, np.uint8))
    item = build(folder_of(tree, pipeline=TRAIN))[0]
    sample = item["data_samples"]
    assert item["inputs"].shape == (3, 3, 32, 48)
    assert item["inputs"].dtype == torch.uint8
    assert (sample.group_size, sample.group, int(sample.gt_label)) == (3, "cat", 0)
    assert sample.ori_shape == [(12, 15), (12, 15), (1, 1)]
    assert sample.img_shape == (32, 48)
    assert [mask.shape for mask in sample.gt_map] == [(32, 48)] * 3
    assert 0 < np.unique(sample.gt_map[0]).size > 2  # resized masks have intermediate values
    measured = build(folder_of(tree, pipeline=TEST))[0]["data_samples"]
    assert [mask.shape for mask in measured.gt_map] == [(12, 15), (12, 15), (1, 1)]
    assert measured.img_shape == (32, 32)
    batch = TaskPreprocessor()({"inputs": [item["inputs"]], "data_samples": [sample]})
    assert group_sizes(batch["data_samples"]) == [3]


def test_images_in_memory_are_a_group_as_well():
    images = [np.zeros((5, 6), np.uint8), np.zeros((7, 8, 3), np.uint8)]
    results = transform("ResizeGroup", size=16)(transform("LoadGroup")({"img": images}))
    assert [image.shape for image in results["img"]] == [(16, 16, 3)] * 2
    assert results["ori_shape"] == [(5, 6), (7, 8)]
    assert "gt_map" not in results


def scene():
    """Return images whose red channel is their mask."""
    masks = [np.zeros((20, 30), np.uint8) for _ in range(40)]
    for number, mask in enumerate(masks):
        mask[2:9, 3 : 10 + number % 5] = 255
    return {"img": [np.stack([mask, 255 - mask, mask // 2], 2) for mask in masks], "gt_map": masks}


@pytest.mark.parametrize(("kind", "share"), [("FlipGroup", 0.5), ("RotateGroup", 0.2)])
def test_images_and_masks_move_together(kind, share):
    seed_everything(3)
    given, results = scene(), transform(kind)(scene())
    for image, mask in zip(results["img"], results["gt_map"], strict=True):
        np.testing.assert_array_equal(image[..., 0], mask)
    moved = [not np.array_equal(a, b) for a, b in zip(given["gt_map"], results["gt_map"])]
    assert 0.4 * share < np.mean(moved) < 2 * share
    assert not any(np.array_equal(a, b) for a, b in zip(transform(kind, prob=1)(scene())["img"], given["img"])) or (
        kind == "RotateGroup"  # by 0 degrees, which is in the range
    )
    never = transform(kind, prob=0)(scene())
    assert all(np.array_equal(a, b) for a, b in zip(never["img"], given["img"]))


def test_colours_change_and_masks_do_not():
    seed_everything(0)
    given, results = scene(), transform("EnhanceGroup")(scene())
    assert all(np.array_equal(a, b) for a, b in zip(given["gt_map"], results["gt_map"]))
    assert sum(not np.array_equal(a, b) for a, b in zip(given["img"], results["img"])) > 35
    with pytest.raises(ConfigError, match=r"FlipGroup\.prob: expected a number from 0 to 1, found 2"):
        transform("FlipGroup", prob=2)


def test_a_rotation_by_given_degrees():
    turned = transform("RotateGroup", prob=1, degrees=1)  # -1 or 0
    seed_everything(0)
    masks = turned(scene())["gt_map"]
    expected = np.array(Image.fromarray(scene()["gt_map"][0]).rotate(-1, Image.Resampling.BICUBIC))
    assert any(np.array_equal(mask, expected) for mask in masks)


# --- pairs ---


def pairs(**arguments):
    sources = [folder_of(TINY, name, pipeline=TRAIN) for name in ("DUTS_class", "coco-seg")]
    return dict(type="CoSaliencyPairs", sources=sources, **arguments)


def test_pairs_of_equal_size_from_sources_in_turn():
    dataset = build(pairs())
    assert len(dataset) == 6
    for index in range(6):
        seed_everything(index)
        first, second = dataset[index]["data_samples"]
        assert first.group != second.group
        assert first.group == dataset.sources[0].metainfo["groups"][index // 2]
        assert first.group_size == second.group_size == 4  # one group has 5
        assert all(("DUTS_class", "coco-seg")[index % 2] in path for path in first.img_path + second.img_path)
        assert len(set(first.img_path)) == 4
    assert dataset[0]["inputs"][0].shape == (4, 3, 32, 48)


def test_images_and_partners_of_every_group_are_limited():
    dataset = build(pairs(most=2))
    partners, chosen = set(), set()
    for seed in range(40):
        seed_everything(seed)
        first, second = dataset[0]["data_samples"]
        assert first.group_size == 2
        partners.add(second.group)
        chosen |= set(first.img_path)
    assert partners == {group_name(group) for group in range(3)} - {first.group}
    assert len(chosen) == len(dataset.sources[0].get_data_info(0)["img_path"])


def test_wrong_pairs(tree):
    with pytest.raises(ConfigError, match="one source or more"):
        CoSaliencyPairs([])
    with pytest.raises(ConfigError, match="most: expected a whole number of at least 1"):
        CoSaliencyPairs([folder_of(tree)], most=0)
    with pytest.raises(DataError, match="two groups or more to make pairs, found 1"):
        CoSaliencyPairs([folder_of(tree, indices=1)])
    with pytest.raises(IndexError):
        build(pairs())[6]
    assert len(build(pairs(indices=3))) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_returns_the_same_pairs_again(workers):
    dataset = build(pairs())
    cfg = dict(
        batch_size=1,
        num_workers=workers,
        sampler=dict(type="BlockSampler"),
        collate_fn=dict(type="join_samples"),
    )
    passes = []
    for _ in range(2):
        loader = build_loader(cfg, dataset, seed=3, mp_cfg=dict(mp_start_method="fork"))
        passes.append([[sample.img_path for sample in batch["data_samples"]] for batch in loader])
    assert passes[0] == passes[1]
    assert [len(batch) for batch in passes[0]] == [2] * 6
    sources = ["coco-seg" in batch[0][0] for batch in passes[0]]
    assert sources == [False, True] * 3


def test_batches_of_several_pairs():
    dataset = build(pairs())
    batch = join_samples([dataset[0], dataset[1]])
    assert group_sizes(batch["data_samples"]) == [4] * 4
    done = TaskPreprocessor()(batch)
    assert done["inputs"].shape == (16, 3, 32, 48)


# --- order of samples ---


class Blocks(list):
    """Ten samples in blocks of three."""

    block = 3


def test_blocks_stay_together_and_change_places():
    sampler = BlockSampler(Blocks(range(10)), seed=1)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert sorted(order) == list(range(10))
        starts = [at for at in order if at % 3 == 0]
        assert [at for start in starts for at in range(start, min(start + 3, 10))] == order
        orders.append(order)
    assert len(sampler) == 10
    assert len({tuple(order) for order in orders}) > 1
    assert list(BlockSampler(Blocks(range(10)), shuffle=False)) == list(range(10))
    assert list(BlockSampler(list(range(4)), shuffle=False, block=2)) == list(DefaultSampler(range(4), shuffle=False))


def test_processes_take_whole_blocks(monkeypatch):
    batches = []
    for rank in range(2):
        monkeypatch.setattr("visionzoo.engine.samplers.get_dist_info", lambda rank=rank: (rank, 2))
        batches.append(list(BlockSampler(Blocks(range(9)), shuffle=False)))
    assert batches == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 0, 1, 2]]


# --- the twin ---


def test_the_twin_has_all_six_sets():
    root = resolve_data_root(TINY)
    for name in TRAINING_SETS + TEST_SETS:
        dataset = build(folder_of(TINY, name, pipeline=TEST))
        assert len(dataset) == 3
        sizes = [len(dataset.get_data_info(index)["img_path"]) for index in range(3)]
        assert sorted(sizes) == [4, 4, 5]
        endings = {path[-4:] for index in range(3) for path in dataset.get_data_info(index)["img_path"]}
        assert endings == {".jpg", ".png"}
        shapes = {shape for index in range(3) for shape in dataset[index]["data_samples"].ori_shape}
        assert len(shapes) > 6
    for path in sorted(root.glob("gts/CoCA/*/*.png")):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mask)) == {0, 255}
        assert 0.02 < (mask > 0).mean() < 0.5


def test_scenes_have_a_shared_shape_and_a_distractor():
    image, shared, distractor = draw_scene(np.random.RandomState(0), 1, 64)
    assert image.shape[:2] == shared.shape == distractor.shape
    assert not (shared & distractor).any()
    assert np.abs(image[shared].mean(0) - (62, 92, 214)).max() <= 20
    assert group_name(7) == "square2"
    again = draw_scene(np.random.RandomState(0), 1, 64)
    np.testing.assert_array_equal(image, again[0])
