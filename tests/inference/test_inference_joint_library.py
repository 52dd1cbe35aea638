"""Heads of mmdet among the heads of one trunk write the files of a model of one task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inference_scenes import scene
from joint_models import HEADS, save_single_weights, write_config
from mask_transformers import RESNET, maskformer
from PIL import Image
from test_inference_joint import files_of, run, without_times

from visionzoo import Inferencer, get_model
from visionzoo.config.tree import plain

FPN = {"type": "mmdet.FPN", "out_channels": 16, "num_outs": 5, "start_level": 1, "add_extra_convs": "on_output"}
BOXES = {"type": "mmdet.DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": [1.0] * 4}
ANCHORS = {"type": "mmdet.AnchorGenerator", "octave_base_scale": 4, "scales_per_octave": 3, "ratios": [0.5, 1.0, 2.0]}
NMS = {"type": "nms", "iou_threshold": 0.5}
TESTING = {"nms_pre": 100, "min_bbox_size": 0, "score_thr": 0.0, "nms": NMS, "max_per_img": 6}
RETINA = {"type": "mmdet.RetinaHead", "stacked_convs": 1, "feat_channels": 16, "anchor_generator": ANCHORS,
          "bbox_coder": BOXES, "num_classes": 3}  # fmt: skip
MASKS = maskformer(RESNET, FPN)
FUSION = {"object_mask_thr": 0.0, "iou_thr": 0.0, "max_per_image": 20}
PANOPTIC = plain({**MASKS.panoptic_head, "num_things_classes": 2, "num_stuff_classes": 3, "test_cfg": FUSION})
TASKS: dict[str, dict[str, Any]] = {
    "lanes": HEADS["lanes"],
    "detection": {**RETINA, "test_cfg": TESTING},
    "panoptic": PANOPTIC,
}
PREPROCESSOR = {"type": "TaskPreprocessor", "pad_size_divisor": 32}
TRUNK = {"backbone": RESNET, "neck": FPN, "data_preprocessor": PREPROCESSOR}
META = {
    "detection": {"classes": ("cat", "dog", "owl"), "category_ids": (3, 5, 9)},
    "panoptic": {"classes": ("cup", "bus", "sky", "sea", "sand"), "category_ids": (1, 2, 4, 8, 16),
                 "things": ("cup", "bus"), "stuff": ("sky", "sea", "sand")},
}  # fmt: skip


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("joint")
    config = write_config(folder, list(TASKS), {**TRUNK, "heads": TASKS})
    torch.manual_seed(0)
    state = get_model(config).state_dict()
    for key, value in state.items():
        if "retina_cls.weight" in key or "cls_embed" in key:
            value += 0.3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
    torch.save({"state_dict": state, "meta": {"dataset_meta": {"tasks": META}}}, folder / "weights.pth")
    return config, folder / "weights.pth"


@pytest.mark.parametrize("task", TASKS)
def test_files_are_those_of_a_model_of_one_task(joint: tuple[Path, Path], tmp_path: Path, task: str) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number, size in enumerate([(61, 83), (200, 150)]):
        Image.fromarray(scene(*size, number)).save(images / f"{number}.png")
    options = ("--vis", "overlay,side", "--threshold", "0")
    assert run(*joint, images, "-o", tmp_path / "joint", *options) == 0
    config = write_config(tmp_path / "one", task, {**TRUNK, "head": TASKS[task]})
    weights = save_single_weights(joint[1], task, tmp_path / "one" / "weights.pth", META.get(task, {}))
    assert run(config, weights, images, "-o", tmp_path / "out", *options) == 0
    alone, together = files_of(tmp_path / "out"), files_of(tmp_path / "joint" / task)
    assert sorted(alone) == sorted(together)
    for name, content in alone.items():
        assert without_times(name, content) == without_times(name, together[name]), name


def test_boxes_are_those_of_the_detector_of_mmdet(joint: tuple[Path, Path], tmp_path: Path) -> None:
    theirs = {"type": "mmdet.RetinaNet", "backbone": RESNET, "neck": FPN, "bbox_head": RETINA, "test_cfg": TESTING,
              "data_preprocessor": {"type": "mmdet.DetDataPreprocessor", "pad_size_divisor": 32}}  # fmt: skip
    pipeline = [
        {"type": "LoadImage"},
        {"type": "Resize", "scale": (128, 96), "keep_ratio": False, "interpolation": "bicubic"},
        {"type": "mmdet.PackDetInputs", "meta_keys": ("img_path", "ori_shape", "img_shape", "scale_factor")},
    ]
    loader = {"dataset": {"type": "ImageFolder", "data_root": "none", "pipeline": pipeline}}
    config = write_config(tmp_path, "detection", {}, model=theirs, test_dataloader=loader)
    state = torch.load(joint[1], weights_only=True)["state_dict"]
    own = {key.replace("heads.detection.", ""): value for key, value in state.items()}
    kept = {key: value for key, value in own.items() if not key.startswith("heads.")}
    torch.save({"state_dict": kept, "meta": {"dataset_meta": META["detection"]}}, tmp_path / "weights.pth")
    options: dict[str, Any] = dict(device="cpu", exact=True, score_threshold=0.0)
    expected = Inferencer(config, tmp_path / "weights.pth", **options).one(scene(61, 83)).result
    found = Inferencer(*joint, **options).one(scene(61, 83)).results["detection"]
    assert len(found) == len(expected) == 6
    np.testing.assert_allclose(found.boxes, expected.boxes, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    assert found.labels.tolist() == expected.labels.tolist()


def test_classes_and_thresholds_belong_to_their_task(joint: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    inferencer = Inferencer(*joint, device="cpu", classes="owl,sea", class_thresholds={"detection": 0.1, "sky": 0.4})
    chosen = {name: reader.selection for name, reader in inferencer.readers.items()}
    assert (chosen["detection"].labels, chosen["panoptic"].labels, chosen["lanes"].labels) == ((2,), (3,), None)
    assert (chosen["detection"].threshold, chosen["panoptic"].thresholds) == (0.1, {2: 0.4})
    Image.fromarray(scene(61, 83)).save(tmp_path / "a.png")
    options = ("--save", "txt", "--save-crops", "--cfg-options", "model.heads.detection.test_cfg.score_thr=0.05")
    assert run(*joint, tmp_path / "a.png", "-o", tmp_path / "out", "--threshold", "0.01", *options) == 0
    said = capsys.readouterr().err
    advice = "detection: the model itself drops scores below 0.05 (model.heads.detection.test_cfg.score_thr)"
    assert advice in said
    found = files_of(tmp_path / "out")
    assert found["detection/labels/classes.txt"] == b"cat\ndog\nowl\n"
    assert "detection/predictions.coco.json" in found
    assert not [name for name in found if name.startswith(("lanes/labels", "lanes/crops"))]
    assert b'"isthing"' in found["panoptic/panoptic.json"]
