"""Lanes, vehicles and boxes of road scenes by one ResNet-50: SCNN, a density head and ATSS on one RCNet neck.

No paper trains this model; results here:
model_cards/road_scene.md. How it is trained: docs/several_heads.md.

    tools/train.py configs/road_scene.py --tiny      # two minutes on a CPU, on drawn roads, crowds and scenes
    tools/train.py configs/road_scene.py             # TuSimple, TRANCOS and COCO in data/
"""

_base_ = ["_base_/road_scene_data.py", "_base_/schedule_joint.py", "_base_/runtime.py"]

task = ("lanes", "counting", "detection")

model = dict(
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(
        type="RCNet",
        out_channels=256,
        num_outs=5,
        start_level=1,
        norm_cfg=dict(type="BN", requires_grad=True),
    ),
    heads=dict(
        lanes=dict(type="SCNNHead", input_size=(288, 512), reducer="1x1", rows=dict(kind="tusimple")),
        counting=dict(type="DensityHead"),
        detection=dict(
            type="mmdet.ATSSHead",
            stacked_convs=4,
            feat_channels=256,
            anchor_generator=dict(type="mmdet.AnchorGenerator", ratios=[1.0], octave_base_scale=4, scales_per_octave=1),
            bbox_coder=dict(
                type="mmdet.DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]
            ),
            loss_cls=dict(type="mmdet.FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_bbox=dict(type="mmdet.GIoULoss", loss_weight=2.0),
            loss_centerness=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
            train_cfg=dict(
                assigner=dict(type="mmdet.ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1, debug=False
            ),
            test_cfg=dict(
                nms_pre=1000,
                min_bbox_size=0,
                score_thr=0.05,
                nms=dict(type="nms", iou_threshold=0.6),
                max_per_img=100,
            ),
        ),
    ),
    loss_weighting=dict(type="UncertaintyWeighting", regression=["counting"]),
)
default_hooks = dict(checkpoint=dict(save_best="detection/bbox_mAP", rule="greater"))

tiny = dict(
    model=dict(
        backbone=dict(depth=18, base_channels=16, norm_eval=False, init_cfg=None),
        neck=dict(out_channels=32),
        heads=dict(
            lanes=dict(variant="tiny", input_size=(96, 160)),
            counting=dict(variant="tiny"),
            detection=dict(
                feat_channels=32, stacked_convs=2, norm_cfg=dict(type="GN", num_groups=8, requires_grad=True)
            ),
        ),
    ),
)
