"""Weights of other classes start a training of every kind of head: one loss, and one line about the new tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.models.class_counts import ClassCounts
from visionzoo.models.wiring import build_model

# One stage, two stages, masks, queries, semantic maps, classes: a config and one of the tensors of its classes.
HEADS = {
    "rcnet_retinanet": "bbox_head.retina_cls.weight",
    "rcnet_gfl": "bbox_head.gfl_cls.weight",
    "rcnet_atss": "bbox_head.atss_cls.weight",
    "rcnet_faster_rcnn": "roi_head.bbox_head.fc_reg.bias",
    "rcnet_mask_rcnn": "roi_head.bbox_head.fc_cls.bias",
    "connnet_mask_rcnn": "roi_head.bbox_head.fc_cls.bias",
    "mask2former_r50_coco_instance": "panoptic_head.cls_embed.bias",
    "rcnet_mask2former_coconut": "panoptic_head.cls_embed.bias",
    "dinat_upernet_ade20k": "auxiliary_head.conv_seg.bias",
    "nat_mini_imagenet": "head.fc.bias",
}


@pytest.mark.parametrize("name", HEADS)
def test_weights_of_seven_classes_start_a_training(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_config(name, tiny=True)
    model = build_model(loaded.cfg.model, replaced=loaded.replaced, num_classes=ClassCounts(7))
    tensors = {key: value.clone() for key, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    save_file(tensors, tmp_path / "released.safetensors")
    words = [
        "train",
        name,
        "--tiny",
        "--dry-run",
        "--device",
        "cpu",
        "--weights",
        str(tmp_path / "released.safetensors"),
    ]
    capsys.readouterr()
    assert main(words) == 2
    assert "--replace-head" in capsys.readouterr().err
    assert main([*words, "--replace-head"]) == 0
    said = capsys.readouterr().err.splitlines()
    (line,) = [line for line in said if "tensors start with new values: " in line]
    count, names = int(line.split()[0]), line.partition("values: ")[2]
    assert HEADS[name] in names or count > 4
    assert any(line.endswith(f", ignored {count}") for line in said)
    assert any(line.startswith("losses ") for line in said)
