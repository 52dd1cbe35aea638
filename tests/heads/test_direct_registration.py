"""Registration by optimisation: it aligns pairs, without padding, by the mask, in two and three dimensions."""

from __future__ import annotations

import pytest
import torch
from pairs_for_heads import mean_dice, model_of, pairs, predicted, samples_of

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.ops.registration.transform import affine_field
from visionzoo.ops.warp import jacobian_determinant, warp
from visionzoo.structures.task_sample import TaskSample

SIZE = (33, 40)


def build(dims=2, **options):
    head = {"type": "DirectRegistrationHead", "variant": "tiny", "dims": dims, **options}
    return model_of(dict(type="ImagePair", dims=dims), head)


def turned(images, degrees=8.0, shift=2.0):
    """Return pairs whose moving image is turned and shifted more."""
    angle = torch.tensor(degrees).deg2rad()
    matrix = torch.tensor([[angle.cos(), -angle.sin(), shift], [angle.sin(), angle.cos(), -shift]])
    field = affine_field(matrix[None].double().repeat(len(images), 1, 1), images.shape[2:])
    return torch.cat([images[:, :1], warp(images[:, :1], field, padding="border")], 1)


@pytest.mark.parametrize(("dims", "size"), [(2, SIZE), (3, (17, 20, 24))])
def test_deformable_registration_aligns_labels(dims, size):
    images, fixed, moving = pairs(2, size)
    found = predicted(build(dims, schedule="default"), images)
    field = torch.stack([each.pred_field for each in found])
    assert mean_dice(fixed, warp(moving, field, mode="nearest")) > mean_dice(fixed, moving) + 0.1
    assert (jacobian_determinant(field) <= 0).float().mean() < 0.01


@pytest.mark.parametrize("method", ["affine", "rigid"])
def test_maps_are_affine(method):
    images = turned(pairs(2, SIZE)[0])
    for before, sample in zip(images, predicted(build(method=method), images), strict=True):
        assert sample.pred_affine.shape == (2, 3)
        assert sample.pred_affine.dtype == torch.float64
        torch.testing.assert_close(sample.pred_field[None], affine_field(sample.pred_affine[None], SIZE))
        is_rotation = torch.allclose(sample.pred_affine[:, :2] @ sample.pred_affine[:, :2].mT, torch.eye(2).double())
        assert is_rotation == (method == "rigid")
        error = (sample.pred_warped - before[:1]).square().mean()
        assert error < 0.3 * (before[1:] - before[:1]).square().mean()


def test_a_voxel_of_other_sides_keeps_a_rigid_map_rigid_in_millimetres():
    images = turned(pairs(1, SIZE)[0])
    sample = TaskSample(metainfo={"img_shape": SIZE, "spacing": (1.0, 2.0)})
    (found,) = build(method="rigid")(images, [sample], mode="predict")
    scale = torch.tensor([1.0, 2.0]).double()
    linear = found.pred_affine[:, :2] * scale[:, None] / scale
    torch.testing.assert_close(linear @ linear.mT, torch.eye(2).double())


def test_the_inverse_field_undoes_the_field():
    images, _, _ = pairs(1, SIZE)
    (found,) = predicted(build(), images)
    both = warp(found.pred_field[None], found.pred_inverse_field[None], padding="border") + found.pred_inverse_field
    assert both[..., 4:-4, 4:-4].abs().mean() < 0.1


def test_padding_has_no_influence():
    images, _, _ = pairs(1, SIZE)
    padded = torch.nn.functional.pad(images, (0, 8, 0, 7))
    (one,) = predicted(build(), images)
    (other,) = build()(padded, samples_of(images), mode="predict")
    assert torch.equal(one.pred_field, other.pred_field)


def test_the_mask_limits_what_counts():
    images, _, _ = pairs(1, SIZE)
    changed = images.clone()
    changed[:, :1, :, 20:] = torch.rand(1, 1, SIZE[0], 20)
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[:, :20] = True
    fields = []
    for pair in (images, changed):
        sample = TaskSample(metainfo={"img_shape": SIZE}, gt_fixed_mask=mask)
        build()(pair, [sample], mode="predict")
        fields.append(sample.pred_field)
    torch.testing.assert_close(*fields)
    assert fields[0].abs().max() > 0.5


def test_images_of_other_contrasts_by_mutual_information():
    images, fixed, moving = pairs(1, (40, 48))
    images[:, 1] = 1 - images[:, 1]
    (found,) = predicted(build(schedule="default", similarity="mutual_information"), images)
    after = warp(moving, found.pred_field[None], mode="nearest")
    assert mean_dice(fixed, after) > mean_dice(fixed, moving) + 0.05


@pytest.mark.parametrize("method", ["affine", "deformable"])
def test_further_steps_raise_the_similarity(method):
    images, _, _ = pairs(1, SIZE)
    errors = []
    for steps in (0, 20):
        (found,) = predicted(build(method=method, instance_steps=steps), images)
        errors.append(float((found.pred_warped - images[0, :1]).square().mean()))
    assert errors[1] < errors[0]


def test_errors_name_the_pair_or_the_argument():
    flat = torch.zeros(1, 2, *SIZE)
    sample = TaskSample(metainfo={"img_path": "a-b", "img_shape": SIZE})
    with pytest.raises(DataError, match=r"^a-b: fixed image: expected intensities that differ"):
        build()(flat, [sample], mode="predict")
    with pytest.raises(ConfigError, match="expected a model with parameters to train"):
        build()(pairs(1, SIZE)[0], samples_of(flat), mode="loss")
    with pytest.raises(ConfigError, match=r"in_channels: expected 2 channels, a fixed and a moving image, found 4"):
        model_of(dict(type="ImagePair", dims=2, in_channels=4), dict(type="DirectRegistrationHead", dims=2))
    for option in ({"method": "nonlinear"}, {"schedule": "long"}, {"similarity": "ssd"}, {"variant": "large"}):
        with pytest.raises(UnknownName):
            build(**{"variant": "tiny", **option})
