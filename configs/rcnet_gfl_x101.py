"""GFL with the RCNet neck, ResNeXt-101 64x4d, multi-scale 2x schedule.

Paper (ACM MM 2021, arXiv 2110.12130): box AP 48.9 on COCO val2017, 49.2 on test-dev;
results here: model_cards/rcnet_gfl_x101.md.

    tools/train.py configs/rcnet_gfl_x101.py --tiny      # a minute on a CPU, on drawn scenes
    tools/train.py configs/rcnet_gfl_x101.py             # COCO 2017 in data/coco
"""

_base_ = ["_base_/coco_detection.py", "_base_/schedule_2x.py", "_base_/runtime.py"]

task = "detection"

model = dict(
    type="mmdet.GFL",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,  # the loader returns RGB images
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="mmdet.ResNeXt",
        depth=101,
        groups=64,
        base_width=4,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="open-mmlab://resnext101_64x4d"),
    ),
    neck=dict(
        type="RCNet",
        out_channels=256,
        num_outs=5,
        start_level=1,
        norm_cfg=dict(type="GN", num_groups=32, requires_grad=True),
    ),
    bbox_head=dict(
        type="mmdet.GFLHead",
        stacked_convs=4,
        feat_channels=256,
        anchor_generator=dict(type="mmdet.AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1),
        loss_cls=dict(type="mmdet.QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_dfl=dict(type="mmdet.DistributionFocalLoss", loss_weight=0.25),
        reg_max=16,
        loss_bbox=dict(type="mmdet.GIoULoss", loss_weight=2.0),
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

# The short side of each image is drawn from 480 to 960 pixels.
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.RandomResize", scale=[(1333, 480), (1333, 960)], keep_ratio=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))

tiny = dict(
    model=dict(
        backbone=dict(
            depth=50,
            groups=4,
            base_channels=16,
            frozen_stages=-1,
            norm_eval=False,
            init_cfg=None,
        ),
        neck=dict(out_channels=32, norm_cfg=dict(num_groups=8)),
        bbox_head=dict(feat_channels=32, stacked_convs=2, norm_cfg=dict(type="GN", num_groups=8, requires_grad=True)),
    ),
)
