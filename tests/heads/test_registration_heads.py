"""What registration heads share: fields and images without padding, directions, bad input, half precision."""

from __future__ import annotations

import pytest
import torch
from pairs_for_heads import model_of, pairs, predicted, samples_of

from visionzoo.errors import ConfigError, DataError
from visionzoo.models.preprocessing import TaskPreprocessor
from visionzoo.ops.warp import warp
from visionzoo.structures.task_sample import TaskSample

SYSTEMS = ("MICDIR", "VoxelMorph", "ICNet")
SIZE = (37, 30)


def build(system, dims=2, both=True, encoder=None, **options):
    """Return a model whose fields are not zero."""
    backbone = dict(type=f"{encoder or system}Encoder", variant="tiny", dims=dims, both_directions=both)
    model = model_of(backbone, dict(type=f"{system}Head", variant="tiny", dims=dims, **options))
    with torch.no_grad():
        for name, value in model.head.named_parameters():
            if value.ndim > 2 and value.abs().max() < 1e-3:
                value.normal_(std=0.05, generator=torch.Generator().manual_seed(len(name)))
    return model


def images_of(size=SIZE, count=2):
    return pairs(count, size)[0]


@pytest.mark.parametrize("groups", ["batch", "channels"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_volumes_of_any_size_are_padded_and_cut(system, groups):
    """Volumes of different odd sizes in one batch; each result is that of its volume with the same padding."""
    model, sizes = build(system, 3), [(9, 14, 11), (16, 5, 7)]
    volumes = [torch.rand(2, 1, *size) for size in sizes]
    preprocessor = TaskPreprocessor(pad_size_divisor=16, groups=groups)
    data = preprocessor({"inputs": volumes, "data_samples": [TaskSample(metainfo={"group_size": 2}) for _ in sizes]})
    for sample, volume in zip(model.eval()(**data, mode="predict"), volumes, strict=True):
        size = tuple(volume.shape[2:])
        padded = torch.zeros(1, 2, 16, 16, 16)
        padded[(0, slice(2), *map(slice, size))] = volume[:, 0]
        single = TaskSample(metainfo={"img_shape": size})
        model(padded, [single], mode="predict")
        assert sample.pred_field.shape == (3, *size)
        torch.testing.assert_close(sample.pred_field, single.pred_field, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("system", SYSTEMS)
def test_predictions_have_no_padding(system, both):
    """The padded part of a larger batch is cut off, and the warped image is the moving image at the field."""
    model, images = build(system, both=both), images_of((40, 48))
    samples = [TaskSample(metainfo={"img_shape": size}) for size in ((40, 48), SIZE)]
    images[1, :, SIZE[0] :], images[1, :, :, SIZE[1] :] = 0, 0
    first, second = model.eval()(images, samples, mode="predict")
    assert first.pred_field.shape == first.pred_inverse_field.shape == (2, 40, 48)
    assert second.pred_field.shape == (2, *SIZE)
    assert second.pred_warped.shape == (1, *SIZE)
    moving = images[1:, 1:, : SIZE[0], : SIZE[1]]
    torch.testing.assert_close(second.pred_warped[None], warp(moving, second.pred_field[None]))
    assert second.pred_field.abs().max() > 1e-3


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_inverse_field_is_that_of_exchanged_images(system):
    model, images = build(system), images_of()
    found = zip(predicted(model, images), predicted(model, images.flip(1)), strict=True)
    for forth, back in found:
        if system == "VoxelMorph":  # the inverse follows from one direction
            assert forth.pred_inverse_field.shape == back.pred_field.shape
        else:
            torch.testing.assert_close(forth.pred_inverse_field, back.pred_field)


@pytest.mark.parametrize("system", SYSTEMS)
def test_order_of_the_images_from_the_samples(system):
    model, images = build(system, both=False), images_of()
    reverse = [TaskSample(metainfo={"pair": ("moving", "fixed")}) for _ in images]
    found = zip(predicted(model, images), model.eval()(images.flip(1), reverse, mode="predict"), strict=True)
    for one, other in found:
        torch.testing.assert_close(one.pred_warped, other.pred_warped)


@pytest.mark.parametrize("encoder", SYSTEMS)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(("dims", "size"), [(2, (17, 22)), (3, (9, 14, 11))])
def test_every_encoder_with_every_head(system, encoder, dims, size):
    if (system, encoder) == ("MICDIR", "ICNet"):  # the tiny encoder has three levels
        with pytest.raises(ConfigError, match=r"MICDIRHead\.in_channels: expected at least 4 levels"):
            build(system, dims, encoder=encoder)
        return
    model, images = build(system, dims, encoder=encoder), torch.rand(2, 2, *size)
    losses = model.train()(images, samples_of(images), mode="loss")
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(value.grad.isfinite().all() for value in model.parameters())
    assert predicted(model, images)[1].pred_field.shape == (dims, *size)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite(system, dtype):
    model, images = build(system), images_of()
    with torch.autocast("cpu", dtype=dtype):
        losses = model.train()(images, samples_of(images), mode="loss")
        found = predicted(model, images)[0]
    assert all(value.isfinite() for value in losses.values())
    assert found.pred_field.dtype == found.pred_warped.dtype == torch.float32
    assert found.pred_field.isfinite().all()


@pytest.mark.parametrize("system", SYSTEMS)
def test_recomputed_activations_have_the_same_gradients(system):
    gradients = []
    for with_cp in (False, True):
        model, images = build(system, with_cp=with_cp), images_of()
        torch.manual_seed(1)
        sum(model.train()(images, samples_of(images), mode="loss").values()).backward()
        gradients.append([value.grad for value in model.head.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("system", SYSTEMS)
def test_dims_of_encoder_and_head_must_agree(system):
    feats = build(system).extract_feat(images_of())
    with pytest.raises(ConfigError, match=rf"{system}Head\.dims: expected 2 as in the feature maps, found 3"):
        build(system, 3).head(feats)


def test_icnet_needs_both_directions_for_its_losses():
    model, images = build("ICNet", both=False), images_of()
    with pytest.raises(DataError, match="ICNetHead: expected feature maps of both directions"):
        model(images, samples_of(images), mode="loss")


def test_fields_of_icnet_have_a_limited_length():
    model, images = build("ICNet", range_flow=2.0), images_of()
    with torch.no_grad():
        model.head.flow.weight.mul_(1e4)
    assert 1.9 < max(float(each.pred_field.abs().max()) for each in predicted(model, images)) <= 2


@pytest.mark.parametrize(("steps", "downsize", "half_res"), [(0, 1, False), (5, 1, False), (7, 2, False), (7, 2, True)])
@pytest.mark.parametrize(("dims", "size"), [(1, (32,)), (2, (24, 32)), (3, (8, 16, 8))])
def test_voxelmorph_in_every_setting(steps, downsize, half_res, dims, size):
    options = dict(int_steps=steps, int_downsize=downsize, half_res=half_res, bidir=True)
    model, images = build("VoxelMorph", dims, both=False, **options), torch.rand(2, 2, *size)
    feats = model.extract_feat(images)
    coarse = tuple(side // 2 for side in size) if downsize == 2 else size
    assert model.head(feats).shape == (2, dims, *coarse)
    losses = model(images, samples_of(images), mode="loss")
    assert set(losses) == {"loss_similarity", "loss_similarity_inverse", "loss_smooth"}
    assert predicted(model, images)[0].pred_inverse_field.shape == (dims, *size)


def test_both_similarities_of_voxelmorph_have_half_the_weight():
    images, losses = images_of((24, 32)), []
    for bidir in (False, True):
        model = build("VoxelMorph", both=False, bidir=bidir)
        losses.append(model(images, samples_of(images), mode="loss"))
    one, two = losses
    torch.testing.assert_close(two["loss_similarity"], one["loss_similarity"] / 2)
    assert torch.equal(one["loss_smooth"], two["loss_smooth"])


def test_too_few_features_of_voxelmorph():
    with pytest.raises(ConfigError, match=r"VoxelMorphHead\.features: expected at least 3 numbers"):
        build("VoxelMorph", features=(4, 4))


@pytest.mark.parametrize("similarity", ["correlation", "mutual_information"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_instance_steps_refine_each_pair(system, similarity):
    images, fields = images_of(count=1), {}
    for steps in (0, 15):
        model = build(system, instance_steps=steps, instance_similarity=similarity)
        (found,) = predicted(model, images)
        fields[steps] = found
    errors = {steps: (each.pred_warped - images[0, :1]).square().mean() for steps, each in fields.items()}
    assert errors[15] < errors[0]
    forth, back = fields[15].pred_field[None], fields[15].pred_inverse_field[None]
    assert (back + warp(forth, back, padding="border"))[..., 6:-6, 6:-6].abs().mean() < 0.1
    torch.testing.assert_close(fields[15].pred_warped[None], warp(images[:, 1:], forth))


def test_instance_steps_leave_out_the_padding():
    images, model = images_of(count=1), build("VoxelMorph", both=False, instance_steps=5, int_steps=0)
    with torch.no_grad():
        model.head.velocity.weight.zero_()  # the start is zero, so that the padding cannot change it
    padded = torch.nn.functional.pad(images, (0, 10, 0, 11))
    (alone,) = predicted(model, images)
    (inside,) = model(padded, samples_of(images), mode="predict")
    torch.testing.assert_close(alone.pred_field, inside.pred_field)
    assert alone.pred_field.abs().max() > 0.1


def test_a_pair_that_cannot_be_refined_is_named():
    images = torch.zeros(1, 2, *SIZE)
    sample = TaskSample(metainfo={"img_path": "a-b", "img_shape": SIZE})
    with pytest.raises(DataError, match=r"^a-b: fixed image: expected intensities that differ"):
        build("ICNet", instance_steps=3).eval()(images, [sample], mode="predict")
