"""Classes, salient objects, boxes and panoptic masks by one ResNet-50: four heads on one RCNet neck.

The heads are a linear classifier, ConnNet, ATSS and Mask2Former. No paper trains this model; results here:
model_cards/image_suite.md. How it is trained: docs/several_heads.md.

    tools/train.py configs/image_suite.py --tiny      # minutes on a CPU, on drawn images
    tools/train.py configs/image_suite.py             # ImageNet, MSRA-B, COCO and COCONut-S in data/
"""

_base_ = ["_base_/image_suite_data.py", "_base_/schedule_joint.py", "_base_/runtime.py"]

task = ("classification", "saliency", "detection", "panoptic")

attention = dict(embed_dims=256, num_heads=8, dropout=0.0, batch_first=True)
points = dict(**attention, num_levels=3, num_points=4)
relu = dict(type="ReLU", inplace=True)
positions = dict(num_feats=128, normalize=True)
tiny_attention = dict(embed_dims=64, num_heads=4)
tiny_ffn = dict(embed_dims=64, feedforward_channels=128)

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
    neck=dict(type="RCNet", out_channels=256, num_outs=5, start_level=0, norm_cfg=dict(type="BN", requires_grad=True)),
    heads=dict(
        classification=dict(type="ClassificationHead", in_index=3),
        saliency=dict(type="ConnectivityHead", loss=dict(type="ConnectivityLoss", mode="paper")),
        detection=dict(
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
        panoptic=dict(
            type="mmdet.Mask2FormerHead",
            feat_channels=256,
            out_channels=256,
            num_queries=100,
            num_transformer_feat_level=3,
            pixel_decoder=dict(
                type="mmdet.MSDeformAttnPixelDecoder",
                num_outs=3,
                norm_cfg=dict(type="GN", num_groups=32),
                act_cfg=dict(type="ReLU"),
                encoder=dict(
                    num_layers=6,
                    layer_cfg=dict(
                        self_attn_cfg=points,
                        ffn_cfg=dict(embed_dims=256, feedforward_channels=1024, num_fcs=2, ffn_drop=0.0, act_cfg=relu),
                    ),
                ),
                positional_encoding=positions,
            ),
            positional_encoding=positions,
            transformer_decoder=dict(
                return_intermediate=True,
                num_layers=9,
                layer_cfg=dict(
                    self_attn_cfg=attention,
                    cross_attn_cfg=attention,
                    ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, num_fcs=2, ffn_drop=0.0, act_cfg=relu),
                ),
            ),
            loss_cls=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=False, loss_weight=2.0, reduction="mean"),
            loss_mask=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True, reduction="mean", loss_weight=5.0),
            loss_dice=dict(
                type="mmdet.DiceLoss",
                use_sigmoid=True,
                activate=True,
                reduction="mean",
                naive_dice=True,
                eps=1.0,
                loss_weight=5.0,
            ),
            panoptic_fusion_head=dict(type="PanopticFusion"),
            train_cfg=dict(
                num_points=12544,
                oversample_ratio=3.0,
                importance_sample_ratio=0.75,
                assigner=dict(
                    type="mmdet.HungarianAssigner",
                    match_costs=[
                        dict(type="mmdet.ClassificationCost", weight=2.0),
                        dict(type="mmdet.CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
                        dict(type="mmdet.DiceCost", weight=5.0, pred_act=True, eps=1.0),
                    ],
                ),
                sampler=dict(type="mmdet.MaskPseudoSampler"),
            ),
            test_cfg=dict(
                panoptic_on=True,
                instance_on=True,
                semantic_on=True,
                max_per_image=100,
                object_mask_thr=0.8,  # least class score of a segment
                iou_thr=0.8,
                filter_low_score=True,
            ),
        ),
    ),
    loss_weighting=dict(type="UncertaintyWeighting"),
)
default_hooks = dict(checkpoint=dict(save_best="panoptic/PQ", rule="greater"))

tiny = dict(
    model=dict(
        backbone=dict(depth=18, base_channels=16, norm_eval=False, init_cfg=None),
        neck=dict(out_channels=32),
        heads=dict(
            saliency=dict(variant="tiny"),
            detection=dict(
                feat_channels=32, stacked_convs=2, norm_cfg=dict(type="GN", num_groups=8, requires_grad=True)
            ),
            panoptic=dict(
                feat_channels=64,
                out_channels=64,
                num_queries=20,
                pixel_decoder=dict(
                    norm_cfg=dict(num_groups=8),
                    encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=tiny_attention, ffn_cfg=tiny_ffn)),
                    positional_encoding=dict(num_feats=32),
                ),
                positional_encoding=dict(num_feats=32),
                transformer_decoder=dict(
                    num_layers=3,
                    layer_cfg=dict(self_attn_cfg=tiny_attention, cross_attn_cfg=tiny_attention, ffn_cfg=tiny_ffn),
                ),
                train_cfg=dict(num_points=512),
            ),
        ),
    ),
)
