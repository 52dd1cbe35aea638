"""Connectivity in Mask R-CNN's mask branch: the target cube, and the position of pasted masks."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch.nn import functional as F

from visionzoo.config import load_config
from visionzoo.errors import ConfigError, UnknownName
from visionzoo.heads.connnet import ConnectivityMaskHead
from visionzoo.heads.connnet.connectivity import mask_to_connectivity
from visionzoo.models.wiring import build_model

TEST_CFG = ConfigDict(mask_thr_binary=0.5)


def head_of(**options):
    torch.manual_seed(0)
    return ConnectivityMaskHead(16, **{"variant": "tiny", "num_classes": 1, **options}).eval()


def discs(count=3, side=28):
    """Return (count, side, side) maps of 0 and 1."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([((y - 14) ** 2 + (x - 10 - i) ** 2 < (6 + i) ** 2).float() for i in range(count)])


@pytest.mark.parametrize(("options", "channels"), [({}, 8), (dict(num_classes=3), 24), (dict(neighbours=4), 4)])
def test_outputs_for_each_neighbour_of_each_class(options, channels):
    head = head_of(**options)
    assert head(torch.randn(5, 16, 14, 14)).shape == (5, channels, 28, 28)
    assert head(torch.randn(0, 16, 14, 14)).shape == (0, channels, 28, 28)


def test_only_the_right_class_is_learnt():
    head, targets, labels = head_of(num_classes=3), discs(), torch.tensor([2, 0, 2])
    logits = torch.randn(3, 24, 28, 28, requires_grad=True)
    losses = head.losses_of(logits, targets, labels)
    cubes = torch.stack([logits[i, 8 * k : 8 * k + 8] for i, k in enumerate(labels)])
    target = mask_to_connectivity(targets >= 0.5).float()
    assert list(losses) == ["loss_mask_cube"]
    torch.testing.assert_close(losses["loss_mask_cube"], F.binary_cross_entropy_with_logits(cubes, target))
    losses["loss_mask_cube"].backward()
    assert not logits.grad[:, 8:16].any()


def test_no_box_costs_nothing():
    head = head_of()
    logits = head(torch.randn(0, 16, 14, 14))
    loss = head.losses_of(logits, torch.zeros(0, 28, 28), torch.zeros(0, dtype=torch.long))["loss_mask"]
    loss.backward()
    assert loss == 0
    assert all(parameter.grad is not None for parameter in head.parameters())


def results(boxes, labels):
    return InstanceData(bboxes=torch.tensor(boxes), scores=torch.ones(len(boxes)), labels=torch.tensor(labels))


@pytest.mark.parametrize("pair", ["and", "product", "mean", "none"])
def test_masks_are_pasted_into_their_boxes(pair):
    head, expected = head_of(num_classes=2, pair=pair), discs(2)
    cubes = mask_to_connectivity(expected >= 0.5).float() * 20 - 10
    logits = torch.full((2, 16, 28, 28), -10.0)
    logits[0, :8], logits[1, 8:] = cubes
    meta = dict(ori_shape=(70, 90), img_shape=(70, 90), scale_factor=(1.0, 1.0))
    boxes = [[10.0, 20.0, 38.0, 48.0], [50.0, 30.0, 78.0, 58.0]]
    (prediction,) = head.predict_by_feat([logits], [results(boxes, [0, 1])], [meta], TEST_CFG, rescale=True)
    assert prediction.masks.shape == (2, 70, 90)
    assert torch.equal(prediction.masks[0, 20:48, 10:38], expected[0].bool())
    assert torch.equal(prediction.masks[1, 30:58, 50:78], expected[1].bool())
    assert prediction.masks.sum() == expected.sum()


def test_no_detection_has_no_mask():
    meta = dict(ori_shape=(70, 90), img_shape=(70, 90), scale_factor=(1.0, 1.0))
    nothing = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.long))
    (prediction,) = head_of().predict_by_feat([torch.zeros(0, 8, 28, 28)], [nothing], [meta], TEST_CFG, rescale=True)
    assert prediction.masks.shape == (0, 70, 90)


def test_a_detector_learns_and_predicts():
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    torch.manual_seed(0)
    model = build_model(load_config("connnet_mask_rcnn", tiny=True).cfg.model)
    masks = torch.zeros(2, 70, 90, dtype=torch.uint8)
    masks[0, 10:40, 5:40], masks[1, 30:60, 50:85] = 1, 1
    truth = InstanceData(
        bboxes=torch.tensor([[5.0, 10, 40, 40], [50, 30, 85, 60]]),
        labels=torch.zeros(2, dtype=torch.long),
        masks=BitmapMasks(masks.numpy(), 70, 90),
    )
    shape = dict(img_shape=(70, 90), ori_shape=(70, 90), scale_factor=(1.0, 1.0), batch_input_shape=(70, 90))
    given = DetDataSample(metainfo=shape, gt_instances=truth)
    inputs = [torch.randint(0, 256, (3, 70, 90), dtype=torch.uint8)]
    data = model.data_preprocessor(dict(inputs=inputs, data_samples=[given]), True)
    losses = model(**data, mode="loss")
    losses["loss_mask_cube"].backward()
    assert all(parameter.grad is not None for parameter in model.roi_head.mask_head.parameters())
    with torch.no_grad():
        (prediction,) = model.eval()(**data, mode="predict")
    assert prediction.pred_instances.masks.shape[1:] == (70, 90)
    assert prediction.pred_instances.masks.dtype == torch.bool


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (dict(variant="small"), UnknownName, "ConnectivityMaskHead variant"),
        (dict(pair="ands"), UnknownName, "did you mean 'and'"),
        (dict(num_classes=0), ConfigError, "num_classes: expected a whole number from 1"),
        (dict(neighbours=3), ConfigError, "8 or 4"),
    ],
)
def test_settings_that_cannot_be(options, error, words):
    with pytest.raises(error, match=words):
        head_of(**options)
