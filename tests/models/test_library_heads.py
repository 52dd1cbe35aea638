"""Heads of mmdet and mmseg in the task model: losses, gradients and predictions equal those of library models."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mask_transformers import mask2former, maskformer, panoptic_batch, semantic_batch, upernet
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from visionzoo.errors import ConfigError, DataError
from visionzoo.models.class_counts import ClassCounts
from visionzoo.models.library_heads import build_head
from visionzoo.models.wiring import build_model, fill_model
from visionzoo.structures.task_sample import TaskSample

PIXELS = dict(mean=[120.0] * 3, std=[60.0] * 3)
RESNET = dict(type="mmdet.ResNet", depth=18, base_channels=8)
FPN = dict(type="mmdet.FPN", out_channels=16, num_outs=5, start_level=1, add_extra_convs="on_output")
ANCHORS = dict(type="mmdet.AnchorGenerator", octave_base_scale=4, scales_per_octave=3, ratios=[0.5, 1.0, 2.0])
ONE_ANCHOR = dict(type="mmdet.AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1)
MAX_IOU = dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1)
TOP_IOU = dict(type="mmdet.ATSSAssigner", topk=9)
TESTING = dict(nms_pre=100, min_bbox_size=0, score_thr=0.0, nms=dict(type="nms", iou_threshold=0.5), max_per_img=20)
BOXES = dict(type="mmdet.DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4)
SMALL = dict(stacked_convs=1, feat_channels=16)
GROUPS = dict(norm_cfg=dict(type="GN", num_groups=4))

# By detector: its head, and the assigner of its training.
DETECTORS = {
    "RetinaNet": (dict(type="mmdet.RetinaHead", anchor_generator=ANCHORS, bbox_coder=BOXES, **SMALL), MAX_IOU),
    "GFL": (
        dict(
            type="mmdet.GFLHead",
            anchor_generator=ONE_ANCHOR,
            loss_cls=dict(type="mmdet.QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
            loss_dfl=dict(type="mmdet.DistributionFocalLoss", loss_weight=0.25),
            loss_bbox=dict(type="mmdet.GIoULoss", loss_weight=2.0),
            **SMALL,
            **GROUPS,
        ),
        TOP_IOU,
    ),
    "ATSS": (
        dict(
            type="mmdet.ATSSHead",
            anchor_generator=ONE_ANCHOR,
            bbox_coder=BOXES,
            loss_bbox=dict(type="mmdet.GIoULoss", loss_weight=2.0),
            **SMALL,
            **GROUPS,
        ),
        TOP_IOU,
    ),
    "FCOS": (dict(type="mmdet.FCOSHead", **SMALL, **GROUPS), MAX_IOU),
}


def training(assigner):
    return dict(
        assigner=assigner, sampler=dict(type="mmdet.PseudoSampler"), allowed_border=-1, pos_weight=-1, debug=False
    )


def pair_of_detectors(name, preprocessor="TaskPreprocessor"):
    """Return mmdet's detector and the task model of the same parts and weights."""
    head, assigner = DETECTORS[name]
    settings = dict(train_cfg=training(assigner), test_cfg=TESTING)
    trunk = dict(backbone=RESNET, neck=FPN)
    theirs = dict(type="mmdet.DetDataPreprocessor", pad_size_divisor=32, **PIXELS)
    reference = build_model(
        dict(type=f"mmdet.{name}", data_preprocessor=theirs, bbox_head=head, **settings, **trunk), num_classes=3
    )
    ours = dict(type=preprocessor, pad_size_divisor=32, **PIXELS)
    heads = dict(detection=dict(head, **settings))
    model = build_model(dict(type="TaskModel", data_preprocessor=ours, heads=heads, **trunk), num_classes=3)
    share_weights(reference, model, "detection")
    return reference, model


def share_weights(reference, model, name, parts=("bbox_head", "panoptic_head", "decode_head", "mask_head")):
    state = {}
    for key, value in reference.state_dict().items():
        state[f"heads.{name}.{key}" if key.startswith(parts) else key] = value
    model.load_state_dict(state)


SIZES = ((70, 97), (64, 131), (33, 50))


