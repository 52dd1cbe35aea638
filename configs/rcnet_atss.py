"""ATSS with the RCNet neck, ResNet-50, 1x schedule.

Paper (ACM MM 2021, arXiv 2110.12130): box AP 42.6 on COCO val2017;
results here: model_cards/rcnet_atss.md.

    tools/train.py configs/rcnet_atss.py --tiny      # a minute on a CPU, on drawn scenes
    tools/train.py configs/rcnet_atss.py             # COCO 2017 in data/coco
"""

_base_ = ["_base_/coco_detection.py", "_base_/schedule_1x.py", "_base_/runtime.py"]

task = "detection"

model = dict(
    type="mmdet.ATSS",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,  # the loader returns RGB images
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
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
    bbox_head=dict(
        type="mmdet.ATSSHead",
        stacked_convs=4,
        feat_channels=256,
        anchor_generator=dict(type="mmdet.AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1),
        bbox_coder=dict(
            type="mmdet.DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]
        ),
        loss_cls=dict(type="mmdet.FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="mmdet.GIoULoss", loss_weight=2.0),
        loss_centerness=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(type="mmdet.ATSSAssigner", topk=9),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100
    ),
)

tiny = dict(
    model=dict(
        backbone=dict(
            depth=18,
            base_channels=16,
            frozen_stages=-1,
            norm_eval=False,
            init_cfg=None,
        ),
        neck=dict(out_channels=32),
        bbox_head=dict(feat_channels=32, stacked_convs=2, norm_cfg=dict(type="GN", num_groups=8, requires_grad=True)),
    ),
)
