"""A config of several tasks on one trunk, and for each task the config of a model with the same trunk and head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from visionzoo import get_model

TRUNK = {"type": "BossNet", "variant": "tiny"}
CLASSES = ("circle", "square", "star")
PIPELINE = [
    {"type": "LoadImage"},
    {"type": "Resize", "scale": (128, 96), "keep_ratio": False, "interpolation": "bicubic"},
    {"type": "PackTaskInputs"},
]
HEADS: dict[str, dict[str, Any]] = {
    "lanes": {"type": "SCNNHead", "variant": "tiny", "input_size": (96, 128), "exist_threshold": 0.0},
    "counting": {"type": "DensityHead", "variant": "tiny"},
    "saliency": {"type": "ConnectivityHead"},
    "classification": {"type": "ClassificationHead", "num_classes": len(CLASSES)},
}
META = {"classification": {"classes": CLASSES}}


def write_config(folder: Path, tasks: str | list[str], heads: dict[str, Any], **changes: Any) -> Path:
    """Write ``scene.py``: a config without data, whose test pipeline resizes to 128x96 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    model = {"type": "TaskModel", "data_preprocessor": {"type": "TaskPreprocessor"}, "backbone": TRUNK, **heads}
    loader = {"dataset": {"type": "ImageFolder", "data_root": "none", "pipeline": PIPELINE}}
    values = {"task": tasks, "model": model, "test_dataloader": loader, **changes}
    path = folder / "scene.py"
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in values.items()))
    return path


def joint_config(folder: Path, tasks: list[str] | None = None) -> Path:
    """Write the config of a model with several heads."""
    chosen = list(HEADS) if tasks is None else tasks
    return write_config(folder, chosen, {"heads": {name: HEADS[name] for name in chosen}})


def single_config(folder: Path, task: str) -> Path:
    """Write the config of a model with one of the heads."""
    return write_config(folder, task, {"head": HEADS[task]})


def save_joint_weights(config: Path, path: Path) -> Path:
    """Save random weights of a model with several heads, with class names by task."""
    torch.manual_seed(0)
    model = get_model(config)
    torch.save({"state_dict": _spread(model.state_dict()), "meta": {"dataset_meta": {"tasks": META}}}, path)
    return path


def save_single_weights(joint: Path, task: str, path: Path, meta: dict[str, Any] | None = None) -> Path:
    """Save the trunk and one head of these weights as those of a model with one head, with metainfo of its data."""
    state = torch.load(joint, weights_only=True)["state_dict"]
    own = {key.replace(f"heads.{task}.", "head."): value for key, value in state.items()}
    kept = {key: value for key, value in own.items() if not key.startswith("heads.")}
    torch.save({"state_dict": kept, "meta": {"dataset_meta": meta or META.get(task, {})}}, path)
    return path


def _spread(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Add noise to the weights, so that results differ from place to place."""
    noise = torch.Generator().manual_seed(1)
    return {
        key: value + 0.05 * torch.randn(value.shape, generator=noise) if key.endswith("weight") else value
        for key, value in state.items()
    }


SEEN = ("counting", "saliency", "classification")  # tasks of the config with data
_LOAD, _FIT, _PACK = PIPELINE[0], {"type": "Resize", "scale": (80, 64), "keep_ratio": False}, PIPELINE[2]
_MASK = {"type": "LoadMaskAnnotation", "kind": "binary"}
_DENSITY = {"type": "MakeDensityMap", "kind": "fixed", "settings": {"sigma": 4.0, "size": 15}}


def _data_of(split: str) -> dict[str, dict[str, Any]]:
    is_train = split == "train"
    common = {"split": split, "test_mode": not is_train}
    counting = [_LOAD, {"type": "LoadRoi"}, _DENSITY, _PACK] if is_train else [_LOAD, {"type": "LoadRoi"}, _FIT, _PACK]
    saliency = [_LOAD, _MASK, _FIT, _PACK] if is_train else [_LOAD, _FIT, _MASK, _PACK]
    roots = {
        "counting": "tiny://trancos?train=4&val=3",
        "saliency": "tiny://msra_b?train=4&val=3",
        "classification": "tiny://imagenet?train=10&val=4",
    }
    pipelines = {"counting": counting, "saliency": saliency, "classification": [_LOAD, _FIT, _PACK]}
    types = {"counting": "TRANCOSDataset", "saliency": "SaliencyDataset", "classification": "ImageNet"}
    return {
        task: {"type": types[task], "data_root": roots[task], "pipeline": pipelines[task], **common} for task in SEEN
    }


def config_with_data(folder: Path) -> Path:
    """Write ``scene.py`` with drawn data sets of three tasks, each of which has the truth of one."""
    loader = {"batch_size": 2, "num_workers": 0, "dataset": {"type": "JointDataset", "datasets": _data_of("val")}}
    metrics = {
        "counting": {"type": "CountMetric"},
        "saliency": {"type": "SaliencyMetric"},
        "classification": {"type": "ClassificationMetric"},
    }
    evaluator = {"type": "JointEvaluator", "metrics": metrics}
    train = {"batch_size": 2, "num_workers": 0, "sampler": {"type": "JointSampler", "mode": "in_turn"}}
    heads = {
        **{name: HEADS[name] for name in SEEN},
        "classification": {"type": "ClassificationHead", "num_classes": 10},
    }
    return write_config(
        folder,
        list(SEEN),
        {"heads": heads},
        default_scope="visionzoo",
        train_dataloader={**train, "dataset": {"type": "JointDataset", "datasets": _data_of("train")}},
        val_dataloader=loader,
        test_dataloader=loader,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        train_cfg={"type": "EpochBasedTrainLoop", "max_epochs": 1},
        val_cfg={"type": "ValLoop"},
        test_cfg={"type": "TestLoop"},
        optim_wrapper={"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1e-3}},
        tiny={},
    )
