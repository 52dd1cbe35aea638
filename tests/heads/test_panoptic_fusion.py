"""Fusion of queries: equal to mmdet's head, to a loop over kMaX's rule, and right at its edges."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from visionzoo.errors import ConfigError, UnknownName
from visionzoo.heads.panoptic_fusion import PanopticFusion
from visionzoo.registry import MODELS
from visionzoo.structures.panoptic import PanopticMap

GOLDEN = Path(__file__).parents[1] / "golden" / "coconut" / "kmax_panoptic_inference"


def logits(seed, queries=12, classes=5, size=(21, 34)):
    """Return logits of classes and smooth masks, some of which overlap."""
    draw = torch.Generator().manual_seed(seed)
    coarse = 6 * torch.randn(queries, 1, 3, 4, generator=draw)
    masks = torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=False)[:, 0]
    return 3 * torch.randn(queries, classes + 1, generator=draw), masks


def mmdet_head(things, stuff, **test_cfg):
    with DefaultScope.overwrite_default_scope("mmdet"):
        cfg = dict(type="mmdet.MaskFormerFusionHead", num_things_classes=things, num_stuff_classes=stuff)
        return MODELS.build({**cfg, "test_cfg": test_cfg})


def samples_of(shapes):
    from mmdet.structures import DetDataSample

    return [DetDataSample(metainfo=dict(img_shape=inner, ori_shape=original)) for inner, original in shapes]


# --- parity with mmdet ---


@pytest.mark.parametrize(("things", "stuff"), [(3, 2), (5, 0), (0, 5)])
@pytest.mark.parametrize("filter_low_score", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
def test_equals_the_head_of_mmdet(things, stuff, filter_low_score, rescale):
    options = dict(panoptic_on=True, instance_on=True, semantic_on=False, max_per_image=20)
    options |= dict(object_mask_thr=0.3, iou_thr=0.4, filter_low_score=filter_low_score)
    theirs, ours = mmdet_head(things, stuff, **options), PanopticFusion(things, stuff, test_cfg=options)
    segments = 0
    for seed in range(6):
        classes, masks = (torch.stack(each) for each in zip(logits(seed), logits(100 + seed), strict=True))
        shapes = [((19, 30), (41, 65)), ((21, 33), (40, 30))]
        expected = theirs.predict(classes, masks, samples_of(shapes), rescale=rescale)
        found = ours.predict(classes, masks, samples_of(shapes), rescale=rescale)
        for one, other in zip(expected, found, strict=True):
            assert torch.equal(one["pan_results"].sem_seg, other["pan_results"].sem_seg)
            for name in ("bboxes", "labels", "masks"):
                assert torch.equal(one["ins_results"][name].double(), other["ins_results"][name].double())
            torch.testing.assert_close(one["ins_results"].scores, other["ins_results"].scores)
            segments += len(one["pan_results"].sem_seg.unique()) - 1
    assert segments > 10


def test_more_instances_than_pairs_of_query_and_class_are_all_of_them():
    classes, masks = logits(0)
    fused = PanopticFusion(5, 0, max_per_image=1000).fuse(classes, masks)
    assert len(fused.instances) == 12 * 5


def test_a_detector_of_mmdet_accepts_the_results():
    from mmdet.models.detectors import MaskFormer

    with DefaultScope.overwrite_default_scope("visionzoo"):
        fusion = MODELS.build(dict(type="PanopticFusion", num_things_classes=3, num_stuff_classes=2))
    samples = samples_of([((21, 34), (21, 34))])
    results = fusion.predict(*(each[None] for each in logits(0)), samples)
    (sample,) = MaskFormer.add_pred_to_datasample(None, samples, results)
    assert len(sample.pred_instances) == 12 * 3
    assert sample.pred_panoptic_seg.sem_seg.shape == (1, 21, 34)
    assert fusion.loss() == {}
    assert not list(fusion.parameters())


# --- results in samples ---


def test_samples_receive_panoptic_and_semantic_maps_of_the_original_size():
    classes, masks = (each[None] for each in logits(4))
    (sample,) = samples_of([((20, 30), (33, 47))])
    fusion = PanopticFusion(3, 2, class_threshold=0.3, overlap_threshold=0.4)
    (result,) = fusion.predict(classes, masks, [sample], rescale=True)
    assert isinstance(sample.pred_panoptic, PanopticMap)
    assert sample.pred_panoptic.size == tuple(sample.pred_semantic.shape) == (33, 47)
    assert len(sample.pred_panoptic_scores) == len(sample.pred_panoptic.segments) > 0
    assert set(result) == {"pan_results", "ins_results"}
    numbers = result["pan_results"].sem_seg[0].numpy()
    for segment in sample.pred_panoptic.segments:
        inside = np.unique(numbers[sample.pred_panoptic.mask(segment)])
        assert len(inside) == 1
        assert inside[0] % 1000 == segment.category_id
    assert (numbers[sample.pred_panoptic.ids == 0] == 5).all()


def test_the_semantic_map_sums_over_all_queries():
    classes, masks = logits(9)
    fused = PanopticFusion(3, 2, outputs=["semantic"]).fuse(classes, masks)
    probabilities, scores = classes.softmax(-1)[:, :5].numpy(), masks.sigmoid().numpy()
    expected = sum(p[:, None, None] * s for p, s in zip(probabilities, scores, strict=True)).argmax(0)
    assert (fused.semantic.numpy() == expected).all()
    assert fused.panoptic is None
    assert fused.instances is None
    assert fused.panoptic_map() is None


@pytest.mark.parametrize("rule", ["mmdet", "kmax"])
def test_stuff_of_a_class_is_one_segment_and_things_are_not_merged(rule):
    classes = torch.full((4, 3), -9.0)
    classes[[0, 1], 0] = classes[[2, 3], 1] = 9.0
    masks = torch.full((4, 1, 4), -9.0)
    masks[range(4), 0, range(4)] = 9.0
    fused = PanopticFusion(1, 1, rule=rule).fuse(classes, masks)
    assert sorted(fused.labels) == [0, 0, 1]
    assert fused.panoptic[0, 2] == fused.panoptic[0, 3] > 0
    assert len(fused.panoptic.unique()) == 3


@pytest.mark.parametrize("rule", ["mmdet", "kmax"])
def test_no_sure_query_gives_an_empty_map(rule):
    classes, masks = logits(1)
    classes[:, -1] = 50
    fused = PanopticFusion(3, 2, rule=rule).fuse(classes, masks)
    assert not fused.panoptic.any()
    assert fused.panoptic_map().segments == ()
    assert fused.semantic.shape == masks.shape[1:]


@pytest.mark.parametrize("rule", ["mmdet", "kmax"])
def test_boxes_are_around_the_masks_and_zero_for_empty_ones(rule):
    classes, masks = logits(3)
    masks[0] = -50
    found = PanopticFusion(5, 0, rule=rule, max_per_image=60).fuse(classes, masks).instances
    for mask, box in zip(found.masks.numpy(), found.bboxes.numpy(), strict=True):
        rows, columns = np.nonzero(mask)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0, 0, 0, 0]
        assert box.tolist() == expected
    assert (found.masks.flatten(1).sum(1) == 0).any()


# --- kMaX-DeepLab ---


def kmax_case():
    case, arrays = json.loads(GOLDEN.with_suffix(".json").read_text()), np.load(GOLDEN.with_suffix(".npz"))
    return case, torch.from_numpy(arrays["input:mask_cls"]), torch.from_numpy(arrays["input:mask_pred"])


def test_segments_of_kmax_equal_those_of_its_authors():
    case, classes, masks = kmax_case()
    fused = PanopticFusion(80, 53, rule="kmax").fuse(classes, masks)
    listed = case["segments_info"]
    assert fused.labels == [each["category_id"] for each in listed]
    assert [label < 80 for label in fused.labels] == [each["isthing"] for each in listed]
    assert fused.scores == pytest.approx([each["confidence"] for each in listed], abs=case["tolerance_confidence"])


def loop_kmax(classes, masks, things, least, thing=0.7, stuff=0.2):
    """Return segments by the rule of kMaX-DeepLab, in loops over queries."""
    probabilities, scores = classes.softmax(-1)[:, :-1], masks.softmax(0)
    queries = []
    for query in range(len(masks)):
        mask = scores[query] > 0.4
        quality = float(scores[query][mask].mean()) if mask.any() else 0.0
        queries.append((float(probabilities[query].max()) * quality, query, mask))
    panoptic, labels = torch.zeros(masks.shape[1:], dtype=torch.int32), []
    for _, query, mask in sorted(queries, key=lambda each: -each[0]):
        label, score = int(probabilities[query].argmax()), float(probabilities[query].max())
        is_thing, free = label < things, mask & (panoptic == 0)
        if free.sum() < least[not is_thing] or not mask.any() or score <= (thing if is_thing else stuff):
            continue
        if free.sum() <= 0.8 * mask.sum():
            continue
        if not is_thing and label in labels:
            panoptic[free] = labels.index(label) + 1
            continue
        labels.append(label)
        panoptic[free] = len(labels)
    return panoptic, labels


@pytest.mark.parametrize("least", [(0, 0), (40, 90)])
def test_equals_a_loop_over_the_rule_of_kmax(least):
    fusion, several = PanopticFusion(3, 2, rule="kmax", least_pixels=least), 0
    for seed in range(20):
        classes, masks = logits(seed)
        fused, (panoptic, labels) = fusion.fuse(classes, masks), loop_kmax(classes, masks, 3, least)
        assert torch.equal(fused.panoptic, panoptic)
        assert fused.labels == labels
        several += len(labels)
    assert several > 20


# --- wrong settings ---


def test_wrong_settings_are_errors():
    with pytest.raises(UnknownName, match="rule"):
        PanopticFusion(3, 2, rule="max")
    with pytest.raises(UnknownName, match="output"):
        PanopticFusion(3, 2, outputs=["boxes"])
    with pytest.raises(UnknownName, match="max_per_img"):
        PanopticFusion(3, 2, test_cfg=dict(max_per_img=5))
    with pytest.raises(ConfigError, match="at least one class"):
        PanopticFusion(0, 0)
    with pytest.raises(ConfigError, match="loss_panoptic"):
        PanopticFusion(3, 2, loss_panoptic=dict(type="L1Loss"))
    with pytest.raises(ConfigError, match="logits of 133 classes and of no object, found 6"):
        PanopticFusion().fuse(*logits(0))


def test_the_switches_of_mmdet_choose_the_outputs():
    fusion = PanopticFusion(3, 2, test_cfg=dict(panoptic_on=False, instance_on=True, semantic_on=True))
    fused = fusion.fuse(*logits(0))
    assert fused.panoptic is None
    assert fused.instances is not None
    assert fused.semantic is not None
