"""ResNet-50 with four levels and the decoder of ConnNet, for RGB images with the normalisation of ImageNet.

The config sets the type of the head.
"""

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
        norm_eval=False,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
)

tiny = dict(
    model=dict(
        backbone=dict(depth=18, base_channels=16, init_cfg=None),
        head=dict(variant="tiny"),
    ),
)
