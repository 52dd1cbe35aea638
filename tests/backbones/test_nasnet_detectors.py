"""NASNet in detectors and classifiers as in the configs: one training step, predictions, odd sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from visionzoo.config import load_config
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

NECKS = {
    "rcnet": {},
    "fpn": {"model.neck": {"type": "mmdet.FPN", "out_channels": 16, "num_outs": 5, "start_level": 1}},
}
DETECTORS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"retinanet_{neck}": ("nasnet_rcnet_retinanet", options) for neck, options in NECKS.items()},
    "faster_rcnn": ("nasnet_faster_rcnn", {}),
}


def drawn_images(height: int, width: int) -> dict[str, Any]:
    """Return two drawn images as the loader returns them; one has no objects."""
    samples = []
    for boxes in ([[5.0, 8.0, 60.0, 70.0], [30.0, 10.0, 50.0, 40.0]], []):
        sample = DetDataSample(
            metainfo={
                "img_shape": (height, width),
                "ori_shape": (height, width),
                "scale_factor": (1.0, 1.0),
                "img_id": len(samples),
            }
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.zeros(len(boxes), dtype=torch.long)
        )
        samples.append(sample)
    return {
        "inputs": [torch.randint(0, 256, (3, height, width), dtype=torch.uint8) for _ in samples],
        "data_samples": samples,
    }


def detector(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config, more = DETECTORS[name]
    return build_model(load_config(config, tiny=True, options={**more, **options}).cfg.model, num_classes=3)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("divisor", [1, 32])
def test_a_step_and_predictions_at_odd_sizes(name: str, divisor: int) -> None:
    """Sizes that no stride divides, with and without padding to a multiple of 32: losses and gradients are finite."""
    model = detector(name, **{"model.data_preprocessor.pad_size_divisor": divisor}).train()
    batch = model.data_preprocessor(drawn_images(97, 131), training=True)
    assert batch["inputs"].shape[-2:] == ((97, 131) if divisor == 1 else (128, 160))
    losses, _ = model.parse_losses(model(**batch, mode="loss"))
    losses.backward()
    assert losses.isfinite()
    parts = [model.backbone, model.neck if model.with_neck else model.roi_head.shared_head]
    for part in parts:
        assert all(p.grad is not None and p.grad.isfinite().all() for p in part.parameters())
    with torch.no_grad():
        predictions = model.eval()(**model.data_preprocessor(drawn_images(97, 131)), mode="predict")
    for sample in predictions:
        boxes = sample.pred_instances.bboxes
        assert boxes.isfinite().all()
        assert (boxes >= 0).all()
        assert (boxes[:, [0, 2]] <= 131).all()
        assert (boxes[:, [1, 3]] <= 97).all()


def test_progress_reaches_both_parts_of_the_detector() -> None:
    keep = {"model.backbone.drop_path_keep_prob": 0.5}
    model = detector("faster_rcnn", **keep)
    listeners = [module for module in model.modules() if hasattr(module, "set_training_progress")]
    assert listeners == [model.backbone, model.roi_head.shared_head]
    for module in listeners:
        module.set_training_progress(10, 10)
    assert model.roi_head.shared_head.cell_2.drop_path.current_keep_prob == pytest.approx(0.5)
    assert 0.5 < model.backbone.cell_1.drop_path.current_keep_prob < 1


@pytest.mark.parametrize(("name", "size"), [("nasnet_mobile_imagenet", 96), ("nasnet_cifar10", 32)])
def test_a_classifier_trains_with_its_second_one(name: str, size: int) -> None:
    torch.manual_seed(0)
    model = build_model(load_config(name, tiny=True).cfg.model, num_classes=10).train()
    samples = [TaskSample(gt_label=torch.tensor(label)) for label in (1, 7)]
    losses = model(torch.randn(2, 3, size, size), samples, mode="loss")
    assert set(losses) == {"loss_cls", "aux.loss_cls"}
    losses["aux.loss_cls"].backward()
    trained = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None and "backbone" in name}
    assert {"conv0", "cell_1"} <= trained
    assert not trained & {"reduction_cell_1", "cell_2"}  # it reads the map before the last reduction


def test_the_second_classifier_counts_two_fifths() -> None:
    torch.manual_seed(0)
    model = build_model(load_config("nasnet_cifar10", tiny=True).cfg.model).eval()
    (head,) = model.auxiliary_head
    samples, images = [TaskSample(gt_label=torch.tensor(label)) for label in (1, 7)], torch.randn(2, 3, 32, 32)
    logits = head(model.backbone(images))
    expected = 0.4 * torch.nn.functional.cross_entropy(logits, torch.tensor([1, 7]))
    torch.testing.assert_close(model(images, samples, mode="loss")["aux.loss_cls"], expected)
