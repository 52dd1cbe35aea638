"""LAVT learns phrases: from the tiny configs to masks of new images, on drawn objects."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import RandomState

from visionzoo import Inferencer
from visionzoo.config import load_config
from visionzoo.datasets.tiny.referring import draw_scene
from visionzoo.engine.loaders import build_dataset
from visionzoo.engine.seeding import seed_everything
from visionzoo.engine.testing import test as measure
from visionzoo.engine.training import train
from visionzoo.models.wiring import build_model

CONFIGS = Path(__file__).parents[2] / "configs"
RANDOM_BERT = {"model.text_encoder.type": "BertTextEncoder", "model.text_encoder.variant": "tiny"}


def batch_of(samples):
    return {key: [copy.deepcopy(each[key]) for each in samples] for key in ("inputs", "data_samples")}


def test_a_few_steps_separate_the_objects_of_an_image():
    cfg = load_config(CONFIGS / "lavt_refcoco.py", tiny=True).cfg
    dataset = build_dataset({**cfg.train_dataloader.dataset, "serialize_data": False}, where="train")
    seed_everything(0)
    model, samples = build_model(cfg.model).train(), [dataset[index] for index in range(4)]  # two images
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    losses = []
    for _ in range(45):
        loss = sum(model(**model.data_preprocessor(batch_of(samples), training=True), mode="loss").values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    with torch.no_grad():
        found = [sample.pred_map for sample in model.eval().test_step(batch_of(samples))]
    for own, other in ((0, 1), (1, 0), (2, 3), (3, 2)):
        masks = [samples[at]["data_samples"].gt_map > 0 for at in (own, other)]
        size = found[own].shape
        small = torch.nn.functional.interpolate(found[own][None, None], masks[0].shape)[0, 0]
        assert small[masks[0]].mean() > 2 * small[masks[1]].mean(), size


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("options", "least"), [({}, 0.8), (RANDOM_BERT, 0.75)], ids=["gru", "bert"])
def test_lavt_finds_objects_of_unseen_layouts(tmp_path, options, least):
    """The mIoU of a seed was 0.78 to 0.89 with the GRU, and changes with the kernels of a CPU."""
    found = []
    for seed in range(3):
        loaded = load_config(CONFIGS / "lavt_refcoco.py", tiny=True, options=options)
        outcome = train(loaded, work_dir=tmp_path / f"{seed}", device="cpu", seed=seed)
        found.append((outcome["metrics"]["ref/mIoU"], outcome["work_dir"]))
    middle, run = sorted(found)[1]
    assert middle >= least
    if not options:
        phrases_move_the_mask(run)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_hundred_steps_are_enough_for_known_and_new_layouts(tmp_path):
    short = {"train_cfg.max_epochs": 4, "train_dataloader.batch_size": 8}
    loaded = load_config(CONFIGS / "lavt_refcoco.py", tiny=True, options=short)
    outcome = train(loaded, work_dir=tmp_path / "run", device="cpu", seed=0, max_samples=600)
    assert outcome["iter"] == 300
    assert outcome["metrics"]["ref/mIoU"] > 0.5
    known = load_config(outcome["work_dir"], options={"test_dataloader.dataset.split": "train"})
    found = measure(known, weights=outcome["work_dir"], work_dir=tmp_path / "known", device="cpu", max_samples=144)
    assert found["metrics"]["ref/mIoU"] > 0.7


def phrases_move_the_mask(run):
    """Ask for each of two objects in ten new images: nine of ten masks are on the object that the phrase means."""
    inferencer, followed = Inferencer(run, device="cpu"), []
    for seed in range(10):
        image, things = draw_scene(RandomState([99, seed]), 72)
        phrases = [f"{thing.side} {thing.size} {thing.shape}" for thing in things]
        for prediction, thing in zip(inferencer(image, text=phrases), things, strict=True):
            left, top, right, bottom = thing.box
            mask = prediction.result.mask
            followed.append(mask.sum() > 0 and mask[top:bottom, left:right].sum() > 0.5 * mask.sum())
    assert np.mean(followed) >= 0.9


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_lavt_learns_that_some_phrases_mean_nothing(tmp_path):
    outcome = train(load_config(CONFIGS / "lavt_grefcoco.py", tiny=True), work_dir=tmp_path, device="cpu", seed=0)
    metrics = outcome["metrics"]
    assert metrics["ref/gIoU"] >= 0.7
    assert metrics["ref/N-acc"] >= 0.7
    assert metrics["ref/T-acc"] >= 0.8