def detection_batch(seed=0, sizes=SIZES):
    """Return images of odd sizes with 2, 1 and 0 objects, and samples of mmdet."""
    draw = torch.Generator().manual_seed(seed)
    batch = {"inputs": [], "data_samples": []}
    for number, (height, width) in enumerate(sizes):
        count = max(2 - number, 0)
        corner = torch.rand(count, 2, generator=draw) * torch.tensor([width / 3, height / 3])
        boxes = torch.cat([corner, corner + 25], 1)
        about = dict(img_shape=(height, width), ori_shape=(2 * height, 3 * width), scale_factor=(1 / 3, 0.5))
        sample = DetDataSample(metainfo=about)
        sample.gt_instances = InstanceData(bboxes=HorizontalBoxes(boxes), labels=torch.arange(count) % 3)
        sample.ignored_instances = InstanceData(
            bboxes=HorizontalBoxes(torch.zeros(0, 4)), labels=torch.zeros(0, dtype=torch.int64)
        )
        batch["inputs"].append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=draw))
        batch["data_samples"].append(sample)
    return batch


def losses_and_gradients(model, batch, seed=3):
    model.train().zero_grad()
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    torch.manual_seed(seed)  # of sampled points and of dropout
    losses = model(**data, mode="loss")
    total, log = model.parse_losses(losses)
    total.backward()
    values = {key.rpartition(".")[2]: value for key, value in log.items()}
    gradients = {
        key.removeprefix("heads.").partition(".")[2] if key.startswith("heads.") else key: parameter.grad
        for key, parameter in model.named_parameters()
    }
    return values, gradients


def predictions(model, batch):
    model.eval()
    with torch.no_grad():
        return model.test_step(copy.deepcopy(batch))


