"""Joint losses and gradients are the sums of those of one model per task, on samples with the truth of one task."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from joint_run import TASKS, joint_config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from visionzoo.engine.loaders import build_dataset, build_loader
from visionzoo.engine.seeding import seed_everything
from visionzoo.models.class_counts import counts_by_task
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import is_of_task

EQUAL = dict(type="FixedWeights")


def batches(mode: str) -> tuple[list[Any], Any]:
    """Return one round of training batches of all tasks, and the metainfo of the data."""
    cfg = joint_config(mode=mode)["train_dataloader"]
    dataset = build_dataset(cfg["dataset"], where="data")
    count = len(TASKS) if mode == "in_turn" else 1
    loader = iter(build_loader({**cfg, "batch_size": 3 if mode == "in_turn" else 7}, dataset, seed=1))
    return [next(loader) for _ in range(count)], dataset.metainfo


def joint_model(weighting: dict[str, Any] | None, meta: Any) -> Any:
    seed_everything(5)
    model: Any = build_model(joint_config(weighting)["model"], num_classes=counts_by_task(meta))
    with DefaultScope.overwrite_default_scope("visionzoo"):
        model.init_weights()
    return model


def single_model(task: str, whole: nn.Module, meta: Any) -> Any:
    """Return the model of one task with the weights of the joint one."""
    cfg = joint_config()["model"]
    head = cfg.pop("heads")[task]
    counts = counts_by_task(meta).get(task)
    model: Any = build_model({**cfg, "head": head}, num_classes=counts)
    own = {name.replace(f"heads.{task}.", "head."): value for name, value in whole.state_dict().items()}
    model.load_state_dict({name: own[name] for name in model.state_dict()})
    return model


def prepared(model: Any, *, statistics: bool) -> Any:
    """Return a model in training mode without dropout; with ``statistics=False`` its norms use running statistics."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.eval()
        if not statistics and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def part_of(batch: Any, task: str) -> Any:
    """Return the samples of a task in a batch."""
    places = [place for place, sample in enumerate(batch["data_samples"]) if is_of_task(sample, task)]
    inputs = [batch["inputs"][place] for place in places]
    return {"inputs": inputs, "data_samples": [batch["data_samples"][place] for place in places]}


def backward(model: Any, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    loss, logged = model.parse_losses(model(**data, mode="loss"))
    loss.backward()
    return loss.detach(), logged


@pytest.mark.parametrize("weighting", [None, EQUAL], ids=["sum", "equal weights"])
@pytest.mark.parametrize("mode", ["in_turn", "mixed"])
def test_losses_and_gradients_are_the_sums_of_single_models(mode: str, weighting: dict[str, Any] | None) -> None:
    """In turn, also the statistics of the norms are those of the single models, because no batch mixes tasks."""
    rounds, meta = batches(mode)
    statistics = mode == "in_turn"
    model = prepared(joint_model(weighting, meta), statistics=statistics)
    singles = {task: prepared(single_model(task, model, meta), statistics=statistics) for task in TASKS}
    total, expected = torch.zeros(()), torch.zeros(())
    for batch in rounds:
        if mode == "mixed":
            batch = padded(batch)
        total += backward(model, batch)[0]
        for task, single in singles.items():
            part = part_of(batch, task)
            if part["inputs"]:
                expected += backward(single, part)[0]
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)
    for name, parameter in model.named_parameters():
        of_tasks = [dict(single.named_parameters()).get(own_name(name, task)) for task, single in singles.items()]
        gradients = [each.grad for each in of_tasks if each is not None and each.grad is not None]
        if parameter.grad is None:
            assert gradients == [], name
        else:
            scale = float(parameter.grad.abs().max()) + 1e-6
            torch.testing.assert_close(parameter.grad, sum(gradients), rtol=1e-4, atol=1e-5 * scale, msg=name)


def own_name(name: str, task: str) -> str:
    return name.replace(f"heads.{task}.", "head.")


def padded(batch: Any) -> Any:
    """Return a batch whose images are padded to one size, so that no task is padded differently."""
    images = []
    for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
        canvas = torch.zeros(3, 160, 160, dtype=image.dtype)
        height, width = image.shape[1:]
        canvas[:, :height, :width] = image
        images.append(canvas)
        for key in ("gt_density", "gt_map"):
            if key in sample:
                value = sample.get(key)
                whole = value.new_zeros(160, 160)
                whole[:height, :width] = value
                sample.set_data({key: whole})
        sample.set_metainfo({"img_shape": (160, 160)})
    return {"inputs": images, "data_samples": batch["data_samples"]}
