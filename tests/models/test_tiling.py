"""Large images in tiles: the same map as in one piece, in the memory of one tile."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from visionzoo.errors import ConfigError
from visionzoo.layers.windows import Window, enlarge_bilinear, enlarge_nearest
from visionzoo.models.tiling import MARGIN, Tiling, _runs
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

VGG = dict(type="VGG", variant="tiny", out_indices=(2, 3, 4))
RESNET = dict(type="mmdet.ResNet", depth=18, base_channels=8)
HEADS = {"HMoDEHead": VGG, "DensityHead": RESNET}
SIZES = [(320, 480), (331, 501), (150, 449), (449, 100)]


def model_of(head, backbone=None, **test_cfg):
    torch.manual_seed(0)
    model = build_model(
        dict(
            type="TaskModel",
            data_preprocessor=dict(type="TaskPreprocessor", mean=[120.0] * 3, std=[60.0] * 3),
            backbone=backbone or HEADS[head],
            head=dict(type=head, variant="tiny"),
            test_cfg=test_cfg or None,
        )
    )
    for module in model.head.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            torch.nn.init.uniform_(module.bias, 0, 0.2)
    return model.eval()


def predicted(model, images, shapes=None):
    size = images.shape[2:]
    shapes = shapes or [size] * len(images)
    samples = [TaskSample(metainfo=dict(img_shape=tuple(shape), batch_input_shape=tuple(size))) for shape in shapes]
    with torch.no_grad():
        return model(images, samples, mode="predict")


def drawn_images(count, size):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("head", HEADS)
def test_tiles_equal_whole_images(head, size):
    images = drawn_images(2, size)
    whole, tiled = predicted(model_of(head), images), predicted(model_of(head, tile=256, margin=96), images)
    for a, b in zip(whole, tiled):
        assert a.pred_density.shape == b.pred_density.shape
        scale = a.pred_density.abs().mean()
        assert (a.pred_density - b.pred_density).abs().max() < 0.01 * scale
        assert b.pred_count.item() == pytest.approx(a.pred_count.item(), rel=1e-4)
        assert torch.equal(b.pred_density.sum(), b.pred_count)


def test_with_less_margin_only_borders_of_tiles_differ():
    images = drawn_images(1, (320, 512))
    (whole,), (tiled,) = (
        predicted(model_of("HMoDEHead"), images),
        predicted(model_of("HMoDEHead", tile=256, margin=32), images),
    )
    difference = (whole.pred_density - tiled.pred_density).abs() / whole.pred_density.mean()
    border = (256 - 32) // 4  # end of the first tile
    assert difference[:, border - 4 : border + 4].max() > 1e-3
    assert difference[:20, :20].max() < 1e-3
    away = torch.zeros_like(difference, dtype=torch.bool)
    away[:28, :28] = True
    counts = [each.pred_density[away].sum().item() for each in (whole, tiled)]
    assert counts[1] == pytest.approx(counts[0], rel=1e-3)


def test_padding_counts_nothing_in_tiles_either():
    images, shapes = drawn_images(2, (352, 480)), [(331, 477), (100, 480)]
    whole = predicted(model_of("HMoDEHead"), images, shapes)
    tiled = predicted(model_of("HMoDEHead", tile=256, margin=96), images, shapes)
    for a, b in zip(whole, tiled):
        assert b.pred_count.item() == pytest.approx(a.pred_count.item(), rel=1e-3)
        assert a.pred_density.shape == b.pred_density.shape


def test_no_tile_is_larger_than_it_may_be():
    model, seen = model_of("HMoDEHead", tile=256, margin=64), []
    model.backbone.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape[2:])))
    predicted(model, drawn_images(1, (700, 900)))
    assert max(max(size) for size in seen) == 256
    assert len(seen) > 20


def test_small_images_are_not_cut():
    model, seen = model_of("HMoDEHead", tile=256, margin=64), []
    model.backbone.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape[2:])))
    predicted(model, drawn_images(1, (75, 256)))
    assert seen == [(75, 256)]


def test_losses_and_raw_outputs_are_of_whole_images():
    model = model_of("HMoDEHead", tile=256, margin=64)
    with torch.no_grad():
        assert model(drawn_images(1, (64, 480)))["maps"].shape == (1, 7, 16, 120)


@pytest.mark.parametrize("side", [1, 255, 256, 257, 300, 321, 1000, 1024, 4097])
@pytest.mark.parametrize(("tile", "margin"), [(256, 96), (256, 32), (1024, 128)])
def test_every_pixel_is_kept_once(side, tile, margin):
    runs = list(_runs(side, Tiling(tile, margin)))
    assert runs[0].kept_from == runs[0].start == 0
    assert runs[-1].kept_to == runs[-1].end == side
    assert all(before.kept_to == after.kept_from for before, after in pairwise(runs))
    for run in runs:
        assert run.end - run.start <= tile
        assert run.start == 0 or run.kept_from - run.start == margin
        assert run.end == side or run.end - run.kept_to == margin
        assert run.start % 32 == run.kept_from % 32 == 0
        assert len(runs) == 1 or run.end - run.start > 2 * margin


@pytest.mark.parametrize("enlarge", [enlarge_nearest, enlarge_bilinear])
@pytest.mark.parametrize("sizes", [((37, 50), (18, 25)), ((40, 48), (20, 24)), ((41, 51), (21, 26))])
def test_a_window_is_enlarged_as_part_of_its_image(enlarge, sizes):
    fine, coarse = sizes
    x = torch.randn(2, 3, *coarse, generator=torch.Generator().manual_seed(0))
    mode = dict(mode="nearest") if enlarge is enlarge_nearest else dict(mode="bilinear", align_corners=True)
    whole = F.interpolate(x, size=fine, **mode)
    window = Window(8, 16, sizes, (1, 2))
    part = enlarge(x[:, :, 4:14, 8:20], (20, 24), window, 1, 0)
    inner = (..., slice(2, 18), slice(2, 22))  # pixels next to the window's border may need pixels outside it
    torch.testing.assert_close(part[inner], whole[:, :, 8:28, 16:40][inner])


def test_heads_without_a_dense_map_are_refused():
    with pytest.raises(ConfigError, match=r"model\.test_cfg\.tile: expected a head that returns a dense map.*Classif"):
        build_model(
            dict(
                type="TaskModel",
                backbone=dict(type="BossNet", variant="tiny"),
                head=dict(type="ClassificationHead"),
                test_cfg=dict(tile=1024),
            ),
            num_classes=4,
        )


@pytest.mark.parametrize("test_cfg", [dict(tile=256, margin=128), dict(tile=256, margin=0), dict(tile=64)])
def test_tiles_without_room_between_margins_are_refused(test_cfg):
    with pytest.raises(ConfigError, match=rf"found tile={test_cfg['tile']} and margin="):
        model_of("HMoDEHead", **test_cfg)


def test_sides_are_rounded_to_what_all_levels_divide():
    assert model_of("HMoDEHead", tile=1000, margin=100).tiling == Tiling(992, 128)
    assert model_of("HMoDEHead", tile=1024).tiling == Tiling(1024, MARGIN)
    assert model_of("HMoDEHead").tiling is None
