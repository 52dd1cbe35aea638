"""Detectors with RCNet as in the configs: the authors' sizes, and one training step."""

from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from visionzoo.config import load_config
from visionzoo.models.wiring import build_model

# Parameters and trainable parameters, 80 classes, stem and first stage frozen; counted on the authors' code.
COUNTS = {
    "fpn_retinanet": (37_968_692, 37_743_348),
    "rcnet_retinanet": (37_636_598, 37_411_254),
    "rcnet_atss": (36_091_996, 35_866_652),
    "rcnet_gfl": (36_237_211, 36_011_867),
    "rcnet_gfl_r101": (55_229_339, 55_003_995),
    "rcnet_gfl_x101": (94_135_451, 93_732_699),
    "rcnet_gfl_x101_dcn": (99_278_519, 98_875_767),
}


@pytest.mark.parametrize("name", COUNTS)
def test_has_the_authors_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        model = build_model(load_config(name).cfg.model, num_classes=80)
    every = [parameter.numel() for parameter in model.parameters()]
    trainable = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    assert (sum(every), sum(trainable)) == COUNTS[name]


@pytest.mark.parametrize("name", ["rcnet_retinanet", "rcnet_atss", "rcnet_gfl", "rcnet_faster_rcnn"])
def test_one_training_step(name: str) -> None:
    """Two drawn images of odd sizes, one without objects: losses are finite, every neck parameter has a gradient."""
    torch.manual_seed(0)
    model = build_model(load_config(name, tiny=True).cfg.model, num_classes=3)
    model.train()
    batch = model.data_preprocessor(two_images(), training=True)
    losses, _ = model.parse_losses(model(**batch, mode="loss"))
    losses.backward()
    assert losses.isfinite()
    assert isinstance(model.neck, nn.Module)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.neck.parameters())


def two_images() -> dict:
    """Return two images as the loader returns them."""
    samples = []
    for boxes in ([[5.0, 8.0, 60.0, 70.0], [30.0, 10.0, 50.0, 40.0]], []):
        sample = DetDataSample(metainfo={"img_shape": (93, 121), "scale_factor": (1.0, 1.0), "img_id": len(samples)})
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.zeros(len(boxes), dtype=torch.long)
        )
        samples.append(sample)
    images = [torch.randint(0, 256, (3, 93, 121), dtype=torch.uint8) for _ in samples]
    return {"inputs": images, "data_samples": samples}
