"""SiamesePair: one trunk for both images of a pair, and the heads of pairs on it."""

from __future__ import annotations

import re

import pytest
import torch

from visionzoo.errors import ConfigError, DataError
from visionzoo.models.wiring import backbone_levels, build_model, fill_model
from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch, TextStates
from visionzoo.structures.task_sample import TaskSample

TRUNKS = (
    {"type": "timm.test_resnet"},
    {"type": "BossNet", "variant": "tiny"},
    {"type": "mmdet.ResNet", "depth": 18, "base_channels": 8},
)
SIZE = (37, 70)
PHRASED = {"type": "LAVTSwin", "variant": "tiny", "text_channels": 6}

HEADS = {
    "VoxelMorphHead": {"smooth_weight": 0.001},
    "MICDIRHead": {},
    "ICNetHead": {},
}


def siamese(trunk=TRUNKS[0], **options):
    torch.manual_seed(0)
    return MODELS.build({"type": "SiamesePair", "backbone": trunk, **options}).eval()


def model_of(head, trunk=TRUNKS[0], **options):
    backbone = {"type": "SiamesePair", "backbone": trunk, "both_directions": head == "ICNetHead", **options}
    torch.manual_seed(0)
    return build_model(
        {"type": "TaskModel", "backbone": backbone, "head": dict(type=head, variant="tiny", dims=2, **HEADS[head])}
    )


def pairs(count=3, channels=2, size=SIZE):
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(0))


def samples_of(images, **metainfo):
    return [TaskSample(metainfo={"img_shape": tuple(images.shape[2:]), **metainfo}) for _ in images]


# --------------------------------------------------------------------------- maps


@pytest.mark.parametrize("trunk", TRUNKS, ids=lambda trunk: trunk["type"])
def test_equals_two_calls_of_the_trunk(trunk):
    part, images = siamese(trunk), pairs()
    first, *feats = part(images)
    assert torch.equal(first, images)
    apart = [part.trunk(images[:, [index] * 3]) for index in (0, 1)]
    for found, fixed, moving in zip(feats, *apart, strict=True):
        torch.testing.assert_close(found, torch.cat([fixed, moving], 1))


def test_rows_of_both_directions_are_in_turn_and_the_trunk_runs_once():
    one, both, images, calls = siamese(), siamese(both_directions=True), pairs(), []
    both.trunk.register_forward_hook(lambda part, inputs, outputs: calls.append(len(inputs[0])))
    for rows, forth, back in zip(both(images), one(images), one(images.flip(1)), strict=True):
        torch.testing.assert_close(rows[0::2], forth)
        torch.testing.assert_close(rows[1::2], back)
    assert calls == [6]


def test_the_order_of_the_images_is_that_of_the_samples():
    part, images = siamese(), pairs()
    single = images.flatten(0, 1)[:, None]
    groups = [TaskSample(metainfo={"group_size": 2, "pair": ("moving", "fixed")}) for _ in images]
    for found, expected in zip(part(single, Batch(single, groups)), part(images.flip(1)), strict=True):
        assert torch.equal(found, expected)


def test_colour_images_pass_unchanged():
    part, images = siamese(in_channels=6, with_images=False), pairs(channels=6)
    for found, fixed in zip(part(images), part.trunk(images[:, :3]), strict=True):
        torch.testing.assert_close(found[:, : fixed.shape[1]], fixed)


def test_gray_trunks_read_one_channel():
    part, images = siamese({"type": "timm.test_resnet", "in_chans": 1}), pairs()
    torch.testing.assert_close(part(images)[1][:, :32], part.trunk(images[:, :1])[0])


