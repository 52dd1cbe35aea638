"""Mask2Former (CVPR 2022) without backbone, for RGB images with the normalisation of ImageNet.

The numbers of things and stuff, and the class weights, follow from the data set.
"""

attention = dict(embed_dims=256, num_heads=8, dropout=0.0, batch_first=True)
points = dict(**attention, num_levels=3, num_points=4)
relu = dict(type="ReLU", inplace=True)
positions = dict(num_feats=128, normalize=True)
model = dict(
    type="mmdet.Mask2Former",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,  # the loader returns RGB images
        pad_size_divisor=32,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255,
    ),
    panoptic_head=dict(
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
    # One forward pass gives all three; max_per_image is for instances.
    test_cfg=dict(
        panoptic_on=True,
        instance_on=True,
        semantic_on=True,
        max_per_image=100,
        object_mask_thr=0.8,  # least class score of a segment
        iou_thr=0.8,
        filter_low_score=True,
    ),
)

tiny_attention = dict(embed_dims=64, num_heads=4)
tiny_ffn = dict(embed_dims=64, feedforward_channels=128)
tiny = dict(
    model=dict(
        panoptic_head=dict(
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
        ),
        train_cfg=dict(num_points=512),
    ),
)
