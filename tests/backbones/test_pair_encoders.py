"""Encoders of image pairs: layouts of the input, both directions, checkpointing."""

from __future__ import annotations

import re

import pytest
import torch

from visionzoo.errors import ConfigError, DataError
from visionzoo.models.wiring import build_model
from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample

ENCODERS = ("MICDIREncoder", "VoxelMorphEncoder", "ICNetEncoder")


def encoder(name, **options):
    torch.manual_seed(0)
    return MODELS.build({"type": name, "variant": "tiny", "dims": 2, **options}).eval()


def batch_of(images, **metainfo):
    """Return a batch of single images (2 B, C, *S), two per sample."""
    return Batch(images, [TaskSample(metainfo={"group_size": 2, **metainfo}) for _ in range(len(images) // 2)])


@pytest.fixture
def images():
    return torch.rand(6, 1, 17, 22, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ENCODERS)
def test_groups_and_channels_are_the_same_pairs(name, images):
    part, channels = encoder(name), images.reshape(3, 2, 17, 22)
    of_channels = part(channels)
    of_samples = part(channels, Batch(channels, [TaskSample() for _ in channels]))
    for a, b, c in zip(of_channels, of_samples, part(images, batch_of(images)), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_of_both_directions_are_in_turn(name, images):
    one, both = encoder(name), encoder(name, both_directions=True)
    reverse = batch_of(images, pair=("moving", "fixed"))
    feats = zip(both(images, batch_of(images)), one(images, batch_of(images)), one(images, reverse), strict=True)
    for rows, forth, back in feats:
        torch.testing.assert_close(rows[0::2], forth)
        torch.testing.assert_close(rows[1::2], back)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", ENCODERS)
def test_any_number_of_axes_and_any_side(name, dims):
    part = encoder(name, dims=dims)
    feats = part(torch.zeros(1, 2, *(17, 1, 9)[:dims]))
    assert tuple(each.shape[1] for each in feats) == part.out_channels
    assert all(each.ndim == dims + 2 for each in feats)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_2d_image_is_refused_by_a_3d_encoder(name, images):
    with pytest.raises(DataError, match=f"{name}: expected pairs of 3-D .*found 2-D .*model.backbone.dims=2$"):
        encoder(name, dims=3)(images, batch_of(images))
    colour = images.repeat(1, 3, 1, 1)
    with pytest.raises(DataError, match=r"found 2-D images with 6 channels, .*model.backbone.in_channels=6$"):
        encoder(name)(colour, batch_of(colour))


@pytest.mark.parametrize("name", ENCODERS)
def test_recomputed_activations_have_the_same_gradients(name, images):
    gradients = []
    for with_cp in (False, True):
        part = encoder(name, with_cp=with_cp).train()
        sum(feat.square().sum() for feat in part(images.reshape(3, 2, 17, 22))).backward()
        gradients.append([value.grad for value in part.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-4)  # rows are added in another order


def test_features_by_level():
    part = encoder("VoxelMorphEncoder", features=(4, 6, 8, 10), convs_per_level=2)
    assert (part.out_channels, part.out_strides) == ((6, 10, 10), (1, 2, 4))
    with pytest.raises(ConfigError, match=r"VoxelMorphEncoder\.features: expected a multiple of 2"):
        encoder("VoxelMorphEncoder", features=(4, 6, 8), convs_per_level=2)
    assert encoder("MICDIREncoder", features=(4, 6, 8)).out_channels == (2, 4, 6, 8)


def test_in_channels_of_a_head_follow_from_the_encoder():
    model = build_model(
        dict(
            type="TaskModel",
            backbone=dict(type="VoxelMorphEncoder", variant="wide"),
            head=dict(type="VoxelMorphHead", variant="wide"),
        )
    )
    assert sum(value.numel() for value in model.parameters()) == 431_939


@pytest.mark.parametrize(
    ("backbone", "head", "message"),
    [
        ("VoxelMorphEncoder", "DirectRegistrationHead", "found [16, 32, 32, 32, 32]; use ImagePair as model.backbone"),
        ("ImagePair", "MICDIRHead", "found 1; use MICDIREncoder as model.backbone"),
        ("ImagePair", "ICNetHead", "found 1 level of strides 1; use another model.backbone, such as ICNetEncoder"),
    ],
)
def test_a_head_names_the_encoder_that_it_needs(backbone, head, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_model(dict(type="TaskModel", backbone=dict(type=backbone), head=dict(type=head)))
