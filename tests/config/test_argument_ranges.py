"""Allowed values of arguments: one declaration for the config check and for the constructors."""

from __future__ import annotations

import math

import pytest

from visionzoo.allowed import Count, Items, Range, check_on_construction, describe, fits, hints_of, problem_of
from visionzoo.backbones.dinat import DiNAT
from visionzoo.config import check_config, load_config
from visionzoo.config.library_ranges import library_hint
from visionzoo.datasets.transforms.classification import HorizontalFlip, RandomErasing, ResizeCrop
from visionzoo.datasets.transforms.counting import RandomCropPoints, ResizeToFit
from visionzoo.datasets.transforms.groups import FlipGroup
from visionzoo.datasets.transforms.lanes import CropOrPad
from visionzoo.errors import ConfigError
from visionzoo.heads.classification import ClassificationHead
from visionzoo.heads.connnet import ConnectivityHead
from visionzoo.heads.density import DensityHead
from visionzoo.metrics.counting import CountMetric
from visionzoo.metrics.lanes import CULaneMetric
from visionzoo.models.preprocessing import TaskPreprocessor
from visionzoo.necks.rcnet import RCNet
from visionzoo.zoo import get_model

LEVELS = {"in_channels": [8, 16], "in_strides": [8, 16]}


def problems(name: str, options: dict) -> list[str]:
    return check_config(load_config(name, tiny=True, options=options, allow_new=True))


@pytest.mark.parametrize(
    ("part", "options", "expected"),
    [
        (RCNet, {**LEVELS, "num_outs": 0}, "RCNet.num_outs: expected a whole number from 3 to 6, found 0"),
        (RCNet, {**LEVELS, "out_channels": -16}, "RCNet.out_channels: expected a whole number from 1"),
        (RCNet, {"in_channels": "abc"}, "RCNet.in_channels: expected a list of items"),
        (ClassificationHead, {"in_channels": 8, "num_classes": 0}, "num_classes: expected a whole number from 1"),
        (ClassificationHead, {"in_channels": 8, "num_classes": 2, "dropout": 1}, "of at least 0 and below 1, found 1"),
        (ClassificationHead, {"in_channels": 8, "num_classes": 2, "loss_weight": -1}, "loss_weight: expected a number"),
        (ConnectivityHead, {**LEVELS, "width": True}, "width: expected a whole number from 1 to 65,536 or None"),
        (DensityHead, {**LEVELS, "dilation": 0}, "dilation: expected a whole number from 1 to 1,024, found 0"),
        (DensityHead, {**LEVELS, "log_para": math.nan}, "log_para: expected a number above 0, found nan"),
        (DiNAT, {"drop_path_rate": 1.5}, "drop_path_rate: expected a number of at least 0 and below 1 or None"),
        (DiNAT, {"num_heads": [0, 1]}, "num_heads: expected a list of items"),
        (DiNAT, {"kernel_size": 0}, "kernel_size: expected a whole number from 1"),
        (DiNAT, {"out_indices": []}, "out_indices: expected a list of 1 or more items"),
        (TaskPreprocessor, {"mean": [1.0], "std": [0.0]}, r"std: expected a list .* \(a number above 0 each\)"),
        (TaskPreprocessor, {"mean": [math.nan], "std": [1.0]}, "mean: expected a list"),
        (TaskPreprocessor, {"mean": [1.0, 2.0], "std": [1.0]}, "mean and std of equal length"),
        (TaskPreprocessor, {"pad_size_divisor": 0}, "pad_size_divisor: expected a whole number from 1"),
        (HorizontalFlip, {"prob": 1.5}, "HorizontalFlip.prob: expected a number from 0 to 1, found 1.5"),
        (FlipGroup, {"prob": -1}, "FlipGroup.prob: expected a number from 0 to 1, found -1"),
        (ResizeCrop, {"size": 0}, "ResizeCrop.size: expected a whole number from 1"),
        (RandomErasing, {"max_area": 2}, "max_area: expected a number above 0 and of at most 1, found 2"),
        (ResizeToFit, {"size": (0, 0)}, "size: expected a list of 2 items .* or None, found \\(0, 0\\)"),
        (ResizeToFit, {"size": "abc"}, "size: expected a list of 2 items .* found 'abc'"),
        (RandomCropPoints, {"size": {"a": 1}}, "size: expected a list of 2 items .* found a dict"),
        (CropOrPad, {"size": (8, -8)}, "CropOrPad.size: expected a list of 2 items"),
        (CountMetric, {"game_levels": (30,)}, "game_levels: expected a list of items .a whole number from 0 to 10"),
        (CULaneMetric, {"iou_thr": 2}, "iou_thr: expected a number of at least 0 and below 1, found 2"),
    ],
)
def test_constructors_check_their_arguments(part, options, expected):
    with pytest.raises(ConfigError, match=expected) as caught:
        part(**options)
    assert "\n" not in str(caught.value)


