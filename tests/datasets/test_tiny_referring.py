"""Drawn referring expressions: layout, phrases, masks, and no layout in two splits."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.tiny.referring import COLOURS, SHAPES, TWINS, draw_scene
from visionzoo.engine.loaders import build_dataset

CONFIGS = Path(__file__).parents[2] / "configs"
COUNTS = "train=12&val=6&test=4&size=56"
PIPELINE = [{"type": "LoadImage"}, {"type": "LoadReferredMask"}]


def build(twin, split, **options):
    home = TWINS[twin]
    settings = dict(data_root=f"tiny://{twin}?{COUNTS}", name=home.folder, split_by=home.split_by, split=split)
    return build_dataset(
        dict(type="ReferDataset", pipeline=PIPELINE, serialize_data=False, **settings, **options), where="twin"
    )


@pytest.mark.parametrize("twin", TWINS)
def test_every_split_is_read_and_phrases_mean_what_is_drawn(twin):
    for split in ("train", "val", *TWINS[twin].tests):
        for sample in build(twin, split, test_mode=True):
            words, mask = sample["phrase"].split(), sample["gt_seg_map"] > 0
            assert mask.shape == sample["img"].shape[:2]
            if not mask.any():
                assert twin == "grefcoco"
                continue
            middle = np.nonzero(mask)[1].mean() / mask.shape[1]
            assert ("left" in words) <= (middle < 0.5)
            assert ("right" in words) <= (middle > 0.5)
            for name, colour in COLOURS.items():
                if name in words:
                    assert np.abs(np.median(sample["img"][mask], axis=0) - colour).max() < 25


def test_phrases_of_each_set():
    phrases = {twin: {each["phrase"] for each in build(twin, "train", test_mode=True)} for twin in TWINS}
    assert any("left" in phrase for phrase in phrases["refcoco"])
    assert not any("left" in phrase or "right" in phrase for phrase in phrases["refcoco_plus"])
    assert all(phrase.startswith("the ") for phrase in phrases["refcocog"])
    assert any(phrase.startswith("all ") for phrase in phrases["grefcoco"])


def test_grefcoco_has_phrases_for_none_one_and_both():
    root = resolve_data_root(f"tiny://grefcoco?{COUNTS}")
    refs = json.loads((root / "grefcoco" / "grefs(unc).json").read_text())
    assert {0 if ref["no_target"] else len(ref["ann_id"]) for ref in refs} == {0, 1, 2}


def test_a_shape_never_decides_what_a_phrase_means():
    for seed in range(20):
        rng = np.random.RandomState(seed)
        _, (left, right) = draw_scene(rng, 64)
        assert {left.size, right.size} == {"small", "large"}
        if left.shape == right.shape:
            continue
        for targets, phrases in TWINS["refcoco"]._phrases(rng, (left, right)):
            assert not set(SHAPES) & set(phrases)
            assert all((left, right)[targets[0]].shape in text for text in phrases if set(SHAPES) & set(text.split()))


def test_no_layout_is_in_two_splits():
    root = resolve_data_root("tiny://refcoco?train=200&val=100&test=2&size=48")
    record = json.loads((root / "refcoco" / "instances.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in record["images"]}
    boxes = {}
    for annotation in record["annotations"]:
        boxes.setdefault(annotation["image_id"], []).append(tuple(annotation["bbox"]))
    layouts = [{(sizes[at], *boxes[at]) for at in ids} for ids in (range(1, 201), range(201, 301))]
    assert layouts[0].isdisjoint(layouts[1])


@pytest.mark.parametrize("name", ["refcoco", "refcoco_plus", "refcocog", "grefcoco"])
def test_the_base_configs_read_their_twins(name):
    cfg = Config.fromfile(CONFIGS / "_base_" / f"{name}.py")
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        dataset = {**cfg[loader]["dataset"], **cfg.tiny[loader]["dataset"], "serialize_data": False}
        sample = build_dataset({**dataset, "max_samples": 2}, where=loader)[1]
        assert sample["inputs"].shape == (3, 64, 64)
        assert sample["data_samples"].phrase
        size = (64, 64) if loader == "train_dataloader" else sample["data_samples"].ori_shape
        assert tuple(sample["data_samples"].gt_map.shape) == tuple(size)