@pytest.mark.parametrize("trunk", TRUNKS, ids=lambda trunk: trunk["type"])
@pytest.mark.parametrize("with_images", [True, False])
def test_levels_are_declared_or_measured(trunk, with_images):
    cfg = {"type": "SiamesePair", "backbone": trunk, "with_images": with_images}
    levels, feats = backbone_levels(cfg), siamese(trunk, with_images=with_images)(pairs(size=(64, 96)))
    assert levels.channels == tuple(feat.shape[1] for feat in feats)
    assert levels.strides == tuple(64 // feat.shape[2] for feat in feats) == ((1,) * with_images + (4, 8, 16, 32))


def test_both_images_read_the_phrase_of_their_sample():
    part, images = siamese(PHRASED), pairs(2)
    text = TextStates(torch.randn(2, 4, 6), torch.ones(2, 4, dtype=torch.bool))
    of_images = TextStates(text.states.repeat_interleave(2, 0), text.mask.repeat_interleave(2, 0))
    single = images.flatten(0, 1)[:, None]
    groups = [TaskSample(metainfo={"group_size": 2}) for _ in images]
    apart = [part.trunk(images[:, [index] * 3], Batch(text=text)) for index in (0, 1)]
    found = [part(images, Batch(text=text)), part(single, Batch(single, groups, text=of_images))]
    for channels, of_groups, fixed, moving in zip(*(feats[1:] for feats in found), *apart, strict=True):
        torch.testing.assert_close(channels, torch.cat([fixed, moving], 1))
        torch.testing.assert_close(of_groups, channels)


def test_text_channels_of_the_trunk_follow_from_the_text_encoder():
    encoder = {"type": "GRUTextEncoder", "variant": "tiny"}
    trunk = {"type": "LAVTSwin", "variant": "tiny"}
    backbone = {"type": "SiamesePair", "backbone": trunk}
    filled = fill_model({"type": "TaskModel", "backbone": backbone, "text_encoder": encoder})
    assert filled.backbone.backbone.text_channels == backbone_levels(encoder).channels[0]


# --------------------------------------------------------------------------- heads


@pytest.mark.parametrize("head", HEADS)
def test_gradients_reach_both_ends_of_the_trunk(head):
    model, images = model_of(head), pairs(2, size=(64, 96))
    sum(model.train()(images, samples_of(images), mode="loss").values()).backward()
    gradients = {name: value.grad for name, value in model.backbone.trunk.named_parameters()}
    assert all(value is not None and value.isfinite().all() for value in gradients.values())
    for end in ("conv1", "layer4"):
        assert any(value.abs().max() > 0 for name, value in gradients.items() if end in name), end


@pytest.mark.parametrize("with_images", [True, False])
@pytest.mark.parametrize("head", HEADS)
def test_fields_of_odd_sizes_have_the_size_of_the_images(head, with_images):
    model, images = model_of(head, with_images=with_images), pairs(2)
    for sample in model.eval()(images, samples_of(images), mode="predict"):
        assert sample.pred_field.shape == sample.pred_inverse_field.shape == (2, *SIZE)
        assert sample.pred_field.isfinite().all()


def test_a_head_without_training_takes_only_the_images():
    with pytest.raises(ConfigError, match=r"use ImagePair as model\.backbone"):
        build_model(
            {
                "type": "TaskModel",
                "backbone": {"type": "SiamesePair", "variant": "tiny"},
                "head": {"type": "DirectRegistrationHead", "dims": 2},
            }
        )


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"backbone": {"type": "VoxelMorphEncoder"}},
            "SiamesePair.backbone: expected a backbone of single images, found VoxelMorphEncoder, which reads pairs; "
            "use VoxelMorphEncoder itself as model.backbone",
        ),
        (
            {"in_channels": 4},
            "SiamesePair.in_channels: expected 2 for gray images, or 6 because timm.test_resnet reads images of 3 "
            "channels, found 4",
        ),
    ],
)
def test_trunks_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        MODELS.build({"type": "SiamesePair", "variant": "tiny", **options})


def test_volumes_are_refused():
    with pytest.raises(DataError, match=r"found 3-D images with 2 channels.*or use another backbone$"):
        siamese()(torch.zeros(1, 2, 8, 8, 8))
