"""Channels and strides pass from the backbone to the head, for our parts and for other libraries'."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict

from visionzoo.backbones.timm_features import TimmFeatures
from visionzoo.errors import ConfigError, UnknownName
from visionzoo.models.wiring import backbone_levels, build_model, fill_model

RESNET = {"type": "mmdet.ResNet", "depth": 18, "base_channels": 8}


def retinanet(**changes):
    model = {
        "type": "mmdet.RetinaNet",
        "data_preprocessor": {"type": "mmdet.DetDataPreprocessor", "mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]},
        "backbone": dict(RESNET),
        "neck": {"type": "mmdet.FPN", "out_channels": 16, "start_level": 1, "num_outs": 5},
        "bbox_head": {
            "type": "mmdet.RetinaHead",
            "feat_channels": 16,
            "stacked_convs": 1,
            "anchor_generator": {"type": "mmdet.AnchorGenerator", "octave_base_scale": 4, "scales_per_octave": 1,
                                 "ratios": [1.0]},
            "bbox_coder": {"type": "mmdet.DeltaXYWHBBoxCoder"},
        },
    }  # fmt: skip
    return ConfigDict(model | changes)


def faster_rcnn():
    model = retinanet(type="mmdet.FasterRCNN")
    del model["bbox_head"]
    extractor = {"type": "mmdet.SingleRoIExtractor", "roi_layer": {"type": "RoIAlign", "output_size": 7}}
    model.neck.start_level = 0
    model.rpn_head = {
        "type": "mmdet.RPNHead",
        "anchor_generator": {"type": "mmdet.AnchorGenerator", "scales": [8], "ratios": [1.0]},
    }
    model.roi_head = {
        "type": "mmdet.StandardRoIHead",
        "bbox_roi_extractor": extractor,
        "bbox_head": {"type": "mmdet.Shared2FCBBoxHead"},
    }
    return model


def test_measures_a_backbone_of_another_library():
    levels = backbone_levels(ConfigDict(RESNET))
    assert levels.channels == (8, 16, 32, 64)
    assert levels.strides == (4, 8, 16, 32)


def test_measuring_does_not_change_the_random_state():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    backbone_levels(ConfigDict(RESNET, out_indices=(1, 2)))
    assert torch.equal(torch.rand(1), expected)


def test_fills_a_one_stage_detector():
    filled = fill_model(retinanet(), num_classes=3)
    assert filled.neck.in_channels == [8, 16, 32, 64]
    assert filled.bbox_head.in_channels == 16
    assert filled.bbox_head.anchor_generator.strides == [8, 16, 32, 64, 128]
    assert filled.bbox_head.num_classes == 3


def test_fills_a_two_stage_detector():
    filled = fill_model(faster_rcnn(), num_classes=5)
    assert filled.rpn_head.in_channels == 16
    assert filled.rpn_head.anchor_generator.strides == [4, 8, 16, 32, 64]
    assert filled.roi_head.bbox_roi_extractor.out_channels == 16
    assert filled.roi_head.bbox_roi_extractor.featmap_strides == [4, 8, 16, 32]
    assert filled.roi_head.bbox_head.in_channels == 16
    assert filled.roi_head.bbox_head.num_classes == 5
    assert "num_classes" not in filled.rpn_head


def test_fills_a_segmentor_of_mmseg():
    head = {"type": "mmseg.FCNHead", "in_index": 2, "channels": 8, "num_classes": 4}
    model = ConfigDict(type="mmseg.EncoderDecoder", backbone=dict(RESNET), decode_head=head)
    assert fill_model(model).decode_head.in_channels == 32


def test_fills_several_necks_one_after_the_other():
    necks = [retinanet().neck, {"type": "mmdet.DyHead", "out_channels": 32, "num_blocks": 1, "zero_init_offset": False}]
    filled = fill_model(retinanet(neck=necks))
    assert filled.neck[1].in_channels == 16
    assert filled.bbox_head.in_channels == 32


def test_keeps_the_config_unchanged():
    model = retinanet()
    before = copy.deepcopy(model)
    fill_model(model)
    assert model == before


def test_an_explicit_value_that_agrees_stays():
    model = retinanet()
    model.neck.in_channels = [8, 16, 32, 64]
    assert fill_model(model).neck.in_channels == [8, 16, 32, 64]


@pytest.mark.parametrize(
    ("path", "value", "sides"),
    [
        ("neck.in_channels", [8, 16, 32, 99], ("mmdet.FPN", "mmdet.ResNet")),
        ("bbox_head.in_channels", 77, ("mmdet.RetinaHead", "mmdet.FPN")),
        ("bbox_head.anchor_generator.strides", [4, 8, 16, 32, 64], ("mmdet.AnchorGenerator", "mmdet.FPN")),
    ],
)
def test_an_explicit_value_that_disagrees_names_both_sides(path, value, sides):
    model = retinanet()
    part, name = path.rsplit(".", 1)
    target = model
    for key in part.split("."):
        target = target[key]
    target[name] = value
    with pytest.raises(ConfigError) as caught:
        fill_model(model)
    for word in (*sides, path, str(value)):
        assert word in str(caught.value)


def test_roi_strides_that_disagree_name_both_sides():
    model = faster_rcnn()
    model.roi_head.bbox_roi_extractor.featmap_strides = [8, 16]
    with pytest.raises(ConfigError, match=r"expected \(4, 8\) from mmdet\.FPN, found \(8, 16\) for .*RoIExtractor"):
        fill_model(model)


def c4_detector(**shared):
    model = faster_rcnn()
    del model["neck"]
    model.backbone = {"type": "NASNet", "variant": "tiny", "filters": 4, "proposal_features": True}
    model.roi_head.shared_head = {"type": "NASNetRoITail", **shared}
    model.roi_head.bbox_head = {"type": "mmdet.BBoxHead"}
    return model


def test_fills_a_shared_head_from_the_backbone_and_what_reads_it():
    filled = fill_model(c4_detector())
    assert filled.roi_head.shared_head == {"type": "NASNetRoITail", "variant": "tiny", "filters": 4}
    assert filled.rpn_head.in_channels == 4 * (8 + 12)
    assert filled.roi_head.bbox_roi_extractor.out_channels == 4 * (8 + 12)
    assert filled.roi_head.bbox_roi_extractor.featmap_strides == [16]
    assert filled.roi_head.bbox_head.in_channels == 4 * 24


def test_fills_what_reads_a_shared_head_of_mmdet():
    model = c4_detector()
    model.backbone = dict(RESNET, depth=50, base_channels=64, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
                          out_indices=(2,))  # fmt: skip
    model.roi_head.shared_head = {"type": "mmdet.ResLayer", "depth": 50, "stage": 3, "stride": 2}
    filled = fill_model(model)
    assert filled.roi_head.bbox_roi_extractor.out_channels == 1024
    assert filled.roi_head.bbox_head.in_channels == 2048


def test_a_shared_head_of_another_network_names_both_sides():
    with pytest.raises(ConfigError, match=r"shared_head\.filters: expected 4 from NASNet, found 8 for NASNetRoITail"):
        fill_model(c4_detector(filters=8))
    model = c4_detector()
    model.roi_head.bbox_head.in_channels = 77
    with pytest.raises(ConfigError, match=r"expected 96 from NASNetRoITail, found 77 for mmdet\.BBoxHead"):
        fill_model(model)


def test_another_class_count_than_the_data_set_is_an_error():
    model = retinanet()
    model.bbox_head.num_classes = 4
    with pytest.raises(ConfigError, match="expected the data set's 3 classes, found 4"):
        fill_model(model, num_classes=3)


def test_auxiliary_heads_count_as_many_classes_as_the_main_one():
    heads = {"head": {"type": "ClassificationHead"}, "auxiliary_head": {"type": "ClassificationHead", "in_index": 1}}
    model = ConfigDict(type="TaskModel", backbone=dict(RESNET), **heads)
    assert fill_model(model).auxiliary_head.num_classes == 1000
    assert fill_model(model, num_classes=4).auxiliary_head.num_classes == 4
    model.head.num_classes = 7
    filled = fill_model(model)
    assert (filled.head.num_classes, filled.auxiliary_head.num_classes) == (7, 7)
    assert (filled.head.in_channels, filled.auxiliary_head.in_channels) == (64, 16)


def test_a_new_backbone_returns_the_old_ones_strides():
    model = retinanet(backbone={"type": "timm.resnet18"})
    replaced = {"model.backbone": dict(RESNET, out_indices=(1, 2, 3))}
    model.neck.start_level = 0
    filled = fill_model(model, replaced=replaced)
    assert filled.backbone.out_strides == (8, 16, 32)
    assert filled.neck.in_channels == [128, 256, 512]
    assert filled.data_preprocessor.mean == pytest.approx([123.675, 116.28, 103.53])


def test_a_plain_vit_cannot_replace_a_pyramid():
    model = retinanet(backbone={"type": "timm.vit_tiny_patch16_224"})
    with pytest.raises(ConfigError) as caught:
        fill_model(model, replaced={"model.backbone": RESNET})
    assert "timm.vit_tiny_patch16_224" in str(caught.value)
    assert "(4, 8, 16, 32)" in str(caught.value)
    assert "found strides (16,);" in str(caught.value)


def test_a_backbone_of_images_that_replaces_one_of_pairs_is_answered_with_the_backbone_that_runs_it_on_both():
    old = {"model.backbone": {"type": "VoxelMorphEncoder", "dims": 2}}
    head = {"type": "VoxelMorphHead", "variant": "tiny", "dims": 2}
    backbone = {"type": "timm.resnet10t"}
    with pytest.raises(ConfigError, match=r"found timm\.resnet10t, which reads single images; set .*=SiamesePair and "):
        fill_model({"type": "TaskModel", "backbone": backbone, "head": head}, replaced=old)
    siamese = {"type": "SiamesePair", "backbone": backbone}
    filled = fill_model({"type": "TaskModel", "backbone": siamese, "head": head}, replaced=old)
    assert filled.head.in_channels == [2, 128, 256, 512, 1024]
    early = {"type": "timm.resnet10t", "in_chans": 2, "out_indices": (1, 2, 3)}
    filled = fill_model({"type": "TaskModel", "backbone": early, "head": head}, replaced=old)
    assert filled.head.in_channels == [64, 128, 256]


@pytest.mark.parametrize("name", ["dla46_c", "tresnet_m"])
def test_timm_levels_are_counted_from_timms_first(name):
    """These models omit their first level, or lack it, by default."""
    backbone = TimmFeatures(name).eval()
    feats = backbone(torch.zeros(1, 3, 64, 64))
    assert backbone.out_strides == (4, 8, 16, 32)
    assert tuple(64 // feat.shape[-1] for feat in feats) == backbone.out_strides
    assert tuple(feat.shape[1] for feat in feats) == backbone.out_channels


@pytest.mark.parametrize("backbone", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_timm_families_build_under_fpn_and_run(backbone):
    model = build_model(retinanet(backbone={"type": f"timm.{backbone}"}), num_classes=2)
    feats = model.extract_feat(torch.rand(2, 3, 65, 97))
    assert [feat.shape[1] for feat in feats] == [16] * 5


def test_an_unknown_part_suggests_the_nearest():
    with pytest.raises(UnknownName, match=r"did you mean 'mmdet.ResNet'"):
        fill_model(retinanet(backbone={"type": "mmdet.ResNett"}))


def test_a_model_without_backbone_is_built_unchanged():
    assert fill_model({"type": "mmdet.DetTTAModel"}) == {"type": "mmdet.DetTTAModel"}