def require_equal_training(reference, model, batch):
    theirs, their_gradients = losses_and_gradients(reference, batch)
    ours, our_gradients = losses_and_gradients(model, batch)
    assert theirs.keys() == ours.keys()
    assert len(theirs) > 1
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-5, atol=1e-5)
    assert their_gradients.keys() == our_gradients.keys()
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in our_gradients.values())
    for key, gradient in their_gradients.items():
        if gradient is None:
            assert our_gradients[key] is None, key
        else:
            torch.testing.assert_close(our_gradients[key], gradient, rtol=1e-5, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", DETECTORS)
def test_boxes_are_those_of_the_detector(name):
    reference, model = pair_of_detectors(name)
    require_equal_training(reference, model, detection_batch())
    for seed in (1, 2):
        batch = detection_batch(seed, SIZES[:2])
        for theirs, ours in zip(predictions(reference, batch), predictions(model, batch), strict=True):
            found, expected = ours.detection.pred_instances, theirs.pred_instances
            assert len(expected) > 0
            assert torch.equal(found.labels, expected.labels)
            torch.testing.assert_close(found.bboxes, expected.bboxes, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(found.scores, expected.scores, rtol=1e-5, atol=1e-5)


def test_two_stages_are_those_of_the_detector():
    boxes = dict(type="mmdet.DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])
    regions = dict(type="mmdet.SingleRoIExtractor", roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0))
    sampler = dict(type="mmdet.RandomSampler", num=32, pos_fraction=0.25, neg_pos_ub=-1)
    proposals = dict(nms_pre=100, max_per_img=50, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0)
    head = dict(
        rpn_head=dict(
            type="mmdet.RPNHead",
            feat_channels=16,
            anchor_generator=dict(type="mmdet.AnchorGenerator", scales=[4], ratios=[0.5, 1.0, 2.0]),
            bbox_coder=BOXES,
        ),
        roi_head=dict(
            type="mmdet.StandardRoIHead",
            bbox_roi_extractor=regions,
            bbox_head=dict(type="mmdet.Shared2FCBBoxHead", fc_out_channels=16, bbox_coder=boxes),
            mask_roi_extractor=dict(regions, roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0)),
            mask_head=dict(type="mmdet.FCNMaskHead", num_convs=1, conv_out_channels=8),
        ),
        train_cfg=dict(
            rpn=dict(assigner=MAX_IOU, sampler=sampler, allowed_border=-1, pos_weight=-1, debug=False),
            rpn_proposal=proposals,
            rcnn=dict(assigner=MAX_IOU, sampler=sampler, mask_size=28, pos_weight=-1, debug=False),
        ),
        test_cfg=dict(
            rpn=proposals,
            rcnn=dict(score_thr=0.0, nms=dict(type="nms", iou_threshold=0.5), max_per_img=5, mask_thr_binary=0.5),
        ),
    )
    trunk = dict(backbone=RESNET, neck=dict(FPN, start_level=0))
    theirs = dict(type="mmdet.DetDataPreprocessor", pad_size_divisor=32, pad_mask=True, **PIXELS)
    reference = build_model(dict(type="mmdet.MaskRCNN", data_preprocessor=theirs, **head, **trunk), num_classes=3)
    ours = dict(type="TaskPreprocessor", pad_size_divisor=32, **PIXELS)
    heads = dict(instances=dict(type="TwoStageHead", **head))
    model = build_model(dict(type="TaskModel", data_preprocessor=ours, heads=heads, **trunk), num_classes=3)
    share_weights(reference, model, "instances", ("rpn_head", "roi_head"))
    batch = detection_batch()
    for sample in batch["data_samples"]:
        height, width = sample.img_shape
        masks = np.zeros((len(sample.gt_instances.labels), height, width), np.uint8)
        for mask, (left, top, right, bottom) in zip(
            masks, sample.gt_instances.bboxes.tensor.int().tolist(), strict=True
        ):
            mask[top:bottom, left:right] = 1
        sample.gt_instances.masks = BitmapMasks(masks, height, width)
    require_equal_training(reference, model, batch)
    for theirs, ours in zip(predictions(reference, batch), predictions(model, batch), strict=True):
        found, expected = ours.instances.pred_instances, theirs.pred_instances
        assert len(expected) > 0
        assert torch.equal(found.labels, expected.labels)
        assert torch.equal(found.masks, expected.masks)
        torch.testing.assert_close(found.bboxes, expected.bboxes, rtol=1e-5, atol=1e-5)


def test_predictions_need_no_true_masks_of_the_size_of_the_batch():
    """mmdet loads the annotations of test images after it resizes them, so masks have the original size."""
    cfg = QUERY_MODELS["Mask2Former"](RESNET)
    head = dict(train_cfg=cfg.train_cfg, test_cfg=dict(object_mask_thr=0.0, iou_thr=0.3, max_per_image=20))
    model = build_model(task_model_of(cfg, "panoptic", "panoptic_head", **head), num_classes=COUNTS)
    batch = panoptic_batch(2, 3, ((70, 97), (64, 90), (33, 51)))
    expected = predictions(model, batch)
    for sample in batch["data_samples"]:
        count = len(sample.gt_instances.labels)
        sample.gt_instances.masks = BitmapMasks(np.zeros((count, 300, 400), np.uint8), 300, 400)
    for found, without in zip(predictions(model, batch), expected, strict=True):
        assert np.array_equal(found.panoptic.pred_panoptic.ids, without.panoptic.pred_panoptic.ids)


QUERY_MODELS = {"Mask2Former": mask2former, "MaskFormer": maskformer}
COUNTS = ClassCounts(5, 2)


def task_model_of(reference_cfg, name, part, pad=32, **more):
    """Return the config of the task model with the trunk of a model and one of its heads."""
    head = {**reference_cfg[part], **more}
    return dict(
        type="TaskModel",
        data_preprocessor=dict(type="TaskPreprocessor", pad_size_divisor=pad, **PIXELS),
        backbone=reference_cfg.backbone,
        neck=reference_cfg.neck,
        heads={name: head},
    )


def pair_of_query_models(kind, **changes):
    cfg = QUERY_MODELS[kind](RESNET)
    cfg.panoptic_fusion_head = dict(type="PanopticFusion")
    cfg.test_cfg = dict(object_mask_thr=0.0, iou_thr=0.3, max_per_image=20)
    more = dict(train_cfg=cfg.train_cfg, test_cfg=cfg.test_cfg)
    model = task_model_of(cfg, "panoptic", "panoptic_head", **more, **changes)
    both = build_model(cfg, num_classes=COUNTS), build_model(model, num_classes=COUNTS)
    share_weights(*both, "panoptic")
    return both


@pytest.mark.parametrize("kind", QUERY_MODELS)
def test_segments_are_those_of_the_mask_classifier(kind):
    reference, model = pair_of_query_models(kind)
    batch = panoptic_batch(2, 3, ((70, 97), (64, 90), (33, 51)))
    require_equal_training(reference, model, batch)
    for theirs, ours in zip(predictions(reference, batch), predictions(model, batch), strict=True):
        ours = ours.panoptic
        assert np.array_equal(ours.pred_panoptic.ids, theirs.pred_panoptic.ids)
        assert ours.pred_panoptic.segments == theirs.pred_panoptic.segments
        assert torch.equal(ours.pred_semantic, theirs.pred_semantic)
        assert torch.equal(ours.pred_instances.masks, theirs.pred_instances.masks)
        assert torch.equal(ours.pred_panoptic_seg.sem_seg, theirs.pred_panoptic_seg.sem_seg)


@pytest.mark.parametrize("head", ["decode_head", "auxiliary_head"])
def test_classes_of_pixels_are_those_of_the_segmentor(head):
    size = (96, 128)
    cfg = upernet(RESNET, size=size, type="SemanticPreprocessor", test_cfg=dict(size=size))
    cfg.decode_head, cfg.auxiliary_head = cfg[head], None
    cfg.decode_head.dropout_ratio = 0.1
    reference = build_model(cfg, num_classes=4)
    model = build_model(task_model_of(cfg, "semantic", "decode_head"), num_classes=4)
    share_weights(reference, model, "semantic")
    batch = semantic_batch(4)
    require_equal_training(reference, model, batch)
    for theirs, ours in zip(predictions(reference, batch), predictions(model, batch), strict=True):
        ours = ours.semantic
        assert torch.equal(ours.pred_sem_seg.data, theirs.pred_sem_seg.data)
        torch.testing.assert_close(ours.seg_logits.data, theirs.seg_logits.data, rtol=1e-5, atol=1e-5)
        assert ours.seg_logits.data.shape == (4, 140, 194)


# --------------------------------------------------------------------------- forms of the data


def as_task_sample(sample, **meta):
    """Return a sample of PackTaskInputs with the objects of a sample of mmdet."""
    kept = {key: value for key, value in sample.metainfo.items() if key != "scale_factor"}
    own = TaskSample(metainfo={**kept, **meta})
    own.gt_bboxes, own.gt_bboxes_labels = sample.gt_instances.bboxes, sample.gt_instances.labels
    return own


def test_a_preprocessor_of_mmdet_also_works():
    reference, model = pair_of_detectors("RetinaNet", "mmdet.DetDataPreprocessor")
    require_equal_training(reference, model, detection_batch())


def test_plain_fields_and_missing_scales_give_the_same_losses_and_boxes():
    _, model = pair_of_detectors("ATSS")
    batch = detection_batch()
    plain = {"inputs": batch["inputs"], "data_samples": [as_task_sample(each) for each in batch["data_samples"]]}
    theirs, ours = losses_and_gradients(model, batch)[0], losses_and_gradients(model, plain)[0]
    assert theirs == ours
    for packed, own in zip(predictions(model, batch), predictions(model, plain), strict=True):
        torch.testing.assert_close(own.detection.pred_instances.bboxes, packed.detection.pred_instances.bboxes)
        assert isinstance(own, TaskSample)


def test_ignored_objects_are_ignored_in_both_forms():
    _, model = pair_of_detectors("RetinaNet")
    plain = detection_batch(sizes=SIZES[:1])
    plain["data_samples"] = [as_task_sample(each) for each in plain["data_samples"]]
    every = losses_and_gradients(model, plain)[0]
    plain["data_samples"][0].gt_ignore_flags = torch.tensor([False, True])
    fewer = losses_and_gradients(model, plain)[0]
    assert every["loss_bbox"] != fewer["loss_bbox"]


def test_a_batch_is_not_changed_by_its_losses():
    _, model = pair_of_query_models("Mask2Former")
    batch = panoptic_batch(2, 3)
    sample = batch["data_samples"][1]
    losses_and_gradients(model, {"inputs": batch["inputs"], "data_samples": batch["data_samples"]})
    model(model.data_preprocessor(batch)["inputs"], batch["data_samples"], mode="loss")
    assert sample.gt_instances.masks.masks.shape[-2:] == (64, 90)
    assert sample.gt_sem_seg.sem_seg.shape == (1, 64, 90)


def test_masks_and_maps_as_tensors_are_those_of_mmdet():
    _, model = pair_of_query_models("Mask2Former")
    batch = panoptic_batch(2, 3)
    plain = copy.deepcopy(batch)
    for index, sample in enumerate(batch["data_samples"]):
        own = as_task_sample(sample)
        own.gt_masks, own.gt_map = torch.from_numpy(sample.gt_instances.masks.masks), sample.gt_sem_seg.sem_seg[0]
        plain["data_samples"][index] = own
    assert losses_and_gradients(model, batch)[0] == losses_and_gradients(model, plain)[0]


def test_each_sample_trains_the_head_of_its_task():
    head, assigner = DETECTORS["RetinaNet"]
    heads = dict(
        detection=dict(head, train_cfg=training(assigner), test_cfg=TESTING),
        semantic=dict(type="mmseg.FCNHead", channels=8, in_index=0, num_convs=1, dropout_ratio=0.0, num_classes=4),
    )
    preprocessor = dict(type="TaskPreprocessor", pad_size_divisor=32, **PIXELS)
    model = build_model(
        dict(type="TaskModel", data_preprocessor=preprocessor, backbone=RESNET, neck=FPN, heads=heads), num_classes=3
    )
    boxes, maps = detection_batch(sizes=SIZES[:1]), semantic_batch(4, (40, 51))
    for task, batch in (("detection", boxes), ("semantic", maps)):
        for sample in batch["data_samples"]:
            sample.set_metainfo({"task": task})
    mixed = {key: [*boxes[key], *maps[key]] for key in boxes}
    model.eval()
    data = model.data_preprocessor(copy.deepcopy(mixed))
    losses = model(**data, mode="loss")
    assert {"detection.loss_cls", "detection.loss_bbox", "semantic.loss_ce", "semantic.acc_seg"} == set(losses)
    found = predictions(model, mixed)
    assert "pred_instances" in found[0]
    assert "pred_sem_seg" not in found[0]
    assert [each.pred_sem_seg.shape for each in found[1:]] == [(80, 102)] * 2


def test_one_head_and_raw_outputs_without_samples():
    head, assigner = DETECTORS["RetinaNet"]
    cfg = dict(type="TaskModel", backbone=RESNET, neck=FPN, head=dict(head, train_cfg=training(assigner)))
    model = build_model(cfg, num_classes=3)
    assert model.head.bbox_head.num_classes == 3
    classes, boxes = model(torch.zeros(2, 3, 40, 70))
    assert len(classes) == len(boxes) == 5
    assert classes[0].shape == (2, 27, 5, 9)
    _, queries = pair_of_query_models("Mask2Former")
    logits, masks = queries(torch.zeros(2, 3, 64, 96))["panoptic"]
    assert logits[-1].shape == (2, 10, 6)
    assert masks[-1].shape == (2, 10, 16, 24)


def test_a_head_starts_with_the_initialisation_of_its_library():
    head, assigner = DETECTORS["RetinaNet"]
    cfg = dict(type="TaskModel", backbone=RESNET, neck=FPN, head=dict(head, train_cfg=training(assigner)))
    model = build_model(cfg, num_classes=3)
    model.init_weights()
    bias = model.head.bbox_head.retina_cls.bias
    torch.testing.assert_close(bias, torch.full_like(bias, -4.59512))


def test_a_detector_on_panoptic_data_has_the_classes_of_things():
    head, _ = DETECTORS["RetinaNet"]
    cfg = dict(type="TaskModel", backbone=RESNET, neck=FPN, head=head)
    assert fill_model(cfg, num_classes=COUNTS).head.num_classes == 2


# --------------------------------------------------------------------------- what cannot work


def test_training_without_truth_is_an_error_that_names_the_field():
    _, detector = pair_of_detectors("RetinaNet")
    _, segments = pair_of_query_models("Mask2Former")
    batch = panoptic_batch(2, 3)
    for sample in batch["data_samples"]:
        sample.set_metainfo({"img_path": "road.png"})
        del sample.gt_sem_seg
    with pytest.raises(DataError, match=r"road\.png: expected gt_sem_seg to learn from"):
        losses_and_gradients(segments, batch)
    for sample in batch["data_samples"]:
        del sample.gt_instances
    with pytest.raises(DataError, match=r"road\.png: expected gt_instances\.bboxes to learn from"):
        losses_and_gradients(detector, batch)


def test_a_map_of_classes_is_required_to_train_a_decode_head():
    cfg = upernet(RESNET)
    model = build_model(task_model_of(cfg, "semantic", "decode_head"), num_classes=4)
    with pytest.raises(DataError, match="expected gt_sem_seg to learn from"):
        losses_and_gradients(model, detection_batch())


@pytest.mark.parametrize("kind", ["mmdet.DETRHead", "mmdet.StandardRoIHead", "mmseg.PointHead", "mmdet.RetinaNet"])
def test_a_class_with_other_inputs_is_refused(kind):
    with pytest.raises(ConfigError, match=f"{kind}: expected a head that computes losses and predictions"):
        build_head(dict(type=kind, num_classes=3, in_channels=8))


def test_groups_of_images_are_refused():
    _, model = pair_of_detectors("RetinaNet")
    batch = detection_batch(sizes=SIZES[:1])
    batch["data_samples"] = [as_task_sample(batch["data_samples"][0], group_size=2)]
    batch["inputs"] = [torch.zeros(2, 3, 40, 64)]
    with pytest.raises(DataError, match="one image in every sample"):
        losses_and_gradients(model, batch)
