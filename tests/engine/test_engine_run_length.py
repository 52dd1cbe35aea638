"""Warm-up and intervals fit in short runs; every released recipe at its full length stays as it is."""

from __future__ import annotations

import json

import pytest

from visionzoo.config import config_names, load_config
from visionzoo.config.data_parts import joint_data_sets
from visionzoo.engine.run_length import fit_to_length

# Training images of each data set as published, by the name of its class.
IMAGES = {
    "CocoDetection": 117_266,
    "ImageNet": 1_281_167,
    "CIFAR10": 50_000,
    "CULaneDataset": 88_880,
    "TuSimpleDataset": 3_268,
    "SaliencyDataset": 2_500,
    "CoSaliencyPairs": 291,
    "ShanghaiTechDataset": 300,
    "NWPUCrowdDataset": 3_109,
    "JHUCrowdDataset": 2_272,
    "UCFQNRFDataset": 1_201,
    "UCFCC50Dataset": 40,
    "TRANCOSDataset": 403,
    "PanopticDataset": 118_287,
    "SemanticFolders": 20_210,
    "ReferDataset": 42_226,  # refs of RefCOCOg (UMD); the other sets have more
    "PointsDataset": 205,  # BCCD
    "RegistrationPairs": 464,  # 580 subjects of IXI without every fifth, each with the next one
}
WARM_UP = dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=500)
POLY = dict(type="PolyLR", by_epoch=False, begin=500, end=2_000)


def images_of_an_epoch(loader):
    """Return the number of training images of an epoch; a sampler of several tasks may state it."""
    data_sets = list(joint_data_sets(loader.dataset).values()) or [loader.dataset]
    images = sum(500 if "sis1k" in data.get("data_root", "") else IMAGES[data.type] for data in data_sets)
    return loader.sampler.get("length") or images


@pytest.mark.parametrize("name", [name for name in config_names() if not name.startswith("direct_")])
def test_recipes_stay_as_they_are(name):
    cfg = load_config(name).cfg
    fitted = fit_to_length(cfg, images_of_an_epoch(cfg.train_dataloader) // cfg.train_dataloader.batch_size)
    assert fitted.notes == []
    assert fitted.param_scheduler == cfg.to_dict().get("param_scheduler")
    assert fitted.default_hooks == cfg.to_dict().get("default_hooks")


@pytest.mark.parametrize(
    ("loop", "batches", "warm_up", "log"),
    [
        (dict(max_epochs=12), 10_000, 500, 50),
        (dict(max_epochs=12), 10, 12, 6),
        (dict(max_epochs=3), 7, 2, 1),
        (dict(max_iters=2_000), 10, 200, 50),
        (dict(max_epochs=2), 1, None, 1),
    ],
)
def test_short_runs(loop, batches, warm_up, log):
    hooks = dict(logger=dict(type="LoggerHook", interval=50), checkpoint=dict(interval=10**6, by_epoch=False))
    cfg = dict(train_cfg=loop, param_scheduler=[WARM_UP, POLY], default_hooks=hooks)
    fitted = fit_to_length(cfg, batches)
    ends = [one["end"] for one in fitted.param_scheduler if one["type"] == "LinearLR"]
    assert ends == ([] if warm_up is None else [warm_up])
    assert fitted.param_scheduler[-1]["begin"] == (warm_up or 0)
    assert fitted.default_hooks["logger"]["interval"] == log
    total = loop.get("max_iters", loop.get("max_epochs", 0) * batches)
    assert fitted.default_hooks["checkpoint"]["interval"] == total
    assert cfg["param_scheduler"] == [WARM_UP, POLY]


def test_schedulers_of_several_optimizers_and_none():
    cfg = dict(train_cfg=dict(max_epochs=2), param_scheduler={"a": WARM_UP, "b": [POLY]})
    fitted = fit_to_length(cfg, 20)
    assert fitted.param_scheduler == {"a": [{**WARM_UP, "end": 4}], "b": [POLY]}
    assert fit_to_length(dict(train_cfg=dict(max_epochs=2)), 20).param_scheduler is None


def test_the_note_is_one_line_in_words():
    hooks = dict(logger=dict(type="LoggerHook", interval=4), checkpoint=dict(interval=1_000, by_epoch=False))
    cfg = dict(train_cfg=dict(max_epochs=2), param_scheduler=[WARM_UP], default_hooks=hooks)
    assert fit_to_length(cfg, 3, facts=["batch size 8 -> 5"]).notes == [
        "short run of 6 iterations: batch size 8 -> 5, warm-up 500 -> 0 iterations, "
        "losses in the log every iteration (was every 4), a checkpoint every 6 iterations (was every 1,000)"
    ]


def test_a_short_run_reaches_its_full_rate_and_logs(train_toy, tmp_path):
    options = {"train_cfg.max_epochs": 5, "param_scheduler": [WARM_UP]}
    train_toy("run", options)
    lines = (tmp_path / "run" / "logs" / "scalars.json").read_text().splitlines()
    rates = [json.loads(line)["lr"] for line in lines if '"loss"' in line]
    assert len(rates) == 20
    assert rates[-1] == pytest.approx(0.1)
