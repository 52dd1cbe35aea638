"""UPerNet (ECCV 2018) without backbone, for RGB images with the normalisation of ImageNet."""

model = dict(
    type="mmseg.EncoderDecoder",
    data_preprocessor=dict(
        type="SemanticPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,  # the loader returns RGB images
        size=(512, 512),  # of training images; test images are padded to a multiple of the largest stride
        pad_val=0,
        seg_pad_val=255,
    ),
    decode_head=dict(
        type="mmseg.UPerHead",
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        dropout_ratio=0.1,
        norm_cfg=dict(type="BN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="mmseg.CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type="mmseg.FCNHead",
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        norm_cfg=dict(type="BN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="mmseg.CrossEntropyLoss", use_sigmoid=False, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

tiny = dict(
    model=dict(
        data_preprocessor=dict(size=(64, 64)),
        decode_head=dict(channels=32, pool_scales=(1, 2)),
        auxiliary_head=dict(channels=16),
    ),
)
