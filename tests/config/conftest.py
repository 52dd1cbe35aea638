"""A folder for configs, and a correct config of a small detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

WriteConfig = Callable[[str, str], Path]

DETECTOR = """
data = dict(
    type="mmdet.CocoDataset",
    data_root="data/coco",
    ann_file="a.json",
    pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="mmdet.LoadAnnotations", with_bbox=True),
        dict(type="mmdet.Resize", scale=(64, 96), keep_ratio=True),
        dict(type="mmdet.PackDetInputs"),
    ],
)
train_dataloader = dict(batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=True), dataset=data)
task = "detection"
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=2)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9), clip_grad=dict(max_norm=1))
param_scheduler = [dict(type="MultiStepLR", milestones=[1], convert_to_iter_based=True)]
default_hooks = dict(logger=dict(type="LoggerHook", interval=5), checkpoint=dict(type="CheckpointHook", interval=1))
custom_hooks = [dict(type="EMAHook", momentum=0.001, priority=49)]
model = dict(
    type="mmdet.RetinaNet",
    data_preprocessor=dict(type="mmdet.DetDataPreprocessor", mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False),
    backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type="BN", requires_grad=True),
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
        init_cfg=[dict(type="Pretrained", checkpoint="torchvision://resnet50")],
    ),
    neck=dict(type="mmdet.FPN", out_channels=16, num_outs=5, start_level=1, add_extra_convs="on_input"),
    bbox_head=dict(
        type="mmdet.RetinaHead",
        feat_channels=16,
        anchor_generator=dict(
            type="mmdet.AnchorGenerator", octave_base_scale=4, scales_per_octave=3, ratios=[0.5, 1.0, 2.0]
        ),
        bbox_coder=dict(type="mmdet.DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="mmdet.FocalLoss", loss_weight=1.0),
        init_cfg=dict(type="Normal", layer="Conv2d", std=0.01, override=dict(type="Normal", name="x", std=0.1)),
    ),
    train_cfg=dict(assigner=dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4), allowed_border=-1),
    test_cfg=dict(nms_pre=100, nms=dict(type="nms", iou_threshold=0.5), max_per_img=10),
)
"""


@pytest.fixture
def write(tmp_path: Path) -> WriteConfig:
    """Return a function that writes a config file below the temporary folder."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def detector(write: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write ``d.py``, a correct config, into the working folder."""
    monkeypatch.chdir(tmp_path)
    return write("d.py", DETECTOR)