def test_the_check_and_the_constructor_agree():
    (line,) = problems("rcnet_retinanet", {"model.neck.num_outs": 0})
    with pytest.raises(ConfigError) as caught:
        get_model("rcnet_retinanet", tiny=True, **{"model.neck.num_outs": 0})
    assert line.endswith("expected a whole number from 3 to 6, found 0")
    assert "expected a whole number from 3 to 6, found 0" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("model.neck.out_channels", -16, "a whole number from 1 to 65,536"),
        ("model.bbox_head.feat_channels", 0, "a whole number from 1 to 65,536"),
        ("model.bbox_head.stacked_convs", 0, "a whole number from 1 to 1,024"),
        ("model.bbox_head.anchor_generator.ratios", [], "a list of 1 or more items"),
        ("model.bbox_head.anchor_generator.scales", [], "a list of 1 or more items"),
        ("model.bbox_head.bbox_coder.target_stds", [0, 1, 1, 1], "a list of 4 to 5 items"),
        ("model.bbox_head.loss_cls.loss_weight", -1, "a number of at least 0, found -1"),
        ("model.data_preprocessor.std", [0, 1, 1], "a list of 1 or more items (a number above 0 each)"),
        ("model.data_preprocessor.mean", [1, 2], "expected 2 numbers, one for each of mean, found 3"),
        ("model.data_preprocessor.mean", [math.nan] * 3, "a list of 1 or more items"),
        ("model.train_cfg.assigner.pos_iou_thr", 2, "a number from 0 to 1"),
        ("model.test_cfg.score_thr", 5, "a number from 0 to 1"),
        ("model.test_cfg.score_thr", math.nan, "found nan"),
        ("model.test_cfg.nms.iou_threshold", 2, "a number from 0 to 1"),
        ("train_dataloader.dataset.pipeline.2.scale", (0, 0), "found (0, 0)"),
        ("train_dataloader.dataset.pipeline.2.scale", "abc", "found 'abc'"),
        ("train_dataloader.dataset.pipeline.2.scale", (-5, 5), "found (-5, 5)"),
        ("train_dataloader.dataset.pipeline.2.scale", {"a": 1}, "found a dict"),
        ("train_dataloader.dataset.pipeline.3.prob", 1.5, "a number from 0 to 1"),
        ("val_evaluator.iou_thrs", 2, "a list of items"),
        ("optim_wrapper.clip_grad.max_norm", 0, "a number above 0, found 0"),
        ("randomness.seed", 10**19, "a whole number from 0 to 4,294,967,295"),
        ("log_level", "FOO", "'DEBUG' or 'INFO' or 'WARNING' or 'ERROR' or 'CRITICAL', found 'FOO'"),
        ("load_from", 3, "a name, found 3"),
    ],
)
def test_settings_of_a_detector(path, value, expected):
    lines = problems("rcnet_retinanet", {path: value})
    assert len(lines) == 1, lines
    assert expected in lines[0]


@pytest.mark.parametrize(
    ("name", "metric", "expected"),
    [
        (
            "rcnet_retinanet",
            "CountMetric",
            "CountMetric measures counting, not detection; choose one of BoundaryAPMetric, CocoMetric",
        ),
        ("scnn_tusimple", "CocoMetric", "CocoMetric measures detection and instances, not lanes; choose one of CULane"),
    ],
)
def test_a_metric_of_another_task(name, metric, expected):
    lines = problems(name, {"val_evaluator": {"_delete_": True, "type": metric}})
    assert any(f"val_evaluator.type: {expected}" in line for line in lines), lines


def test_a_data_set_of_another_task_keeps_the_pipeline():
    """Regression: the samples of such a data set had no `inputs`."""
    tree = load_config("scnn_tusimple", tiny=True).cfg.to_dict()
    tree["train_dataloader"]["dataset"] = {"type": "PointsDataset", "ann_file": "a.csv", "data_root": "x"}
    assert any("the data set has no pipeline; add pipeline=[...] that ends with" in line for line in check_config(tree))


def test_a_data_set_of_the_same_task_by_type_only_keeps_the_pipeline():
    """Regression: the samples of such a data set had no `inputs`."""
    usual = load_config("hmode_shanghaitech_a", tiny=True).cfg.train_dataloader.dataset
    option = "train_dataloader.dataset.type=PointsDataset"
    loaded = load_config("hmode_shanghaitech_a", tiny=True, options=[option])
    assert loaded.cfg.train_dataloader.dataset.type == "PointsDataset"
    assert loaded.cfg.train_dataloader.dataset.pipeline == usual.pipeline
    assert all("pipeline" not in line for line in check_config(loaded))


def test_annotations_that_cannot_be_read_are_omitted():
    class Part:
        def __init__(self, size: Count, other: Unknown = None): ...  # noqa: F821

    check_on_construction(Part)
    check_on_construction(Part)  # twice is once
    assert list(hints_of(Part)) == ["size"]
    with pytest.raises(ConfigError, match=r"Part\.size: expected a whole number from 1 to 65,536, found 'x'"):
        Part("x")
    with pytest.raises(TypeError, match="missing"):
        Part()


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "1", [1], {}, math.nan, math.inf, 10**400])
def test_counts(value):
    assert not fits(value, Count)
    assert problem_of(value, Count).startswith("expected a whole number from 1 to 65,536, found ")


def test_words_for_ranges_and_lengths():
    assert (
        f"{Range(least=0)} | {Range(above=0, most=1)}" == "a number of at least 0 | a number above 0 and of at most 1"
    )
    assert [1] in Items(1, 2)
    assert [] not in Items()
    assert describe(library_hint("target_means")) == "a list of 4 to 5 items (a number each)"
