"""Small Mask2Former, MaskFormer and UPerNet models, and a batch of drawn rectangles to train them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

# Sizes of the images after the pipeline; the originals are twice as large.
SIZES = ((70, 97), (64, 90))

RESNET = {"type": "mmdet.ResNet", "depth": 18, "base_channels": 8}

_ATTENTION = {"embed_dims": 32, "num_heads": 2, "dropout": 0.0, "batch_first": True}
_FFN = {"embed_dims": 32, "feedforward_channels": 32, "num_fcs": 2, "ffn_drop": 0.0,
        "act_cfg": {"type": "ReLU", "inplace": True}}  # fmt: skip
_POSITIONS = {"num_feats": 16, "normalize": True}
_PREPROCESSOR = {"type": "mmdet.DetDataPreprocessor", "mean": [120.0] * 3, "std": [60.0] * 3, "bgr_to_rgb": False,
                 "pad_size_divisor": 32, "pad_mask": True, "pad_seg": True, "seg_pad_value": 255}  # fmt: skip
_TRAINING = {
    "num_points": 64,
    "oversample_ratio": 3.0,
    "importance_sample_ratio": 0.75,
    "assigner": {
        "type": "mmdet.HungarianAssigner",
        "match_costs": [
            {"type": "mmdet.ClassificationCost", "weight": 2.0},
            {"type": "mmdet.CrossEntropyLossCost", "weight": 5.0, "use_sigmoid": True},
            {"type": "mmdet.DiceCost", "weight": 5.0, "pred_act": True, "eps": 1.0},
        ],
    },
    "sampler": {"type": "mmdet.MaskPseudoSampler"},
}


def mask2former(backbone: Mapping, neck: Mapping | None = None, **head: Any) -> ConfigDict:
    """Return the config of a Mask2Former of 10 queries; ``head`` are further settings of its head."""
    points = {"embed_dims": 32, "num_heads": 2, "num_levels": 3, "num_points": 2, "dropout": 0.0, "batch_first": True}
    encoder = {"num_layers": 1, "layer_cfg": {"self_attn_cfg": points, "ffn_cfg": _FFN}}
    decoder = {"type": "mmdet.MSDeformAttnPixelDecoder", "norm_cfg": {"type": "GN", "num_groups": 4},
               "encoder": encoder, "positional_encoding": _POSITIONS}  # fmt: skip
    layers = {"self_attn_cfg": _ATTENTION, "cross_attn_cfg": _ATTENTION, "ffn_cfg": _FFN}
    parts = {
        "type": "mmdet.Mask2FormerHead",
        "feat_channels": 32,
        "out_channels": 32,
        "num_queries": 10,
        "pixel_decoder": decoder,
        "positional_encoding": _POSITIONS,
        "transformer_decoder": {"return_intermediate": True, "num_layers": 3, "layer_cfg": layers},
    }
    return _panoptic("mmdet.Mask2Former", backbone, neck, parts | head)


def maskformer(backbone: Mapping, neck: Mapping | None = None, **head: Any) -> ConfigDict:
    """Return the config of a MaskFormer of 10 queries; ``head`` are further settings of its head."""
    layers = {"self_attn_cfg": _ATTENTION, "cross_attn_cfg": _ATTENTION, "ffn_cfg": _FFN}
    parts = {
        "type": "mmdet.MaskFormerHead",
        "feat_channels": 32,
        "out_channels": 32,
        "num_queries": 10,
        "pixel_decoder": {"type": "mmdet.PixelDecoder", "norm_cfg": {"type": "GN", "num_groups": 4}},
        "enforce_decoder_input_project": True,
        "positional_encoding": _POSITIONS,
        "transformer_decoder": {"return_intermediate": True, "num_layers": 2, "layer_cfg": layers},
    }
    return _panoptic("mmdet.MaskFormer", backbone, neck, parts | head)


def _panoptic(kind: str, backbone: Mapping, neck: Mapping | None, head: Mapping) -> ConfigDict:
    return ConfigDict(
        type=kind,
        data_preprocessor=_PREPROCESSOR,
        backbone=dict(backbone),
        neck=neck,
        panoptic_head=head,
        panoptic_fusion_head={"type": "mmdet.MaskFormerFusionHead"},
        train_cfg=_TRAINING,
        test_cfg={"panoptic_on": True, "instance_on": True},
    )


def upernet(backbone: Mapping, neck: Mapping | None = None, **preprocessor: Any) -> ConfigDict:
    """Return the config of a UPerNet; ``preprocessor`` are further settings of mmseg's preprocessor."""
    head = {"type": "mmseg.UPerHead", "channels": 16, "in_index": [0, 1, 2, 3], "pool_scales": (1, 2),
            "norm_cfg": {"type": "GN", "num_groups": 4}}  # fmt: skip
    return ConfigDict(
        type="mmseg.EncoderDecoder",
        data_preprocessor={"type": "mmseg.SegDataPreProcessor", "mean": [120.0] * 3, "std": [60.0] * 3} | preprocessor,
        backbone=dict(backbone),
        neck=neck,
        decode_head=head,
        auxiliary_head={"type": "mmseg.FCNHead", "channels": 8, "in_index": 2, "num_convs": 1},
        train_cfg={},
        test_cfg={"mode": "whole"},
    )


def panoptic_batch(things: int, stuff: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> dict[str, Any]:
    """Return images with 0, 1, 2 ... things on a background of the first stuff class, if there is stuff."""
    draw = torch.Generator().manual_seed(0)
    samples, images = [], []
    for number, (height, width) in enumerate(sizes):
        count = min(number, things)
        masks = np.zeros((count, height, width), np.uint8)
        for index in range(count):
            masks[index, 10 + 5 * index : 30, 10:50] = 1
        semantic = torch.full((1, height, width), things if stuff else 255)
        semantic[:, 10:30, 10:50] = 0 if count else semantic[:, 10:30, 10:50]
        sample = DetDataSample(metainfo=_about(number, height, width))
        sample.gt_instances = InstanceData(
            labels=torch.arange(count) % max(things, 1),
            masks=BitmapMasks(masks, height, width),
            bboxes=torch.tensor([[10.0, 10.0, 50.0, 30.0]]).repeat(count, 1),
        )
        sample.gt_sem_seg = PixelData(sem_seg=semantic)
        samples.append(sample)
        images.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=draw))
    return {"inputs": images, "data_samples": samples}


def _about(number: int, height: int, width: int) -> dict[str, Any]:
    return {
        "img_id": number,
        "img_shape": (height, width),
        "ori_shape": (2 * height, 2 * width),
        "scale_factor": (0.5, 0.5),
    }


def semantic_batch(classes: int, size: tuple[int, int] = SIZES[0]) -> dict[str, Any]:
    """Return two images of class 0 in a rectangle of the last class, and their samples of mmseg."""
    draw = torch.Generator().manual_seed(0)
    samples, images = [], []
    for number in range(2):
        semantic = torch.full((1, *size), classes - 1)
        semantic[:, 10:30, 10:50] = 0
        about = {**_about(number, *size), "padding_size": [0] * 4}
        samples.append(SegDataSample(metainfo=about, gt_sem_seg=PixelData(data=semantic)))
        images.append(torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=draw))
    return {"inputs": images, "data_samples": samples}
