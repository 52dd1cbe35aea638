"""mmdet's detectors train and predict without any compiled op: narrow versions of its configs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData

import visionzoo
from visionzoo.ops.mmcv_ext.table import SERVED

CLASSES, STUFF = 3, 2
TRANSFORMER_WIDTH = 32
SIZES = [(96, 128), (91, 77)]  # height and width of the two images of a batch

DETECTORS = {
    "retinanet": "retinanet/retinanet_r18_fpn_1x_coco.py",
    "atss": "atss/atss_r50_fpn_1x_coco.py",
    "gfl": "gfl/gfl_r50_fpn_1x_coco.py",
    "faster_rcnn": "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "mask_rcnn": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "mask2former_instance": "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
    "mask2former_panoptic": "mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py",
}
ROI_OPS = {"roi_align_forward", "roi_align_backward"}
REACHED = {
    "retinanet": {"nms"},
    "atss": {"nms"},
    "gfl": {"nms"},
    "faster_rcnn": {"nms", *ROI_OPS},
    "mask_rcnn": {"nms", *ROI_OPS},
    "mask2former_instance": set(),
    "mask2former_panoptic": set(),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names of the extension functions that ran."""
    import mmcv._ext as extension

    names: set[str] = set()

    def spy(name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            names.add(name)
            return function(*args, **kwargs)

        return call

    for name in SERVED:
        monkeypatch.setattr(extension, name, spy(name, getattr(extension, name)))
    return names


def build(name: str) -> torch.nn.Module:
    config = Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / DETECTORS[name]).model
    config.backbone.update(depth=18, init_cfg=None, frozen_stages=-1)
    config.data_preprocessor.bgr_to_rgb = False
    if name.startswith("mask2former"):
        narrow_mask2former(config, STUFF if name.endswith("panoptic") else 0)
    else:
        narrow_boxes(config)
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(config)


def narrow_boxes(config: Any) -> None:
    config.neck.update(in_channels=[64, 128, 256, 512], out_channels=32)
    if "rpn_head" in config:
        config.rpn_head.update(in_channels=32, feat_channels=32)
        config.roi_head.bbox_roi_extractor.out_channels = 32
        config.roi_head.bbox_head.update(in_channels=32, fc_out_channels=64, num_classes=CLASSES)
        if "mask_head" in config.roi_head:
            config.roi_head.mask_roi_extractor.out_channels = 32
            config.roi_head.mask_head.update(in_channels=32, conv_out_channels=16, num_convs=1, num_classes=CLASSES)
        config.test_cfg.rcnn.score_thr = 0.0
        return
    config.bbox_head.update(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=CLASSES)
    config.test_cfg.score_thr = 0.0


def narrow_mask2former(config: Any, stuff: int) -> None:
    width, head = TRANSFORMER_WIDTH, config.panoptic_head
    counts = dict(num_things_classes=CLASSES, num_stuff_classes=stuff)
    head.update(in_channels=[64, 128, 256, 512], feat_channels=width, out_channels=width, num_queries=8, **counts)
    head.loss_cls.class_weight = [1.0] * (CLASSES + stuff) + [0.1]
    head.positional_encoding.num_feats = head.pixel_decoder.positional_encoding.num_feats = width // 2
    head.pixel_decoder.encoder.num_layers = 1
    head.transformer_decoder.num_layers = 2
    for layer in (head.pixel_decoder.encoder.layer_cfg, head.transformer_decoder.layer_cfg):
        layer.self_attn_cfg.embed_dims = layer.ffn_cfg.embed_dims = width
        layer.ffn_cfg.feedforward_channels = 2 * width
    head.transformer_decoder.layer_cfg.cross_attn_cfg.embed_dims = width
    config.panoptic_fusion_head.update(**counts)
    config.train_cfg.num_points = 64
    config.test_cfg.update(filter_low_score=False, iou_thr=0.0, max_per_image=10)
    config.data_preprocessor.batch_augments = None


def batch(name: str, objects: tuple[int, int]) -> dict[str, list]:
    """Return two images of different size with that number of objects: boxes, their masks, and a panoptic map."""
    generator = np.random.default_rng(sum(objects))
    inputs = [torch.from_numpy(generator.integers(0, 256, (3, *size), dtype=np.uint8)) for size in SIZES]
    samples = [annotated(name, *size, count, generator) for size, count in zip(SIZES, objects, strict=True)]
    return {"inputs": inputs, "data_samples": samples}


def annotated(name: str, height: int, width: int, count: int, generator: np.random.Generator) -> DetDataSample:
    corner = generator.uniform(0, 40, (count, 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + generator.uniform(10, 35, (count, 2))], 1).astype(np.float32)
    masks = np.zeros((count, height, width), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = 1
    labels = torch.arange(count) % CLASSES
    shape = {"img_shape": (height, width), "ori_shape": (height, width), "scale_factor": (1.0, 1.0)}
    sample = DetDataSample(metainfo={**shape, "pad_shape": (height, width), "batch_input_shape": (96, 128)})
    sample.gt_instances = InstanceData(
        bboxes=torch.from_numpy(boxes), labels=labels, masks=BitmapMasks(masks, height, width)
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    if name.endswith("panoptic"):
        ground = torch.full((1, height, width), CLASSES)
        ground[:, height // 2 :] = CLASSES + 1
        for mask, label in zip(masks, labels, strict=True):
            ground[0][torch.from_numpy(mask).bool()] = label
        sample.gt_sem_seg = PixelData(sem_seg=ground)
    return sample


def train_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, data: dict[str, list]) -> None:
    """Do the steps of ``model.train_step``, with access to losses and gradients in between."""
    optimizer.zero_grad()
    loss, parts = model.parse_losses(model(**model.data_preprocessor(data, training=True), mode="loss"))
    for key, value in parts.items():
        assert torch.isfinite(value).all(), key
    loss.backward()
    gradients = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    assert any(gradient.abs().sum() > 0 for gradient in gradients.values())
    for key, gradient in gradients.items():
        assert gradient.isfinite().all(), key
    optimizer.step()


@pytest.mark.parametrize("name", DETECTORS)
def test_trains_and_predicts(name: str, called: set[str]):
    model = build(name).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for objects in ((2, 3), (0, 1), (0, 0)):
        train_step(model, optimizer, batch(name, objects))
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))

    results = model.eval().test_step(batch(name, (1, 2)))
    for sample, size in zip(results, SIZES, strict=True):
        check_result(name, sample, size)
    assert called == REACHED[name]


def check_result(name: str, sample: DetDataSample, size: tuple[int, int]) -> None:
    if name.endswith("panoptic"):
        assert sample.pred_panoptic_seg.sem_seg.shape == (1, *size)
        return
    instances = sample.pred_instances
    assert len(instances) > 0
    assert instances.bboxes.isfinite().all()
    assert instances.scores.isfinite().all()
    assert ((instances.labels >= 0) & (instances.labels < CLASSES)).all()
    if name.startswith("mask"):
        assert instances.masks.shape[1:] == size


def test_no_compiled_code_is_used():
    assert {state for _, state in visionzoo.ops.mmcv_ext.describe()} == {"torch", "missing"}
