"""Odd values of every setting of a run: the check finds them before anything is built, in one line each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from visionzoo.config import check_config, load_config
from visionzoo.config.ranges import range_at
from visionzoo.config.tree import join, with_value

CONFIGS = ("dinat_mini_imagenet", "rcnet_retinanet", "scnn_tusimple", "gconet_plus_vgg16bn", "hmode_shanghaitech_a")
ODD: tuple[Any, ...] = (
    *(0, -1, -3, 1, 7, 10**12, 1.5, -0.5, 1e-30, 1e300, float("nan"), float("inf"), -float("inf"), True, False),
    *(None, "", "two", "0", "nan", "[]", [], [1], [[1]], {}, {"a": 1}, (0, -1)),
)


def problems(name: str, *options: str) -> list[str]:
    return check_config(load_config(name, tiny=True, options=options, allow_new=True))


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", "None", "true", "True", "nan", "1e999", "[2]", "{}"])
@pytest.mark.parametrize(
    "path",
    [
        "train_dataloader.batch_size",
        "val_dataloader.batch_size",
        "train_cfg.max_epochs",
        "train_cfg.val_interval",
        "default_hooks.logger.interval",
        "optim_wrapper.accumulative_counts",
        "auto_scale_lr.base_batch_size",
    ],
)
def test_counts_are_whole_numbers_above_zero(path, value):
    (line,) = problems("dinat_mini_imagenet", f"{path}={value}")
    assert line.startswith(f"--cfg-options: {path}: expected a whole number of at least 1, found ")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("train_dataloader.num_workers=-1", "a whole number from 0 to 1,024, found -1"),
        ("train_dataloader.num_workers=2.0", "a whole number"),
        ("train_dataloader.prefetch_factor=0", "a whole number of at least 1, found 0"),
        ("train_dataloader.timeout=-1", "a number of at least 0, found -1"),
        ("train_dataloader.drop_last=false", "True or False, found 'false'"),
        ("val_dataloader.persistent_workers=1", "True or False, found 1"),
        ("train_dataloader.sampler.shuffle=no", "True or False, found 'no'"),
        ("train_dataloader.collate_fn=x", "a dict, found 'x'"),
        ("train_dataloader=x", "a dict, found 'x'"),
        ("train_cfg.val_begin=-1", "a whole number of at least 0, found -1"),
        ("train_cfg.dynamic_intervals=[(1,0)]", "a whole number of at least 1, found 0"),
        ("optim_wrapper.optimizer.lr=-1", "a number of at least 0, found -1"),
        ("optim_wrapper.optimizer.lr=nan", "a number of at least 0, found 'nan'"),
        ("optim_wrapper.optimizer.lr=1e999", "a number of at least 0, found inf"),
        ("optim_wrapper.optimizer.weight_decay=x", "a number of at least 0, found 'x'"),
        ("optim_wrapper.optimizer.betas=(0.9,1)", "a number of at least 0 and below 1, found 1"),
        ("optim_wrapper.clip_grad=5", "a dict, found 5"),
        ("optim_wrapper.clip_grad.max_norm=0", "a number above 0, found 0"),
        ("optim_wrapper.clip_grad.type=x", "'norm' or 'value', found 'x'"),
        ("optim_wrapper.clip_grad.max_nrm=1", "did you mean max_norm?"),
        ("optim_wrapper.clip_grad={'type':'value'}", 'clip_grad needs the key "clip_value"'),
        ("optim_wrapper.paramwise_cfg.norm_decay_mult=-1", "a number of at least 0, found -1"),
        ("param_scheduler.0.begin=-1", "a whole number of at least 0, found -1"),
        ("param_scheduler.0.warmup=1.5", "a whole number of at least 0, found 1.5"),
        ("param_scheduler.0.by_epoch=yes", "True or False, found 'yes'"),
        ("param_scheduler=[dict(type='LinearLR',begin=5,end=5)]", "expected more than begin=5, found 5"),
        ("default_hooks.checkpoint.interval=0", "a whole number of at least 1 or -1, found 0"),
        ("default_hooks.checkpoint.max_keep_ckpts=0.5", "a whole number of at least 1 or -1, found 0.5"),
        ("default_hooks.checkpoint.save_best=3", "a name or a list of names, found 3"),
        ("default_hooks.checkpoint.rule=up", "'greater' or 'less', found 'up'"),
        ("ema.momentum=1", "a number above 0 and below 1, found 1"),
        ("ema=5", "a dict, found 5"),
        ("early_stopping.patience=0", "a whole number of at least 1, found 0"),
        ("freeze=[3]", "a name or a list of names, found 3"),
        ("randomness.seed=-1", "a whole number from 0 to 4,294,967,295, found -1"),
        ("randomness.seed=x", "found 'x'"),
        ("env_cfg.mp_cfg.mp_start_method=x", "'spawn' or 'fork' or 'forkserver', found 'x'"),
        ("env_cfg=3", "a dict, found 3"),
        ("model.backbone.frozen_stages=x", "a whole number of at least -1, found 'x'"),
        ("model.backbone.init_cfg=two", "a dict, found 'two'"),
        ("image_size.multiple=0", "a whole number from 1 to 65,536, found 0"),
        ("image_size.paths=[1]", "a list of 1 or more items (a string each), found [1]"),
        ("task=[]", "a config needs a task"),
        ("train_dataloader.dataset.data_root=True", "found True"),
        ("model.backbone.frozen_stages=-5", "a whole number of at least -1, found -5"),
    ],
)
def test_settings_outside_their_range(option, expected):
    lines = problems("dinat_mini_imagenet", option)
    assert len(lines) == 1, lines
    assert expected in lines[0]


# As options, both are sizes that the pipelines get: tests/config/test_image_size.py.
@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("image_size.size", (0, 64), "a list of 2 items (a whole number from 1 to 65,536 each), found (0, 64)"),
        ("image_size", 3, "the reason why the size is fixed, found 3"),
    ],
)
def test_a_config_that_declares_a_wrong_size(path, value, expected):
    tree = load_config("dinat_mini_imagenet", tiny=True).cfg.to_dict()
    (line,) = check_config(with_value(tree, tuple(path.split(".")), value))
    assert line.startswith(f"config: {path}: ")
    assert expected in line


@pytest.mark.parametrize(
    "option",
    [
        "train_dataloader.num_workers=8",
        "train_dataloader.prefetch_factor=None",
        "optim_wrapper.clip_grad=None",
        "optim_wrapper.clip_grad.norm_type=inf",
        "optim_wrapper.optimizer.lr=1",
        "optim_wrapper.optimizer.weight_decay=0",
        "default_hooks.checkpoint.interval=-1",
        "default_hooks.checkpoint.save_best=['cls/top1','cls/mean_class']",
        "randomness.seed=None",
        "ema=True",
        "freeze=['backbone.*']",
        "model.backbone.frozen_stages=-1",
    ],
)
def test_usual_settings_are_right(option):
    assert problems("dinat_mini_imagenet", option) == []


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("model.backbone.norm_cfg.requires_grad=2", "expected True or False or None, found 2"),
        ("train_dataloader.dataset.data_prefix.img=2", "data_prefix: expected a dict (a string each) or"),
        ("train_dataloader.dataset.pipeline.2.interpolation=two", "expected 'nearest' or 'bilinear' or"),
    ],
)
def test_arguments_of_libraries(option, expected):
    (line,) = problems("rcnet_retinanet", option)
    assert expected in line


@pytest.mark.parametrize(("value", "most"), [(9, 4), (5, 4)])
def test_frozen_stages_of_mmdet_are_bounded(value, most):
    (line,) = problems("rcnet_retinanet", f"model.backbone.frozen_stages={value}")
    assert f"model.backbone.frozen_stages: expected a whole number from -1 to {most}, found {value}" in line
    assert problems("rcnet_retinanet", f"model.backbone.frozen_stages={most}") == []


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("train_dataloader.dataset=None", "train_dataloader: needs a data set"),
        ("val_evaluator=[]", "val_evaluator: needs a metric"),
    ],
)
def test_parts_that_a_split_needs(option, says):
    (line,) = problems("rcnet_retinanet", option)
    assert says in line


@pytest.mark.parametrize("steps", ["[]", "None"])
def test_a_data_set_without_a_pipeline(steps):
    lines = problems("rcnet_retinanet", f"val_dataloader.dataset.pipeline={steps}")
    assert "val_dataloader.dataset: the data set has no pipeline; add pipeline=[...]" in lines[0]


def test_a_pipeline_that_does_not_pack():
    steps = load_config("rcnet_retinanet", tiny=True).cfg.train_dataloader.dataset.to_dict()["pipeline"]
    options = {"train_dataloader.dataset.pipeline": steps[:-1]}
    (line,) = check_config(load_config("rcnet_retinanet", tiny=True, options=options))
    assert "train_dataloader.dataset.pipeline: the last step does not pack the sample" in line


# --- every numeric setting of released configs with odd values ---


def numeric_settings(node: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all values outside the model that are numbers or have a range."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numeric_settings(value, join(path, key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from numeric_settings(value, join(path, index))
    elif isinstance(node, (int, float)) or range_at(path) is not None:
        yield path


@pytest.mark.parametrize("name", CONFIGS)
def test_odd_values_are_right_or_one_line_each(name):
    tree = load_config(name, tiny=True).cfg.to_dict()
    paths = sorted(numeric_settings(tree))
    drawn = random.Random(name)
    assert len(paths) > 40
    for path in drawn.sample(paths, 40):
        value = drawn.choice(ODD)
        keys = tuple(path.split("."))
        lines = check_config(with_value(tree, keys, value))
        assert all("\n" not in line and line.startswith("config: ") for line in lines), (path, value, lines)
        declared = range_at(".".join(key for key in keys if not key.isdigit()))
        if declared is not None and value not in declared:
            assert any(f": {path}" in line for line in lines), (path, value, lines)
