"""Counts of things and stuff pass from the data to heads, their losses and the fusion of their masks."""

import pytest
import torch
from mask_transformers import RESNET, mask2former, maskformer, panoptic_batch, semantic_batch, upernet

from visionzoo.errors import ConfigError, DataError
from visionzoo.models.class_counts import ClassCounts
from visionzoo.models.wiring import build_model, fill_model
from visionzoo.weights.class_tensors import class_tensors

COUNTS = [(3, 2), (3, 0), (0, 2), (1, 0)]
FPN = {"type": "mmdet.FPN", "out_channels": 16, "num_outs": 5}
ROI_HEAD = {"type": "mmdet.StandardRoIHead", "bbox_head": {"type": "mmdet.Shared2FCBBoxHead"}}


def counts_of(things, stuff):
    return ClassCounts(things + stuff, things)


def filled(model, things=3, stuff=2):
    return fill_model(model, num_classes=counts_of(things, stuff))


def losses_and_predictions(cfg, things, stuff):
    torch.manual_seed(0)
    model = build_model(cfg, num_classes=counts_of(things, stuff))
    losses = model.train()(**model.data_preprocessor(panoptic_batch(things, stuff), True), mode="loss")
    with torch.no_grad():
        data = model.data_preprocessor(panoptic_batch(things, stuff), False)
        return model, losses, model.eval()(**data, mode="predict")


def test_reads_things_and_stuff_of_metainfo():
    meta = {"classes": ("cat", "dog", "sky"), "thing_classes": ("cat", "dog"), "stuff_classes": ("sky",)}
    assert ClassCounts.of(meta) == ClassCounts(3, 2)
    assert ClassCounts.of({"classes": ("cat", "dog")}) == ClassCounts(2)
    assert ClassCounts.of({"classes": ("sky",), "thing_classes": (), "stuff_classes": ("sky",)}) == ClassCounts(1, 0)
    assert ClassCounts.of({}) is None
    assert ClassCounts.of(None) is None


def test_classes_in_another_order_than_things_and_stuff_are_an_error():
    meta = {"classes": ("sky", "cat"), "thing_classes": ("cat",), "stuff_classes": ("sky",)}
    with pytest.raises(DataError, match=r"the things, then the stuff \(cat, sky\), found sky, cat"):
        ClassCounts.of(meta)


@pytest.mark.parametrize("make", [mask2former, maskformer])
@pytest.mark.parametrize(("things", "stuff"), COUNTS)
def test_head_fusion_and_class_weights_follow_the_data(make, things, stuff):
    model, losses, predicted = losses_and_predictions(make(RESNET), things, stuff)
    assert (model.num_things_classes, model.num_stuff_classes) == (things, stuff)
    fusion = model.panoptic_fusion_head
    assert (fusion.num_things_classes, fusion.num_stuff_classes) == (things, stuff)
    assert model.panoptic_head.class_weight == [1.0] * (things + stuff) + [0.1]
    assert all(value.isfinite() for value in losses.values())
    for sample, (height, width) in zip(predicted, [(140, 194), (128, 180)]):
        labels = sample.pred_panoptic_seg.sem_seg % 1000
        assert labels.shape == (1, height, width)
        assert int(labels.max()) <= things + stuff
        assert int(sample.pred_instances.labels.max() if len(sample.pred_instances) else -1) < things


def test_a_head_with_its_counts_left_out_has_those_of_coco():
    head = fill_model(mask2former(RESNET)).panoptic_head
    assert (head.num_things_classes, head.num_stuff_classes, len(head.loss_cls.class_weight)) == (80, 53, 134)


def test_data_that_does_not_tell_has_things_only_unless_the_config_states_stuff():
    def of(**stated):
        head = fill_model(mask2former(RESNET, **stated), num_classes=5).panoptic_head
        return head.num_things_classes, head.num_stuff_classes

    assert of() == (5, 0)
    assert of(num_stuff_classes=0) == (5, 0)
    assert of(num_stuff_classes=2) == (3, 2)
    assert of(num_things_classes=3) == (3, 2)
    assert of(num_things_classes=3, num_stuff_classes=2) == (3, 2)
    with pytest.raises(ConfigError, match=r"num_stuff_classes: expected the data set's 2 classes of stuff, found 4"):
        of(num_things_classes=3, num_stuff_classes=4)


def test_other_counts_than_those_of_the_data_are_an_error():
    with pytest.raises(ConfigError, match=r"num_things_classes: expected the data set's 3 classes of things, found 80"):
        filled(mask2former(RESNET, num_things_classes=80, num_stuff_classes=53))
    model = mask2former(RESNET)
    model.panoptic_fusion_head.num_stuff_classes = 53
    with pytest.raises(ConfigError, match=r"expected 2 from mmdet.Mask2FormerHead, found 53 for mmdet.MaskFormerFus"):
        filled(model)


def test_one_number_of_classes_is_refused_by_a_head_that_has_two():
    with pytest.raises(ConfigError, match=r"panoptic_head.num_classes: expected num_things_classes and num_stuff_cl"):
        filled(mask2former(RESNET, num_classes=9))


