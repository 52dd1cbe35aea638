"""HMoDE on the last three levels of VGG-16, for RGB images with the normalisation of ImageNet."""

model = dict(
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type="VGG",
        variant="16_bn",
        out_indices=(2, 3, 4),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://vgg16_bn"),
    ),
    head=dict(type="HMoDEHead"),
)

tiny = dict(model=dict(backbone=dict(variant="tiny", init_cfg=None), head=dict(variant="tiny")))
