"""SCNN's messages between any backbone and any head: levels, reductions, a detector's training step, wrong settings."""

from __future__ import annotations

import pytest
import torch
from closeness import assert_close_up_to_rounding
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from visionzoo.errors import ConfigError, UnknownName
from visionzoo.models.wiring import build_model
from visionzoo.necks.scnn import SpatialMessagePassing

SIZES = [(19, 25), (10, 13), (5, 7)]  # sizes without common divisors
CHANNELS = (8, 16, 32)
KERNEL = 9  # kernel of the paper


def maps(batch=2):
    torch.manual_seed(0)
    return tuple(torch.randn(batch, channels, *size) for channels, size in zip(CHANNELS, SIZES, strict=True))


def neck_of(**options):
    torch.manual_seed(1)
    neck = SpatialMessagePassing(CHANNELS, (8, 16, 32), **options)
    for value in neck.messages.parameters():
        torch.nn.init.normal_(value, std=0.1)
    return neck.eval()


def test_chosen_levels_change_and_the_others_are_themselves():
    feats, neck = maps(), neck_of(levels=(0, -1))
    kept = [x.clone() for x in feats]
    outs = neck(feats)
    assert (neck.out_channels, neck.out_strides) == (CHANNELS, (8, 16, 32))
    assert list(neck.messages) == ["0", "2"]
    assert outs[1] is feats[1]
    for index in (0, 2):
        assert outs[index].shape == feats[index].shape
        assert not torch.equal(outs[index], feats[index])
    assert all(torch.equal(x, old) for x, old in zip(feats, kept))


def test_reduces_every_level_first():
    neck = neck_of(channels=4, levels=(1,), kernel=3, directions=("right",), bias=True)
    outs = neck(maps())
    assert neck.out_channels == (4, 4, 4)
    assert [tuple(out.shape) for out in outs] == [(2, 4, *size) for size in SIZES]
    assert sum(value.numel() for value in neck.messages.parameters()) == 4 * 4 * 3 + 4
    assert neck_of(variant="tiny").out_channels == (16, 16, 16)


@pytest.mark.parametrize("batch", [3, 5])
def test_images_of_a_batch_are_independent(batch):
    neck, feats = neck_of(), maps(batch)
    with torch.no_grad():
        every = neck(feats)
        for index in range(batch):
            for whole, single in zip(every, neck(tuple(x[index : index + 1] for x in feats))):
                assert_close_up_to_rounding(whole[index : index + 1], single, additions_of(single))


def additions_of(out):
    """Count additions: each slice adds a convolution over C channels and K places; all rows and columns twice each."""
    _, channels, height, width = out.shape
    return channels * KERNEL * 2 * (height + width)


@pytest.mark.parametrize("before", ["backbone", "FPN"])
def test_in_a_detector(before):
    """One step of RetinaNet: losses are finite, and every kernel has a gradient."""
    torch.manual_seed(0)
    messages = dict(type="SpatialMessagePassing", variant="tiny", levels=(0, 1), kernel=3)
    fpn = dict(type="mmdet.FPN", out_channels=16, num_outs=3)
    model = build_model(
        dict(
            type="mmdet.RetinaNet",
            data_preprocessor=dict(type="mmdet.DetDataPreprocessor", pad_size_divisor=32),
            backbone=dict(type="mmdet.ResNet", depth=18, base_channels=8, out_indices=(1, 2, 3)),
            neck=[fpn, messages] if before == "FPN" else messages,
            bbox_head=dict(
                type="mmdet.RetinaHead",
                stacked_convs=1,
                feat_channels=8,
                anchor_generator=dict(type="mmdet.AnchorGenerator", scales=[4], ratios=[1.0]),
                bbox_coder=dict(type="mmdet.DeltaXYWHBBoxCoder"),
            ),
            train_cfg=dict(
                assigner=dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
                sampler=dict(type="mmdet.PseudoSampler"),
                allowed_border=-1,
                pos_weight=-1,
                debug=False,
            ),
        ),
        num_classes=2,
    ).train()
    samples = [DetDataSample(metainfo=dict(img_shape=(93, 121), scale_factor=(1.0, 1.0))) for _ in range(2)]
    for sample, boxes in zip(samples, ([[5.0, 8.0, 60.0, 70.0]], [])):
        labels = torch.zeros(len(boxes), dtype=torch.long)
        sample.gt_instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=labels)
    images = [torch.randint(0, 256, (3, 93, 121), dtype=torch.uint8) for _ in samples]
    batch = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    total, _ = model.parse_losses(model(**batch, mode="loss"))
    total.backward()
    assert total.isfinite()
    neck = model.neck if before == "backbone" else model.neck[1]
    assert all(value.grad.isfinite().all() and value.grad.any() for value in neck.messages.parameters())


def test_wrong_settings():
    with pytest.raises(UnknownName, match="no SpatialMessagePassing variant is called 'tinny'"):
        SpatialMessagePassing(CHANNELS, variant="tinny")
    for levels in ((), (3,), (0, 0), (0, -3)):
        with pytest.raises(ConfigError, match=r"levels: expected some of 0 to 2, each once"):
            SpatialMessagePassing(CHANNELS, levels=levels)
    with pytest.raises(ConfigError, match=r"in_strides: expected one per level, 3, found \[8\]"):
        SpatialMessagePassing(CHANNELS, (8,))
    with pytest.raises(ConfigError, match=r"expected 3 feature maps .*, found 2"):
        neck_of()(maps()[:2])
    assert SpatialMessagePassing(CHANNELS).out_strides == (4, 8, 16)