def test_class_weights_of_another_number_are_an_error_and_others_stay():
    loss = {"type": "mmdet.CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 2.0}
    with pytest.raises(ConfigError, match=r"expected 6 weights, one for each of 5 classes and one for no object"):
        filled(mask2former(RESNET, loss_cls=loss | {"class_weight": [1.0] * 133 + [0.1]}))
    weights = [1.0, 2.0, 3.0, 1.0, 1.0, 0.2]
    assert filled(mask2former(RESNET, loss_cls=loss | {"class_weight": weights})).panoptic_head.loss_cls == (
        loss | {"class_weight": weights}
    )
    assert filled(mask2former(RESNET, loss_cls=loss)).panoptic_head.loss_cls.class_weight == [1.0] * 5 + [0.1]


def test_the_limit_of_instances_is_at_most_queries_times_classes():
    model = mask2former(RESNET, num_queries=4)
    assert filled(model).test_cfg.max_per_image == 20
    model.test_cfg.max_per_image = 300
    assert filled(model).test_cfg.max_per_image == 20
    model.test_cfg.max_per_image = 7
    assert filled(model).test_cfg.max_per_image == 7
    _, _, (first, second) = losses_and_predictions(mask2former(RESNET, num_queries=4), 3, 2)
    assert len(first.pred_instances) == len(second.pred_instances) == 4 * 3


def test_parts_that_find_objects_count_things_only():
    model = {"type": "mmdet.MaskRCNN", "roi_head": ROI_HEAD}
    assert filled(model).roi_head.bbox_head.num_classes == 3
    assert filled({"type": "mmdet.RetinaNet", "bbox_head": {"type": "mmdet.RetinaHead"}}).bbox_head.num_classes == 3


def test_panoptic_fpn_gets_both_counts():
    model = {
        "type": "mmdet.PanopticFPN",
        "semantic_head": {"type": "mmdet.PanopticFPNHead"},
        "roi_head": ROI_HEAD,
        "panoptic_fusion_head": {"type": "mmdet.HeuristicFusionHead"},
    }
    result = filled(model)
    for part in (result.semantic_head, result.panoptic_fusion_head):
        assert (part.num_things_classes, part.num_stuff_classes) == (3, 2)
    assert result.roi_head.bbox_head.num_classes == 3


def test_semantic_heads_count_all_classes():
    model = filled(upernet(RESNET))
    assert (model.decode_head.num_classes, model.auxiliary_head.num_classes) == (5, 5)
    usual = fill_model(upernet(RESNET))
    assert (usual.decode_head.num_classes, usual.auxiliary_head.num_classes) == (150, 150)


def test_tensors_of_the_classes_are_found():
    model = filled(mask2former(RESNET))
    for counts in (5, ClassCounts(5, 3), ClassCounts(5, 0)):
        assert {"panoptic_head.cls_embed.weight", "panoptic_head.cls_embed.bias"} <= set(class_tensors(model, counts))
        assert "panoptic_head.query_feat.weight" not in class_tensors(model, counts)


def test_five_levels_give_the_first_four():
    model, losses, predicted = losses_and_predictions(mask2former(RESNET, FPN), 3, 2)
    assert model.panoptic_head.pixel_decoder.strides == [4, 8, 16, 32]
    assert len(predicted) == 2
    assert all(value.isfinite() for value in losses.values())
    losses_and_predictions(maskformer(RESNET, FPN), 3, 2)


@pytest.mark.parametrize("indices", [(3,), (2, 3)])
def test_too_few_levels_are_an_error(indices):
    message = rf"panoptic_head: expected at least 3 feature maps for mmdet.Mask2FormerHead, found {len(indices)} with"
    with pytest.raises(ConfigError, match=message):
        filled(mask2former({**RESNET, "out_indices": indices}))


def test_a_plain_vit_has_too_few_levels():
    vit = {"type": "timm.vit_tiny_patch16_224"}
    with pytest.raises(ConfigError, match="found 1 with strides"):
        filled(mask2former(vit))
    with pytest.raises(ConfigError, match=r"decode_head.in_index: expected one of the 1 feature maps of timm.vit_tiny"):
        filled(upernet(vit))


def test_mmseg_pads_test_images_as_training_images():
    def padding(**given):
        return filled(upernet(RESNET, **given)).data_preprocessor

    assert padding(size_divisor=64).test_cfg == {"size_divisor": 64}
    assert padding().test_cfg == {"size_divisor": 32}
    assert padding().size_divisor == 32
    assert padding(size=(96, 128)).test_cfg == {"size_divisor": 32}
    assert padding(size=(96, 128), test_cfg={"size": (96, 128)}).test_cfg == {"size": (96, 128)}
    with pytest.raises(ConfigError, match="expected size or size_divisor, found size="):
        padding(size=(96, 128), size_divisor=32)


def test_a_semantic_model_trains_and_predicts_images_of_odd_sizes():
    torch.manual_seed(0)
    model = build_model(upernet({"type": "DiNAT", "variant": "tiny"}), num_classes=counts_of(3, 2))
    losses = model.train()(**model.data_preprocessor(semantic_batch(5), True), mode="loss")
    sum(value for name, value in losses.items() if "loss" in name).backward()
    with torch.no_grad():
        predicted = model.eval()(**model.data_preprocessor(semantic_batch(5), False), mode="predict")
    assert [sample.pred_sem_seg.data.shape for sample in predicted] == [(1, 140, 194)] * 2
