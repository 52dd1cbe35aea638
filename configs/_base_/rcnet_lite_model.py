"""ATSS with an RCNet neck of 64 channels on EfficientNet-Lite0, for RGB images normalised as for its weights."""

model = dict(
    type="mmdet.ATSS",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[127.0] * 3,
        std=[128.0] * 3,
        bgr_to_rgb=False,  # the loader returns RGB images
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="EfficientNetLite",
        out_indices=(1, 2, 3, 4),
        frozen_stages=5,
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="released://efficientnet_lite0_imagenet"),
    ),
    neck=dict(
        type="RCNet",
        out_channels=64,
        num_outs=5,
        start_level=1,
        norm_cfg=dict(type="BN", requires_grad=True),
    ),
    bbox_head=dict(
        type="mmdet.ATSSHead",
        stacked_convs=2,
        feat_channels=64,
        norm_cfg=dict(type="GN", num_groups=16, requires_grad=True),
        # Anchors of 32 to 512 pixels. ATSS' own, for images of 800 pixels, are twice as large.
        anchor_generator=dict(type="mmdet.AnchorGenerator", ratios=[1.0], octave_base_scale=4, scales_per_octave=1),
        bbox_coder=dict(
            type="mmdet.DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]
        ),
        loss_cls=dict(type="mmdet.FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="mmdet.GIoULoss", loss_weight=2.0),
        loss_centerness=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    ),
    train_cfg=dict(assigner=dict(type="mmdet.ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100
    ),
)

tiny = dict(
    model=dict(
        backbone=dict(variant="tiny", frozen_stages=-1, norm_eval=False, init_cfg=None),
        neck=dict(out_channels=32),
        bbox_head=dict(feat_channels=32, norm_cfg=dict(num_groups=8)),
    ),
)
