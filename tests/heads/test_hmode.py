"""HMoDE's head: shapes, counts, losses by their definitions, and errors of the released script."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.heads.hmode import HMoDEHead
from visionzoo.heads.hmode.losses import importance_loss, local_counting_losses
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

SIZES = [(64, 96), (75, 101), (48, 92)]
RESNET = dict(type="mmdet.ResNet", depth=18, base_channels=8, out_indices=(0, 1, 2, 3))


def model_of(backbone=None, **options):
    """Return a model with weights spread enough that every map is nonzero and the maps differ."""
    torch.manual_seed(0)
    backbone = backbone or dict(type="VGG", variant="tiny", out_indices=(2, 3, 4))
    model = build_model(
        dict(
            type="TaskModel",
            data_preprocessor=dict(type="TaskPreprocessor", mean=[120.0] * 3, std=[60.0] * 3),
            backbone=backbone,
            head=dict(type="HMoDEHead", variant="tiny", **options),
        )
    )
    for module in model.head.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            torch.nn.init.uniform_(module.bias, 0, 0.2)
    return model.eval()


def drawn_images(count, size, seed=0):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def density(size, seed=0, people=20):
    """Return a sparse density whose sum is ``people``."""
    draw = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    values = (draw - 0.9).clamp_min(0)
    return values / values.sum().clamp_min(1e-9) * people


def samples_of(size, shapes, people=20):
    samples = [TaskSample(metainfo=dict(img_shape=shape, batch_input_shape=size)) for shape in shapes]
    for seed, (sample, shape) in enumerate(zip(samples, shapes)):
        sample.gt_density = density(shape, seed, people)
    return samples


# --- outputs --- ---


def test_shapes_are_those_of_the_authors():
    with torch.no_grad():
        outputs = model_of()(drawn_images(2, (64, 96)))
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {
        "maps": (2, 7, 16, 24),
        "attention": (2, 1, 4, 6),
        "pair_gates": (2, 3, 2, 16, 24),
        "mixture_gates": (2, 3, 16, 24),
    }
    torch.testing.assert_close(outputs["pair_gates"].sum(2), torch.ones(2, 3, 16, 24))
    torch.testing.assert_close(outputs["mixture_gates"].sum(1), torch.ones(2, 16, 24))
    assert (outputs["maps"] >= 0).all()


def test_mixtures_are_weighted_sums_of_their_experts():
    with torch.no_grad():
        outputs = model_of()(drawn_images(2, (75, 101)))
    maps, gates = outputs["maps"], outputs["pair_gates"]
    for at, (first, second) in enumerate([(0, 1), (0, 2), (1, 2)]):
        mixed = gates[:, at, 0] * maps[:, first] + gates[:, at, 1] * maps[:, second]
        torch.testing.assert_close(maps[:, 3 + at], mixed)
    torch.testing.assert_close(maps[:, 6], (outputs["mixture_gates"] * maps[:, 3:6]).sum(1))


@pytest.mark.parametrize("size", SIZES)
def test_count_is_the_sum_of_the_full_map(size):
    model, images = model_of(), drawn_images(3, size)
    with torch.no_grad():
        full = F.interpolate(model(images)["maps"][:, -1:], size=size, mode="nearest").double().sum((1, 2, 3)) / 100
        predictions = model(images, samples_of(size, [size] * 3), mode="predict")
    counts = torch.stack([sample.pred_count for sample in predictions])
    torch.testing.assert_close(counts, full.float(), rtol=1e-5, atol=0)
    assert all(sample.pred_density.shape == (size[0] // 4, size[1] // 4) for sample in predictions)
    assert all(torch.equal(sample.pred_density.sum(), sample.pred_count) for sample in predictions)


@pytest.mark.parametrize("size", [(64, 96), (48, 92)])
def test_quarter_resolution_counts_where_sides_are_multiples_of_4(size):
    model, images = model_of(), drawn_images(2, size)
    with torch.no_grad():
        quarter = model(images)["maps"][:, -1].sum((1, 2)) * 16 / 100
        predictions = model(images, samples_of(size, [size] * 2), mode="predict")
    torch.testing.assert_close(torch.stack([sample.pred_count for sample in predictions]), quarter, rtol=1e-4, atol=0)


def test_padding_counts_nothing():
    model, size, shapes = model_of(), (80, 112), [(75, 101), (33, 112)]
    images = drawn_images(2, size)
    with torch.no_grad():
        full = F.interpolate(model(images)["maps"][:, -1:], size=size, mode="nearest")[:, 0] / 100
        predictions = model(images, samples_of(size, shapes), mode="predict")
    for sample, whole, (height, width), grid in zip(predictions, full, shapes, [(19, 26), (9, 28)]):
        torch.testing.assert_close(sample.pred_count, whole[:height, :width].sum(), rtol=1e-5, atol=0)
        assert sample.pred_density.shape == grid


def test_a_single_image_counts_as_in_a_batch():
    model, size = model_of(), (75, 101)
    images = drawn_images(4, size)
    with torch.no_grad():
        together = model(images, samples_of(size, [size] * 4), mode="predict")
        for index, sample in enumerate(together):
            (single,) = model(images[index : index + 1], samples_of(size, [size]), mode="predict")
            torch.testing.assert_close(single.pred_density, sample.pred_density, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("count", "maps"), [(2, 4), (3, 7), (4, 11)])
def test_any_number_of_levels_from_two_on(count, maps):
    model = model_of(RESNET, experts=count)
    images = drawn_images(2, (75, 101))
    with torch.no_grad():
        outputs = model(images)
    assert outputs["maps"].shape == (2, maps, *outputs["maps"].shape[2:])
    assert model.head.stride == (4, 8, 16, 32)[-count]
    losses = model.train()(images, samples_of((75, 101), [(75, 101)] * 2), mode="loss")
    sum(losses.values()).backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.head.parameters())


def test_two_levels_are_enough():
    model = model_of(dict(type="VGG", variant="tiny", out_indices=(3, 4)))
    with torch.no_grad():
        assert model(drawn_images(2, (64, 96)))["maps"].shape == (2, 4, 8, 12)


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        (dict(in_channels=8, in_strides=[8]), ConfigError, r"two levels.*found 1 level;"),
        (dict(experts=5), ConfigError, r"found 3 levels and experts=5"),
        (dict(experts=1), ConfigError, r"found 3 levels and experts=1"),
        (dict(variant="tinny"), UnknownName, "did you mean 'tiny'"),
        (dict(log_para=0), ConfigError, r"above 0, found 0"),
        (dict(margin=2), ConfigError, r"margin: expected a number from 0 to 1"),
        (dict(relative_from=-1), ConfigError, r"relative_from: expected a number from 0 to 1"),
        (dict(relative_weight=-1), ConfigError, r"relative_weight: expected a number of at least 0"),
    ],
)
def test_wrong_settings_are_refused(options, error, expected):
    given = dict(in_channels=[8, 16, 32], in_strides=[4, 8, 16], variant="tiny") | options
    with pytest.raises(error, match=expected):
        HMoDEHead(**given)


def test_starts_from_small_weights_and_no_biases():
    torch.manual_seed(0)
    head = HMoDEHead([64, 64, 64], [4, 8, 16], "light_gate")
    weights = torch.cat([value.flatten() for name, value in head.named_parameters() if name.endswith("weight")])
    assert weights.std().item() == pytest.approx(0.01, rel=0.02)
    assert not any(value.any() for name, value in head.named_parameters() if name.endswith("bias"))


# --- losses ---


def objective_by_definition(head, outputs, samples, size):
    """Compute the released objective with seven full maps; every image is compared only with its own target."""
    density_sum = attention_sum = 0.0
    maps = F.interpolate(outputs["maps"], size=size, mode="nearest")
    attention = F.interpolate(outputs["attention"], size=size, mode="nearest")
    for image, looked_at, sample in zip(maps, attention, samples):
        height, width = sample.img_shape
        target = sample.gt_density * 100
        for index, each in enumerate(image[:, :height, :width]):
            density_sum += 2 ** (index // 3) * ((each - target) ** 2).sum()
        there = (target > 1e-3).float()
        prob = looked_at[0, :height, :width]
        attention_sum -= (there * (prob + 1e-10).log() + (1 - there) * (1 - prob + 1e-10).log()).sum()
    return density_sum / len(samples), attention_sum / len(samples)


@pytest.mark.parametrize(
    ("size", "shapes"),
    [((64, 96), [(64, 96)] * 3), ((75, 101), [(75, 101)] * 2), ((80, 112), [(75, 101), (80, 60), (41, 112)])],
    ids=["even", "odd", "padded"],
)
def test_losses_are_those_of_full_maps(size, shapes):
    model, samples = model_of(), samples_of(size, shapes)
    images = drawn_images(len(shapes), size)
    outputs = model(images)
    losses = model(images, samples, mode="loss")
    expected = objective_by_definition(model.head, outputs, samples, size)
    torch.testing.assert_close(losses["loss_density"], expected[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(losses["loss_attention"], expected[1], rtol=1e-4, atol=0)
    assert set(losses) == {"loss_density", "loss_attention", "loss_importance"}
    ours = torch.autograd.grad(losses["loss_density"], model.head.experts[0][0][0].weight, retain_graph=True)
    theirs = torch.autograd.grad(expected[0], model.head.experts[0][0][0].weight)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_losses_of_a_batch_are_the_mean_of_its_images():
    """The released loop compares every image of a batch with every target."""
    model, size = model_of(importance_by_image=True), (64, 96)
    images, samples = drawn_images(3, size), samples_of(size, [size] * 3)
    together = model(images, samples, mode="loss")
    for name, value in together.items():
        single = [model(images[at : at + 1], samples[at : at + 1], mode="loss")[name] for at in range(3)]
        torch.testing.assert_close(value, torch.stack(single).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("log_para", [100.0, 1.0])
def test_people_are_where_density_is_above_the_threshold_for_any_log_para(log_para):
    head = HMoDEHead([8, 8, 8], [4, 8, 16], "tiny", log_para=log_para)
    target = torch.full((1, 32, 32), 0.5e-5)
    target[0, :16] = 2e-5
    attention = torch.full((1, 1, 2, 2), 0.01)
    attention[:, :, 0] = 0.99
    sample = TaskSample(metainfo=dict(img_shape=(32, 32)))
    right = head.attention_error(attention, target, [sample])
    assert right.item() == pytest.approx(-1024 * torch.tensor(0.99).log().item(), rel=1e-4)
    wrong = head.attention_error(attention, target / 10, [sample])  # now no pixel is above the threshold
    assert wrong.item() == pytest.approx(512 * (4.60517 + 0.01005), rel=1e-3)


def test_importance_is_a_squared_coefficient_of_variation():
    gates = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]).view(1, 3, 2, 1, 1).expand(2, 3, 2, 4, 5)
    expected = 2 * (0.4**2 + 0 + 0.3**2) / 0.25
    assert importance_loss(gates).item() == pytest.approx(expected, rel=1e-5)
    assert importance_loss(gates, by_image=True).item() == pytest.approx(2 * expected, rel=1e-5)


def test_importance_may_not_depend_on_the_batch():
    gates = torch.rand(4, 3, 2, 5, 6, generator=torch.Generator().manual_seed(0)).softmax(2)
    single = sum(importance_loss(each[None]) for each in gates)
    assert importance_loss(gates, by_image=True).item() == pytest.approx(single.item(), rel=1e-5)
    assert importance_loss(gates).item() < single.item() / 2


def test_images_without_people_are_learned_from():
    model, size = model_of(compat=False), (75, 101)
    model.head.set_training_progress(9, 10)
    losses = model.train()(drawn_images(2, size), samples_of(size, [size] * 2, people=0), mode="loss")
    assert all(value.isfinite() for value in losses.values())
    sum(losses.values()).backward()
    assert all(value.grad.isfinite().all() for value in model.head.parameters())


def test_truth_that_is_missing_or_of_another_size_is_named():
    model, size = model_of(), (64, 96)
    samples = samples_of(size, [size] * 2)
    samples[1].set_metainfo(dict(img_path="crowd.jpg"))
    samples[1].gt_density = torch.zeros(64, 95)
    with pytest.raises(DataError, match=r"^crowd\.jpg: expected gt_density of \(64, 96\).*found \(64, 95\)"):
        model(drawn_images(2, size), samples, mode="loss")
    del samples[1].gt_density
    with pytest.raises(DataError, match=r"^crowd\.jpg: expected gt_density to learn from, found none"):
        model(drawn_images(2, size), samples, mode="loss")


def test_groups_of_images_are_refused():
    model, size = model_of(), (64, 96)
    with torch.no_grad(), pytest.raises(DataError, match="found 2 images in 1 samples"):
        model(drawn_images(2, size), samples_of(size, [size]), mode="predict")


# --- local counting losses ---


def local_losses_by_loop(prediction, target):
    """Compute ``relloss`` of one map from its description; ranks of equal counts keep the order of their errors."""
    rows, columns = target.shape[0] // 16, target.shape[1] // 16
    regions = [
        (slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16))
        for row in range(rows)
        for column in range(columns)
    ]
    errors = [((prediction[at] - target[at]) ** 2).sum().item() for at in regions]
    order = sorted(range(len(regions)), key=lambda at: -errors[at])[: min(9, len(regions))]
    ranked = sorted(order, key=lambda at: -target[regions[at]].sum().item())
    counts = [prediction[regions[at]].sum().item() for at in ranked]
    step, hinges = len(counts) // 3, 0.0
    for at in range(step):
        p0, p1, p2 = counts[at], counts[at + step], counts[at + 2 * step]
        hinges += max(0, p1 - p0) + max(0, p2 - p0) + max(0, p2 - p1)
    return float(sum(errors[at] for at in order)), hinges


@pytest.mark.parametrize("size", [(64, 96), (75, 101), (48, 48), (32, 64), (33, 47), (16, 40), (15, 96)])
def test_local_losses_are_those_of_a_loop(size):
    maps = torch.rand(7, *size, generator=torch.Generator().manual_seed(1))
    target = density(size, people=2000)
    regions, ranks = local_counting_losses(maps, target)
    expected = [local_losses_by_loop(each, target) for each in maps]
    torch.testing.assert_close(regions, torch.tensor([each[0] for each in expected]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ranks, torch.tensor([each[1] for each in expected]), rtol=1e-4, atol=1e-3)
    assert bool((ranks > 0).any()) == (size[0] // 16 * (size[1] // 16) >= 3)


def test_equal_true_counts_keep_the_order_of_their_errors():
    """Most regions are empty, so their ranks depend on the order."""
    target = torch.zeros(64, 64)
    maps = torch.rand(4, 64, 64, generator=torch.Generator().manual_seed(2))
    _, ranks = local_counting_losses(maps, target)
    expected = torch.tensor([local_losses_by_loop(each, target)[1] for each in maps])
    torch.testing.assert_close(ranks, expected, rtol=1e-4, atol=1e-3)


def test_only_hinges_have_gradients_as_released():
    maps = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    target = density((64, 64), people=500)
    regions, ranks = local_counting_losses(maps, target)
    assert not regions.requires_grad
    assert ranks.requires_grad
    regions, _ = local_counting_losses(maps, target, train_regions=True)
    regions.sum().backward()
    assert maps.grad.abs().sum() > 0


def test_a_margin_takes_the_zero_map_its_charm():
    target = density((64, 64), people=500)
    zeros, truth = torch.zeros(1, 64, 64), target[None]
    assert local_counting_losses(zeros, target)[1].item() == 0
    assert local_counting_losses(zeros, target, margin=0.5)[1].item() > 1
    assert local_counting_losses(truth, target, margin=1.0)[1].item() == pytest.approx(0, abs=1e-3)


def test_the_relative_loss_starts_at_its_step():
    model, size = model_of(relative=True, relative_from=0.5), (64, 96)
    images, samples = drawn_images(2, size), samples_of(size, [size] * 2)
    model.head.set_training_progress(4, 10)
    assert "loss_relative" not in model(images, samples, mode="loss")
    model.head.set_training_progress(5, 10)
    losses, outputs = model(images, samples, mode="loss"), model(images)
    full = F.interpolate(outputs["maps"], size=size, mode="nearest")
    expected = sum(
        2 ** (index // 3) * sum(local_losses_by_loop(image[index], sample.gt_density * 100))
        for image, sample in zip(full.detach(), samples)
        for index in range(7)
    )
    assert losses["loss_relative"].item() == pytest.approx(expected / 2, rel=1e-4)


def test_compat_is_the_released_objective_and_each_part_can_be_chosen():
    head = HMoDEHead([8, 8, 8], [4, 8, 16], "tiny")
    assert head.options["relu_on_gates"]
    assert not head.options["relative"]
    fixed = HMoDEHead([8, 8, 8], [4, 8, 16], "tiny", compat=False, relu_on_gates=True)
    assert fixed.options["relu_on_gates"]
    assert fixed.options["relative"]
    assert fixed.options["margin"] > 0


def test_gates_may_have_negative_logits():
    feats = [torch.randn(1, 8, *size) for size in ((16, 16), (8, 8), (4, 4))]
    for relu in (True, False):
        head = HMoDEHead([8, 8, 8], [4, 8, 16], "tiny", relu_on_gates=relu)
        torch.nn.init.constant_(head.pair_gate.layers[-1][0].bias, -1.0)
        with torch.no_grad():
            head.pair_gate.layers[-1][0].bias[::2] -= 3
            gates = head(feats)["pair_gates"]
        expected = 0.5 if relu else torch.tensor([-4.0, -1.0]).softmax(0)[0].item()
        assert gates[:, :, 0].mean().item() == pytest.approx(expected, abs=0.01)


# --- precision and sizes ---


def test_half_precision_sums_in_full():
    model, size = model_of(), (75, 101)
    samples = samples_of(size, [size] * 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(drawn_images(2, size))
        losses = model.train()(drawn_images(2, size), samples, mode="loss")
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in outputs.values())
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())
    sum(losses.values()).backward()
    assert all(value.grad.isfinite().all() for value in model.parameters())


def test_one_cell_in_a_batch_is_too_little_to_train_normalisation():
    model, size = model_of(), (16, 16)
    samples = samples_of(size, [size] * 2)
    with pytest.raises(ValueError, match="more than 1 value per channel when training"):
        model.train()(drawn_images(1, size), samples[:1], mode="loss")
    losses = model(drawn_images(2, size), samples, mode="loss")
    assert all(value.isfinite() for value in losses.values())
    with torch.no_grad():
        (prediction,) = model.eval()(drawn_images(1, size), samples[:1], mode="predict")
    assert prediction.pred_density.shape == (4, 4)
