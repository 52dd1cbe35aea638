"""A config of several tasks on one trunk, and for each task the config of a model with the same trunk and head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mask_transformers import mask2former

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

_SUPPRESSION = {"type": "nms", "iou_threshold": 0.5}
_PROPOSALS = {"nms_pre": 60, "max_per_img": 30, "nms": {"type": "nms", "iou_threshold": 0.7}, "min_bbox_size": 0}
_CODER = {"type": "mmdet.DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": [0.1, 0.1, 0.2, 0.2]}


def _regions(side: int) -> dict[str, Any]:
    layer = {"type": "RoIAlign", "output_size": side, "sampling_ratio": 0}
    return {"type": "mmdet.SingleRoIExtractor", "roi_layer": layer}


# Heads of mmdet and mmseg on one trunk of mmdet.
LIBRARY_TRUNK = {
    "backbone": {"type": "mmdet.ResNet", "depth": 18, "base_channels": 8},
    "neck": {"type": "mmdet.FPN", "out_channels": 16, "num_outs": 5},
    "data_preprocessor": {"type": "TaskPreprocessor", "mean": [120.0] * 3, "std": [60.0] * 3, "pad_size_divisor": 32},
}
LIBRARY_HEADS: dict[str, dict[str, Any]] = {
    "counting": HEADS["counting"],
    "detection": {
        "type": "mmdet.ATSSHead",
        "num_classes": 3,
        "stacked_convs": 1,
        "feat_channels": 16,
        "norm_cfg": {"type": "GN", "num_groups": 4},
        "anchor_generator": {"type": "mmdet.AnchorGenerator", "ratios": [1.0], "octave_base_scale": 8,
                             "scales_per_octave": 1},
        "bbox_coder": _CODER,
        "test_cfg": {"nms_pre": 100, "score_thr": 0.05, "nms": _SUPPRESSION, "max_per_img": 20},
    },
    "semantic": {"type": "mmseg.FCNHead", "num_classes": 4, "channels": 8, "in_index": 0, "num_convs": 1},
    "instances": {
        "type": "TwoStageHead",
        "rpn_head": {
            "type": "mmdet.RPNHead",
            "feat_channels": 16,
            "anchor_generator": {"type": "mmdet.AnchorGenerator", "scales": [8], "ratios": [0.5, 1.0, 2.0]},
            "bbox_coder": _CODER,
        },
        "roi_head": {
            "type": "mmdet.StandardRoIHead",
            "bbox_roi_extractor": _regions(7),
            "bbox_head": {"type": "mmdet.Shared2FCBBoxHead", "num_classes": 3, "fc_out_channels": 16,
                          "bbox_coder": _CODER},
            "mask_roi_extractor": _regions(14),
            "mask_head": {"type": "mmdet.FCNMaskHead", "num_classes": 3, "num_convs": 1, "conv_out_channels": 8},
        },
        "test_cfg": {
            "rpn": _PROPOSALS,
            "rcnn": {"score_thr": 0.05, "nms": _SUPPRESSION, "max_per_img": 10, "mask_thr_binary": 0.5},
        },
    },
    "panoptic": mask2former(
        {},
        num_things_classes=2,
        num_stuff_classes=3,
        test_cfg={"panoptic_on": True, "instance_on": True, "object_mask_thr": 0.0, "iou_thr": 0.0},
    ).panoptic_head.to_dict(),
}  # fmt: skip


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


def library_config(folder: Path, tasks: list[str]) -> Path:
    """Write the config of a model with heads of mmdet and mmseg."""
    return write_config(folder, tasks, {**LIBRARY_TRUNK, "heads": {name: LIBRARY_HEADS[name] for name in tasks}})


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
