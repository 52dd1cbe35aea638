"""Settings that only the built run can judge: metrics that select a checkpoint, parts that reject their arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from visionzoo.config import load_config
from visionzoo.engine.best_metric import require_measured
from visionzoo.errors import ConfigError, ZooError
from visionzoo.metrics.classification import ClassificationMetric
from visionzoo.metrics.coco import CocoMetric
from visionzoo.metrics.connectivity import PairMetric
from visionzoo.metrics.counting import CountMetric
from visionzoo.metrics.lanes import CULaneMetric, TuSimpleMetric
from visionzoo.metrics.saliency import SaliencyMetric
from visionzoo.registry import task_names
from visionzoo.tasks import task_of

ONE_EPOCH = {"train_cfg.max_epochs": 1}


def test_two_metrics_select_two_checkpoints(train_toy, tmp_path):
    best = {"default_hooks.checkpoint.save_best": ["toy/acc", "toy/count"], "default_hooks.checkpoint.rule": "greater"}
    outcome = train_toy("run", ONE_EPOCH | best)
    names = sorted(path.name for path in (tmp_path / "run").glob("best_*"))
    assert names == ["best_toy_acc_epoch_1.safetensors", "best_toy_count_epoch_1.safetensors"]
    assert Path(outcome["best"]).name == names[0]


@pytest.mark.parametrize(
    ("option", "value", "where"),
    [
        ("default_hooks.checkpoint.save_best", "tyo/acc", "default_hooks.checkpoint.save_best"),
        ("default_hooks.checkpoint.save_best", ["toy/acc", "acc"], "default_hooks.checkpoint.save_best"),
        ("early_stopping", {"monitor": "other/acc", "rule": "greater"}, "early_stopping.monitor"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_unknown_metric_is_refused_before_training(train_toy, tmp_path, option, value, where, dry_run):
    options = ONE_EPOCH | {"default_hooks.checkpoint.rule": "greater", option: value}
    with pytest.raises(ConfigError, match=f"{where}: expected a metric that the evaluator measures"):
        train_toy("run", options, dry_run=dry_run)
    assert not list(tmp_path.glob("run/*.pth"))


@pytest.mark.parametrize(
    ("metric", "right", "wrong"),
    [
        (ClassificationMetric(), "cls/top5", "cls/top2"),
        (ClassificationMetric(prefix="val"), "val/mean_class", "cls/mean_class"),
        (ClassificationMetric(classwise=True), "cls/top1/cat", "cls/top2/cat"),
        (CocoMetric(), "coco/bbox_mAP_50", "coco/segm_mAP"),
        (CocoMetric(metric=["bbox", "segm"], iou_thrs=(0.7,)), "coco/segm_mAP_70", "coco/segm_mAP_60"),
        (CountMetric(game_levels=(1,)), "count/GAME1", "count/GAME2"),
        (CountMetric(categories="level"), "count/MAE_level", "count/MAE_scene"),
        (SaliencyMetric(), "sal/Smeasure", "sal/Xmeasure"),
        (CULaneMetric(), "culane/F1/night", "culane/accuracy"),
        (TuSimpleMetric(), "tusimple/accuracy", "tusimple/precision"),
        (PairMetric(), "pairs/agreement", "pairs/F1"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_metrics_list_what_they_measure(metric, right, wrong):
    require_measured([right, "auto"], [metric], "save_best")
    with pytest.raises(ConfigError, match=wrong):
        require_measured([wrong], [metric], "save_best")


def test_metrics_of_tasks_are_listed():
    """A task selects checkpoints only by numbers that its metric lists."""
    metrics = [ClassificationMetric(), CocoMetric(metric=["bbox", "segm"]), CountMetric(), SaliencyMetric()]
    metrics += [CULaneMetric(), TuSimpleMetric()]
    for name in task_names():
        chosen = [metric for metric in task_of(name).save_best if not metric.startswith("pascal_voc")]
        own = [metric for metric in metrics if any(each.startswith(f"{metric.prefix}/") for each in chosen)]
        require_measured(chosen if own else [], own, name)


def test_a_metric_with_fewer_classes_than_k():
    metric = ClassificationMetric()
    metric.dataset_meta = {"classes": ("a", "b", "c")}
    with pytest.raises(ConfigError, match="cls/top5"):
        require_measured(["cls/top5"], [metric], "save_best")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"optim_wrapper.optimizer.nesterov": True, "optim_wrapper.optimizer.momentum": 0.0},
            "optim_wrapper: expected",
        ),
        ({"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.loss_scale": "x"}, "loss_scale: expected 'dynamic'"),
        ({"train_dataloader.dataset.count": -1}, "train_dataloader.dataset"),
        ({"train_cfg.dynamic_intervals": [1]}, "EpochLoop: expected arguments that it takes"),
        ({"model.width": -1}, "ToyNet: expected arguments that it takes"),
        ({"model.norm": "group", "model.width": 3}, "ToyNet: expected arguments that it takes"),
        ({"custom_hooks": [{"type": "EMAHook", "begin_iter": 1, "begin_epoch": 1}]}, "hook EMAHook: expected"),
        (
            {"default_hooks.checkpoint.save_best": "toy/unknown"},
            r"checkpoint\.rule: expected greater or less for toy/unknown",
        ),
    ],
)
def test_rejected_arguments_are_one_sentence(train_toy, options, says):
    with pytest.raises(ZooError, match=says) as caught:
        train_toy("run", ONE_EPOCH | options, dry_run=True)
    assert "\n" not in str(caught.value)


def test_a_swapped_optimizer_keeps_what_both_take():
    loaded = load_config("dinat_mini_imagenet", options=["optim_wrapper.optimizer.type=SGD"])
    assert loaded.cfg.optim_wrapper.optimizer.to_dict() == {"type": "SGD", "lr": 0.001, "weight_decay": 0.05}
    assert loaded.notes == ["optim_wrapper.optimizer: AdamW -> SGD, kept lr, weight_decay, dropped betas, eps"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_swapped_data_set_keeps_its_pipeline(split):
    path = f"{split}_dataloader.dataset"
    loaded = load_config("dinat_mini_imagenet", options=[f"{path}.type=ImageList", f"{path}.ann_file=a.csv"])
    dataset = loaded.cfg[f"{split}_dataloader"].dataset
    assert dataset.type == "ImageList"
    assert [step.type for step in dataset.pipeline][-1] == "PackTaskInputs"
    assert dataset.get("test_mode") is (True if split == "val" else None)
    assert "split" not in dataset
