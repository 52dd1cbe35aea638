"""Exported mask classifiers: the graph equals mmdet's, and the fusion by numpy equals the model's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_export_infer import compare, images_in, weights_of

from visionzoo.cards.seeding import fill_weights
from visionzoo.cli import main
from visionzoo.graphs.form import NotExportable
from visionzoo.graphs.images import image_form
from visionzoo.graphs.mask_queries import decoded
from visionzoo.heads.panoptic_fusion import PanopticFusion
from visionzoo.structures.detections import detections_of
from visionzoo.structures.graph_results import Frame
from visionzoo.structures.query_fusion import fused, whole_masks
from visionzoo.zoo import get_model


def logits(seed, queries=12, classes=5, size=(21, 34)):
    """Return logits of classes and smooth masks, some of which overlap."""
    draw = torch.Generator().manual_seed(seed)
    coarse = 6 * torch.randn(queries, 1, 3, 4, generator=draw)
    masks = torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=False)[:, 0]
    return 3 * torch.randn(queries, classes + 1, generator=draw), masks


@pytest.mark.parametrize("rule", ["mmdet", "kmax"])
@pytest.mark.parametrize(("things", "stuff"), [(3, 2), (5, 0), (0, 5)])
@pytest.mark.parametrize("strict", [False, True])
def test_numpy_fuses_as_torch_does(rule, things, stuff, strict):
    fusion = PanopticFusion(
        things, stuff, rule, class_threshold=0.3, overlap_threshold=0.4, filter_low_score=strict, max_per_image=20,
        least_pixels=(3, 9) if strict else (0, 0),
    )  # fmt: skip
    segments = 0
    for seed in range(6):
        classes, masks = logits(seed)
        expected = fusion.fuse(classes, masks)
        found = fused(classes.numpy(), masks.numpy(), fusion.graph_settings())
        assert np.array_equal(found.pred_panoptic.ids, expected.panoptic)
        assert [each.category_id for each in found.pred_panoptic.segments] == expected.labels
        assert np.allclose(found.pred_panoptic_scores, expected.scores, atol=1e-6)
        objects = found.pred_panoptic_seg.sem_seg[0] >= 1000
        assert np.array_equal(objects, np.isin(expected.panoptic, things_of(expected.labels, things)))
        assert np.array_equal(found.pred_semantic, expected.semantic)
        own, other = (detections_of(each, (34, 21)) for each in (found.pred_instances, expected.instances))
        assert np.array_equal(own.boxes, other.boxes)
        assert np.array_equal(own.labels, other.labels)
        assert own.masks == other.masks
        assert np.allclose(own.scores, other.scores, atol=1e-6)
        segments += len(expected.labels)
    assert segments > 5


def things_of(labels, things):
    return [number for number, label in enumerate(labels, start=1) if label < things]


def test_masks_are_enlarged_as_the_model_enlarges_them():
    masks = torch.randn(3, 8, 16, generator=torch.Generator().manual_seed(0))
    frame = Frame(padded=(32, 64), inside=(27, 50), original=(41, 75))
    resize = dict(mode="bilinear", align_corners=False)
    inside = torch.nn.functional.interpolate(masks[None], frame.padded, **resize)[:, :, :27, :50]
    expected = torch.nn.functional.interpolate(inside, frame.original, **resize)[0]
    assert np.allclose(whole_masks(masks.numpy(), frame), expected, atol=1e-5)


@pytest.fixture(scope="module")
def model():
    model = get_model("mask2former_r50_coco_instance", tiny=True).eval()
    fill_weights(model, 0)
    return model


def test_the_decoder_of_the_form_equals_that_of_mmdet(model):
    with torch.no_grad():
        feats = model.extract_feat(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
        feats = (*feats, feats[-1][..., ::2, ::2])  # the decoder reads only the first four levels
        decoder = model.panoptic_head.pixel_decoder
        expected, found = decoder(feats), decoded(decoder, feats)
    for one, other in zip([expected[0], *expected[1]], [found[0], *found[1]], strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_the_form_equals_the_head(model):
    form = image_form(model).eval()
    images = torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        classes, masks = form(images, torch.tensor([[64, 96]] * 2))
        pixels = (images - form.mean) / form.std
        expected = [each[-1] for each in model.panoptic_head(model.extract_feat(pixels), [])]
    assert torch.allclose(classes, expected[0], atol=1e-5)
    assert torch.allclose(masks, expected[1], atol=1e-4 * float(expected[1].abs().max()))


def test_another_fusion_has_a_reason(model, monkeypatch):
    monkeypatch.setattr(model, "panoptic_fusion_head", torch.nn.Identity())
    with pytest.raises(NotExportable, match="the form of PanopticFusion only"):
        image_form(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask2former_r50_coco_instance", "mask2former_r50_coconut"])
def test_files_equal_those_of_the_model(name, tmp_path):
    pytest.importorskip("onnxruntime")
    images, file = images_in(tmp_path), tmp_path / "model.onnx"
    weights = weights_of(name, images, tmp_path)
    free = ["--cfg-options", "model.test_cfg.object_mask_thr=0.0", "model.test_cfg.iou_thr=0.0"]
    model = [name, "--tiny", "--weights", str(weights), *free]
    assert main(["export", *model, "--size", "64", "64", "-o", str(file), "-q"]) == 0  # recording any size takes longer

    for source, out in ([str(file)], "file"), (model, "model"):
        options = ["--threshold", "0", "-o", str(tmp_path / out), "-q"]
        assert main(["infer", source[0], str(images), *source[1:], *options]) == 0

    compare(tmp_path / "file", tmp_path / "model", 1e-4)
