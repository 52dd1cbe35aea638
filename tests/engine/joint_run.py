"""A run of three heads on one trunk, from data sets of one task each.

    python joint_run.py FOLDER SETTINGS

SETTINGS is JSON: ``weighting`` (config), ``mode``, ``kill_at`` (iteration at which the process is killed, once),
``resume``, ``options`` (of the config) and ``amp``. It prints the outcome as JSON, also under torchrun, once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch

from visionzoo.config import config_text, load_config
from visionzoo.engine.training import train
from visionzoo.models.task_model import TaskModel
from visionzoo.system import distributed

LOAD, PACK = dict(type="LoadImage"), dict(type="PackTaskInputs")
COUNTS, MAPS, CLASSES = "tiny://trancos?train=8&val=3", "tiny://msra_b?train=6&val=4", "tiny://imagenet?train=10&val=5"
SIZE = dict(type="Resize", scale=(80, 64), keep_ratio=False)
DENSITY = dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15))
TASKS = ("counting", "saliency", "classification")


def data_sets(split: str) -> dict[str, dict[str, Any]]:
    """Return the data sets of a split by task; their sizes differ."""
    is_train = split == "train"
    common = dict(split=split, test_mode=not is_train)
    counting = [LOAD, dict(type="LoadRoi"), *([DENSITY, dict(type="FlipPoints", prob=0.5)] if is_train else []), PACK]
    mask = dict(type="LoadMaskAnnotation", kind="binary")
    saliency = [LOAD, mask, *([SIZE, dict(type="RandomFlip", prob=0.5)] if is_train else []), PACK]
    classes = [LOAD, dict(type="RandomResizedCrop", size=64) if is_train else dict(type="ResizeCrop", size=64), PACK]
    return dict(
        counting=dict(type="TRANCOSDataset", data_root=COUNTS, pipeline=counting, **common),
        saliency=dict(type="SaliencyDataset", data_root=MAPS, pipeline=saliency, **common),
        classification=dict(type="ImageNet", data_root=CLASSES, pipeline=classes, **common),
    )


def joint_config(
    weighting: dict[str, Any] | None = None, mode: str = "in_turn", only: Sequence[str] = TASKS
) -> dict[str, Any]:
    """Return the values of the config of the tasks ``only``."""

    def of_tasks(parts: dict[str, Any]) -> dict[str, Any]:
        return {task: parts[task] for task in only}

    loader = dict(batch_size=2, num_workers=0, dataset=dict(type="JointDataset", datasets=of_tasks(data_sets("val"))))
    metrics = dict(
        counting=dict(type="CountMetric"),
        saliency=dict(type="SaliencyMetric"),
        classification=[dict(type="ClassificationMetric")],
    )
    heads = dict(
        counting=dict(type="DensityHead", variant="tiny"),
        saliency=dict(type="ConnectivityHead", variant="tiny", loss=dict(type="ConnectivityLoss", mode="paper")),
        classification=dict(type="ClassificationHead"),
    )
    model = dict(
        type="TaskModel",
        data_preprocessor=dict(type="TaskPreprocessor", mean=[120.0] * 3, std=[60.0] * 3, pad_size_divisor=32),
        backbone=dict(type="BossNet", variant="tiny"),
        heads=of_tasks(heads),
    )
    hooks = dict(
        checkpoint=dict(type="CheckpointHook", interval=2, by_epoch=False, save_best="saliency/MAE", rule="less"),
        logger=dict(type="LoggerHook", interval=1),
    )
    return dict(
        default_scope="visionzoo",
        task=tuple(only),
        model=model if weighting is None else {**model, "loss_weighting": weighting},
        train_dataloader=dict(
            batch_size=3,
            num_workers=0,
            sampler=dict(type="JointSampler", mode=mode),
            dataset=dict(type="JointDataset", datasets=of_tasks(data_sets("train"))),
        ),
        val_dataloader=loader,
        test_dataloader=loader,
        val_evaluator=dict(type="JointEvaluator", metrics=of_tasks(metrics)),
        test_evaluator=dict(type="JointEvaluator", metrics=of_tasks(metrics)),
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=1, val_interval=1),
        val_cfg=dict(type="ValLoop"),
        test_cfg=dict(type="TestLoop"),
        optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3), clip_grad=dict(max_norm=10.0)),
        default_hooks=hooks,
    )


def write_config(path: Path, **settings: Any) -> Path:
    """Write the config to a file."""
    path.write_text(config_text(joint_config(**settings)), encoding="utf-8")
    return path


def joint_train(
    folder: Path,
    weighting: dict[str, Any] | None = None,
    mode: str = "in_turn",
    options: dict[str, Any] | None = None,
    only: Sequence[str] = TASKS,
    quiet: bool = True,
    **more: Any,
) -> dict[str, Any]:
    """Train in ``folder``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = write_config(
        folder.parent / f"{folder.name}_{distributed_rank()}.py", weighting=weighting, mode=mode, only=only
    )
    return train(load_config(path, options=options or {}), work_dir=folder, device="cpu", quiet=quiet, **more)


def distributed_rank() -> str:
    """Return the rank of this process as torchrun sets it."""
    return os.environ.get("RANK", "0")


def killed_at(iteration: int, losses: Callable[..., Any] = TaskModel._losses) -> Callable[..., Any]:
    """Return the losses of a model whose process is killed in a training iteration."""
    seen = count(1)

    def killing(*args: Any) -> Any:
        if next(seen) == iteration:
            os.kill(os.getpid(), signal.SIGKILL)
        return losses(*args)

    return killing


def main() -> None:
    torch.set_num_threads(1)
    folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    if iteration := settings.pop("kill_at", None):
        TaskModel._losses = killed_at(iteration)  # type: ignore[method-assign]
    if settings.pop("resume", False):
        settings["resume"] = str(folder)
    outcome = joint_train(folder, **settings)
    if distributed.is_first() and distributed_rank() == "0":
        print(json.dumps(outcome))


if __name__ == "__main__":
    main()
