"""Faster R-CNN on NASNet-A Large without a pyramid, as built by its authors: the last cells run on every proposal.

Paper (CVPR 2018, arXiv 1707.07012): box AP 43.1 on COCO test-dev; results here: model_cards/nasnet_faster_rcnn.md.

    tools/train.py configs/nasnet_faster_rcnn.py --tiny      # two minutes on a CPU, on drawn scenes
    tools/train.py configs/nasnet_faster_rcnn.py             # COCO 2017 in data/coco
"""

_base_ = ["_base_/coco_detection.py", "_base_/runtime.py"]

task = "detection"

coder = dict(type="mmdet.DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2])
model = dict(
    type="mmdet.FasterRCNN",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[127.5] * 3,  # scales values to [-1, 1], as in the training of NASNet
        std=[127.5] * 3,
        bgr_to_rgb=False,  # the loader returns RGB images
        pad_size_divisor=16,
    ),
    backbone=dict(type="NASNet", variant="large", proposal_features=True, norm_eval=True, with_cp=True),
    rpn_head=dict(
        type="mmdet.RPNHead",
        feat_channels=512,
        anchor_generator=dict(
            type="mmdet.AnchorGenerator", base_sizes=[256], scales=[0.25, 0.5, 1.0, 2.0], ratios=[0.5, 1.0, 2.0]
        ),
        bbox_coder=coder,
        loss_cls=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type="mmdet.SmoothL1Loss", loss_weight=2.0),
    ),
    roi_head=dict(
        type="mmdet.StandardRoIHead",
        bbox_roi_extractor=dict(type="CropAndResizeExtractor", output_size=17),
        shared_head=dict(type="NASNetRoITail", with_cp=True),
        bbox_head=dict(
            type="mmdet.BBoxHead",
            with_avg_pool=True,
            roi_feat_size=9,
            bbox_coder=coder,
            reg_class_agnostic=False,
            loss_cls=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type="mmdet.SmoothL1Loss", loss_weight=2.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type="mmdet.MaxIoUAssigner",
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.3,
                match_low_quality=True,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type="mmdet.RandomSampler", num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False
            ),
            allowed_border=0,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=2000, max_per_img=50, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type="mmdet.MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type="mmdet.RandomSampler", num=49, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=False
            ),
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=2000, max_per_img=50, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.0, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100),
    ),
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.Resize", scale=(1200, 1200), keep_ratio=False),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(1200, 1200), keep_ratio=False),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
image_size = dict(size=(1200, 1200))
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(type="IterBasedTrainLoop", max_iters=1_500_000, val_interval=100_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.0003, momentum=0.9, weight_decay=0.0),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [dict(type="MultiStepLR", by_epoch=False, milestones=[900_000, 1_200_000], gamma=0.1)]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=1)

default_hooks = dict(checkpoint=dict(interval=10_000, by_epoch=False))

# The drawn scenes have twice the usual size, because the map has stride 16.
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.Resize", scale=(384, 320), keep_ratio=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(384, 320), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
tiny_val_dataloader = dict(dataset=dict(pipeline=tiny_test_pipeline))
tiny = dict(
    image_size=dict(size=(320, 384)),
    model=dict(
        backbone=dict(variant="tiny", norm_eval=False, with_cp=False),
        rpn_head=dict(feat_channels=32, anchor_generator=dict(base_sizes=[128])),
        roi_head=dict(
            bbox_roi_extractor=dict(output_size=7),
            shared_head=dict(norm_eval=False, with_cp=False),
            bbox_head=dict(roi_feat_size=4),
        ),
        train_cfg=dict(
            rpn=dict(allowed_border=-1),
            rpn_proposal=dict(max_per_img=100),
            rcnn=dict(sampler=dict(num=48, add_gt_as_proposals=True)),
        ),
        test_cfg=dict(rcnn=dict(score_thr=0.05)),
    ),
    train_dataloader=dict(batch_size=4, dataset=dict(pipeline=tiny_train_pipeline)),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
    train_cfg=dict(max_iters=240, val_interval=80),
    optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.003, weight_decay=0.0001)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=240, T_max=240, eta_min=0.0),
    ],
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=4), checkpoint=dict(interval=80)),
)
