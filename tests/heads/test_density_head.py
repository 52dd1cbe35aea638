"""The plain density head, and code shared by counting heads: targets, cells, output values."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from visionzoo.engine.seeding import seed_everything
from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.heads.density import DensityHead
from visionzoo.layers.density import cell_truth, pixels_of_cells, sum_over_cells
from visionzoo.layers.windows import cell_of_pixel
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

RESNET = dict(type="mmdet.ResNet", depth=18, base_channels=8)
VGG = dict(type="VGG", variant="tiny")
BACKBONES = [RESNET, VGG, dict(VGG, out_indices=(3,)), dict(type="DiNAT", variant="tiny")]
ODD = (75, 101)


def model_of(backbone, neck=None, **options):
    torch.manual_seed(0)
    head = dict(type="DensityHead", variant="tiny") | options
    parts = dict(type="TaskModel", backbone=backbone, head=head) | ({"neck": neck} if neck else {})
    model = build_model(parts | dict(data_preprocessor=dict(type="TaskPreprocessor", mean=[120.0] * 3, std=[60.0] * 3)))
    for module in model.head.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return model.eval()


def drawn_images(count, size):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))


def samples_of(size, shapes, people=20):
    samples = [TaskSample(metainfo=dict(img_shape=shape, batch_input_shape=size)) for shape in shapes]
    for seed, sample in enumerate(samples):
        draw = torch.rand(sample.img_shape, generator=torch.Generator().manual_seed(seed)) ** 8
        sample.gt_density = draw / draw.sum() * people
    return samples


# --- cells ---


@pytest.mark.parametrize(("cells", "pixels"), [(18, 75), (19, 75), (25, 101), (4, 16), (1, 7), (5, 5), (250, 1001)])
def test_pixels_belong_to_cells_as_nearest_enlargement_has_it(cells, pixels):
    owners = cell_of_pixel(cells, pixels)
    enlarged = F.interpolate(torch.arange(cells).float().view(1, 1, 1, -1), size=(1, pixels), mode="nearest")
    assert torch.equal(owners, enlarged.flatten().long())
    assert owners[0] == 0
    assert owners[-1] == cells - 1
    assert owners.diff().min() >= 0


@pytest.mark.parametrize("grid", [(18, 25), (19, 26), (9, 12), (75, 101)])
def test_sums_over_cells_are_sums_of_the_enlarged_map(grid):
    cells = torch.rand(2, *grid, generator=torch.Generator().manual_seed(0))
    target = torch.rand(2, *ODD, generator=torch.Generator().manual_seed(1))
    full = F.interpolate(cells[:, None], size=ODD, mode="nearest")[:, 0]
    samples = [TaskSample(), TaskSample()]
    torch.testing.assert_close((cells * sum_over_cells(target, grid)).sum(), (full * target).sum())
    torch.testing.assert_close((cells * pixels_of_cells(grid, ODD, samples)).sum(), full.sum())
    errors = cell_truth(target, grid, samples).squared_errors(cells[:, None])[:, 0]
    torch.testing.assert_close(errors, (full - target).square().sum((1, 2)))


def test_cells_of_padding_have_no_pixels():
    samples = samples_of((96, 112), [ODD, (96, 5)])
    pixels = pixels_of_cells((24, 28), (96, 112), samples)
    assert pixels.sum((1, 2)).tolist() == [75 * 101, 96 * 5]
    assert pixels[0, 18, 0] == 12
    assert not pixels[0, 19:].any()
    assert not pixels[1, :, 2:].any()


# --- head --- ---


@pytest.mark.parametrize("backbone", BACKBONES, ids=["resnet", "vgg", "one level", "dinat"])
@pytest.mark.parametrize("size", [ODD, (64, 96)])
def test_counts_on_any_backbone(backbone, size):
    model, images = model_of(backbone), drawn_images(2, size)
    losses = model.train()(images, samples_of(size, [size] * 2), mode="loss")
    assert set(losses) == {"loss_density"}
    losses["loss_density"].backward()
    assert all(value.grad.isfinite().all() for value in model.head.parameters())
    assert any(value.grad is not None and value.grad.any() for value in model.backbone.parameters())
    with torch.no_grad():
        dense = model.eval()(images)
        predictions = model(images, samples_of(size, [size] * 2), mode="predict")
    counts = torch.stack([sample.pred_count for sample in predictions])
    full = F.interpolate(dense, size=size, mode="nearest").sum((1, 2, 3)) / 100
    torch.testing.assert_close(counts, full, rtol=1e-4, atol=1e-4)


def test_counts_after_a_neck():
    model = model_of(RESNET, neck=dict(type="RCNet", variant="tiny"))
    with torch.no_grad():
        (prediction,) = model(drawn_images(1, (96, 160)), samples_of((96, 160), [(96, 160)]), mode="predict")
    assert prediction.pred_density.shape == (12, 20)


@pytest.mark.parametrize(
    ("strides", "level", "expected"),
    [
        ([4, 8, 16, 32], None, 1),
        ([4, 16], None, 0),
        ([16, 32], None, 0),
        ([2, 4], None, 1),
        ([8, 8], None, 0),
        ([14], None, 0),
        ([4, 8, 16], -1, 2),
        ([4, 8, 16], 0, 0),
    ],
)
def test_reads_the_level_nearest_to_stride_8(strides, level, expected):
    head = DensityHead(list(range(8, 8 + len(strides))), strides, "tiny", level=level)
    assert head.level == expected
    assert head.stride == strides[expected]
    assert head.layers[0].in_channels == 8 + expected


def test_the_default_is_csrnets_back_end():
    head = DensityHead([512], [8])
    widths = [512, 512, 512, 512, 256, 128, 64]
    convolutions = sum(9 * a * b + b for a, b in pairwise(widths))
    assert sum(value.numel() for value in head.parameters()) == convolutions + 64 + 1
    assert all(each.dilation == (2, 2) for each in head.layers if getattr(each, "kernel_size", None) == (3, 3))
    (dense,) = head([torch.randn(1, 512, 9, 12)])
    assert dense.shape == (1, 9, 12)


def test_loss_is_the_squared_error_of_cells():
    model, size = model_of(VGG), (80, 112)
    images, samples = drawn_images(2, size), samples_of(size, [size] * 2)
    dense = model(images)
    target = torch.stack([sample.gt_density for sample in samples])[:, None] * 100
    expected = (dense - F.avg_pool2d(target, 8)).square().sum() / 2
    torch.testing.assert_close(model(images, samples, mode="loss")["loss_density"], expected)


def test_padding_is_not_learned_from():
    model, size = model_of(VGG), (80, 112)
    images, shapes = drawn_images(1, size), [(40, 56)]
    dense = model(images)[:, :, :5, :7]
    (sample,) = samples_of(size, shapes)
    expected = (dense - F.avg_pool2d(sample.gt_density[None, None] * 100, 8)).square().sum()
    torch.testing.assert_close(model(images, [sample], mode="loss")["loss_density"], expected)


def test_log_para_cancels():
    counts = []
    for log_para in (100.0, 1.0):
        model = model_of(VGG, log_para=log_para)
        with torch.no_grad():
            (prediction,) = model(drawn_images(1, ODD), samples_of(ODD, [ODD]), mode="predict")
        counts.append(prediction.pred_count.item() * log_para)
    assert counts[0] == pytest.approx(counts[1])


def test_relu_keeps_densities_above_0():
    images, samples = drawn_images(2, ODD), samples_of(ODD, [ODD] * 2)
    with torch.no_grad():
        plain = model_of(VGG)(images, [sample.clone() for sample in samples], mode="predict")
        cut = model_of(VGG, relu=True)(images, samples, mode="predict")
    assert min(sample.pred_density.min() for sample in plain) < 0
    for before, after in zip(plain, cut):
        torch.testing.assert_close(after.pred_density, before.pred_density.relu())


def test_a_single_image_counts_as_in_a_batch():
    model, images = model_of(RESNET), drawn_images(4, ODD)
    with torch.no_grad():
        together = model(images, samples_of(ODD, [ODD] * 4), mode="predict")
        for index, sample in enumerate(together):
            (single,) = model(images[index : index + 1], samples_of(ODD, [ODD]), mode="predict")
            torch.testing.assert_close(single.pred_density, sample.pred_density, rtol=1e-4, atol=1e-5)


def test_half_precision_sums_in_full():
    model, samples = model_of(VGG), samples_of(ODD, [ODD] * 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(drawn_images(2, ODD), samples, mode="loss")["loss_density"]
        predictions = model(drawn_images(2, ODD), samples, mode="predict")
    assert loss.dtype == torch.float32
    assert all(sample.pred_count.dtype == torch.float32 and sample.pred_count.isfinite() for sample in predictions)


def test_images_without_people_are_learned_from():
    model = model_of(VGG).train()
    loss = model(drawn_images(2, ODD), samples_of(ODD, [ODD] * 2, people=0), mode="loss")["loss_density"]
    loss.backward()
    assert loss.isfinite()
    assert loss > 0


def test_missing_truth_is_named():
    model, sample = model_of(VGG), TaskSample(metainfo=dict(img_path="crowd.jpg", img_shape=ODD))
    with pytest.raises(DataError, match=r"^crowd\.jpg: expected gt_density to learn from, found none"):
        model(drawn_images(1, ODD), [sample], mode="loss")


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        (dict(level=3), ConfigError, r"one of the 3 levels.*found 3"),
        (dict(dilation=0), ConfigError, r"dilation: expected a whole number"),
        (dict(log_para=-1), ConfigError, r"DensityHead\.log_para: expected a number above 0"),
        (dict(variant="tinny"), UnknownName, "did you mean 'tiny'"),
    ],
)
def test_wrong_settings_are_refused(options, error, expected):
    with pytest.raises(error, match=expected):
        DensityHead(**dict(in_channels=[8, 8, 8], in_strides=[4, 8, 16], variant="tiny") | options)


def test_learns_to_count():
    """Images have 1 to 8 bright squares on a dark ground."""
    seed_everything(0)
    model, size = model_of(VGG), (64, 96)
    images, samples = [], []
    for count in range(1, 9):
        image, sample = torch.zeros(3, *size, dtype=torch.uint8), TaskSample()
        sample.gt_density = torch.zeros(size)
        for place in torch.randperm(24)[:count].tolist():
            top, left = place // 6 * 16 + 4, place % 6 * 16 + 4
            image[:, top : top + 8, left : left + 8] = 255
            sample.gt_density[top : top + 8, left : left + 8] = 1 / 64
        images.append(image)
        samples.append(sample)
    data = model.data_preprocessor({"inputs": images, "data_samples": samples}, training=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(80):
        loss = model.train()(**data, mode="loss")["loss_density"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        predictions = model.eval()(**data, mode="predict")
    errors = [abs(sample.pred_count.item() - count) for count, sample in enumerate(predictions, start=1)]
    assert sum(errors) / 8 < 1  # a constant prediction of 4.5 is wrong by 2 on average
